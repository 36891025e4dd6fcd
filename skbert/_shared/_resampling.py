"""Resampling that probes and studies share: permutations, bootstrap means, p-values."""

from __future__ import annotations

import numpy as np

N_BOOTSTRAP = 2000


def bootstrap_means(values, rng, n_resamples=N_BOOTSTRAP):
    """Means of columns drawn with replacement, the same draws for all rows.

    Parameters
    ----------
    values : float array (n_rows, n)
    rng : numpy Generator
    n_resamples : int

    Returns
    -------
    float array (n_resamples, n_rows)
    """
    n = values.shape[1]
    # In parts, for the draws of many samples at once would be larger than all else.
    at_once = max(1, 2_000_000 // n)
    sizes = [min(at_once, n_resamples - done) for done in range(0, n_resamples, at_once)]
    return np.concatenate([rng.multinomial(n, np.full(n, 1 / n), size=size) @ values.T / n for size in sizes])


def percentile_interval(values, level, axis=0):
    """Lower and upper end of the middle share `level` of resampled values."""
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=axis)


def permutations_within(blocks, n, rng):
    """`n` random orders of the samples in which each stays in its block."""
    sorted_by_block = np.argsort(blocks, kind="stable")
    for _ in range(n):
        order = np.empty(len(blocks), dtype=int)
        # Random keys within the block; the sort keeps the blocks apart.
        order[sorted_by_block] = np.lexsort((rng.random(len(blocks)), blocks))
        yield order


def count_as_large(observed, null):
    """How many values of `null` are at least as large; rounding must not make a tie a difference."""
    slack = 1e-9 * max(abs(observed), np.abs(null).max())
    return int((null >= observed - slack).sum())


def permutation_pvalue(observed, null):
    """Share of random permutations with at least this statistic, the observed one counted in; NaN without any."""
    return float((1 + count_as_large(observed, null)) / (1 + len(null))) if len(null) else float("nan")
