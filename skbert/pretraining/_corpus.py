"""Tokenised texts, and the tokens in them that can be masked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skbert.text import TokenizedTexts


@dataclass(frozen=True)
class Corpus:
    """Texts to learn from: every text has at least one token that can be masked.

    Attributes
    ----------
    tokens : TokenizedTexts
        Token ids of the texts.
    places : list of int64 arrays
        For each text, the positions of the tokens that can be masked: all except special tokens.
    units : list of int64 arrays, or None
        For each of these positions, the number of the unit that is masked as a whole, such as a word; the numbers
        of a text ascend. None if every token is a unit.
    """

    tokens: TokenizedTexts
    places: list[np.ndarray]
    units: list[np.ndarray] | None = None

    def __len__(self):
        return len(self.tokens)

    def take(self, rows):
        """The texts at `rows`, in that order."""
        units = None if self.units is None else [self.units[row] for row in rows]
        return Corpus(self.tokens.take(rows), [self.places[row] for row in rows], units)

    def counts(self, size):
        """How often each of `size` token ids occurs among the tokens that can be masked; int64 (size,)."""
        return np.bincount(np.concatenate(self.ids_at_places()), minlength=size)

    def ids_at_places(self):
        """Of each text, the ids of the tokens that can be masked."""
        return [ids[places] for ids, places in zip(self.tokens.input_ids, self.places, strict=True)]


def make_corpus(tokens, special, numbers=None):
    """The texts of `tokens` that have a token outside `special`, as a `Corpus`; None if no text has one.

    Parameters
    ----------
    tokens : TokenizedTexts
        Token ids of the texts.
    special : int array
        Ids of the tokens that are never masked.
    numbers : list of int64 arrays, default=None
        For each token of each text, the number of its unit.
    """
    places = [np.flatnonzero(~np.isin(ids, special)) for ids in tokens.input_ids]
    kept = [row for row, found in enumerate(places) if len(found)]
    if not kept:
        return None
    units = None if numbers is None else [numbers[row][places[row]] for row in kept]
    return Corpus(tokens.take(kept), [places[row] for row in kept], units)
