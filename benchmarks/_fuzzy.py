"""Measures of graded clusterings: fuzzy B-cubed and fuzzy normalised mutual information (Jurgens and Klapaftis 2013).

A clustering is an array (n_items, n_clusters) of memberships from 0 to 1. The functions follow the definitions in their
docstrings; they were not compared with the scorer of the task, which is a Java program.
"""

import numpy as np

# Memberships are made discrete in tenths.
_BINS = 10


def memberships(entries):
    """The memberships of items that are dicts of cluster to weight; weights are divided by their sum."""
    names = sorted({name for entry in entries for name in entry}, key=str)
    array = np.array([[entry.get(name, 0.0) for name in names] for entry in entries], dtype=float)
    return array / array.sum(axis=1, keepdims=True)


def hard_memberships(labels):
    """The array of memberships of items that are in one cluster each."""
    return (np.asarray(labels)[:, None] == np.unique(labels)).astype(float)


def fuzzy_b_cubed(found, gold):
    """F1 of fuzzy B-cubed precision and recall.

    Two items i, j agree in a clustering by C(i, j) = Σ 1 − |w_k(i) − w_k(j)| over the clusters k of either item. The
    precision of i is the mean of min(C_found, C_gold) / C_found over all other items j that share a found cluster with
    i, and 1 if there is none: such an item says nothing that could be wrong. For recall, the clusterings change places.
    """
    precision, recall = _b_cubed(found, gold), _b_cubed(gold, found)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _b_cubed(one, other):
    """Mean over items of the part of their agreements in `one` that is in `other` too."""
    mine, theirs = _agreements(one), _agreements(other)
    shares = (one > 0).astype(float) @ (one > 0).astype(float).T > 0
    np.fill_diagonal(shares, False)
    part = np.divide(np.minimum(mine, theirs), mine, out=np.zeros_like(mine), where=mine > 0)
    partners = shares.sum(axis=1)
    # An item without partners makes no statement that could be wrong.
    values = np.divide((part * shares).sum(axis=1), partners, out=np.ones(len(one)), where=partners > 0)
    return float(values.mean())


def _agreements(weights):
    in_either = (weights[:, None] > 0) | (weights[None] > 0)
    return ((1 - np.abs(weights[:, None] - weights[None])) * in_either).sum(axis=2)


def fuzzy_nmi(found, gold):
    """Mutual information of two clusterings over the larger of their entropies.

    Each cluster is a random variable: the membership of an item in it, in tenths. H(X) = Σ_k H(X_k), and H(X | Y) = Σ_k
    min_l H(X_k | Y_l). The information is ½ [H(X) − H(X | Y) + H(Y) − H(Y | X)].
    """
    one, other = _discrete(found), _discrete(gold)
    h_one, h_other = (sum(_entropy(column) for column in clustering.T) for clustering in (one, other))
    information = (h_one - _conditional(one, other) + h_other - _conditional(other, one)) / 2
    largest = max(h_one, h_other)
    return float(information / largest) if largest > 0 else 1.0


def _discrete(weights):
    return np.minimum((weights * _BINS).astype(int), _BINS - 1)


def _entropy(values):
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log(shares)).sum())


def _conditional(one, other):
    pairs = one[:, :, None] * _BINS + other[:, None, :]
    return sum(
        min(_entropy(pairs[:, k, m]) - _entropy(other[:, m]) for m in range(other.shape[1]))
        for k in range(one.shape[1])
    )
