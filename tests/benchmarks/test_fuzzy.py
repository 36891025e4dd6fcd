"""Measures of graded clusterings, on cases by hand and against loops over the definitions."""

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from benchmarks._fuzzy import fuzzy_b_cubed, fuzzy_nmi, hard_memberships, memberships


def agreement(a, b):
    return sum(1 - abs(x - y) for x, y in zip(a, b, strict=True) if x > 0 or y > 0)


def b_cubed_by_loop(one, other):
    values = []
    for i in range(len(one)):
        others = [
            j for j in range(len(one)) if j != i and any(a > 0 and b > 0 for a, b in zip(one[i], one[j], strict=True))
        ]
        if not others:
            values.append(1.0)
            continue
        parts = []
        for j in others:
            mine, theirs = agreement(one[i], one[j]), agreement(other[i], other[j])
            parts.append(min(mine, theirs) / mine if mine else 0.0)
        values.append(sum(parts) / len(parts))
    return sum(values) / len(values)


@pytest.fixture
def graded():
    rng = np.random.default_rng(0)
    found, gold = rng.dirichlet(np.full(4, 0.3), 25), rng.dirichlet(np.full(3, 0.3), 25)
    found[found < 0.1], gold[gold < 0.1] = 0, 0
    return found / found.sum(axis=1, keepdims=True), gold / gold.sum(axis=1, keepdims=True)


def test_memberships__weights_of_an_item_sum_to_one():
    found = memberships([{"b": 3, "a": 1}, {"b": 2}])
    np.testing.assert_allclose(found, [[0.25, 0.75], [0, 1]])
    np.testing.assert_array_equal(hard_memberships([5, 3, 5]), [[0, 1], [1, 0], [0, 1]])


def test_b_cubed__as_a_loop_over_the_definition(graded):
    precision, recall = b_cubed_by_loop(*graded), b_cubed_by_loop(*graded[::-1])
    assert fuzzy_b_cubed(*graded) == pytest.approx(2 * precision * recall / (precision + recall))


def test_b_cubed__by_hand():
    gold = hard_memberships([0, 0, 1, 1])
    assert fuzzy_b_cubed(gold, gold) == 1
    # One cluster: of three partners, one is right, so the precision is 1/3 and the recall 1.
    assert fuzzy_b_cubed(hard_memberships([0, 0, 0, 0]), gold) == pytest.approx(0.5)
    # One cluster per item: nothing is wrong, nothing is found.
    assert fuzzy_b_cubed(hard_memberships([0, 1, 2, 3]), gold) == 0


def test_nmi__same_clustering_is_one_and_independent_ones_are_zero(graded):
    assert fuzzy_nmi(graded[0], graded[0]) == pytest.approx(1)
    first, second = hard_memberships([0, 0, 1, 1]), hard_memberships([0, 1, 0, 1])
    assert fuzzy_nmi(first, second) == pytest.approx(0)
    assert fuzzy_nmi(hard_memberships([0, 0, 0, 0]), first) == pytest.approx(0)


def test_nmi__of_two_hard_clusters_each_is_the_usual_one_with_the_larger_entropy():
    a, b = np.array([0, 0, 0, 1, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 1, 1, 0, 0])
    expected = normalized_mutual_info_score(a, b, average_method="max")
    assert fuzzy_nmi(hard_memberships(a), hard_memberships(b)) == pytest.approx(expected)


def test_nmi__by_the_definition(graded):
    def entropy(*columns):
        joint = list(zip(*columns, strict=True))
        shares = [joint.count(value) / len(joint) for value in set(joint)]
        return -sum(p * np.log(p) for p in shares)

    one, other = ([[min(int(w * 10), 9) for w in column] for column in clustering.T] for clustering in graded)
    given = sum(min(entropy(x, y) - entropy(y) for y in other) for x in one)
    back = sum(min(entropy(x, y) - entropy(x) for x in one) for y in other)
    h_one, h_other = sum(map(entropy, one)), sum(map(entropy, other))
    expected = (h_one - given + h_other - back) / 2 / max(h_one, h_other)
    assert fuzzy_nmi(*graded) == pytest.approx(expected)
