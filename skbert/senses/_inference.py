"""Which topics of a word its context asks for: multiplicative weights, for many contexts at once.

For one context, the weights w of the topics maximise

    f(w) = Σ_c d_c ln Σ_k φ_k(c) w_k − λ KL(w ‖ w⁰),    w ≥ 0, Σ w = 1,

where d is the distribution of the context over words, φ the topics, and w⁰ the weights that the word has without a
context. f is concave, so it has one maximum, and each step knows how far it can be from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import logsumexp, rel_entr

# Numbers in the largest array of a batch: 16 MB, so that a batch stays near the processor.
_BATCH_SIZE = 2_000_000
# Below, the second part of f is too small for its closed form, and the maximum of the first part is bound enough.
_NO_STRENGTH = 1e-9
_LARGER, _SMALLER = 1.5, 0.5
_STEPS = (1e-12, 1e6)
_ROUNDING = 1e-14
# Share of finished contexts in a batch.
_MANY = 0.25
_TINY = np.finfo(np.float64).tiny


@dataclass
class Inferred:
    """Weights of topics for n contexts, and how well each maximum was reached.

    Attributes
    ----------
    weights : CSR matrix (n, n_topics)
        Rows sum to 1.
    objective : float array (n,)
        f at these weights, in nats per word of the context.
    gap : float array (n,)
        The maximum of f is at most this much larger; in nats.
    n_iter : int array (n,)
        Number of steps.
    converged : bool array (n,)
        Whether the gap fell under the tolerance.
    """

    weights: sparse.csr_matrix
    objective: np.ndarray
    gap: np.ndarray
    n_iter: np.ndarray
    converged: np.ndarray


def infer_weights(topic_words, bags, starts, strength, max_iter, tol):
    """Maximise f for each context.

    Parameters
    ----------
    topic_words : float array (n_topics, n_words)
        φ; all entries positive.
    bags : CSR matrix (n, n_words)
        d; each row sums to 1, or is empty. For an empty row the result is its start.
    starts : CSR matrix (n, n_topics)
        w⁰; each row sums to 1. Only topics with an entry can get weight.
    strength : float
        λ, not negative.
    max_iter : int
        Maximum number of steps.
    tol : float
        A context is finished if its gap is at most this, in nats.

    Returns
    -------
    Inferred
    """
    n = bags.shape[0]
    data = np.array(starts.data, dtype=np.float64)
    found = Inferred(
        sparse.csr_matrix((data, starts.indices, starts.indptr), shape=starts.shape),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n, dtype=int),
        np.ones(n, dtype=bool),
    )
    for rows in _batches(bags, starts):
        _infer_batch(found, rows, topic_words, bags, starts, strength, max_iter, tol)
    return found


def _batches(bags, starts):
    """Rows with about the same number of words, which are not empty, in batches of limited size."""
    n_words, n_free = np.diff(bags.indptr), np.diff(starts.indptr)
    rows = np.flatnonzero(n_words)
    rows = rows[np.argsort(n_words[rows], kind="stable")]
    while len(rows):
        sizes = np.maximum.accumulate(n_words[rows]) * np.maximum.accumulate(n_free[rows])
        many = max(1, int((sizes * np.arange(1, len(rows) + 1) <= _BATCH_SIZE).sum()))
        yield rows[:many]
        rows = rows[many:]


def _padded(matrix, rows):
    """The entries of some rows side by side: values and columns, (n_rows, longest), and which of them are there."""
    lengths = np.diff(matrix.indptr)[rows]
    there = np.arange(lengths.max()) < lengths[:, None]
    places = np.where(there, matrix.indptr[rows][:, None] + np.arange(lengths.max()), 0)
    return np.where(there, matrix.data[places], 0.0), np.where(there, matrix.indices[places], 0), there


def _infer_batch(found, rows, topic_words, bags, starts, strength, max_iter, tol):
    shares, words, are_words = _padded(bags, rows)
    start, topics, are_topics = _padded(starts, rows)
    emits = topic_words[topics[:, None, :], words[:, :, None]] * are_topics[:, None, :]
    # A word that is only padding has share 0, so its probability can be anything but 0.
    emits[~are_words] = are_topics[np.nonzero(~are_words)[0]]
    problem = _Problem(shares, emits, start, strength)
    state = problem.state(start)
    step, is_done, n_iter = np.ones(len(rows)), np.zeros(len(rows), dtype=bool), 0
    while True:
        slope = problem.slope(state)
        gap = problem.gap(state, slope)
        # Kept as soon as it is finished, so that a result does not depend on the other contexts of the batch.
        new = ~is_done & ((gap <= tol) | (n_iter == max_iter))
        _keep(found, rows[new], state.of(new), gap[new], n_iter, tol)
        is_done |= new
        if is_done.all():
            return
        # Finished contexts are taken out once they are many, because taking out copies the others.
        if is_done.mean() > _MANY:
            left = ~is_done
            rows, step, slope, is_done = rows[left], step[left], slope[left], is_done[left]
            problem, state = problem.of(left), state.of(left)
        tried = problem.state(problem.moved(state, slope, step))
        better = tried.objective >= state.objective - _ROUNDING
        # A step that is too large is tried again with half the size.
        step = np.clip(np.where(better, step * _LARGER, step * _SMALLER), *_STEPS)
        state = state.with_rows(tried, better)
        n_iter += 1


def _keep(found, rows, state, gap, n_iter, tol):
    lengths = np.diff(found.weights.indptr)[rows]
    for row, length, weights in zip(rows, lengths, state.weights, strict=True):
        first = found.weights.indptr[row]
        found.weights.data[first : first + length] = weights[:length]
    found.objective[rows], found.gap[rows], found.n_iter[rows] = state.objective, gap, n_iter
    found.converged[rows] = gap <= tol


@dataclass
class _State:
    """Weights (n, n_free), what the topics emit at them (n, n_words), and f (n,)."""

    weights: np.ndarray
    emitted: np.ndarray
    objective: np.ndarray

    def of(self, rows):
        return _State(self.weights[rows], self.emitted[rows], self.objective[rows])

    def with_rows(self, other, rows):
        def chosen(mine, theirs):
            return np.where(rows.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)

        return _State(
            chosen(self.weights, other.weights),
            chosen(self.emitted, other.emitted),
            chosen(self.objective, other.objective),
        )


class _Problem:
    """f for a batch of contexts."""

    def __init__(self, shares, emits, start, strength):
        self.shares, self.emits, self.start, self.strength = shares, emits, start, strength
        self.is_free = start > 0
        self.log_start = np.log(np.where(self.is_free, start, 1.0))

    def of(self, rows):
        return _Problem(self.shares[rows], self.emits[rows], self.start[rows], self.strength)

    def state(self, weights):
        emitted = np.matmul(self.emits, weights[:, :, None])[:, :, 0]
        fit = (self.shares * np.log(emitted)).sum(axis=1)
        return _State(weights, emitted, fit - self.strength * rel_entr(weights, self.start).sum(axis=1))

    def slope(self, state):
        """Gradient of the first part of f; (n, n_free)."""
        return np.matmul((self.shares / state.emitted)[:, None, :], self.emits)[:, 0]

    def moved(self, state, slope, step):
        """The weights after a multiplicative step.

        They maximise ⟨slope, w⟩ − λ KL(w ‖ w⁰) − KL(w ‖ old w) / step. So a large λ needs no small steps.
        """
        # A weight that has become too small for a number stays a number, so that it can grow again.
        logs, pull = np.log(np.maximum(state.weights, _TINY)), 1 / step[:, None]
        logs = (pull * logs + self.strength * self.log_start + slope) / (pull + self.strength)
        logs[~self.is_free] = -np.inf
        return np.exp(logs - logsumexp(logs, axis=1, keepdims=True))

    def gap(self, state, slope):
        """Upper bound of how much larger f can be.

        The first part of f is concave, so it lies under its tangent; the maximum of the tangent minus the second part
        has a closed form.
        """
        here = (slope * state.weights).sum(axis=1)
        if self.strength < _NO_STRENGTH:
            return np.where(self.is_free, slope, -np.inf).max(axis=1) - here
        tilted = np.where(self.is_free, self.log_start + slope / self.strength, -np.inf)
        best = self.strength * logsumexp(tilted, axis=1)
        return np.maximum(best - here + self.strength * rel_entr(state.weights, self.start).sum(axis=1), 0.0)
