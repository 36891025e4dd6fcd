"""Multi-head self-attention within each text of a packed batch."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from skbert.encoder._dropout import dropout
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
    width = query.shape[1]
    head = width // n_heads
    # One split instead of one slice per group: the gradient of a slice is as large as the tensor it was cut from.
    n_tokens = [n * length for _, _, n, length in layout.groups]
    n_rows = [n for _, _, n, _ in layout.groups] if cls_only else n_tokens
    parts = []
    for (_, first, n, length), q, k, v in zip(
        layout.groups, query.split(n_rows), key.split(n_tokens), value.split(n_tokens), strict=True
    ):
        n_queries = 1 if cls_only else length
        mask = None
        if window is not None and length > window + 1:
            place = torch.arange(length, device=query.device)
            mask = (place[:n_queries, None] - place[None, :]).abs() <= window
        if layout.attended is not None:
            keys = layout.attended[first : first + n * length].view(n, 1, 1, length)
            mask = keys if mask is None else keys & mask
        q = q.view(n, n_queries, n_heads, head).transpose(1, 2)
        k = k.view(n, length, n_heads, head).transpose(1, 2)
        v = v.view(n, length, n_heads, head).transpose(1, 2)
        out = _attend_within(q, k, v, mask, dropout_p)
        parts.append(out.transpose(1, 2).reshape(n * n_queries, width))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_within(q, k, v, mask, dropout_p):
    """Scaled dot-product attention; `mask` is True where a key is attended, or is added to the scores, or is None."""
    if not dropout_p or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
    # torch has no fused CPU kernel with dropout either.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores + mask if mask.is_floating_point() else scores.masked_fill(~mask, float("-inf"))
    return dropout(scores.softmax(dim=-1), dropout_p) @ v
