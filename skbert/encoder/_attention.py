"""Multi-head self-attention within each text of a packed batch."""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skbert.encoder._dropout import dropout, dropout_factors
from skbert.encoder._way import few_launches


def attend(query, key, value, layout, *, n_heads, dropout_p, cls_only=False, window=None):
    """Multi-head self-attention within each text of a packed batch.

    Parameters
    ----------
    query, key, value : tensors (n_tokens, width)
        Projected states. With `cls_only`, `query` is (n_texts, width).
    layout : Layout
        Where each text is in the packed batch.
    n_heads : int
        Number of attention heads.
    dropout_p : float
        Dropout probability of the attention weights.
    cls_only : bool
        Whether there is one query per text, its first token.
    window : int or None
        Maximum distance of the tokens that a token attends to; None means no limit.

    Returns
    -------
    tensor like `query`
    """
    if few_launches(query.device):
        query = query[:, None] if cls_only else layout.spread(query)
        key, value = layout.spread(key), layout.spread(value)
        return _attend_padded(query, key, value, layout, n_heads, dropout_p, window)
    return _attend_by_group(query, key, value, layout, n_heads, dropout_p, cls_only, window)


def attend_joined(projected, layout, *, n_heads, dropout_p):
    """As `attend`, for query, key and value side by side, (n_tokens, 3 * width): they are padded at once."""
    if few_launches(projected.device):
        padded = layout.spread(projected).chunk(3, dim=-1)
        return _attend_padded(*padded, layout, n_heads, dropout_p)
    return _attend_by_group(*projected.chunk(3, dim=-1), layout, n_heads, dropout_p)


def attend_from_first(query, projected, layout, *, n_heads, dropout_p):
    """As `attend` with `cls_only`, for key and value side by side, (n_tokens, 2 * width), in the way "padded"."""
    padded = layout.spread(projected).chunk(2, dim=-1)
    return _attend_padded(query[:, None], *padded, layout, n_heads, dropout_p)


def _attend_padded(query, key, value, layout, n_heads, dropout_p, window=None):
    """Attention of texts that `Layout.spread` has padded, (n_texts, longest, width), in one call.

    `query` may hold only first tokens, (n_texts, 1, width). Returns packed tokens (n_tokens, width), or a row per text.
    """
    one_query = query.shape[1] == 1
    q, k, v = (states.unflatten(-1, (n_heads, -1)).transpose(1, 2) for states in (query, key, value))
    mask = layout.key_mask(query.dtype, window, one_query)
    out = _attend_within(q, k, v, mask, dropout_p).transpose(1, 2).flatten(2)
    return out[:, 0] if one_query else layout.gather(out)


def _attend_by_group(query, key, value, layout, n_heads, dropout_p, cls_only=False, window=None):
    """Attention of packed texts, one call for each group of texts of equal length."""
    if dropout_p and query.device.type == "cpu":
        return _AttendWithDropout.apply(query, key, value, layout, n_heads, dropout_p, cls_only, window)
    width = query.shape[1]
    # One split instead of one slice per group: the gradient of a slice is as large as the tensor it was cut from.
    n_tokens = [n * length for _, _, n, length in layout.groups]
    n_rows = [n for _, _, n, _ in layout.groups] if cls_only else n_tokens
    parts = []
    for (_, first, n, length), q, k, v in zip(
        layout.groups, query.split(n_rows), key.split(n_tokens), value.split(n_tokens), strict=True
    ):
        mask = mask_of_group(layout, first, n, length, cls_only, window)
        q, k, v = (states.view(n, -1, n_heads, width // n_heads).transpose(1, 2) for states in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
        parts.append(out.transpose(1, 2).reshape(-1, width))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def mask_of_group(layout, first, n, length, cls_only, window=None):
    """Which keys are attended in a group, bool (n or 1, 1, n_queries or 1, length); None if all are."""
    mask = None
    if window is not None and length > window + 1:
        place = torch.arange(length, device=layout.device)
        mask = ((place[: 1 if cls_only else length, None] - place[None, :]).abs() <= window)[None, None]
    if layout.attended is not None:
        keys = layout.attended[first : first + n * length].view(n, 1, 1, length)
        mask = keys if mask is None else keys & mask
    return mask


# In bf16, products for fewer attention weights than this are faster in fp32, even with the casts, because torch makes a
# kernel for every new shape in bf16.
_FEW_WEIGHTS = 100_000


class _AttendWithDropout(torch.autograd.Function):
    """`_attend_by_group` with dropout on a CPU, where torch has no kernel for it.

    Groups are many and small, so most of the time would go to calling operations and to their graph: forward and
    backward pass are written out, with as few calls as possible. For bf16, softmax and dropout are computed in fp32,
    where they are several times as fast, and texts are padded where this makes fewer groups.
    """

    @staticmethod
    def forward(ctx, query, key, value, layout, n_heads, dropout_p, cls_only, window):
        """See `attend`."""
        ctx.scale = (query.shape[1] // n_heads) ** -0.5
        ctx.groups = groups = _Groups(layout, n_heads, cls_only, window, query.dtype)
        query, key, value = groups.pad_queries(query) * ctx.scale, groups.pad(key), groups.pad(value)
        out, saved = torch.empty_like(query), []
        factors = dropout_factors(groups.n_weights, dropout_p, groups.wide)
        with torch.autocast("cpu", enabled=False):
            for place, factor in enumerate(factors):
                q, k, v = groups.queries(query, place), groups.keys(key, place, across=True), groups.keys(value, place)
                scores = groups.mask(torch.bmm(q, k).to(groups.wide), place)
                weights = scores.softmax(dim=-1)
                factor = factor.view(weights.shape)
                dropped = (weights * factor).to(q.dtype)
                groups.write_queries(out, place, torch.bmm(dropped, v))
                saved += [q, k, v, weights, factor, dropped]
        ctx.save_for_backward(*saved)
        return groups.unpad_queries(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Gradients of query, key and value."""
        groups, saved = ctx.groups, ctx.saved_tensors
        gradient = groups.zero_padded(gradient)
        of_query = torch.empty_like(gradient)
        of_key, of_value = gradient.new_empty(2, groups.n_keys, gradient.shape[1])
        for place in range(len(saved) // 6):
            q, k, v, weights, factor, dropped = saved[6 * place : 6 * place + 6]
            own = groups.queries(gradient, place)
            groups.write_keys(of_value, place, torch.bmm(dropped.transpose(1, 2), own))
            of_weights = torch.bmm(own, v.transpose(1, 2)).to(groups.wide).mul_(factor)
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, groups.wide).to(q.dtype)
            groups.write_queries(of_query, place, torch.bmm(of_scores, k.transpose(1, 2)))
            groups.write_keys(of_key, place, torch.bmm(q.transpose(1, 2), of_scores).transpose(1, 2))
        found = groups.unpad_queries(of_query.mul_(ctx.scale)), groups.unpad(of_key), groups.unpad(of_value)
        return *found, *(None,) * 5


class _Groups:
    """Cuts packed states into groups, head by head, (n * n_heads, length, width of a head), and writes them back.

    States of type `dtype` are cut as they are, except that those of small groups in bf16 become fp32.
    """

    def __init__(self, layout, n_heads, cls_only, window, dtype):
        is_half = dtype == torch.bfloat16
        # Padding that no token of its window attends to would have a softmax over nothing.
        self._evened = layout.evened if is_half and window is None else None
        self._layout = layout if self._evened is None else self._evened.layout
        self._n_heads, self._cls_only, self._window = n_heads, cls_only, window
        self.wide = torch.float32 if is_half else dtype
        # Number of attention weights of each group.
        self.n_weights = [n * n_heads * (1 if cls_only else length) * length for _, _, n, length in self._layout.groups]
        self._dtypes = [self.wide if n < _FEW_WEIGHTS else dtype for n in self.n_weights]

    @property
    def n_keys(self):
        return sum(self._layout.lengths)

    def pad(self, packed):
        return packed if self._evened is None else packed.index_select(0, self._evened.sources)

    def unpad(self, padded):
        return padded if self._evened is None else padded.index_select(0, self._evened.cells)

    def pad_queries(self, packed):
        return packed if self._cls_only else self.pad(packed)

    def unpad_queries(self, padded):
        return padded if self._cls_only else self.unpad(padded)

    def zero_padded(self, packed):
        """As `pad_queries`, with zeros at padding."""
        if self._evened is None or self._cls_only:
            return packed
        return packed.new_zeros(self.n_keys, packed.shape[1]).index_copy_(0, self._evened.cells, packed)

    def mask(self, scores, place):
        """Set scores of keys that are not attended to -inf."""
        mask = mask_of_group(self._layout, *self._layout.groups[place][1:], self._cls_only, self._window)
        if mask is not None:
            scores.unflatten(0, (-1, self._n_heads)).masked_fill_(~mask, float("-inf"))
        return scores

    def queries(self, packed, place):
        return self._copy(self._cut(packed, place, self._cls_only), place)

    def keys(self, packed, place, across=False):
        """Keys or values of a group; with `across`, length and width of a head are exchanged."""
        cut = self._cut(packed, place, False)
        return self._copy(cut.transpose(2, 3) if across else cut, place)

    def write_queries(self, packed, place, states):
        target = self._cut(packed, place, self._cls_only)
        target.copy_(states.unflatten(0, (-1, self._n_heads)))

    def write_keys(self, packed, place, states):
        target = self._cut(packed, place, False)
        target.copy_(states.unflatten(0, (-1, self._n_heads)))

    def _cut(self, packed, place, per_text):
        text, token, n, length = self._layout.groups[place]
        rows = packed[text : text + n] if per_text else packed[token : token + n * length]
        return rows.view(n, -1, self._n_heads, packed.shape[1] // self._n_heads).transpose(1, 2)

    def _copy(self, cut, place):
        if cut.dtype == self._dtypes[place]:
            return cut.flatten(0, 1)
        # To cast and to lay side by side is one operation.
        return torch.empty(cut.shape, dtype=self._dtypes[place]).copy_(cut).flatten(0, 1)


def _attend_within(q, k, v, mask, dropout_p):
    """Scaled dot-product attention; `mask` is added to the scores, or is None."""
    if not dropout_p or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
    # torch has no fused CPU kernel with dropout.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores + mask
    return dropout(scores.softmax(dim=-1), dropout_p) @ v
