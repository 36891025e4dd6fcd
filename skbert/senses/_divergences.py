"""How different two distributions are, and how far one is included in another; logarithms are natural."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

# Share of the uniform distribution that is mixed in before a Kullback-Leibler divergence, which has no finite value
# where the second row has a zero.
_SMOOTHING = 1e-3


def js_divergence(first, second):
    """Jensen-Shannon divergence of rows, in nats: 0 for equal rows, ln 2 for rows without a common entry.

    Parameters
    ----------
    first, second : float arrays (..., n)
        Distributions; the leading axes are broadcast.

    Returns
    -------
    float array (...)
    """
    middle = (first + second) / 2
    divergence = (rel_entr(first, middle) + rel_entr(second, middle)).sum(axis=-1) / 2
    # Rounding can take it a little beyond its bounds.
    return np.clip(divergence, 0.0, np.log(2))


def pairwise_js(rows):
    """Jensen-Shannon divergence between all rows; float array (n_rows, n_rows) with zeros on the diagonal."""
    divergences = np.zeros((len(rows), len(rows)))
    for i in range(len(rows) - 1):
        divergences[i, i + 1 :] = js_divergence(rows[i], rows[i + 1 :])
    return divergences + divergences.T


def clarke(first, second):
    """ClarkeDE (Clarke 2009): the share of the first row's weight that the second row has too, Σ min(u, v) / Σ u."""
    return np.minimum(first, second).sum(axis=-1) / first.sum(axis=-1)


def inv_cl(first, second):
    """The measure invCL (Lenci and Benotto 2012): the first row is included in the second, and not the reverse."""
    return np.sqrt(clarke(first, second) * np.clip(1 - clarke(second, first), 0.0, 1.0))


def negative_kl(first, second):
    """Minus the Kullback-Leibler divergence of the first row from the smoothed second row, in nats."""
    second = (1 - _SMOOTHING) * second + _SMOOTHING / second.shape[-1]
    return -rel_entr(first, second).sum(axis=-1)


MEASURES = {"clarke": clarke, "invcl": inv_cl, "kl": negative_kl}
