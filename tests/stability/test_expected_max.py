"""The best of several runs, against plain enumeration."""

import itertools
import warnings

import numpy as np
import pytest

from skbert.stability import chance_all_fail, expected_max

SCORES = [0.3, 0.9, 0.5, 0.5, 0.7]


def samples(n, method, n_runs=5):
    ways = itertools.product if method == "dodge" else itertools.combinations
    return list(ways(range(n_runs), repeat=n) if method == "dodge" else ways(range(n_runs), n))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("method", ["dodge", "unbiased"])
def test_expected_max__is_the_mean_over_all_samples(n, method):
    every = [max(SCORES[i] for i in chosen) for chosen in samples(n, method)]
    assert expected_max(SCORES, n, method=method) == pytest.approx(np.mean(every))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("method", ["dodge", "unbiased"])
def test_failed_runs__use_up_one_of_the_n_and_may_be_all_of_them(n, method):
    scores = np.array([0.3, np.nan, 0.5, np.nan, 0.7])
    best = [np.nanmax(found) for s in samples(n, method) if not np.isnan(found := scores[list(s)]).all()]
    assert expected_max(scores, n, method=method) == pytest.approx(np.mean(best))
    none = np.mean([np.isnan(scores[list(s)]).all() for s in samples(n, method)])
    assert chance_all_fail(scores, n, method=method) == pytest.approx(none)


@pytest.mark.parametrize("method", ["dodge", "unbiased"])
def test_best_by_another_score__is_the_score_of_the_run_that_is_chosen(method):
    by = np.array([2.0, 1.0, 5.0, 3.0, 4.0])
    chosen = [SCORES[max(s, key=lambda i: by[i])] for s in samples(3, method)]
    assert expected_max(SCORES, 3, by=by, method=method) == pytest.approx(np.mean(chosen))
    # Where the choice knows nothing, nothing is gained.
    assert expected_max(SCORES, 3, by=np.ones(5), method=method) == pytest.approx(np.mean(SCORES))


def test_expected_max__rises_from_the_mean_to_the_maximum():
    scores = np.random.default_rng(0).random(40)
    curve = expected_max(scores, range(1, 41))
    assert curve[0] == pytest.approx(scores.mean())
    assert (np.diff(curve) > 0).all()
    assert curve[-1] < scores.max()
    assert expected_max(scores, 40, method="unbiased") == pytest.approx(scores.max())


def test_unbiased__is_right_on_average_where_dodges_is_too_low():
    rng = np.random.default_rng(0)
    sets = rng.random((4000, 10))
    # The largest of ten uniform numbers is 10 / 11 on average.
    assert np.mean([expected_max(s, 10, method="unbiased") for s in sets]) == pytest.approx(10 / 11, abs=0.005)
    assert np.mean([expected_max(s, 10) for s in sets]) < 10 / 11 - 0.02


def test_more_runs_than_were_seen__are_said_or_refused():
    with pytest.warns(UserWarning, match="n=9 is more than the 5 observed runs"):
        assert expected_max(SCORES, [1, 9])[1] < 0.9
    with pytest.raises(ValueError, match="n=6 is more than the 5 runs;"):
        expected_max(SCORES, 6, method="unbiased")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected_max(SCORES, 5)


def test_what_is_wrong__is_refused():
    with pytest.raises(ValueError, match="n must be an int of at least 1"):
        expected_max([0.5], 0)
    with pytest.raises(ValueError, match="method must be one of"):
        expected_max([0.5], 1, method="best")
    with pytest.raises(ValueError, match="by must have one number for each of the 1 runs"):
        expected_max([0.5], 1, by=[0.5, 0.6])
    with pytest.raises(ValueError, match="by is missing for a run that has a score"):
        expected_max([0.5, 0.6], 1, by=[0.5, np.nan])


def test_no_scores__have_no_best():
    assert np.isnan(expected_max([np.nan], 1))
    assert chance_all_fail([np.nan], 1) == 1
    assert np.isnan(expected_max([], 1))
