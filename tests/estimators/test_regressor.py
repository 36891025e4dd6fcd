"""MaxPoolBERTRegressor through its public names."""

import numpy as np
import pytest
from sklearn.base import is_regressor

from skbert import MaxPoolBERTRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def numbers(labels):
    return np.array([{"order": -1.0, "refund": 0.5, "login": 2.0}[label] for label in labels])


def test_regressor__learns_numbers(tiny, texts, numbers, quick):
    reg = MaxPoolBERTRegressor(tiny(), **{**quick, "max_epochs": 25}).fit(texts, numbers)
    assert is_regressor(reg)
    predicted = reg.predict(texts)
    assert predicted.shape == (24,)
    assert predicted.dtype == np.float64
    assert reg.score(texts, numbers) > 0.8
    assert reg.training_status_ == "converged"
    assert reg.transform(texts).shape == (24, 32)


def test_regressor__is_equivariant_to_shift_and_scale_of_the_target(tiny, texts, numbers, quick):
    plain = MaxPoolBERTRegressor(tiny(), **quick).fit(texts, numbers).predict(texts)
    far = MaxPoolBERTRegressor(tiny(), **quick).fit(texts, 1e4 + 300 * numbers).predict(texts)
    np.testing.assert_allclose((far - 1e4) / 300, plain, atol=1e-4)


def test_regressor__constant_target_is_predicted(tiny, texts, quick):
    reg = MaxPoolBERTRegressor(tiny(), **quick).fit(texts, np.full(24, 7.0))
    np.testing.assert_allclose(reg.predict(texts), 7.0, atol=0.5)
    assert reg.training_status_ == "converged"


def test_regressor__weights_equal_repetition(tiny, texts, numbers, quick):
    parameters = {**quick, "batch_size": 128, "dropout": 0.0, "learning_rate": 1e-3}
    weights = np.random.default_rng(1).integers(0, 4, size=24)
    weighted = MaxPoolBERTRegressor(tiny(), **parameters).fit(texts, numbers, sample_weight=weights)
    repeated = MaxPoolBERTRegressor(tiny(), **parameters).fit(np.repeat(texts, weights), np.repeat(numbers, weights))
    np.testing.assert_allclose(weighted.predict(texts), repeated.predict(texts), atol=1e-5)


def test_regressor__validation_loss_is_in_units_of_the_variance(tiny, texts, numbers, quick):
    reg = MaxPoolBERTRegressor(tiny(), **quick).fit(texts, 100 * numbers, X_val=texts, y_val=100 * numbers)
    error = np.mean((reg.predict(texts) - 100 * numbers) ** 2) / np.var(100 * numbers)
    assert error == pytest.approx(reg.history_[-1]["valid_loss"], rel=1e-3)


def test_regressor__early_stopping_and_warm_start(tiny, texts, numbers, quick):
    reg = MaxPoolBERTRegressor(tiny(), **quick, early_stopping=True, warm_start=True).fit(texts, numbers)
    n_first = reg.n_iter_
    reg.fit(texts, numbers)
    assert reg.n_iter_ > n_first


@pytest.mark.parametrize("bad", [["a"] * 24, [None] * 24, [np.nan] * 24, np.ones((24, 2))])
def test_regressor__wrong_targets_are_refused(tiny, texts, quick, bad):
    with pytest.raises(ValueError, match="y"):
        MaxPoolBERTRegressor(tiny(), **quick).fit(texts, bad)
