"""p-values of several comparisons, adjusted so that the whole table may be read."""

from __future__ import annotations

import numpy as np

from skbert._shared import count_as_large
from skbert.stability._paired_tests import sign_flips

CORRECTIONS = ("max_t", "holm", "bh", None)


def correct_pvalues(pvalues, method):
    """p-values of several comparisons, corrected.

    Parameters
    ----------
    pvalues : float array (m,)
        NaN stays NaN, and is not counted.
    method : {"holm", "bh", None}
        Holm's step-down method bounds the chance of any false claim; Benjamini and Hochberg's the
        expected share of false ones among the claims.

    Returns
    -------
    float array (m,)
    """
    pvalues = np.asarray(pvalues, dtype=float)
    corrected, there = pvalues.copy(), np.flatnonzero(~np.isnan(pvalues))
    if method is None or not len(there):
        return corrected
    order = there[np.argsort(pvalues[there], kind="stable")]
    m, ranks = len(order), np.arange(1, len(order) + 1)
    if method == "holm":
        adjusted = np.maximum.accumulate(pvalues[order] * (m - ranks + 1))
    else:
        adjusted = np.minimum.accumulate((pvalues[order] * m / ranks)[::-1])[::-1]
    corrected[order] = np.minimum(adjusted, 1.0)
    return corrected


def check_correction(method):
    """Raise ValueError for a method that is none of `CORRECTIONS`."""
    if method not in CORRECTIONS:
        raise ValueError(f"correction must be one of {CORRECTIONS}, got {method!r}")


def max_t_pvalues(differences, rng):
    """p-values of several sign-flip tests, adjusted by the step-down method of Westfall and Young.

    The sign of a run is flipped in all comparisons at once, which keeps what they have in common: comparisons that
    share a variant are no independent chances of a false claim. The statistic of a comparison is its |t|, put as
    |Σ d| / √Σ d², of which |t| is an increasing function. The comparison with the largest statistic is held against the
    largest of all, the next against the largest of those that are left, and so on. The chance of any false claim is
    bounded as by Holm's method, but adjusting costs less: with few runs often nothing.

    Parameters
    ----------
    differences : float array (n_runs, m)
        Paired differences of each comparison; NaN where a run of the pair has no score.
    rng : numpy Generator
        For more than 16 runs, of which 9,999 random flips are made.

    Returns
    -------
    float array (m,)
        NaN for a comparison without a pair.

    References
    ----------
    .. [1] Westfall, Young (1993). Resampling-Based Multiple Testing. Wiley.
    .. [2] Romano, Wolf (2005). Exact and Approximate Stepdown Methods for Multiple Hypothesis Testing. Journal of the
       American Statistical Association 100, 94-108.
    """
    adjusted = np.full(differences.shape[1], np.nan)
    there = np.flatnonzero((~np.isnan(differences)).any(axis=0))
    if not len(there):
        return adjusted
    d = np.nan_to_num(differences[:, there])
    norms = np.sqrt((d**2).sum(axis=0))
    d = d / np.where(norms > 0, norms, 1)
    signs, exact = sign_flips(len(d), rng)
    observed, flipped = abs(d.sum(axis=0)), abs(signs @ d)
    order = np.argsort(-observed, kind="stable")
    # The largest of a comparison and of all that come after it, in every flip.
    largest = np.maximum.accumulate(flipped[:, order[::-1]], axis=1)[:, ::-1]
    counts = np.array([count_as_large(observed[k], column) for k, column in zip(order, largest.T, strict=True)])
    pvalues = counts / len(signs) if exact else (1 + counts) / (1 + len(signs))
    adjusted[there[order]] = np.maximum.accumulate(pvalues)
    return adjusted


def adjusted_here(found, correction, rng):
    """Adjusted p-values for these texts.

    Parameters
    ----------
    found : list of Comparison
        Of one training size.
    correction : one of `CORRECTIONS`
    rng : numpy Generator

    Returns
    -------
    float array (m,)
    """
    alone = np.array([comparison.pvalue_here for comparison in found], dtype=float)
    if correction != "max_t":
        return correct_pvalues(alone, correction)
    if any(comparison.unit == "cells" for comparison in found):
        # Cells share draws and seeds, and their signs cannot be flipped one by one.
        return correct_pvalues(alone, "holm")
    draws = np.unique(np.concatenate([comparison.draws for comparison in found])) if found else np.empty(0)
    differences = np.full((len(draws), len(found)), np.nan)
    for column, comparison in enumerate(found):
        if comparison.n > 1:
            differences[np.searchsorted(draws, comparison.draws), column] = comparison.differences
    # Both are of random flips where there are many runs; what is adjusted must not come out smaller.
    return np.fmax(max_t_pvalues(differences, rng), alone)
