"""Pooling over tokens: the hidden state of each token of a text becomes one vector per text.

Each value of the parameter `token_pooling` is one class; what the rest of the package knows of it (the choices of
the estimators, whether only [CLS] need be computed, what a feature store must keep for it) comes from the class alone.
"""

from __future__ import annotations

import torch
from torch import nn


class TokenPooling(nn.Module):
    """Base of the poolings over tokens.

    A subclass sets `name` and implements `forward`; the rest where it differs.

    Parameters
    ----------
    width : int, default=None
        Width of the tokens; of no matter where nothing is learned.
    n_heads : int, default=4
        Number of attention heads, where there are any.

    Attributes
    ----------
    name : str
        The value of `token_pooling` that asks for it.
    learns : bool
        Whether it has parameters, which only training can set.
    reads : {"all", "first"}
        Which tokens of a text it reads. Where it is the first alone, no other token of the last layer is computed.
    summarised : bool
        Whether a feature store keeps its vector of every hidden state, beside the states. The summary is part of the
        format of the stores, so a new pooling leaves it at False and is computed from the states.
    """

    name: str | None = None
    learns = False
    reads = "all"
    summarised = False

    def __init__(self, width=None, n_heads=4):
        super().__init__()

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True; returns (n, width)."""
        raise NotImplementedError

    def out_width(self, width):
        """Width of the pooled vectors, given the `width` of the tokens."""
        return width


class ClsPooling(TokenPooling):
    """Take the first token, [CLS]: (n, tokens, width) → (n, width)."""

    name = "cls"
    reads = "first"
    summarised = True

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width); `mask` (n, tokens) is not needed."""
        return hidden[:, 0]


class MeanPooling(TokenPooling):
    """Mean over the tokens that `mask` keeps: (n, tokens, width) → (n, width)."""

    name = "mean"
    summarised = True

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True."""
        keep = mask.unsqueeze(-1)
        # where() rather than a product: a pad position may hold inf or NaN, and 0 * NaN is NaN.
        total = torch.where(keep, hidden, 0).sum(dim=1)
        return total / keep.sum(dim=1).clamp(min=1)


class MaxPooling(TokenPooling):
    """Element-wise maximum over the tokens that `mask` keeps: (n, tokens, width) → (n, width)."""

    name = "max"
    summarised = True

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True."""
        return torch.where(mask.unsqueeze(-1), hidden, float("-inf")).amax(dim=1)


class MultiHeadAttentionPooling(TokenPooling):
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

    name = "mha"
    learns = True

    def __init__(self, width, n_heads=4):
        super().__init__()
        if width % n_heads:
            raise ValueError(f"n_heads={n_heads} does not divide the width {width} of the pooled tokens.")
        self.attention = nn.MultiheadAttention(width, n_heads, dropout=0.0, batch_first=True)

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width); `mask` (n, tokens) is True at real tokens."""
        pooled, _ = self.attention(hidden[:, :1], hidden, hidden, key_padding_mask=~mask, need_weights=False)
        return pooled[:, 0]


# Every value of `token_pooling`, in the order in which messages list them.
TOKEN_POOLINGS = {pooling.name: pooling for pooling in TokenPooling.__subclasses__()}


def make_token_pooling(name, width, n_heads=4):
    """The module for one value of `token_pooling`.

    Parameters
    ----------
    name : {"cls", "mean", "max", "mha"}
    width : int
        Width of the tokens after the pooling over layers.
    n_heads : int, default=4
        Only used by ``"mha"``.

    Returns
    -------
    TokenPooling
        Called as ``module(hidden, mask)`` with `hidden` (n, tokens, width) and a
        boolean `mask` (n, tokens) that is True at real tokens; returns (n, width).

    Raises
    ------
    ValueError
        There is no pooling of this name, or `n_heads` does not divide `width`.
    """
    if name not in TOKEN_POOLINGS:
        raise ValueError(f"token_pooling must be one of {tuple(TOKEN_POOLINGS)}, got {name!r}")
    return TOKEN_POOLINGS[name](width, n_heads)
