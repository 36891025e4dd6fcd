"""Tests of paired differences: random flips of the signs, and Wilcoxon's signed ranks."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

from skbert._shared import count_as_large, permutation_pvalue

# Up to this many pairs, all sign flips are used; with more pairs, the default number of random flips of scipy.
MOST_EXACT, N_FLIPS = 16, 9999


def smallest_pvalue(n):
    """The smallest possible p-value of the sign-flip test with `n` pairs, for differences without a zero."""
    return 2.0 ** (1 - n) if n <= MOST_EXACT else 1 / (1 + N_FLIPS)


def pairs_that_can_tell(alpha=0.05):
    """The smallest number of pairs with which the sign-flip test can be below `alpha`; infinite if there is none."""
    return next((n for n in range(1, MOST_EXACT + 1) if smallest_pvalue(n) < alpha), float("inf"))


def sign_flips(n, rng):
    """Signs of the sign-flip test, int array (n_flips, n), and whether these are all possible signs.

    If all signs flip at once, absolute sums do not change. So if all flips are used, the first sign stays 1.
    """
    if n <= MOST_EXACT:
        free = np.array(list(itertools.product((1, -1), repeat=n - 1)), dtype=int).reshape(-1, n - 1)
        return np.column_stack([np.ones(len(free), dtype=int), free]), True
    return rng.integers(0, 2, (N_FLIPS, n)) * 2 - 1, False


def sign_flip_pvalue(differences, rng):
    """Compute the two-sided p-value of the mean with random flips of the signs of paired differences.

    Parameters
    ----------
    differences : float array (n,)
        Paired differences.
    rng : numpy Generator
        Source of 9,999 random flips, used for more than 16 pairs.

    Returns
    -------
    float
    """
    signs, exact = sign_flips(len(differences), rng)
    observed, sums = abs(differences.sum()), abs(signs @ differences)
    return count_as_large(observed, sums) / len(sums) if exact else permutation_pvalue(observed, sums)


def wilcoxon_pvalue(differences, scale, rng):
    """Compute the two-sided p-value of Wilcoxon's signed-rank test; zeros are divided between the signs (Pratt).

    Parameters
    ----------
    differences : float array (n,)
        Paired differences.
    scale : float
        Size of the scores, relative to which differences are rounded.
    rng : numpy Generator
        Source of random flips.
    """
    if not differences.any():
        return 1.0
    # Rounded, because 0.75 - 0.7 and 0.65 - 0.6 must have the same rank.
    d = np.round(differences / scale, 12)
    if len(d) <= MOST_EXACT:
        # This is a sign-flip test of signed ranks. It is exact even with ties, which scores of few texts often have.
        return sign_flip_pvalue(np.sign(d) * stats.rankdata(abs(d)), rng)
    return float(stats.wilcoxon(d, zero_method="pratt").pvalue)
