"""Intervals of means, against scipy, closed forms and what they promise to cover."""

import numpy as np
import pytest
from scipy import stats

from skbert.stability._intervals import error_of_mean, mean_interval
from skbert.stability._score_scale import difference_bounds, score_bounds


def crossed(n_draw, n_init, n_order):
    return [axis.ravel() for axis in np.meshgrid(range(n_draw), range(n_init), range(n_order), indexing="ij")]


def test_interval__of_independent_values_is_scipys_t_interval():
    values = np.random.default_rng(0).normal(0.7, 0.05, 9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert mean_interval(values, [], 0.9) == pytest.approx(expected)
    assert mean_interval(values, [np.arange(9)], 0.9) == pytest.approx(expected)
    assert error_of_mean(values).pvalue(values.mean()) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_interval__of_one_factor_is_that_of_the_means_of_its_levels():
    draws = np.repeat(np.arange(6), 4)
    values = np.random.default_rng(0).random(24)
    expected = stats.ttest_1samp(values.reshape(6, 4).mean(axis=1), 0).confidence_interval()
    assert mean_interval(values, [draws], 0.95) == pytest.approx(expected)


def test_error__of_a_crossed_design_is_the_sum_of_its_mean_squares_with_satterthwaites_freedom():
    factors = crossed(3, 4, 5)
    values = np.random.default_rng(1).random(60)
    squares = []
    for axis, k in zip(((1, 2), (0, 2), (0, 1)), (3, 4, 5), strict=True):
        effects = values.reshape(3, 4, 5).mean(axis=axis) - values.mean()
        squares.append((60 / k * (effects**2).sum() / (k - 1), k - 1))
    found = error_of_mean(values, factors)
    assert found.error**2 == pytest.approx(sum(ms for ms, _ in squares) / 60)
    satterthwaite = sum(ms for ms, _ in squares) ** 2 / sum(ms**2 / df for ms, df in squares)
    assert found.freedom == pytest.approx(satterthwaite)


def test_factor_with_one_level__says_nothing_and_is_left_out():
    _, init, order = crossed(1, 5, 5)
    values = np.random.default_rng(0).random(25)
    one_draw = error_of_mean(values, [np.zeros(25, dtype=int), init, order])
    assert one_draw == error_of_mean(values, [init, order])


def test_overlap__is_added_to_one_over_the_number_of_draws_only():
    values = np.random.default_rng(0).random(8)
    assert error_of_mean(values, overlap=0.3).error ** 2 == pytest.approx((1 / 8 + 0.3) * values.var(ddof=1))
    factors = crossed(3, 4, 1)[:2]
    values = np.random.default_rng(0).random(12)
    means = [values.reshape(3, 4).mean(axis=axis).var(ddof=1) for axis in (1, 0)]
    assert error_of_mean(values, factors, overlap=0.3).error ** 2 == pytest.approx(
        (1 / 3 + 0.3) * means[0] + means[1] / 4
    )


def test_interval__of_fewer_than_three_values_is_not_given():
    assert np.isnan(mean_interval(np.array([0.1, 0.2]), [], 0.95)).all()
    assert np.isnan(error_of_mean(np.array([0.1])).error)


def test_interval__of_equal_values_is_their_value_and_no_test():
    values = np.full(5, 0.1 + 0.2)
    assert mean_interval(values, [], 0.95) == pytest.approx((0.3, 0.3))
    assert np.isnan(error_of_mean(values).pvalue(0.3))


@pytest.mark.parametrize("n", [5, 20])
def test_interval__of_few_runs_covers_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    covered = []
    for _ in range(1000):
        low, high = mean_interval(rng.normal(0.7, 0.05, n), [], 0.95, (0, 1))
        covered.append(low <= 0.7 <= high)
    # Three standard errors of 1,000 repetitions around 0.95.
    assert 0.929 < np.mean(covered) < 0.971


def test_interval__of_a_crossed_design_covers_where_draws_matter_and_are_three():
    factors, rng, covered = crossed(3, 5, 5), np.random.default_rng(0), []
    for _ in range(500):
        values = rng.normal(0, 1, 3)[factors[0]] + rng.normal(0, 0.2, 5)[factors[1]] + rng.normal(0, 0.3, 75)
        low, high = mean_interval(values, factors, 0.95)
        covered.append(low <= 0 <= high)
    assert np.mean(covered) > 0.92


def test_interval__stays_in_the_range_of_the_score():
    values = np.array([0.99, 1.0, 0.9, 0.97])
    low, high = mean_interval(values, [], 0.95, score_bounds("accuracy", values))
    assert low < 0.965 < high == 1.0


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("accuracy", (0, 1)),
        ("f1_macro", (0, 1)),
        ("matthews_corrcoef", (-1, 1)),
        ("r2", (-np.inf, 1)),
        ("neg_log_loss", (-np.inf, 0)),
        ("my own", (-np.inf, np.inf)),
    ],
)
def test_bounds__are_those_of_scikit_learns_scorers(name, bounds):
    assert score_bounds(name, np.array([-0.0, np.nan])) == bounds
    low, high = difference_bounds(name, np.array([0.0]))
    assert (low, high) == (bounds[0] - bounds[1], bounds[1] - bounds[0])


def test_bounds__of_a_score_on_another_scale_are_not_taken():
    assert score_bounds("accuracy", np.array([71.0, 80.5])) == (-np.inf, np.inf)
