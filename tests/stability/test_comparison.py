"""Paired comparisons, against scipy and statsmodels."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from skbert import StabilityStudy
from skbert.stability._comparison import compare_pairs, correct_pvalues, pairs_needed
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
    bootstrap = stats.bootstrap((d,), np.mean, method="percentile", n_resamples=20_000, random_state=0)
    width = bootstrap.confidence_interval.high - bootstrap.confidence_interval.low
    assert abs(found.low - bootstrap.confidence_interval.low) < 0.06 * width
    assert abs(found.high - bootstrap.confidence_interval.high) < 0.06 * width


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


def test_corrected_pvalue__is_that_of_nadeau_and_bengio():
    a, b = paired(10)
    d = a - b
    t = d.mean() / np.sqrt((1 / 10 + 0.5) * d.var(ddof=1))
    assert compare(a, b, test_share=0.5).corrected_pvalue == pytest.approx(2 * stats.t.sf(abs(t), 9))
    # Without any test texts it would be the usual paired t-test.
    assert compare(a, b, test_share=0.0).corrected_pvalue == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert np.isnan(compare(a, b).corrected_pvalue)


@pytest.mark.parametrize(("difference", "spread"), [(0.01, 0.03), (0.05, 0.04), (0.002, 0.02), (0.1, 0.05)])
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_pairs_needed__equals_statsmodels(difference, spread, power):
    solved = TTestPower().solve_power(effect_size=difference / spread, power=power, alpha=0.05)
    assert pairs_needed(difference, spread, power=power) == max(2, int(np.ceil(solved - 1e-6)))


def test_pairs_needed__at_the_edges():
    assert pairs_needed(0.0, 0.1) == np.inf
    assert pairs_needed(0.1, 0.0) == 2
    assert np.isnan(pairs_needed(np.nan, 0.1))
    with pytest.raises(ValueError, match="power must be"):
        pairs_needed(0.1, 0.1, power=1.0)


@pytest.mark.parametrize(("method", "reference"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_corrections__equal_statsmodels(method, reference):
    pvalues = np.random.default_rng(0).random(12) ** 3
    assert correct_pvalues(pvalues, method) == pytest.approx(multipletests(pvalues, method=reference)[1])
    with_gap = correct_pvalues(np.insert(pvalues, 3, np.nan), method)
    assert np.isnan(with_gap[3])
    assert np.delete(with_gap, 3) == pytest.approx(correct_pvalues(pvalues, method))
    assert correct_pvalues(pvalues, None) == pytest.approx(pvalues)
    with pytest.raises(ValueError, match="correction must be"):
        correct_pvalues(pvalues, "bonferroni?")


def test_equal_scores__are_no_difference():
    found = compare([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (found.difference, found.effect_size, found.ties) == (0, 0, 3)
    assert found.wilcoxon_pvalue == found.permutation_pvalue == 1
    assert found.seeds_needed() == np.inf


def test_sentences__say_who_beats_whom_or_that_nothing_can_be_told():
    b, _ = paired(12)
    better = compare(b + 0.031 + np.linspace(0, 0.001, 12), b)
    assert str(better).startswith("A beats B by 3.2 points of accuracy with 32 training texts (95% interval 3.1")
    assert "n = 12 paired runs, sign-flip p = 0.00049" in str(better)
    worse = compare(b, b + 0.031 + np.linspace(0, 0.001, 12))
    assert str(worse).replace("B beats A", "A beats B") == str(better)
    unclear = compare(b + np.tile([0.01, -0.01], 6), b)
    assert str(unclear).startswith("No difference between A and B can be told: +0.0 points of accuracy")
    few = compare(b[:4] + 0.1, b[:4])
    assert few.smallest_pvalue == 0.125
    assert "With so few pairs (4) this test cannot tell any" in str(few)
    assert "1 pair" in str(compare([0.5], [0.4]))
    losses = compare_pairs(b[:8] - 2.0, b[:8] - 2.5, "A", "B", "neg_log_loss", 32)
    assert "A beats B by 0.500 neg_log_loss" in str(losses)


def test_pairs_without_a_score__are_left_out_and_counted():
    found = compare([0.5, np.nan, 0.7, 0.8], [0.4, 0.5, np.nan, 0.6])
    assert (found.n, found.n_dropped) == (2, 2)
    assert found.difference == pytest.approx(0.15)
    assert "0 pair" in str(compare([np.nan], [0.5]))


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
    assert str(found).startswith("good beats poor by")
    # The same guesses on the same draws.
    assert study.compare("alike", "poor").differences == pytest.approx(np.zeros(12))
    assert study.compare("good", "poor", size=8, score="f1_macro").size == 8
    # Draws that overlap say less of new texts than as many independent ones would.
    assert found.corrected_pvalue > stats.ttest_rel(by["good"], by["poor"]).pvalue


def test_compare__refuses_what_is_not_there(study):
    with pytest.raises(ValueError, match="no variant 'best'; there are"):
        study.compare("good", "best")
    with pytest.raises(ValueError, match="size=9 is none of"):
        study.compare("good", "poor", size=9)
    with pytest.raises(ValueError, match="score='f1' is none of"):
        study.compare("good", "poor", score="f1")


def test_cells_of_a_crossed_design__are_no_independent_pairs():
    rng, covered = np.random.default_rng(0), []
    init, order = (axis.ravel() for axis in np.meshgrid(range(5), range(5), indexing="ij"))
    for _ in range(200):
        # No difference in truth; initialisations differ, each shared by five cells.
        a, b = (0.8 + rng.normal(0, 0.02, 5)[init] + rng.normal(0, 0.01, 25) for _ in "ab")
        found = compare(a, b, levels=[init, order], rng=rng)
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) > 0.85
    assert found.unit == "cells"
    for pvalue in (found.permutation_pvalue, found.wilcoxon_pvalue, found.corrected_pvalue):
        assert np.isnan(pvalue)
    assert "n = 25 cells). The cells of a crossed design are no independent pairs" in str(found)
    naive = compare(a, b)
    assert naive.high - naive.low < 0.7 * (found.high - found.low)


def test_scale_of_a_score__does_not_matter():
    a, b = paired(10)
    for factor in (1e-12, 1e12):
        small, usual = compare(factor * a, factor * b), compare(a, b)
        for name in ("wilcoxon_pvalue", "permutation_pvalue", "effect_size", "wins"):
            assert getattr(small, name) == pytest.approx(getattr(usual, name))


def test_test_share__is_that_of_the_study(study):
    found = study.compare("good", "poor")
    d = found.differences
    t = d.mean() / np.sqrt((1 / 12 + 15 / 16) * d.var(ddof=1))
    assert found.corrected_pvalue == pytest.approx(2 * stats.t.sf(abs(t), 11))


def test_conclusions__hold_the_best_against_the_others_and_the_best_null_model(study):
    sentences = study.conclusions()
    adjusted = study.comparisons().set_index(["a", "b"])["adjusted_pvalue"]
    assert len(sentences) == 3
    expected = study.compare("good", "poor").sentence(pvalue=adjusted["good", "poor"], n_comparisons=6)
    assert expected in sentences
    assert "after adjusting for 6 comparisons" in expected
    assert any("majority" in sentence for sentence in sentences)


def test_comparisons__hold_all_pairs_or_those_with_a_reference(study):
    every = study.comparisons()
    assert len(every) == 6
    assert every["adjusted_pvalue"].to_numpy() == pytest.approx(
        multipletests(every["permutation_pvalue"], method="holm")[1]
    )
    assert every.loc[0, "difference"] == pytest.approx(study.compare("good", "poor").difference)
    against = study.comparisons(reference="majority", correction="bh")
    assert against["a"].tolist() == ["good", "poor", "alike"]
    assert set(against["b"]) == {"majority"}
    assert isinstance(against, pd.DataFrame)
    with pytest.raises(ValueError, match="no variant 'none'"):
        study.comparisons(reference="none")
