"""The steps from topics to word vectors, each against its formula."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import jensenshannon

from skbert.senses._embedding import (
    backward_topics,
    in_order,
    keep_largest,
    merge_topics,
    sense_distributions,
    sense_ratios,
    topic_shares,
    unit_sums,
    word_shares,
)


@pytest.fixture
def theta():
    return np.random.default_rng(0).dirichlet(np.ones(4), size=6)


@pytest.fixture
def phi():
    return np.random.default_rng(1).dirichlet(np.ones(6), size=4)


@pytest.fixture
def counts():
    upper = sparse.random(6, 6, density=0.6, random_state=0, data_rvs=lambda n: np.arange(1, n + 1))
    return (upper + upper.T).tocsr()


def test_shares__by_the_formula_and_sum_to_one(theta, counts):
    p_w = word_shares(counts)
    np.testing.assert_allclose(p_w, counts.toarray().sum(axis=1) / counts.sum())
    p_k = topic_shares(theta, p_w)
    np.testing.assert_allclose(p_k, [sum(p_w[w] * theta[w, k] for w in range(6)) for k in range(4)])
    assert p_k.sum() == pytest.approx(1)


def test_backward__is_bayes_and_its_rows_sum_to_one_where_the_shares_agree(phi):
    p_k = np.array([0.1, 0.2, 0.3, 0.4])
    p_w = p_k @ phi
    found = backward_topics(phi, p_k, p_w)
    np.testing.assert_allclose(found, [[phi[k, w] * p_k[k] / p_w[w] for k in range(4)] for w in range(6)])
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_backward__of_a_word_without_contexts_is_zero(phi):
    p_w = np.array([0.0, 0.2, 0.2, 0.2, 0.2, 0.2])
    found = backward_topics(phi, np.full(4, 0.25), p_w)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], 0)


def test_merge__as_many_senses_as_topics_is_a_permutation(phi):
    assert sorted(merge_topics(phi, 4)) == [0, 1, 2, 3]


def test_merge__joins_the_most_similar_topics():
    base = np.random.default_rng(0).dirichlet(np.full(20, 0.1), size=3)
    topics = np.vstack([base, 0.9 * base + 0.1 / 20])[[0, 3, 1, 4, 2, 5]]
    np.testing.assert_array_equal(merge_topics(topics, 3), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(merge_topics(topics, 1), 0)


def test_merge__two_of_three_by_the_smallest_distance(phi):
    distances = {(i, j): jensenshannon(phi[i], phi[j]) for i in range(3) for j in range(i)}
    nearest = min(distances, key=distances.get)
    senses = merge_topics(phi[:3], 2)
    assert senses[nearest[0]] == senses[nearest[1]]
    assert len(set(senses)) == 2


def test_in_order__numbers_groups_as_they_come():
    np.testing.assert_array_equal(in_order(np.array([2, 0, 2, 1])), [0, 1, 0, 2])


def test_sense_ratios__by_the_formula(theta):
    p_k, senses = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1])
    found = sense_ratios(theta, p_k, senses)
    expected = [[(row[0] + row[2]) / 0.4, (row[1] + row[3]) / 0.6] for row in theta]
    np.testing.assert_allclose(found, expected)


def test_sense_distributions__are_means_weighted_by_share(phi):
    p_k = np.array([0.1, 0.2, 0.3, 0.4])
    found = sense_distributions(phi, p_k, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(found[0], (0.1 * phi[0] + 0.3 * phi[2]) / 0.4)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_keep_largest__as_many_as_asked_and_rows_of_one():
    ratios = np.array([[3.0, 1.0, 2.0, 0.5], [0.1, 0.2, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0]])
    found = keep_largest(ratios, 2).toarray()
    np.testing.assert_allclose(found, [[0.6, 0, 0.4, 0], [1 / 3, 2 / 3, 0, 0], [0.5, 0.5, 0, 0]])
    # Under the floor nothing stays but the largest.
    np.testing.assert_allclose(keep_largest(ratios, 3, 1.5).toarray()[:2], [[0.6, 0, 0.4, 0], [0, 1, 0, 0]])
    assert keep_largest(ratios, 10).nnz == 12


def test_unit_sums__leaves_empty_rows_empty():
    found = unit_sums(sparse.csr_matrix(np.array([[1.0, 3.0], [0.0, 0.0]]))).toarray()
    np.testing.assert_array_equal(found, [[0.25, 0.75], [0, 0]])
