"""p-values of several comparisons, adjusted for their number."""

from __future__ import annotations

import numpy as np

from skbert._shared import count_as_large
from skbert.stability._paired_tests import sign_flips

CORRECTIONS = ("max_t", "holm", "bh", None)


def correct_pvalues(pvalues, method):
    """Adjust the p-values of several comparisons.

    Parameters
    ----------
    pvalues : float array (m,)
        p-values; NaN stays NaN, and is not counted.
    method : {"holm", "bh", None}
        Holm's step-down method limits the probability of any false claim. The method of Benjamini and Hochberg limits
        the expected share of false claims among the claims. None does not adjust.

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
    """Raise ValueError for a method that is not in `CORRECTIONS`."""
    if method not in CORRECTIONS:
        raise ValueError(f"correction must be one of {CORRECTIONS}, got {method!r}")


def max_t_pvalues(differences, rng):
    """Compute p-values of several sign-flip tests, adjusted by the step-down method of Westfall and Young.

    The sign of a run is flipped in all comparisons at once. This keeps their dependence, because comparisons that share
    a variant are not independent. The statistic of a comparison is |Σ d| / √Σ d²; |t| is an increasing function of it.
    The comparison with the largest statistic is compared with the largest of all, the next with the largest of the
    remaining ones, and so on. The probability of any false claim is limited as with Holm's method, but less power is
    lost: with few runs often none.

    Parameters
    ----------
    differences : float array (n_runs, m)
        Paired differences of each comparison; NaN where a run of the pair has no score.
    rng : numpy Generator
        Source of 9,999 random flips, used for more than 16 runs.

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
    """Adjust the p-values for these texts.

    Parameters
    ----------
    found : list of Comparison
        Comparisons of one training size.
    correction : one of `CORRECTIONS`
        Method of the adjustment.
    rng : numpy Generator
        Source of random flips.

    Returns
    -------
    float array (m,)
    """
    alone = np.array([comparison.pvalue_here for comparison in found], dtype=float)
    if correction != "max_t":
        return correct_pvalues(alone, correction)
    if any(comparison.unit == "cells" for comparison in found):
        # Cells share draws and seeds, so their signs cannot be flipped independently.
        return correct_pvalues(alone, "holm")
    draws = np.unique(np.concatenate([comparison.draws for comparison in found])) if found else np.empty(0)
    differences = np.full((len(draws), len(found)), np.nan)
    for column, comparison in enumerate(found):
        if comparison.n > 1:
            differences[np.searchsorted(draws, comparison.draws), column] = comparison.differences
    # With many runs, both use random flips; an adjusted p-value must not be smaller than the unadjusted one.
    return np.fmax(max_t_pvalues(differences, rng), alone)
