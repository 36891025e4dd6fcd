"""Pooling over tokens: the hidden states of all tokens of a text become one vector per text.

Each value of the parameter `token_pooling` is one class. Everything else that the package needs to know about it is
in this class: the choices of the estimators, whether only [CLS] is computed, and what a feature store must keep.
"""

from __future__ import annotations

import torch
from torch import nn


class TokenPooling(nn.Module):
    """Base class of the poolings over tokens.

    A subclass sets `name` and implements `forward`. It overrides the other members if they differ.

    Parameters
    ----------
    width : int, default=None
        Width of the tokens; ignored if nothing is learned.
    n_heads : int, default=4
        Number of attention heads; ignored if there is no attention.

    Attributes
    ----------
    name : str
        The value of `token_pooling` for this class.
    learns : bool
        Whether it has parameters that must be trained.
    reads : {"all", "first"}
        Which tokens of a text it reads. With ``"first"``, no other token of the last layer is computed.
    summarised : bool
        Whether a feature store keeps its vector of every hidden state, next to the states. The summary is part of the
        format of the stores. So a new pooling keeps False and is computed from the states.
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
        """Pool `hidden` (n, tokens, width); `mask` (n, tokens) is not used."""
        return hidden[:, 0]


class MeanPooling(TokenPooling):
    """Mean over the tokens where `mask` is True: (n, tokens, width) → (n, width)."""

    name = "mean"
    summarised = True

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True."""
        keep = mask.unsqueeze(-1)
        # where() instead of a product: a padding position may hold inf or NaN, and 0 * NaN is NaN.
        total = torch.where(keep, hidden, 0).sum(dim=1)
        return total / keep.sum(dim=1).clamp(min=1)


class MaxPooling(TokenPooling):
    """Element-wise maximum over the tokens where `mask` is True: (n, tokens, width) → (n, width)."""

    name = "max"
    summarised = True

    def forward(self, hidden, mask):
        """Pool `hidden` (n, tokens, width) where `mask` (n, tokens) is True."""
        return torch.where(mask.unsqueeze(-1), hidden, float("-inf")).amax(dim=1)


class MultiHeadAttentionPooling(TokenPooling):
    """One multi-head attention from [CLS] over all tokens (MaxPoolBERT).

    The query is the first token. Keys and values are all tokens of the result of the
    pooling over layers; padding tokens are masked as keys. The output is used without a
    residual connection, LayerNorm or dropout. The input projections are initialised with
    Xavier-uniform, the biases with zero.

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


# Every value of `token_pooling`, in the order that is used in messages.
TOKEN_POOLINGS = {pooling.name: pooling for pooling in TokenPooling.__subclasses__()}


def make_token_pooling(name, width, n_heads=4):
    """Make the module for one value of `token_pooling`.

    Parameters
    ----------
    name : {"cls", "mean", "max", "mha"}
        The value of `token_pooling`.
    width : int
        Width of the tokens after the pooling over layers.
    n_heads : int, default=4
        Number of attention heads; used only by ``"mha"``.

    Returns
    -------
    TokenPooling
        Call it as ``module(hidden, mask)`` with `hidden` (n, tokens, width) and a
        boolean `mask` (n, tokens) that is True at real tokens. It returns (n, width).

    Raises
    ------
    ValueError
        There is no pooling of this name, or `n_heads` does not divide `width`.
    """
    if name not in TOKEN_POOLINGS:
        raise ValueError(f"token_pooling must be one of {tuple(TOKEN_POOLINGS)}, got {name!r}")
    return TOKEN_POOLINGS[name](width, n_heads)
