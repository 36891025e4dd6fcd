"""Resampling that the probe and the study share: permutations and their p-values."""

from __future__ import annotations

import numpy as np


def permutations_within(blocks, n, rng):
    """Yield `n` random orders of the samples; each sample stays in its block."""
    sorted_by_block = np.argsort(blocks, kind="stable")
    for _ in range(n):
        order = np.empty(len(blocks), dtype=int)
        # Random keys within each block; the sort does not mix blocks.
        order[sorted_by_block] = np.lexsort((rng.random(len(blocks)), blocks))
        yield order


def count_as_large(observed, null):
    """How many values of `null` are at least as large as `observed`, with a tolerance for rounding errors."""
    slack = 1e-9 * max(abs(observed), np.abs(null).max())
    return int((null >= observed - slack).sum())


def permutation_pvalue(observed, null):
    """Share of permutations with at least this statistic, the observed one included; NaN if there are none."""
    return float((1 + count_as_large(observed, null)) / (1 + len(null))) if len(null) else float("nan")
