"""Which texts are held out from training."""

from __future__ import annotations

import math

import numpy as np

# More held-out texts would take time at every evaluation, and hardly make their mean loss more precise.
MOST_HELD_OUT = 500


def held_out_rows(rows, fraction, seed):
    """Split texts into training and held-out ones; a text that occurs several times is on one side only.

    Parameters
    ----------
    rows : list of hashable, (n,)
        The texts.
    fraction : float
        Share of the distinct texts that is held out, rounded up; at most 500 texts. With 0, or with a single distinct
        text, none is held out.
    seed : int
        Seed of the split.

    Returns
    -------
    train, held_out : int64 arrays
        Row numbers, ascending; of a held-out text that occurs several times, only the first.
    """
    first = {}
    for row, text in enumerate(rows):
        first.setdefault(text, row)
    distinct = list(first)
    n = min(math.ceil(fraction * len(distinct)), MOST_HELD_OUT, len(distinct) - 1)
    chosen = {distinct[i] for i in np.random.default_rng(seed).permutation(len(distinct))[:n]}
    train = np.array([row for row, text in enumerate(rows) if text not in chosen], dtype=np.int64)
    return train, np.array(sorted(first[text] for text in chosen), dtype=np.int64)
