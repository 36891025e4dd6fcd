"""Collocations: sequences of tokens that occur together far more often than their parts would by chance."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

_LONGEST = 5
# A sequence must occur this often, and have at least this score (in nats: 20 times as often as by chance).
_LEAST_COUNT, _LEAST_SCORE = 10, 3.0


def collocation_numbers(texts, least_count=_LEAST_COUNT, least_score=_LEAST_SCORE):
    """Divide texts into collocations and single tokens.

    The score of a sequence of 2 to 5 tokens is that of Levine et al. (2021), who call it PMI of n-grams: the minimum,
    over all ways to divide the sequence into parts, of log p(sequence) - Σ log p(part). Each text is divided from left
    to right, and the longest collocation is taken.

    Parameters
    ----------
    texts : list of int64 arrays
        Token ids of the texts, without special tokens.
    least_count : int, default=10
        How often a collocation occurs at least; this value is ours.
    least_score : float, default=3.0
        The least score of a collocation; this value is ours.

    Returns
    -------
    list of int64 arrays, aligned with `texts`
        Number of the collocation of each token, ascending; a token without one has a number of its own.
    """
    levels = _levels(texts, least_count)
    is_start = {n: _starts_collocation(levels, n, least_score) for n in range(2, len(levels) + 1)}
    numbers, first = [], 0
    for ids in texts:
        numbers.append(_divide(is_start, first, len(ids)))
        first += len(ids) + 1
    return numbers


def _levels(texts, least_count):
    """For n = 1, 2, …: at each position, log share of the n-gram that starts there; -inf if it is rare.

    All texts stand one after the other, with one position between them that belongs to no n-gram.
    """
    gap = np.array([-1], dtype=np.int64)
    ids = np.concatenate([part for text in texts for part in (text, gap)])
    found = []
    for n in range(1, _LONGEST + 1):
        if n > 1:
            # An n-gram is two (n-1)-grams, each given by a number, that overlap. It is rare if one of them is.
            after = np.append(ids[1:], -1)
            ids = np.where((ids >= 0) & (after >= 0), ids * (ids.max() + 1) + after, -1)
        kinds, index, counts = np.unique(ids, return_inverse=True, return_counts=True)
        counts = np.where(kinds < 0, 0, counts)
        enough = counts >= (1 if n == 1 else least_count)
        if not enough.any():
            break
        numbers = np.where(enough, np.cumsum(enough) - 1, -1)
        shares = np.full(len(kinds), -np.inf)
        shares[enough] = np.log(counts[enough] / sum(max(0, len(text) - n + 1) for text in texts))
        ids = numbers[index]
        found.append(shares[index])
    return found


def _starts_collocation(levels, n, least_score):
    """At each position, whether the n-gram that starts there is a collocation."""
    whole = levels[n - 1]
    starts = np.flatnonzero(np.isfinite(whole))
    score = np.full(len(starts), np.inf)
    for cuts in product((False, True), repeat=n - 1):
        if any(cuts):
            ends = [0, *(place + 1 for place, cut in enumerate(cuts) if cut), n]
            parts = [levels[b - a - 1][starts + a] for a, b in pairwise(ends)]
            score = np.minimum(score, whole[starts] - sum(parts))
    found = np.zeros(len(whole), dtype=bool)
    found[starts[score >= least_score]] = True
    return found


def _divide(is_start, first, length):
    """Numbers of the collocations of the text whose `length` tokens begin at position `first`."""
    numbers, place, number = np.empty(length, dtype=np.int64), 0, 0
    while place < length:
        size = next((n for n in sorted(is_start, reverse=True) if is_start[n][first + place]), 1)
        numbers[place : place + size] = number
        place, number = place + size, number + 1
    return numbers
