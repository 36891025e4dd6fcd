"""Texts in which some tokens are hidden, and what stood there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from skbert.text import TokenizedTexts, collate


@dataclass(frozen=True)
class MaskedTexts:
    """Texts after masking, one row per text.

    Attributes
    ----------
    tokens : TokenizedTexts
        Token ids with the replacements.
    places : list of int64 arrays
        Positions of the masked tokens of each text, ascending.
    targets : list of int64 arrays
        The ids that stood there.
    dropped : int or None
        Id of the mask token, if no token may attend to it.
    """

    tokens: TokenizedTexts
    places: list[np.ndarray]
    targets: list[np.ndarray]
    dropped: int | None = None

    def __len__(self):
        return len(self.tokens)

    @property
    def n_masked(self):
        """Number of masked tokens."""
        return sum(map(len, self.places))

    @property
    def longest(self):
        """Number of tokens of the longest text."""
        return int(self.tokens.lengths.max())

    def take(self, rows):
        """The texts at `rows`, in that order."""
        return MaskedTexts(
            self.tokens.take(rows), [self.places[i] for i in rows], [self.targets[i] for i in rows], self.dropped
        )

    def parts(self, size):
        """The texts in parts of at most `size`."""
        for start in range(0, len(self), size):
            yield self.take(range(start, min(start + size, len(self))))

    def batch(self, device):
        """The texts as one packed batch.

        Returns
        -------
        batch : TokenBatch
            The packed texts.
        places : int64 tensor (n_masked,)
            Where the masked tokens are among the packed tokens, text by text in packed order.
        targets : int64 tensor (n_masked,)
            The ids that stood there.
        order : int64 array (n_texts,)
            The texts in packed order.
        """
        batch = collate(self.tokens, range(len(self)))
        if self.dropped is not None:
            batch = replace(batch, attended=batch.input_ids != self.dropped)
        order = batch.order.numpy()
        starts = np.cumsum([0, *batch.lengths[:-1]])
        places = np.concatenate([start + self.places[row] for start, row in zip(starts, order, strict=True)])
        targets = np.concatenate([self.targets[row] for row in order])
        return batch.to(device), torch.from_numpy(places).to(device), torch.from_numpy(targets).to(device), order
