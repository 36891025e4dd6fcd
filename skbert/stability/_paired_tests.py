"""Tests of paired differences: random flips of the signs, and Wilcoxon's signed ranks."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import stats

from skbert._shared import count_as_large, permutation_pvalue

# Up to this many pairs all sign flips are made; beyond, as many random ones as scipy takes by default.
MOST_EXACT, N_FLIPS = 16, 9999


def smallest_pvalue(n):
    """What the p-value of the sign-flip test is at the least with `n` pairs, for differences without a zero."""
    return 2.0 ** (1 - n) if n <= MOST_EXACT else 1 / (1 + N_FLIPS)


def pairs_that_can_tell(alpha=0.05):
    """The fewest pairs with which the sign-flip test can come out below `alpha`; infinite where no number can."""
    return next((n for n in range(1, MOST_EXACT + 1) if smallest_pvalue(n) < alpha), float("inf"))


def sign_flips(n, rng):
    """Signs of the sign-flip test, int array (n_flips, n), and whether these are all that there are.

    Flipping all signs at once changes no absolute sum, so where all are made the first sign stays 1.
    """
    if n <= MOST_EXACT:
        free = np.array(list(itertools.product((1, -1), repeat=n - 1)), dtype=int).reshape(-1, n - 1)
        return np.column_stack([np.ones(len(free), dtype=int), free]), True
    return rng.integers(0, 2, (N_FLIPS, n)) * 2 - 1, False


def sign_flip_pvalue(differences, rng):
    """Two-sided p-value of the mean under random flips of the signs of paired differences.

    Parameters
    ----------
    differences : float array (n,)
    rng : numpy Generator
        For more than 16 pairs, of which 9,999 random flips are made.

    Returns
    -------
    float
    """
    signs, exact = sign_flips(len(differences), rng)
    observed, sums = abs(differences.sum()), abs(signs @ differences)
    return count_as_large(observed, sums) / len(sums) if exact else permutation_pvalue(observed, sums)


def wilcoxon_pvalue(differences, scale, rng):
    """Two-sided p-value of Wilcoxon's signed-rank test; zeros are split evenly between the signs (Pratt).

    Parameters
    ----------
    differences : float array (n,)
    scale : float
        Size of the scores, against which differences are rounded.
    rng : numpy Generator
    """
    if not differences.any():
        return 1.0
    # Rounded, for 0.75 - 0.7 and 0.65 - 0.6 are one rank.
    d = np.round(differences / scale, 12)
    if len(d) <= MOST_EXACT:
        # The test is one of sign flips, of signed ranks. Ties, which scores of few texts often have, stay exact.
        return sign_flip_pvalue(np.sign(d) * stats.rankdata(abs(d)), rng)
    return float(stats.wilcoxon(d, zero_method="pratt").pvalue)
