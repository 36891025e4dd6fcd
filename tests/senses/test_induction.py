"""Groups of occurrences: the main sense, and senses that are joined."""

import numpy as np
import pytest
from scipy import sparse

from skbert.senses._induction import cluster_senses

# Senses 0 and 2 are nearly the same.
DISTRIBUTIONS = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.4, 0.6, 0, 0], [0.25, 0.25, 0.25, 0.25]])
VECTORS = sparse.csr_matrix(
    np.array([[0.9, 0.1, 0, 0], [0, 1, 0, 0], [0.3, 0, 0.7, 0], [0, 0.2, 0.8, 0], [0.4, 0.6, 0, 0]])
)


def test_without_a_number__each_main_sense_is_a_group():
    np.testing.assert_array_equal(cluster_senses(VECTORS, DISTRIBUTIONS), [0, 1, 2, 2, 1])
    np.testing.assert_array_equal(cluster_senses(VECTORS, DISTRIBUTIONS, 5), [0, 1, 2, 2, 1])


def test_two_groups__similar_senses_are_joined_under_the_more_frequent_one():
    np.testing.assert_array_equal(cluster_senses(VECTORS, DISTRIBUTIONS, 2), [2, 1, 2, 2, 1])


def test_one_group__is_one_sense():
    assert len(set(cluster_senses(VECTORS, DISTRIBUTIONS, 1))) == 1


@pytest.mark.parametrize("n_clusters", [1, 2, 3])
def test_number_of_groups__is_never_larger(n_clusters):
    rng = np.random.default_rng(0)
    vectors = sparse.csr_matrix(rng.dirichlet(np.ones(8), 40))
    labels = cluster_senses(vectors, rng.dirichlet(np.ones(30), 8), n_clusters)
    assert len(set(labels)) == n_clusters
