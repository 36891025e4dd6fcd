"""Paired comparisons, against scipy and statsmodels."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from skbert import StabilityStudy
from skbert.stability._comparison import StandIn, compare_pairs
from skbert.stability._multiple_testing import correct_pvalues, max_t_pvalues
from tests.helpers.study_models import Guesser, labelled_texts


def paired(n, shift=0.05, seed=0):
    rng = np.random.default_rng(seed)
    b = rng.normal(0.7, 0.03, n)
    return b + rng.normal(shift, 0.04, n), b


def compare(a, b, **parameters):
    return compare_pairs(np.asarray(a, float), np.asarray(b, float), "A", "B", "accuracy", 32, **parameters)


@pytest.mark.parametrize("n", [5, 12, 30])
def test_comparison__equals_numpy_and_scipy(n):
    a, b = paired(n)
    found, d = compare(a, b, rng=np.random.default_rng(0)), a - b
    assert found.n == n
    assert found.difference == pytest.approx(d.mean())
    assert found.effect_size == pytest.approx(d.mean() / d.std(ddof=1))
    assert (found.wins, found.ties, found.losses) == ((d > 0).sum(), 0, (d < 0).sum())
    assert found.wilcoxon_pvalue == pytest.approx(stats.wilcoxon(a, b, zero_method="pratt").pvalue)
    t_test = stats.ttest_rel(a, b)
    assert found.t_pvalue == pytest.approx(t_test.pvalue)
    assert (found.low_here, found.high_here) == pytest.approx(t_test.confidence_interval())


def test_sign_flip_pvalue__equals_scipy_exactly_for_few_pairs_and_nearly_for_many():
    a, b = paired(9, shift=0.02)
    reference = stats.permutation_test((a - b,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert compare(a, b).permutation_pvalue == pytest.approx(reference.pvalue)
    a, b = paired(40, shift=0.01)
    reference = stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=50_000, random_state=0
    )
    assert compare(a, b).permutation_pvalue == pytest.approx(reference.pvalue, abs=0.015)


def test_wilcoxon_pvalue__is_exact_with_ties_and_zeros():
    d = np.array([0.1, 0.1, -0.1, 0.2, 0.0, 0.3, 0.3, 0.1, 0.0])
    exact = stats.wilcoxon(d, zero_method="pratt", method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert compare(0.5 + d, np.full(9, 0.5)).wilcoxon_pvalue == pytest.approx(exact)


def test_sign_flip_pvalue__counts_ties_in_spite_of_rounding():
    # Multiples of one test text: many flips give exactly the observed sum, in exact arithmetic.
    d = np.array([0.1, 0.2, 0.3, -0.3, 0.1])
    signs = np.array(list(itertools.product((1, -1), repeat=5)))
    exact = np.mean(abs(signs @ [1, 2, 3, -3, 1]) >= 4)
    assert compare(0.5 + d, np.full(5, 0.5)).permutation_pvalue == pytest.approx(exact)


def test_pvalue_and_interval_for_new_texts__are_those_of_nadeau_and_bengio():
    a, b = paired(10)
    d = a - b
    error = np.sqrt((1 / 10 + 0.5) * d.var(ddof=1))
    found = compare(a, b, test_share=0.5)
    assert found.pvalue == pytest.approx(2 * stats.t.sf(abs(d.mean()) / error, 9))
    reach = stats.t.isf(0.025, 9) * error
    assert (found.low, found.high) == pytest.approx((d.mean() - reach, d.mean() + reach))
    # Without any test texts it would be the usual paired t-test.
    assert compare(a, b, test_share=0.0).pvalue == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert np.isnan([compare(a, b).pvalue, compare(a, b).low]).all()


def test_equal_scores__are_no_difference():
    found = compare([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.difference, found.effect_size, found.ties) == (0, 0, 3)
    assert found.wilcoxon_pvalue == found.permutation_pvalue == found.t_pvalue == 1
    assert compare([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], test_share=0.3).pvalue == 1


def test_equal_differences__leave_no_spread_to_judge_by():
    # As a t-test would have it, three runs that differ by one text each were certain proof.
    b, _ = paired(8)
    found = compare(b[:3] + 0.1, b[:3], test_share=0.3)
    assert found.pvalue == found.permutation_pvalue == 0.25
    assert np.isnan([found.low, found.low_here]).all()
    assert found.winner() is None
    assert compare(b + 0.1, b, test_share=0.3).winner() == "A"


@pytest.fixture(scope="module")
def study():
    X, y = labelled_texts(60)
    variants = {"good": {"luck": 0.9}, "poor": {"luck": 0.2}, "alike": {"luck": 0.2, "fails_on": ()}}
    return StabilityStudy(
        Guesser(), variants, seeds=12, train_sizes=[8, 16], baselines=("majority",), random_state=0
    ).fit(X, y)


def test_compare__pairs_runs_of_the_same_draw_and_seed(study):
    runs = study.results_[study.results_["size"] == 16].set_index("draw")
    by = {name: runs[runs["variant"] == name]["accuracy"].sort_index() for name in ("good", "poor")}
    found = study.compare("good", "poor")
    assert (found.size, found.score, found.n, found.unit) == (16, "accuracy", 12, "runs")
    assert found.differences == pytest.approx((by["good"] - by["poor"]).to_numpy())
    assert found.draws.tolist() == list(range(12))
    # The same guesses on the same draws.
    assert study.compare("alike", "poor").differences == pytest.approx(np.zeros(12))
    assert study.compare("good", "poor", size=8, score="f1_macro").size == 8
    # Draws that overlap say less of new texts than as many independent ones would.
    assert found.pvalue > stats.ttest_rel(by["good"], by["poor"]).pvalue


def test_compare__refuses_what_is_not_there(study):
    with pytest.raises(ValueError, match="no variant 'best'; the variants are"):
        study.compare("good", "best")
    with pytest.raises(ValueError, match="size=9 is none of"):
        study.compare("good", "poor", size=9)
    with pytest.raises(ValueError, match="score='f1' is not one of"):
        study.compare("good", "poor", score="f1")


def crossed(n_draw, n_init, n_order):
    return [axis.ravel() for axis in np.meshgrid(range(n_draw), range(n_init), range(n_order), indexing="ij")]


def test_cells_of_a_crossed_design__are_tested_by_mean_squares():
    rng, false = np.random.default_rng(0), []
    factors = crossed(4, 3, 3)
    for _ in range(300):
        # No difference in truth; draws differ, each shared by nine cells.
        a, b = (0.8 + rng.normal(0, 0.02, 4)[factors[0]] + rng.normal(0, 0.01, 36) for _ in "ab")
        found = compare(a, b, factors=factors, test_share=0.3, rng=rng)
        false.append((found.t_pvalue < 0.05, not found.low_here <= 0 <= found.high_here, found.pvalue < 0.05))
    assert (np.mean(false, axis=0) <= [0.09, 0.09, 0.05]).all()
    assert (found.unit, found.n_draws) == ("cells", 4)
    assert np.isnan([found.permutation_pvalue, found.wilcoxon_pvalue]).all()
    assert found.pvalue_here == found.t_pvalue
    naive = compare(a, b)
    assert naive.high_here - naive.low_here < 0.7 * (found.high_here - found.low_here)


def test_one_draw__says_nothing_of_others():
    rng = np.random.default_rng(0)
    a, b = 0.8 + rng.normal(0, 0.01, 25), 0.7 + rng.normal(0, 0.01, 25)
    found = compare(a, b, factors=crossed(1, 5, 5), test_share=0.3)
    assert np.isnan([found.pvalue, found.low, found.test_share]).all()
    assert found.t_pvalue < 0.05
    assert found.winner() is None


def test_one_run_per_draw__is_paired_as_a_run_in_a_crossed_design_too():
    a, b = paired(6)
    found = compare(a, b, factors=[np.arange(6)], test_share=0.3)
    assert found.unit == "runs"
    assert found.permutation_pvalue == compare(a, b).permutation_pvalue


def test_winner__needs_both_tests_and_three_pairs():
    a, b = paired(12, shift=0.1)
    found = compare(a, b, test_share=0.1)
    assert found.winner() == "A"
    assert compare(b, a, test_share=0.1).winner() == "B"
    assert found.winner(pvalue=0.06) is None
    assert found.winner(pvalue_here=0.06) is None
    assert compare(a[:2], b[:2], test_share=0.0).winner(0.9) is None
    assert compare(a, b).winner() is None  # nothing is known of new texts


def test_winner_that_failed_more_often__must_win_with_its_failed_runs_counted():
    rng = np.random.default_rng(0)
    b = rng.normal(0.6, 0.02, 30)
    a = b + 0.15 + rng.normal(0, 0.02, 30)
    a[:18] = np.nan
    null = StandIn("the score of majority on the same draw", np.full(30, 0.2))
    survivors, all_runs = (compare(a, b, test_share=0.1, stand_in=each) for each in (None, null))
    assert (all_runs.failed_a, all_runs.failed_b, all_runs.n_dropped, all_runs.n) == (18, 0, 18, 12)
    assert all_runs.difference == survivors.difference > 0 > all_runs.difference_with_failed
    filled = np.where(np.isnan(a), 0.2, a)
    assert all_runs.pvalue_with_failed == pytest.approx(compare(filled, b, test_share=0.1).pvalue)
    assert all_runs.pvalue < 0.05
    assert all_runs.winner() is None
    # Where it is the loser that failed, nothing stands against the claim.
    assert compare(b, a, test_share=0.1, stand_in=StandIn("", np.full(30, 0.2))).winner() is None
    loser_failed = b - 0.15 + rng.normal(0, 0.02, 30)
    loser_failed[:18] = np.nan
    assert compare(b, loser_failed, test_share=0.1, stand_in=null).winner() == "A"


def test_winner_that_failed_once__still_wins_where_that_changes_nothing():
    a, b = paired(20, shift=0.3)
    a[0] = np.nan
    null = StandIn("the lowest score of all runs", np.full(20, b.min() - 0.1))
    assert compare(a, b, test_share=0.1, stand_in=null).winner() == "A"


def test_scale_of_a_score__does_not_matter():
    a, b = paired(10)
    for factor in (1e-12, 1e12):
        small, usual = compare(factor * a, factor * b), compare(a, b)
        for name in ("wilcoxon_pvalue", "permutation_pvalue", "effect_size", "wins"):
            assert getattr(small, name) == pytest.approx(getattr(usual, name))


@pytest.mark.parametrize("size", [8, 16])
def test_test_share__is_test_texts_over_all_others_at_every_size(study, size):
    found = study.compare("good", "poor", size=size)
    d = found.differences
    t = d.mean() / np.sqrt((1 / 12 + 15 / 45) * d.var(ddof=1))
    assert found.pvalue == pytest.approx(2 * stats.t.sf(abs(t), 11))
    assert (found.test_share, found.n_texts) == (15 / 45, 60)


def test_conclusions__hold_the_best_against_the_others_and_the_best_null_model(study):
    sentences = study.conclusions()
    row = study.comparisons().set_index(["a", "b"]).loc[("good", "poor")]
    assert len(sentences) == 3
    expected = study.compare("good", "poor").sentence(
        pvalue=row["adjusted_pvalue"], pvalue_here=row["adjusted_pvalue_here"], n_comparisons=6
    )
    assert expected in sentences
    assert "adjusted for 6 comparisons" in expected
    assert any("majority" in sentence for sentence in sentences)


def test_comparisons__hold_all_pairs_or_those_with_a_reference(study):
    every = study.comparisons()
    assert len(every) == 6
    assert every["adjusted_pvalue"].to_numpy() == pytest.approx(multipletests(every["pvalue"], method="holm")[1])
    pairs = zip(every["a"], every["b"], strict=True)
    differences = np.column_stack([study.compare(a, b).differences for a, b in pairs])
    assert every["adjusted_pvalue_here"].to_numpy() == pytest.approx(max_t_pvalues(differences, None))
    assert every.loc[0, "difference"] == pytest.approx(study.compare("good", "poor").difference)
    assert every.loc[0, "smallest_difference"] == study.compare("good", "poor").smallest_difference()
    against = study.comparisons(reference="majority", correction="bh")
    assert against["a"].tolist() == ["good", "poor", "alike"]
    assert set(against["b"]) == {"majority"}
    assert isinstance(against, pd.DataFrame)
    assert against["adjusted_pvalue_here"].to_numpy() == pytest.approx(
        correct_pvalues(against["permutation_pvalue"], "bh")
    )
    with pytest.raises(ValueError, match="no variant 'none'"):
        study.comparisons(reference="none")
    with pytest.raises(ValueError, match="correction must be one of"):
        study.comparisons(correction="sidak")


def test_comparisons__of_a_crossed_design_are_adjusted_by_holm():
    X, y = labelled_texts(60)
    variants = {"good": {"luck": 0.9}, "poor": {"luck": 0.2}}
    crossed_study = StabilityStudy(
        Guesser(), variants, seeds={"init": 3, "order": 3, "draw": 3}, baselines=("majority",), random_state=0
    ).fit(X, y)
    table = crossed_study.comparisons()
    assert table["permutation_pvalue"].isna().all()
    assert table["adjusted_pvalue_here"].to_numpy() == pytest.approx(multipletests(table["t_pvalue"], method="holm")[1])
    assert table["smallest_difference"].isna().all()
    assert crossed_study.conclusions()[0].startswith("good beats poor by")


def test_conclusions__do_not_choose_the_best_by_its_survivors():
    X, y = labelled_texts(80)
    variants = {"risky": {"luck": 0.95, "fails_on": (0, 1, 2)}, "safe": {"luck": 0.8}}
    with pytest.warns(RuntimeWarning, match="unlucky"):
        done = StabilityStudy(Guesser(), variants, seeds=30, baselines=("majority",), random_state=1).fit(X, y)
    means = done.summary().set_index("variant")["mean"]
    assert means["risky"] > means["safe"]
    first = done.conclusions()[0]
    assert not first.startswith("risky beats")
    failed = done.results_["accuracy"].isna().sum()
    assert f"{failed} of 30 pairs are left out: risky failed in {failed} runs." in first
    assert f"{failed} of 30 pairs are left out" in str(done.compare("risky", "safe"))
    assert "If failed runs get the score of majority on the same draw" in first
