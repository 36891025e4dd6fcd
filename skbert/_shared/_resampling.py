"""Resampling that probes and studies share: permutations and their p-values."""

from __future__ import annotations

import numpy as np


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
