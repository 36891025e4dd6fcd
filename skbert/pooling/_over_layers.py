"""Pooling over layers: several hidden states become one, position by position."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

LAYER_POOLINGS = ("max", "mean", "sum", "concat", "weighted")


def resolve_layers(layers, n_layers):
    """Turn the parameter `layers` into indices of hidden states.

    Parameters
    ----------
    layers : int or sequence of int
        ``k`` means the last k transformer layers. A sequence names hidden states
        in 0..L, negative from the end, where 0 is the output of the embeddings.
    n_layers : int
        L, the number of transformer layers that are run.

    Returns
    -------
    tuple of int
        In the order given; an int gives ascending indices.

    Raises
    ------
    ValueError
        k < 1 or k > L, an empty sequence, an index out of range, a repeat.
    TypeError
        Neither an int nor a sequence of int.
    """
    if isinstance(layers, numbers.Integral) and not isinstance(layers, (bool, np.bool_)):
        if not 1 <= layers <= n_layers:
            raise ValueError(
                f"layers={layers} asks for the last {layers} transformer layers, but the encoder runs {n_layers}; "
                f"use 1 to {n_layers}, or a sequence of hidden states in 0..{n_layers}."
            )
        return tuple(range(n_layers - int(layers) + 1, n_layers + 1))
    if isinstance(layers, str) or not isinstance(layers, (Sequence, np.ndarray, range)):
        raise TypeError(f"layers must be an int or a sequence of int, got {type(layers).__name__}")
    if len(layers) == 0:
        raise ValueError("layers is an empty sequence; name at least one hidden state.")
    resolved = []
    for layer in layers:
        if not isinstance(layer, numbers.Integral) or isinstance(layer, (bool, np.bool_)):
            raise TypeError(f"layers must hold ints, got {layer!r} of type {type(layer).__name__}")
        if not -n_layers - 1 <= layer <= n_layers:
            raise ValueError(f"layers holds {layer}, but hidden states go from 0 (embeddings) to {n_layers}.")
        index = int(layer) % (n_layers + 1)
        if index in resolved:
            raise ValueError(f"layers={list(layers)} names hidden state {index} more than once.")
        resolved.append(index)
    return tuple(resolved)


class LayerPooling(nn.Module):
    """Pool several hidden states into one, position by position.

    Parameters
    ----------
    mode : {"max", "mean", "sum", "concat", "weighted"}
        Element-wise maximum, mean or sum; concatenation along the width; or
        ``weighted``, a learned mix with softmax weights that starts as the mean.
    n_states : int
        How many hidden states will come in.

    Notes
    -----
    Where two layers tie for the maximum, the gradient is split evenly among them.
    """

    def __init__(self, mode, n_states):
        super().__init__()
        if mode not in LAYER_POOLINGS:
            raise ValueError(f"layer_pooling must be one of {LAYER_POOLINGS}, got {mode!r}")
        self.mode = mode
        self.n_states = n_states
        self.mix = nn.Parameter(torch.zeros(n_states)) if mode == "weighted" else None

    def forward(self, states):
        """Pool `states`, a sequence of tensors of one shape (..., width)."""
        if len(states) != self.n_states:
            raise ValueError(f"expected {self.n_states} hidden states, got {len(states)}")
        if self.mode == "concat":
            return torch.cat(list(states), dim=-1)
        if len(states) == 1:
            return states[0]
        if self.mode == "weighted":
            weights = torch.softmax(self.mix, dim=0).to(states[0].dtype)
            return sum(weight * state for weight, state in zip(weights, states, strict=True))
        if self.mode == "max":
            return torch.stack(list(states)).amax(dim=0)
        total = sum(states[1:], start=states[0])
        return total / len(states) if self.mode == "mean" else total

    def out_width(self, width):
        """Width of the pooled state, given the encoder's `width`."""
        return width * self.n_states if self.mode == "concat" else width
