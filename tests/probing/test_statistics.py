"""The statistics of skipped layers against scipy, scikit-learn and closed forms."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_mutual_info_score, roc_auc_score
from statsmodels.stats.oneway import anova_oneway

from skbert.probing._statistics import (
    analyse_errors,
    change_intervals,
    cluster_signatures,
    label_distance,
    label_means,
    layer_importance,
    pattern_test,
)

SPANS = [tuple(range(a, b)) for a in range(4) for b in range(a + 1, 5)]


def one_part(n):
    return np.zeros(n, dtype=int)


def two_spans_of(values):
    """Falls under two spans whose profiles are `values` and their opposite, so that W*d is Welch's F of `values`."""
    return np.array([values, -values])


@pytest.mark.parametrize("labels", [(0, 3), (0, 1, 3)])
def test_pattern_test__statistic_is_welchs_f(labels):
    rng = np.random.default_rng(0)
    gold = np.repeat(labels, (7, 12, 9)[: len(labels)])
    values = rng.normal(size=len(gold)) * (1 + gold) + 0.3 * gold
    groups = [values[gold == label] for label in labels]
    test = pattern_test(two_spans_of(values), gold, one_part(len(gold)), 0, rng)
    assert test.statistic == pytest.approx(anova_oneway(groups, use_var="unequal").statistic)
    assert np.isnan(test.pvalue)


def test_pattern_test__statistic_in_many_dimensions_is_that_of_pairwise_distances():
    # Hamidi et al. 2019: everything from distances between samples, nothing from means.
    rng = np.random.default_rng(0)
    gold, drops = np.repeat([0, 1, 2], [6, 10, 8]), rng.normal(size=(5, 24))
    profiles = (drops - drops.mean(axis=0)).T
    squared = ((profiles[:, None] - profiles[None]) ** 2).sum(axis=-1)
    n = np.bincount(gold)
    within = [squared[np.ix_(gold == k, gold == k)].sum() / 2 / n[k] / (n[k] - 1) for k in range(3)]
    w = n / within
    between = sum(
        w[i] * w[j] / w.sum() * (
            squared[np.ix_(gold == i, gold == j)].mean()
            - within[i] * (n[i] - 1) / n[i] - within[j] * (n[j] - 1) / n[j]
        )
        for i, j in ((0, 1), (0, 2), (1, 2))
    )  # fmt: skip
    expected = between / 2 / (1 + 2 / 8 * ((1 - w / w.sum()) ** 2 / (n - 1)).sum())
    assert pattern_test(drops, gold, one_part(24), 0, rng).statistic == pytest.approx(expected)


def test_pattern_test__pvalue_is_that_of_scipys_permutation_test():
    rng = np.random.default_rng(1)
    gold = np.repeat([0, 1], 15)
    values = rng.normal(size=30) + 0.9 * gold
    test = pattern_test(two_spans_of(values), gold, one_part(30), 1999, rng)
    expected = stats.permutation_test(
        (values[:15], values[15:]), lambda a, b: stats.ttest_ind(a, b, equal_var=False).statistic ** 2,
        n_resamples=1999, rng=0, alternative="greater",
    )  # fmt: skip
    assert 0.02 < expected.pvalue < 0.5
    assert test.pvalue == pytest.approx(expected.pvalue, abs=0.03)
    assert test.pvalue == (1 + (test.null >= test.statistic).sum()) / 2000


def test_pattern_test__a_rare_label_that_is_only_more_scattered__is_no_pattern():
    # The pseudo-F of Anderson rejects here in nine cases of ten.
    rejected, repeats = 0, 200
    gold = np.repeat([0, 1], [54, 6])
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        drops = rng.normal(size=(10, 60)) * np.where(gold == 1, 3, 1)
        rejected += pattern_test(drops, gold, one_part(60), 99, rng).pvalue <= 0.05
    assert rejected <= 22


def test_pattern_test__a_label_with_one_sample__is_left_out():
    rng = np.random.default_rng(0)
    drops, gold = rng.normal(size=(4, 21)), np.array([0] * 10 + [1] * 10 + [2])
    centred = drops - drops.mean(axis=0)
    alone = pattern_test(centred[:, :20], gold[:20], one_part(20), 0, rng).statistic
    assert pattern_test(drops, gold, one_part(21), 0, rng).statistic == pytest.approx(alone)


def test_pattern_test__a_level_of_damage_is_no_pattern():
    rng = np.random.default_rng(2)
    gold = np.repeat([0, 1], 20)
    drops = rng.normal(size=(6, 40))
    plain = pattern_test(drops, gold, one_part(40), 0, rng).statistic
    assert pattern_test(drops + 5.0 * gold, gold, one_part(40), 0, rng).statistic == pytest.approx(plain)


def test_pattern_test__no_label_structure__rejects_as_often_as_it_says():
    # Heavy tails, unlike label sizes, and parts that differ in level: none of it is a difference by label.
    rejected, repeats = 0, 200
    for repeat in range(repeats):
        rng = np.random.default_rng(repeat)
        blocks = np.repeat([0, 1], 15)
        gold = rng.permuted(np.tile([0, 0, 0, 1, 2], (2, 3)), axis=1).ravel()
        drops = rng.standard_t(3, size=(10, 30)) + 3 * blocks * rng.normal(size=(10, 1))
        rejected += pattern_test(drops, gold, blocks, 99, rng).pvalue <= 0.05
    assert 0 < rejected <= 20


def test_pattern_test__label_structure__is_found():
    rng = np.random.default_rng(0)
    gold = np.repeat([0, 1], 15)
    drops = rng.normal(size=(10, 30))
    drops[3] += 2 * gold
    assert pattern_test(drops, gold, one_part(30), 199, rng).pvalue == 1 / 200


def test_pattern_test__labels_stay_within_their_part():
    # Label and part are one and the same: no permutation within parts changes anything.
    gold = np.repeat([0, 1], 10)
    drops = np.random.default_rng(0).normal(size=(3, 20)) + [[0], [1], [2]] * gold
    assert pattern_test(drops, gold, gold, 99, np.random.default_rng(0)).pvalue == 1
    assert pattern_test(drops, gold, one_part(20), 99, np.random.default_rng(0)).pvalue < 1


@pytest.mark.parametrize("case", ["one label", "no spans", "all alike", "one sample a label"])
def test_pattern_test__nothing_to_compare__is_nan(case):
    drops, gold = np.random.default_rng(0).normal(size=(4, 6)), np.array([0, 0, 0, 1, 1, 1])
    drops = {"no spans": drops[:0], "all alike": np.ones((4, 6))}.get(case, drops)
    gold = {"one label": gold * 0, "one sample a label": np.arange(6)}.get(case, gold)
    test = pattern_test(drops, gold, one_part(6), 9, np.random.default_rng(0))
    assert np.isnan(test.statistic)
    assert np.isnan(test.pvalue)


def test_change_intervals__are_those_of_agresti_and_min():
    # 40 samples, of which 6 become wrong and 2 right; half a sample more in each of the four cells.
    changes = np.zeros((2, 70))
    changes[0, :8] = [-1] * 6 + [1] * 2
    intervals = change_intervals(changes, np.repeat([0, 2], [40, 30]), 3)
    n, lost, gained = 42, 6.5, 2.5
    error = np.sqrt((lost + gained) - (lost - gained) ** 2 / n) / n
    middle = (gained - lost) / n
    assert intervals[0, 0] == pytest.approx([middle - 1.959964 * error, middle + 1.959964 * error], rel=1e-5)
    assert np.isnan(intervals[1]).all()


def test_change_intervals__of_what_did_not_change_are_no_certainty():
    for n, least in ((5, 0.5), (9, 0.3), (100, 0.03)):
        low, high = change_intervals(np.zeros((1, n)), one_part(n), 1)[0, 0]
        assert high - low > least
        assert low == pytest.approx(-high)
    assert change_intervals(np.full((1, 3), -1.0), one_part(3), 1)[0, 0, 0] == -1


@pytest.mark.parametrize("n", [5, 9, 20, 50])
@pytest.mark.parametrize(("before", "after"), [(0.95, 0.93), (0.95, 0.80), (0.95, 0.10), (0.9, 0.01), (0.99, 0.98)])
def test_change_intervals__cover_the_truth__counted_out(n, before, after):
    # All ways in which n samples can be lost or gained, with their chances; what is lost was right before.
    gains, losses = 0.2 * (1 - before), before - after + 0.2 * (1 - before)
    lost, gained = (axis.ravel() for axis in np.meshgrid(range(n + 1), range(n + 1)))
    lost, gained = lost[lost + gained <= n], gained[lost + gained <= n]
    chance = stats.multinomial.pmf(
        np.column_stack([lost, gained, n - lost - gained]), n, [losses, gains, 1 - losses - gains]
    )
    place = np.arange(n)
    changes = np.where(place < lost[:, None], -1, np.where(place >= n - gained[:, None], 1, 0))
    low, high = change_intervals(changes, one_part(n), 1)[0].T
    assert chance.sum() == pytest.approx(1)
    assert chance[(low <= after - before) & (after - before <= high)].sum() > 0.88


def test_layer_importance__closed_form():
    # A fall of 1 whenever layer 1 is skipped, shared among the layers of the span.
    patterns = np.array([[1.0 * (1 in span) for span in SPANS]])
    expected = [
        (0 + 1 / 2 + 1 / 3 + 1 / 4) / 4,
        (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4,
        (0 + 1 / 4 + 1 / 3 + 1 / 4) / 4,  # of its two spans of length two, one holds layer 1
        (0 + 0 + 1 / 3 + 1 / 4) / 4,
    ]
    np.testing.assert_allclose(layer_importance(patterns, SPANS, 4), [expected])


def test_layer_importance__equal_layers_are_equal_whatever_their_place():
    # Every layer costs 0.5, so a span of m layers costs 0.5 m: longer spans must not favour the middle.
    patterns = np.array([[0.5 * len(span) for span in SPANS]])
    np.testing.assert_allclose(layer_importance(patterns, SPANS, 4), 0.5)
    partly = layer_importance(patterns[:, :1], SPANS[:1], 4)
    np.testing.assert_array_equal(partly, [[0.5, np.nan, np.nan, np.nan]])


def test_label_means_and_distance():
    values = np.array([[1.0, 2.0, 6.0], [0.0, 4.0, 2.0]])
    means = label_means(values, np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(means, [[1.5, 2.0], [np.nan, np.nan], [6.0, 2.0]])
    distance = label_distance(means)
    # Profiles (-0.25, 0.25) and (2, -2).
    assert distance[0, 2] == pytest.approx(2.25)
    assert np.isnan(distance[1]).all()
    assert label_distance(means + [[3.0], [0.0], [0.0]])[0, 2] == pytest.approx(2.25)


def test_clusters__agreement_is_scikit_learns_and_its_null_is_zero_on_average():
    rng = np.random.default_rng(0)
    gold = np.repeat([0, 1, 2], 20)
    signatures = rng.normal(size=(60, 5)) + gold[:, None]
    found = cluster_signatures(signatures, gold, one_part(60), 3, 199, rng)
    assert found.agreement == pytest.approx(adjusted_mutual_info_score(gold, found.labels))
    assert 0.05 < found.agreement < 0.95
    assert found.pvalue == 1 / 200
    null = [adjusted_mutual_info_score(rng.permutation(gold), found.labels) for _ in range(400)]
    assert found.null.mean() == pytest.approx(np.mean(null), abs=0.01)
    assert found.null.std() == pytest.approx(np.std(null), rel=0.2)
    assert cluster_signatures(signatures, gold, one_part(60), 1, 9, rng).agreement == 0


def test_error_analysis__tells_what_the_signature_knows():
    rng = np.random.default_rng(0)
    wrong = np.arange(80) % 4 == 0
    confidence = rng.random(80) - 0.2 * wrong
    knows = analyse_errors(rng.normal(size=(80, 3)) + 3.0 * wrong[:, None], wrong, confidence, rng)
    assert knows.auc > 0.9
    assert (knows.n_wrong, knows.n_samples) == (20, 80)
    assert knows.confidence_auc == pytest.approx(roc_auc_score(wrong, -confidence))
    ignorant = analyse_errors(rng.normal(size=(80, 3)), wrong, confidence, rng)
    assert 0.25 < ignorant.auc < 0.75
    assert np.isnan(analyse_errors(rng.normal(size=(80, 3)), wrong & (np.arange(80) < 1), confidence, rng).auc)
