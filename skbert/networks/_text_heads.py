"""Heads: modules that turn the pooled vector of a text into logits, or into the value of a regression.

Each value of the parameter `head` is one class.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class LinearHead(nn.Module):
    """Dropout, then a linear layer: (n, width) → (n, n_outputs).

    Parameters
    ----------
    runner : LayerRunner
        The runner of the encoder.
    width : int
        Width of the pooled vectors.
    n_outputs : int
        Width of the outputs.
    dropout : float, default=None
        Dropout probability; None uses the value of the encoder's config.
    unit_vectors : bool, default=False
        Whether the linear layer reads vectors of length 1: directions from `center`, which is the origin until
        `set_center`.

    Attributes
    ----------
    name : str
        The value of `head` for this class.
    reads_pooler : bool
        Whether the pretrained pooler of the encoder is used between pooled vectors and outputs.
    """

    name = "linear"
    reads_pooler = False

    def __init__(self, runner, width, n_outputs, dropout=None, unit_vectors=False):
        super().__init__()
        self.unit_vectors = unit_vectors
        self.dropout = nn.Dropout(runner.head_dropout if dropout is None else dropout)
        self.classifier = nn.Linear(width, n_outputs)
        if unit_vectors:
            self.register_buffer("center", torch.zeros(width))
        nn.init.normal_(self.classifier.weight, std=runner.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    @property
    def n_outputs(self):
        """Width of the outputs."""
        return self.classifier.out_features

    def set_center(self, center):
        """Read directions from `center`, a pooled vector (width,), if vectors of length 1 are read."""
        if self.unit_vectors:
            self.center.copy_(center)

    def vectors(self, pooled):
        """What dropout and the linear layer read, (n, width), for pooled vectors (n, width)."""
        return F.normalize(pooled - self.center, dim=1) if self.unit_vectors else pooled

    def forward(self, pooled):
        """Outputs (n, n_outputs) for pooled vectors (n, width)."""
        return self.classifier(self.dropout(self.vectors(pooled)))


class PoolerHead(LinearHead):
    """The pretrained dense layer and activation of the encoder, then dropout and a linear layer.

    Parameters
    ----------
    runner, width, n_outputs, dropout, unit_vectors
        As in `LinearHead`.

    Raises
    ------
    ValueError
        The encoder has no pooler, or its pooler has another width.
    """

    name = "pooler"
    reads_pooler = True

    def __init__(self, runner, width, n_outputs, dropout=None, unit_vectors=False):
        dense = runner.pooler_dense
        if dense is None:
            raise ValueError(
                "head='pooler' needs an encoder with a pretrained pooler, which this "
                f"{runner.model.config.model_type!r} checkpoint does not have. Use head='linear'."
            )
        if dense.in_features != width:
            raise ValueError(
                f"head='pooler' takes vectors of width {dense.in_features}, but the pooled vectors have width {width} "
                "(layer_pooling='concat' makes them wider). Use head='linear'."
            )
        super().__init__(runner, width, n_outputs, dropout, unit_vectors)
        # In a tuple, because otherwise torch would register the encoder's weights a second time, as part of the head.
        self._runner = (runner,)

    def set_center(self, center):
        """Nothing, because `center` is no vector that the pooler makes."""

    def vectors(self, pooled):
        """What dropout and the linear layer read, (n, width), for pooled vectors (n, width)."""
        return super().vectors(self._runner[0].apply_pooler(pooled))


# Every value of `head`.
TEXT_HEADS = {head.name: head for head in (LinearHead, PoolerHead)}


def make_text_head(name, runner, width, n_outputs, dropout=None, unit_vectors=False):
    """Make the module for one value of `head`; see `LinearHead` for the parameters.

    Raises
    ------
    ValueError
        There is no head of this name, or it does not fit the encoder.
    """
    if name not in TEXT_HEADS:
        raise ValueError(f"head must be one of {tuple(TEXT_HEADS)}, got {name!r}")
    return TEXT_HEADS[name](runner, width, n_outputs, dropout, unit_vectors)
