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
    def evened(self):
        """The batch with texts padded to the length of longer ones, for fewer groups; None if that gains nothing."""
        return Evened.of(self)

    @cached_property
    def _starts(self):
        """Index of the first token of each packed text, on the host."""
        return np.cumsum((0, *self.lengths[:-1]), dtype=np.int64)

    @cached_property
    def cls_index(self):
        """Index of the first token of each packed text; int64 (n_texts,)."""
        return torch.from_numpy(self._starts).to(self.device)

    @cached_property
    def _text_and_place(self):
        """Of each packed token: which packed text it is of, and its place in it; on the host."""
        text = np.repeat(np.arange(len(self.lengths), dtype=np.int64), self.lengths)
        return text, np.arange(len(text), dtype=np.int64) - self._starts[text]

    @cached_property
    def _cells(self):
        """Index of each packed token in the flat padded batch, rows in the order of the request; int64 (n_tokens,)."""
        text, place = (torch.from_numpy(index).to(self.device) for index in self._text_and_place)
        return self.order[text] * self.lengths[-1] + place

    @cached_property
    def _packed_cells(self):
        """As `_cells`, but with rows in packed order."""
        text, place = self._text_and_place
        return torch.from_numpy(text * self.lengths[-1] + place).to(self.device)

    @cached_property
    def _sources(self):
        """For each cell of `spread`, the packed token that stands there; int64 (n_texts * longest,)."""
        place = np.minimum(np.arange(self.lengths[-1]), np.array(self.lengths)[:, None] - 1)
        return torch.from_numpy((self._starts[:, None] + place).ravel()).to(self.device)

    @cached_property
    def _real(self):
        """As `spread_mask`, on the host."""
        return np.arange(self.lengths[-1]) < np.array(self.lengths)[:, None]

    @cached_property
    def spread_mask(self):
        """True at real tokens of what `spread` has padded; bool (n_texts, longest)."""
        return torch.from_numpy(self._real).to(self.device)

    @property
    def _is_rectangle(self):
        """Whether all texts are equally long, so that the packed tokens in their order are the padded ones."""
        return self.lengths[0] == self.lengths[-1]

    @cached_property
    def mask(self):
        """True at real tokens; bool (n_texts, longest), rows in the order of the request."""
        mask = torch.zeros(len(self.lengths) * self.lengths[-1], dtype=torch.bool, device=self.device)
        mask[self._cells] = True
        return mask.view(len(self.lengths), self.lengths[-1])

    def key_mask(self, dtype, window=None, one_query=False):
        """What is added to the scores of attention on texts that `spread` has padded.

        Parameters
        ----------
        dtype : torch.dtype
            Type of the scores.
        window : int, default=None
            Maximum distance of the tokens that a token attends to; None means no limit.
        one_query : bool, default=False
            Whether only the first token of each text attends.

        Returns
        -------
        tensor (n_texts or 1, 1, n_queries or 1, longest) or None
            0 at tokens that are attended, -inf at others; None if all are attended.
        """
        key = (dtype, window, one_query)
        if key not in self._key_masks:
            self._key_masks[key] = self._new_key_mask(*key)
        return self._key_masks[key]

    @cached_property
    def _key_masks(self):
        return {}

    def _new_key_mask(self, dtype, window, one_query):
        place = np.arange(self.lengths[-1])
        # What holds for one text holds for all of equal length.
        allowed = real = (self._real[:1] if self._is_rectangle else self._real)[:, None, None, :]
        if window is not None:
            near = np.abs(place[: 1 if one_query else None, None] - place) <= window
            # Padding attends to all tokens, because a softmax over none is NaN, in its gradient too.
            allowed = real & (near if one_query else near | ~real.swapaxes(2, 3))
        if self.attended is None and allowed.all():
            return None
        added = torch.from_numpy(np.where(allowed, np.float32(0), np.float32(-np.inf))).to(self.device, dtype)
        if self.attended is None:
            return added
        return added.masked_fill(~self.spread(self.attended)[:, None, None], float("-inf"))

    def pad(self, packed):
        """(n_tokens, ...) → (n_texts, longest, ...), padded with zeros, rows in the order of the request."""
        shape = packed.shape[1:]
        padded = packed.new_zeros(len(self.lengths) * self.lengths[-1], *shape)
        padded = padded.index_copy(0, self._cells, packed)
        return padded.view(len(self.lengths), self.lengths[-1], *shape)

    def pack(self, padded):
        """The inverse of `pad`."""
        # Not padded[cells], whose gradient sorts the cells because one may occur twice.
        return padded.flatten(0, 1).index_select(0, self._cells)

    def spread(self, packed):
        """(n_tokens, ...) → (n_texts, longest, ...), rows in packed order, in one operation.

        Copies of the last token of a text stand where `pad` has zeros. They get no gradient, so whoever reads the
        result must mask them.
        """
        rectangle = (len(self.lengths), self.lengths[-1], *packed.shape[1:])
        spread = packed if self._is_rectangle else _Spread.apply(packed, self._sources, self._packed_cells)
        return spread.view(rectangle)

    def gather(self, spread):
        """The inverse of `spread`."""
        flat = spread.flatten(0, 1)
        return flat if self._is_rectangle else flat.index_select(0, self._packed_cells)

    def restore(self, per_text):
        """(n_texts, ...) in packed order → in the order of the request."""
        return torch.empty_like(per_text).index_copy(0, self.order, per_text)


# A group of its own costs as much as attention to this many tokens by one: measured with 12 heads of width 32.
_GROUP_COST = 256
# Softmax over fewer numbers is slower by element, fourteen times as slow.
_SHORTEST = 16


@dataclass(frozen=True)
class Evened:
    """A packed batch with padding, where it makes fewer groups of equal length.

    Attributes
    ----------
    layout : Layout
        Where each text is with its padding, which no token attends to.
    sources : int64 tensor (n_padded_tokens,)
        For each token with padding, the packed token that stands there; padding copies the last token of its text.
    cells : int64 tensor (n_tokens,)
        Where each packed token is among those with padding.
    """

    layout: Layout
    sources: torch.Tensor
    cells: torch.Tensor

    @classmethod
    def of(cls, layout):
        """Pad the texts of `layout`; None if no text is padded."""
        lengths = np.array(layout.lengths)
        padded = _evened_lengths(layout.groups)
        if len(padded) == 0 or np.array_equal(padded, lengths):
            return None
        starts, places = layout._starts, np.arange(padded.sum()) - np.repeat(np.cumsum(padded) - padded, padded)
        ends = np.repeat(lengths, padded)
        sources = torch.from_numpy(np.repeat(starts, padded) + np.minimum(places, ends - 1)).to(layout.device)
        real = torch.from_numpy(places < ends).to(layout.device)
        attended = real if layout.attended is None else real & layout.attended[sources]
        return cls(Layout(tuple(padded.tolist()), layout.order, attended), sources, real.nonzero()[:, 0])


def _evened_lengths(groups):
    """Length of each text with padding: a group joins the next longer one if this costs less than its own calls."""
    padded, longest = [], 0
    for _, _, n, length in reversed(groups):
        if n * (longest**2 - length**2) > _GROUP_COST or not longest:
            longest = max(length, _SHORTEST)
        padded += [longest] * n
    return np.array(padded[::-1], dtype=np.int64)


class _Spread(torch.autograd.Function):
    """Rows `sources` of a packed state; its gradient is read at `cells`, the places that are no copies."""

    @staticmethod
    def forward(ctx, packed, sources, cells):
        """See the class."""
        ctx.save_for_backward(cells)
        return packed.index_select(0, sources)

    @staticmethod
    def backward(ctx, gradient):
        """See the class."""
        (cells,) = ctx.saved_tensors
        return gradient.index_select(0, cells), None, None


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
