"""How many runs are needed, against statsmodels and simulated tests."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from skbert.stability._comparison import compare_pairs
from skbert.stability._paired_tests import pairs_that_can_tell, sign_flip_pvalue
from skbert.stability._planning import (
    flips_needed,
    least_difference,
    pairs_needed,
    t_power,
    upper_spread,
    what_seeds_can_tell,
)


def pilot(n, spread, test_share=1 / 3):
    """A comparison of which the differences have this standard deviation."""
    d = np.random.default_rng(0).normal(size=n)
    d = 0.03 + spread * (d - d.mean()) / d.std(ddof=1)
    return compare_pairs(0.6 + d, np.full(n, 0.6), "A", "B", "accuracy", 32, test_share=test_share)


@pytest.mark.parametrize(("difference", "spread"), [(0.01, 0.03), (0.05, 0.04), (0.002, 0.02), (0.1, 0.05)])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_pairs_needed__equals_statsmodels(difference, spread, power):
    solved = TTestPower().solve_power(effect_size=difference / spread, power=power, alpha=0.05)
    assert pairs_needed(difference, spread, power=power) == max(2, int(np.ceil(solved - 1e-6)))


def test_pairs_needed__for_new_texts_has_the_power_that_it_promises():
    # The mean of n differences on draws of one set has the variance (1 / n + share) spread², as the test takes it.
    share, spread, difference = 0.1, 0.03, 0.04
    n = pairs_needed(difference, spread, share=share)
    rng, told = np.random.default_rng(0), []
    for _ in range(800):
        d = difference + rng.normal(0, spread * np.sqrt(share)) + rng.normal(0, spread, n)
        told.append(compare_pairs(d, np.zeros(n), "A", "B", "x", 1, test_share=share).pvalue < 0.05)
    # Three standard errors of 800 repetitions.
    assert np.mean(told) == pytest.approx(0.8, abs=0.045)


def test_pairs_needed__at_the_edges():
    assert pairs_needed(0.0, 0.1) == np.inf
    assert pairs_needed(0.1, 0.0) == 2
    assert np.isnan(pairs_needed(np.nan, 0.1))
    with pytest.raises(ValueError, match="power must be"):
        pairs_needed(0.1, 0.1, power=1.0)


def test_power__of_a_sure_thing_is_one():
    # scipy's noncentral t has no answer there.
    assert [t_power(1.0, n, 0.0, 0.05) for n in (73, 900, 2000)] == pytest.approx([1, 1, 1])
    assert pairs_needed(2.0, 0.01) == 2


def test_least_difference__is_the_limit_of_ever_more_runs():
    share, spread = 1 / 3, 0.05
    floor = least_difference(spread, share)
    assert floor == pytest.approx((1.959964 + 0.841621) * np.sqrt(share) * spread, rel=1e-5)
    assert pairs_needed(floor, spread, share=share) == np.inf
    assert pairs_needed(1.01 * floor, spread, share=share) < np.inf


def test_upper_spread__is_above_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    above = [upper_spread(rng.normal(0, 2.0, 6).std(ddof=1), 6, 0.8) > 2.0 for _ in range(2000)]
    assert np.mean(above) == pytest.approx(0.8, abs=0.03)
    assert np.isnan(upper_spread(0.1, 1, 0.8))


@pytest.mark.parametrize("effect", [1.2, 1.6, 2.5, 5.0])
def test_flips_needed__is_enough_for_the_sign_flip_test_and_one_pair_less_is_not(effect):
    n = flips_needed(effect, 1.0)

    def power(n):
        rng = np.random.default_rng(1)
        return np.mean([sign_flip_pvalue(rng.normal(effect, 1, n), None) < 0.05 for _ in range(500)])

    assert power(n) > 0.75
    assert n == pairs_that_can_tell() or power(n - 1) < 0.85


def test_flips_needed__is_never_fewer_than_can_tell_and_for_many_pairs_that_of_the_t_test():
    assert flips_needed(10.0, 1.0) == flips_needed(1.0, 0.0) == pairs_that_can_tell() == 6
    assert pairs_that_can_tell(0.01) == 8
    assert flips_needed(0.5, 1.0) == pairs_needed(0.5, 1.0)
    assert flips_needed(0.0, 1.0) == np.inf
    assert flips_needed(10.0, 1.0, alpha=1e-6) == np.inf
    assert np.isnan(flips_needed(0.1, np.nan))


def test_seeds_needed__takes_the_upper_limit_of_the_spread():
    found = pilot(8, 0.03)
    spread = 0.03 * np.sqrt(7 / stats.chi2.ppf(0.2, 7))
    assert found.seeds_needed(0.02, texts="these") == pairs_needed(0.02, spread)
    assert found.seeds_needed(0.2) == pairs_needed(0.2, spread, share=1 / 3)
    assert found.smallest_difference() == pytest.approx(least_difference(spread, 1 / 3))
    assert found.seeds_needed(0.99 * found.smallest_difference()) == np.inf
    assert found.seeds_needed(0.02, texts="these", confidence=0.95) > found.seeds_needed(0.02, texts="these")


def test_seeds_needed__has_no_default_and_refuses_what_it_cannot_answer():
    found = pilot(8, 0.03)
    with pytest.raises(TypeError, match="difference"):
        found.seeds_needed()
    with pytest.raises(ValueError, match="texts must be 'new' or 'these'"):
        found.seeds_needed(0.02, texts="others")
    with pytest.raises(ValueError, match="confidence must be"):
        found.seeds_needed(0.02, confidence=1.0)
    cells = compare_pairs(
        np.random.default_rng(0).random(6), np.zeros(6), "A", "B", "accuracy", 32, factors=[np.arange(6) // 3]
    )
    with pytest.raises(ValueError, match="give seeds as an int"):
        cells.seeds_needed(0.02)


def test_seeds_that_can_tell_nothing__are_named_with_how_many_could():
    assert "At least seeds=6 are needed" in what_seeds_can_tell(5, 2)
    assert "cannot be below 0.0625" in what_seeds_can_tell(5, 2)
    assert what_seeds_can_tell(6, 2) is None
    assert what_seeds_can_tell(1, 1) is None
