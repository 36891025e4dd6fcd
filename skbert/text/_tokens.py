"""Token ids: every distinct text is tokenised once and truncated once."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass

import numpy as np

from skbert._shared import warn

_encoding = threading.Lock()
# Token ids by tokenizer and text, or pair of texts.
_recent: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_MOST_RECENT = 5000
# Longer texts are not kept, because together they would need too much memory for the time that they save.
_LONGEST_RECENT = 512


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of texts, one row per text; the rows have different lengths.

    Attributes
    ----------
    input_ids : list of int64 arrays, each (n_tokens,)
        With special tokens, without padding. Rows of equal texts share one array.
    token_type_ids : list of int64 arrays, or None
        Segment ids, if the tokenizer makes them.
    pad_token_id : int
        Id of the padding token.
    n_cut : int
        Number of rows that were longer than allowed and were cut.
    """

    input_ids: list[np.ndarray]
    token_type_ids: list[np.ndarray] | None
    pad_token_id: int
    n_cut: int = 0

    def __len__(self):
        return len(self.input_ids)

    def take(self, indices):
        """The texts at `indices`, in that order."""
        types = None if self.token_type_ids is None else [self.token_type_ids[i] for i in indices]
        return TokenizedTexts([self.input_ids[i] for i in indices], types, self.pad_token_id)

    @property
    def lengths(self):
        """Number of tokens of each text, special tokens included; int64 (n,)."""
        return np.fromiter((len(ids) for ids in self.input_ids), dtype=np.int64, count=len(self))


class TextsCutWarning(UserWarning):
    """Texts were longer than allowed; the numbers can be added where many texts are computed in several calls.

    Parameters
    ----------
    n_cut, n_texts : int
        Number of texts that were cut, and of all texts.
    max_length : int
        Maximum number of tokens.
    """

    def __init__(self, n_cut, n_texts, max_length):
        super().__init__(n_cut, n_texts, max_length)
        self.n_cut, self.n_texts, self.max_length = n_cut, n_texts, max_length

    def __str__(self):
        return f"{self.n_cut} of {self.n_texts} texts are longer than max_length={self.max_length} tokens and were cut."


def warn_of_cuts(n_cut, n_texts, max_length):
    """Warn once that texts were cut, and how many; do nothing if none was cut."""
    if n_cut:
        warn(TextsCutWarning(n_cut, n_texts, max_length))


def tokenize(texts, tokenizer, max_length):
    """Tokenise each distinct text once.

    Parameters
    ----------
    texts : TextInput
        Texts, or pairs of texts.
    tokenizer : transformers tokenizer
        The tokenizer of the encoder.
    max_length : int
        Maximum number of tokens of a row, special tokens included. Longer texts are cut (in a
        pair, the longer text first) and counted in ``n_cut``.

    Returns
    -------
    TokenizedTexts
        The token ids.
    """
    rows = texts.rows()
    distinct = list(dict.fromkeys(rows))
    ids, types = _encode_whole(distinct, tokenizer)
    too_long = [i for i, row in enumerate(ids) if len(row) > max_length]
    if too_long:
        cut_ids, cut_types = _encode([distinct[i] for i in too_long], tokenizer, max_length)
        for k, i in enumerate(too_long):
            ids[i] = cut_ids[k]
            if types is not None:
                types[i] = cut_types[k]
    cut = {distinct[i] for i in too_long}
    place = {row: i for i, row in enumerate(distinct)}
    take = [place[row] for row in rows]
    pad = tokenizer.pad_token_id
    return TokenizedTexts(
        [ids[i] for i in take],
        None if types is None else [types[i] for i in take],
        0 if pad is None else pad,
        n_cut=sum(row in cut for row in rows),
    )


def _encode_whole(rows, tokenizer):
    """Token ids and segment ids of uncut rows. Recent ones are cached, because folds and seeds use the same texts."""
    recent = _recent.setdefault(tokenizer, {})
    known = {row: recent[row] for row in rows if row in recent}
    new = [row for row in rows if row not in known]
    if new:
        ids, types = _encode(new, tokenizer, max_length=None)
        made = dict(zip(new, zip(ids, types or [None] * len(ids), strict=True), strict=True))
        known.update(made)
        made = {row: encoded for row, encoded in made.items() if len(encoded[0]) <= _LONGEST_RECENT}
        if len(recent) + len(made) > _MOST_RECENT:
            recent = _recent[tokenizer] = {}
        if len(made) <= _MOST_RECENT:
            recent.update(made)
    ids, types = [known[row][0] for row in rows], [known[row][1] for row in rows]
    return ids, None if types and types[0] is None else types


def _encode(rows, tokenizer, max_length):
    encoded = encode(rows, tokenizer, max_length)
    ids = [np.asarray(row, dtype=np.int64) for row in encoded["input_ids"]]
    types = encoded.get("token_type_ids")
    if types is not None:
        types = [np.asarray(row, dtype=np.int64) for row in types]
    return ids, types


def encode(rows, tokenizer, max_length):
    """The output of `tokenizer` for texts, or for pairs of texts; None as `max_length` does not cut them."""
    pairs = rows and isinstance(rows[0], tuple)
    # A stored tokenizer may have its own settings for padding and truncation, so both are always passed. A fast
    # tokenizer keeps the settings of the last call, and clones share it. Without the lock, one thread could cut
    # the texts of another thread.
    with _encoding:
        return tokenizer(
            [row[0] for row in rows] if pairs else rows,
            [row[1] for row in rows] if pairs else None,
            add_special_tokens=True,
            padding=False,
            truncation="longest_first" if max_length is not None else False,
            max_length=max_length,
            return_attention_mask=False,
            verbose=False,
        )
