"""Weights of tokens, against their formulas."""

import numpy as np
import pytest

from skbert.pretraining._weights import CallableWeights, LossWeights, frequency_weights


def test_frequency_weights__are_one_over_the_root_of_counts():
    weights = frequency_weights(np.array([4, 0, 100, 1]))
    assert np.exp(weights.log_of(np.array([0, 1, 2, 3, 0]))) == pytest.approx([0.5, 1.0, 0.1, 1.0, 0.5])


def test_loss_weights__are_running_means():
    weights = LossWeights(4)
    assert np.exp(weights.log_of(np.array([0, 1]))) == pytest.approx([1.0, 1.0])
    weights.note(np.array([0, 0, 2]), np.array([1.0, 3.0, 8.0]))
    weights.note(np.array([2]), np.array([0.0]))
    # Token 1 was never masked: the mean of all four losses.
    assert np.exp(weights.log_of(np.array([0, 1, 2]))) == pytest.approx([2.0, 3.0, 4.0])


def test_callable_weights__are_what_the_function_returns():
    weights = CallableWeights(lambda ids: ids == 7)
    assert weights.log_of(np.array([7, 8])).tolist() == [0.0, -np.inf]


@pytest.mark.parametrize(
    "function",
    [
        lambda ids: ids[:-1],
        lambda ids: -ids,
        lambda ids: [np.nan] * len(ids),
        lambda ids: "many",
        lambda ids: 1.0,
    ],
)
def test_callable_weights__of_a_wrong_function__are_refused(function):
    with pytest.raises(ValueError, match="mask_weights"):
        CallableWeights(function).log_of(np.array([3, 4, 5]))
