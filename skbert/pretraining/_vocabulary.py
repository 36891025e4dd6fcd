"""What masking must know of a tokenizer: the mask token, the special tokens, and what may stand in for a token."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

# Entries that vocabularies keep free, such as [unused7] of BERT.
_UNUSED = re.compile(r"[\[<]unused_?\d+[\]>]")


@dataclass(frozen=True)
class Vocabulary:
    """The token ids of one tokenizer.

    Attributes
    ----------
    size : int
        Number of rows of the table of token embeddings.
    mask : int
        Id of the mask token.
    special : int64 array
        Ids of special tokens, which are never masked. The token for unknown pieces is one of them.
    replacing : int64 array
        Ids that may replace a token at random: all except special and unused ones.
    """

    size: int
    mask: int
    special: np.ndarray
    replacing: np.ndarray

    @classmethod
    def of(cls, tokenizer, size):
        """The vocabulary of a tokenizer, for a model with `size` embeddings."""
        ids = {index: token for token, index in tokenizer.get_vocab().items() if index < size}
        special = set(tokenizer.all_special_ids)
        replacing = [index for index in sorted(ids) if index not in special and not _UNUSED.fullmatch(ids[index])]
        return cls(size, tokenizer.mask_token_id, np.array(sorted(special)), np.array(replacing, dtype=np.int64))
