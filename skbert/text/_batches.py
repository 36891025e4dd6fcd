"""Batches of texts: packed one after the other without padding, and divided by length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch


@dataclass(frozen=True)
class TokenBatch:
    """A packed batch: the tokens of all texts, one text after the other, without padding tokens.

    The texts are sorted by length. So texts of equal length are next to each other,
    and attention can run on them as one rectangular group.

    Attributes
    ----------
    input_ids, position_ids : int64 tensors (n_tokens,)
        All tokens of all texts; positions count from 0 within each text.
    token_type_ids : int64 tensor (n_tokens,) or None
        Segment ids, if the tokenizer makes them.
    lengths : tuple of int, (n_texts,)
        Number of tokens of each text, in packed (sorted) order.
    order : int64 tensor (n_texts,)
        ``order[i]`` is the index, in the order of the request, of the i-th packed text.
    pad_token_id : int
        Id of the padding token, for families that need padding.
    attended : bool tensor (n_tokens,) or None
        False at tokens to which no token attends, not even they themselves; None means that all are attended.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    token_type_ids: torch.Tensor | None
    lengths: tuple[int, ...]
    order: torch.Tensor
    pad_token_id: int
    attended: torch.Tensor | None = None

    def __len__(self):
        return len(self.lengths)

    def to(self, device):
        """The same batch on `device`."""
        if self.input_ids.device == torch.device(device):
            return self
        types = None if self.token_type_ids is None else self.token_type_ids.to(device)
        return TokenBatch(
            self.input_ids.to(device),
            self.position_ids.to(device),
            types,
            self.lengths,
            self.order.to(device),
            self.pad_token_id,
            None if self.attended is None else self.attended.to(device),
        )

    @cached_property
    def layout(self):
        """Where each text is in this batch."""
        return Layout(self.lengths, self.order, self.attended)


def _order_by_length(tokens, indices):
    return np.argsort([len(tokens.input_ids[i]) for i in indices], kind="stable")


def packed_order(tokens, indices):
    """The `indices` in the order in which `collate` packs them."""
    indices = np.asarray(indices)
    return indices[_order_by_length(tokens, indices)]


def collate(tokens, indices):
    """Pack the texts at `indices` into one batch.

    Parameters
    ----------
    tokens : TokenizedTexts
        Token ids of all texts.
    indices : sequence of int, (n_texts,)
        Indices of the texts, in the order in which the results are needed.

    Returns
    -------
    TokenBatch
        The packed batch.
    """
    indices = np.asarray(indices)
    order = _order_by_length(tokens, indices)
    picked = indices[order]
    lengths = np.array([len(tokens.input_ids[i]) for i in picked], dtype=np.int64)
    types = None
    if tokens.token_type_ids is not None:
        types = torch.from_numpy(np.concatenate([tokens.token_type_ids[i] for i in picked]))
    return TokenBatch(
        input_ids=torch.from_numpy(np.concatenate([tokens.input_ids[i] for i in picked])),
        position_ids=torch.from_numpy(np.concatenate([np.arange(n) for n in lengths])),
        token_type_ids=types,
        lengths=tuple(lengths.tolist()),
        order=torch.from_numpy(order),
        pad_token_id=tokens.pad_token_id,
    )


@dataclass(frozen=True)
class Layout:
    """Where each text is in a packed batch.

    Parameters
    ----------
    lengths : tuple of int, (n_texts,)
        Number of tokens of each text in packed order, ascending.
    order : int64 tensor (n_texts,)
        ``order[i]`` is the row, in the order of the request, of the i-th packed text.
    attended : bool tensor (n_tokens,), default=None
        False at tokens to which no token attends; None means that all are attended.
    """

    lengths: tuple[int, ...]
    order: torch.Tensor
    attended: torch.Tensor | None = None

    @property
    def device(self):
        """Device of the index tensors."""
        return self.order.device

    @cached_property
    def groups(self):
        """Groups of texts of equal length: tuples (first text, first token, n_texts, length)."""
        groups, text, token = [], 0, 0
        while text < len(self.lengths):
            length, n = self.lengths[text], 1
            while text + n < len(self.lengths) and self.lengths[text + n] == length:
                n += 1
            groups.append((text, token, n, length))
            text, token = text + n, token + n * length
        return groups

    @cached_property
    def _lengths(self):
        return torch.tensor(self.lengths, device=self.device)

    @cached_property
    def cls_index(self):
        """Index of the first token of each packed text; int64 (n_texts,)."""
        return torch.cumsum(self._lengths, 0) - self._lengths

    @cached_property
    def _cells(self):
        """Index of each packed token in the flat padded batch, rows in the order of the request; int64 (n_tokens,)."""
        rows = torch.repeat_interleave(self.order, self._lengths)
        starts = torch.repeat_interleave(self.cls_index, self._lengths)
        return rows * self.lengths[-1] + torch.arange(len(rows), device=self.device) - starts

    @cached_property
    def mask(self):
        """True at real tokens; bool (n_texts, longest), rows in the order of the request."""
        mask = torch.zeros(len(self.lengths) * self.lengths[-1], dtype=torch.bool, device=self.device)
        mask[self._cells] = True
        return mask.view(len(self.lengths), self.lengths[-1])

    def pad(self, packed):
        """(n_tokens, ...) → (n_texts, longest, ...), padded with zeros, rows in the order of the request."""
        shape = packed.shape[1:]
        padded = packed.new_zeros(len(self.lengths) * self.lengths[-1], *shape)
        padded = padded.index_copy(0, self._cells, packed)
        return padded.view(len(self.lengths), self.lengths[-1], *shape)

    def pack(self, padded):
        """The inverse of `pad`."""
        return padded.reshape(-1, *padded.shape[2:])[self._cells]

    def restore(self, per_text):
        """(n_texts, ...) in packed order → in the order of the request."""
        return torch.empty_like(per_text).index_copy(0, self.order, per_text)


def padded_inputs(batch, layout):
    """`batch` as the padded keyword arguments of a transformers model."""
    ids = torch.full(layout.mask.shape, batch.pad_token_id, device=layout.device)
    ids[layout.mask] = layout.pad(batch.input_ids)[layout.mask]
    inputs = {"input_ids": ids, "attention_mask": layout.mask.long()}
    if batch.token_type_ids is not None:
        inputs["token_type_ids"] = layout.pad(batch.token_type_ids)
    return inputs


def cut_at_budget(order, lengths, token_budget):
    """Divide the rows `order` into batches of at most `token_budget` tokens; a longer row is a batch of its own."""
    batches, start, total = [], 0, 0
    for i, row in enumerate(order):
        if i > start and total + lengths[row] > token_budget:
            batches.append(order[start:i])
            start, total = i, 0
        total += lengths[row]
    if len(order):
        batches.append(order[start:])
    return batches


def batches_by_length(lengths, token_budget):
    """Split rows into batches of similar length.

    The longest rows come first, so that too little memory shows at once and not at the end.

    Parameters
    ----------
    lengths : int array (n,)
        Number of tokens of each row.
    token_budget : int
        Maximum number of tokens of a batch; a longer row is a batch of its own.

    Returns
    -------
    list of int arrays, which together contain each of 0..n-1 once
    """
    return cut_at_budget(np.argsort(-lengths, kind="stable"), lengths, token_budget)
