"""Directions between weights, against numpy."""

import numpy as np
import pytest
import torch

from skbert.landscape import Weights
from skbert.landscape._weights import as_tensors, coordinates, difference, inner, norm, random_direction, scale_


@pytest.fixture
def drawn():
    """Three dicts of two tensors."""
    generator = torch.Generator().manual_seed(0)
    return [{"a": torch.randn(5, 4, generator=generator), "b": torch.randn(7, generator=generator)} for _ in range(3)]


def flat(direction):
    return np.concatenate([direction[name].double().numpy().ravel() for name in ("a", "b")])


def test_inner_and_norm__are_those_of_the_flat_vectors(drawn):
    one, other, _ = drawn
    assert inner(one, other) == pytest.approx(flat(one) @ flat(other))
    assert norm(one) == pytest.approx(np.linalg.norm(flat(one)))
    assert inner(one, {"a": other["a"]}) == pytest.approx(float((one["a"] * other["a"]).sum()), rel=1e-5)


def test_difference__leaves_out_what_did_not_move_or_has_another_shape(drawn):
    start = {**drawn[0], "same": torch.ones(2), "head": torch.ones(3)}
    end = {**drawn[1], "same": torch.ones(2), "head": torch.ones(4)}
    found = difference(end, start)
    assert set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["b"], end["b"] - start["b"])


def test_coordinates__are_the_least_squares_solution(drawn):
    step, first, second = drawn
    basis = np.stack([flat(first), flat(second)], axis=1)
    expected, rest, *_ = np.linalg.lstsq(basis, flat(step), rcond=None)
    alpha, beta, distance = coordinates(step, first, second)
    np.testing.assert_allclose([alpha, beta], expected, rtol=1e-6)
    assert distance == pytest.approx(np.sqrt(rest[0]) / np.linalg.norm(flat(first)), rel=1e-6)


def test_coordinates__of_a_step_in_the_plane_have_no_distance(drawn):
    _, first, second = drawn
    step = {name: 0.3 * first[name] - 2.0 * second[name] for name in first}
    np.testing.assert_allclose(coordinates(step, first, second), [0.3, -2.0, 0.0], atol=1e-3)


def test_scale__changes_the_length_only(drawn):
    before = flat(drawn[0])
    np.testing.assert_allclose(flat(scale_(drawn[0], 2.5)), 2.5 * before, rtol=1e-6)


def test_random_direction__has_the_row_lengths_of_the_weights_and_leaves_vectors_alone(drawn):
    weights = {"a": drawn[0]["a"], "b": drawn[0]["b"], "frozen": torch.ones(2, 2)}
    found = random_direction(weights, {"a", "b"}, seed=3)
    assert set(found) == {"a"}
    np.testing.assert_allclose(found["a"].norm(dim=1), weights["a"].norm(dim=1), rtol=1e-5)
    assert torch.equal(found["a"], random_direction(weights, {"a", "b"}, seed=3)["a"])
    assert not torch.equal(found["a"], random_direction(weights, {"a", "b"}, seed=4)["a"])


def test_random_direction__is_gaussian_of_either_sign():
    weights = {"a": torch.ones(200, 50)}
    found = random_direction(weights, {"a"}, seed=0)["a"]
    # Rows of length sqrt(50) with 50 entries: variance 1, and as many negative as positive.
    assert float(found.var()) == pytest.approx(1.0, rel=0.05)
    assert abs(float(found.mean())) < 0.05


def test_distance__is_euclidean_and_needs_the_same_network(drawn):
    one, other = Weights(as_tensors(drawn[0])), Weights(as_tensors(drawn[1]))
    assert one.distance_to(other) == pytest.approx(np.linalg.norm(flat(drawn[0]) - flat(drawn[1])))
    assert one.n_weights == 27
    assert "27 numbers in 2 tensors" in repr(one)
    with pytest.raises(ValueError, match="networks of different shapes"):
        one.distance_to(Weights({"a": torch.ones(2)}))


def test_as_tensors__leaves_out_what_cannot_be_trained():
    assert Weights(as_tensors({"a": np.ones(2, np.float32), "ids": np.arange(3)})).n_weights == 2
