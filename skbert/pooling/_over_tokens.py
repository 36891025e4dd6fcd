"""Pooling over tokens: the hidden state of each token of a text becomes one vector per text."""

from __future__ import annotations

import torch
from torch import nn

TOKEN_POOLINGS = ("cls", "mean", "max", "mha")


class ClsPooling(nn.Module):
    """Take the first token, [CLS]: (n, tokens, width) → (n, width)."""

    mode = "cls"

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width); `mask` (n, tokens) is not needed."""
        return hidden[:, 0]


class MeanPooling(nn.Module):
    """Mean over the tokens that `mask` keeps: (n, tokens, width) → (n, width)."""

    mode = "mean"

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True."""
        keep = mask.unsqueeze(-1)
        # where() rather than a product: a pad position may hold inf or NaN, and 0 * NaN is NaN.
        total = torch.where(keep, hidden, 0).sum(dim=1)
        return total / keep.sum(dim=1).clamp(min=1)


class MaxPooling(nn.Module):
    """Element-wise maximum over the tokens that `mask` keeps: (n, tokens, width) → (n, width)."""

    mode = "max"

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True."""
        return torch.where(mask.unsqueeze(-1), hidden, float("-inf")).amax(dim=1)


class MultiHeadAttentionPooling(nn.Module):
    """One multi-head attention from [CLS] over all tokens (MaxPoolBERT).

    The query is the first token, keys and values are all tokens of the sequence
    that came out of the pooling over layers; pads are masked as keys. The output
    is taken as it is: no residual, no LayerNorm, no dropout. Input projections
    start Xavier-uniform, biases at zero.

    Parameters
    ----------
    width : int
        Width of the tokens.
    n_heads : int, default=4
        Number of heads; must divide `width`.

    References
    ----------
    Behrendt, Wagner, Harmeling (2025). MaxPoolBERT: Enhancing BERT Classification
    via Layer- and Token-Wise Aggregation. arXiv:2505.15696.
    """

    mode = "mha"

    def __init__(self, width, n_heads=4):
        super().__init__()
        if width % n_heads:
            raise ValueError(f"n_heads={n_heads} does not divide the width {width} of the pooled tokens.")
        self.attention = nn.MultiheadAttention(width, n_heads, dropout=0.0, batch_first=True)

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width); `mask` (n, tokens) is True at real tokens."""
        pooled, _ = self.attention(hidden[:, :1], hidden, hidden, key_padding_mask=~mask, need_weights=False)
        return pooled[:, 0]


def make_token_pooling(mode, width, n_heads=4):
    """The module for one value of `token_pooling`.

    Parameters
    ----------
    mode : {"cls", "mean", "max", "mha"}
    width : int
        Width of the tokens after the pooling over layers.
    n_heads : int, default=4
        Only used by ``"mha"``.

    Returns
    -------
    torch.nn.Module
        Called as ``module(hidden, mask)`` with `hidden` (n, tokens, width) and a
        boolean `mask` (n, tokens) that is True at real tokens; returns (n, width).
    """
    if mode == "mha":
        return MultiHeadAttentionPooling(width, n_heads)
    modules = {"cls": ClsPooling, "mean": MeanPooling, "max": MaxPooling}
    if mode not in modules:
        raise ValueError(f"token_pooling must be one of {TOKEN_POOLINGS}, got {mode!r}")
    return modules[mode]()
