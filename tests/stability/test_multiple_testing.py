"""Adjusting p-values, against statsmodels and a brute-force enumeration."""

import itertools

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from skbert.stability._multiple_testing import check_correction, correct_pvalues, max_t_pvalues
from skbert.stability._paired_tests import sign_flip_pvalue


@pytest.mark.parametrize(("method", "reference"), [("holm", "holm"), ("bh", "fdr_bh")])
def test_corrections__equal_statsmodels(method, reference):
    pvalues = np.random.default_rng(0).random(12) ** 3
    assert correct_pvalues(pvalues, method) == pytest.approx(multipletests(pvalues, method=reference)[1])
    with_gap = correct_pvalues(np.insert(pvalues, 3, np.nan), method)
    assert np.isnan(with_gap[3])
    assert np.delete(with_gap, 3) == pytest.approx(correct_pvalues(pvalues, method))
    assert correct_pvalues(pvalues, None) == pytest.approx(pvalues)


def test_correction__that_there_is_none_is_refused():
    with pytest.raises(ValueError, match="correction must be one of"):
        check_correction("bonferroni?")


def step_down_by_hand(differences):
    """The definition: for each step the share of all flips in which the largest |t| of those left is as large."""
    n, m = differences.shape

    def t(d):
        return abs(d.mean(axis=0)) / (d.std(axis=0, ddof=1) / np.sqrt(n))

    observed = t(differences)
    flips = [t(differences * np.array(signs)[:, None]) for signs in itertools.product((1, -1), repeat=n)]
    left, adjusted, largest = list(range(m)), np.empty(m), 0.0
    for k in np.argsort(-observed):
        largest = max(largest, np.mean([flip[left].max() >= observed[k] - 1e-9 for flip in flips]))
        adjusted[k] = largest
        left.remove(k)
    return adjusted


@pytest.mark.parametrize("seed", range(4))
def test_max_t__is_the_step_down_method_by_its_definition(seed):
    rng = np.random.default_rng(seed)
    differences = rng.normal(0, 1, (7, 5)) + rng.normal(0, 1, (7, 1)) + np.array([0, 0.5, 1, 2, -1])
    assert max_t_pvalues(differences, rng) == pytest.approx(step_down_by_hand(differences))


def test_max_t__of_one_comparison_is_the_sign_flip_test():
    d = np.random.default_rng(0).normal(0.5, 1, 9)
    assert max_t_pvalues(d[:, None], None)[0] == pytest.approx(sign_flip_pvalue(d, None))


def test_max_t__tells_with_eight_runs_what_holm_cannot():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (8, 5)) + np.array([6, 6.3, 6.1, 0, 0])
    pairs = [(i, j) for i, j in itertools.combinations(range(5), 2) if i < 3]
    differences = np.column_stack([scores[:, i] - scores[:, j] for i, j in pairs])
    alone = np.array([sign_flip_pvalue(d, rng) for d in differences.T])
    clear = np.array([j >= 3 for _, j in pairs])
    assert (max_t_pvalues(differences, rng)[clear] < 0.05).all()
    assert (correct_pvalues(alone, "holm") >= 0.05).all()


def test_max_t__bounds_the_chance_of_any_false_claim():
    false = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        scores = rng.normal(0, 1, (8, 4))
        differences = np.column_stack([scores[:, i] - scores[:, j] for i, j in itertools.combinations(range(4), 2)])
        false += (max_t_pvalues(differences, rng) < 0.05).any()
    # Three standard errors above 0.05, and not so few that nothing could be told.
    assert 0.02 < false / 400 < 0.083


def test_max_t__of_runs_without_scores_leaves_them_out():
    rng = np.random.default_rng(0)
    d = rng.normal(1, 1, (9, 2))
    d[2, 1] = np.nan
    with_zero = np.nan_to_num(d)
    assert max_t_pvalues(d, rng) == pytest.approx(max_t_pvalues(with_zero, rng))
    d = np.column_stack([d[:, 0], np.full(9, np.nan), np.zeros(9)])
    found = max_t_pvalues(d, rng)
    assert np.isnan(found[1])
    assert found[2] == 1
    assert np.isnan(max_t_pvalues(d[:, [1]], rng)).all()
