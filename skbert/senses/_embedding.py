"""From topics to word vectors (Panigrahi, Simhadri and Bhattacharyya 2019, step by step)."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.cluster import AgglomerativeClustering

from skbert.senses._divergences import pairwise_js


def word_shares(counts):
    """p(w): share of each word in all pairs; float array (n_words,). It is 0 for a word that has no context."""
    sums = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    return sums / sums.sum()


def topic_shares(word_topics, shares):
    """p(k): share of each topic, the mean of the topics of all words, weighted by p(w); float array (n_topics,)."""
    weighted = shares @ word_topics
    return weighted / weighted.sum()


def backward_topics(topic_words, topic_share, word_share):
    """b(w, k) = φ(k, w) · p(k) / p(w): the topics of a word where it is the context of another word.

    Parameters
    ----------
    topic_words : float array (n_topics, n_words)
        φ: distribution over words of each topic.
    topic_share : float array (n_topics,)
        p(k).
    word_share : float array (n_words,)
        p(w).

    Returns
    -------
    float array (n_words, n_topics)
        Rows sum to about 1. The row of a word without contexts is 0.
    """
    joint = topic_words.T * topic_share
    return np.divide(joint, word_share[:, None], out=np.zeros_like(joint), where=word_share[:, None] > 0)


def merge_topics(topic_words, n_senses):
    """Sense of each topic: topics that are alike are one sense.

    Average-linkage clustering of the distances √JS between topics. Senses are numbered in the order of their first
    topic.

    Parameters
    ----------
    topic_words : float array (n_topics, n_words)
        Distribution over words of each topic.
    n_senses : int
        Number of senses.

    Returns
    -------
    int array (n_topics,)
    """
    n_topics = len(topic_words)
    if n_senses == n_topics:
        return np.arange(n_topics)
    if n_senses == 1:
        return np.zeros(n_topics, dtype=int)
    clusters = AgglomerativeClustering(n_senses, metric="precomputed", linkage="average")
    return in_order(clusters.fit_predict(np.sqrt(pairwise_js(topic_words))))


def in_order(labels):
    """The same groups, numbered in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def members(senses):
    """Matrix that adds up the topics of each sense; float array (n_topics, n_senses) of 0 and 1."""
    return (senses[:, None] == np.arange(senses.max() + 1)).astype(np.float64)


def sense_distributions(topic_words, topic_share, senses):
    """Distribution over words of each sense: the mean of its topics, weighted by p(k); (n_senses, n_words)."""
    joint = members(senses).T @ (topic_words * topic_share[:, None])
    return joint / joint.sum(axis=1, keepdims=True)


def sense_ratios(both, topic_share, senses):
    """How much more often a sense occurs with a word than with words in general, forward and backward added.

    Parameters
    ----------
    both : float array (n_words, n_topics)
        θ + b.
    topic_share : float array (n_topics,)
        p(k).
    senses : int array (n_topics,)
        Sense of each topic.

    Returns
    -------
    float array (n_words, n_senses)
        Σ (θ + b)(k) / Σ p(k) over the topics k of each sense. It is about 2 where sense and word are independent.
    """
    belongs = members(senses)
    return (both @ belongs) / (topic_share @ belongs)


def keep_largest(ratios, n_kept, floor=0.0):
    """Sparse rows that sum to 1: the `n_kept` largest entries of each row.

    Parameters
    ----------
    ratios : float array (n_words, n_senses)
        Values that are not negative.
    n_kept : int
        Number of entries of a row. Of equal entries, those with the lower index are kept.
    floor : float, default=0.0
        Entries that are not larger are left out too, but never the largest of a row.

    Returns
    -------
    CSR matrix of float64 (n_words, n_senses)
    """
    n_words, n_senses = ratios.shape
    order = np.argsort(-ratios, axis=1, kind="stable")[:, : min(n_kept, n_senses)]
    values = np.take_along_axis(ratios, order, axis=1)
    kept = values > floor
    kept[:, 0] = True
    rows = np.repeat(np.arange(n_words), kept.sum(axis=1))
    matrix = sparse.csr_matrix((values[kept], (rows, order[kept])), shape=ratios.shape)
    matrix.sort_indices()
    return unit_sums(matrix)


def unit_sums(matrix):
    """A CSR matrix whose rows are divided by their sums; rows without entries stay empty."""
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    scaled = matrix.copy()
    scaled.data = scaled.data / np.repeat(sums, np.diff(matrix.indptr))
    return scaled
