"""Pooling over layers: several hidden states become one, token by token.

Each value of the parameter `layer_pooling` is one class. Everything else that the package needs to know about it is
in this class: the choices of the estimators, what a feature store must keep, and how the layer shares are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from skbert._shared import is_int


def resolve_layers(layers, n_layers):
    """Turn the parameter `layers` into indices of hidden states.

    Parameters
    ----------
    layers : int or sequence of int
        An int k means the last k transformer layers. A sequence gives indices of hidden
        states in 0..L, where 0 is the output of the embeddings; negative indices count from the end.
    n_layers : int
        L, the number of transformer layers that are run.

    Returns
    -------
    tuple of int
        Indices in the given order; in ascending order if `layers` is an int.

    Raises
    ------
    ValueError
        k < 1 or k > L; or the sequence is empty, has an index out of range, or repeats an index.
    TypeError
        `layers` is neither an int nor a sequence of int.
    """
    if is_int(layers):
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
        if not is_int(layer):
            raise TypeError(f"layers must hold ints, got {layer!r} of type {type(layer).__name__}")
        if not -n_layers - 1 <= layer <= n_layers:
            raise ValueError(f"layers holds {layer}, but hidden states go from 0 (embeddings) to {n_layers}.")
        index = int(layer) % (n_layers + 1)
        if index in resolved:
            raise ValueError(f"layers={list(layers)} names hidden state {index} more than once.")
        resolved.append(index)
    return tuple(resolved)


class LayerPooling(nn.Module):
    """Base class of the poolings over layers.

    A subclass sets `name` and implements `pool`. It overrides the other members if they differ.

    Parameters
    ----------
    n_states : int
        Number of hidden states to pool.

    Attributes
    ----------
    name : str
        The value of `layer_pooling` for this class.
    learns : bool
        Whether it has parameters that must be trained.
    commutes_with : tuple of str
        Names of the poolings over tokens that give the same result if they are applied first. Then the pooled tokens of
        each hidden state are enough, and the states themselves are not read. Selecting one token commutes with every
        operation that works token by token.
    """

    name: str | None = None
    learns = False
    commutes_with: tuple[str, ...] = ("cls",)

    def __init__(self, n_states):
        super().__init__()
        self.n_states = n_states

    def forward(self, states):
        """Pool `states`, a sequence of tensors of the same shape (..., width); a single state is returned unchanged."""
        if len(states) != self.n_states:
            raise ValueError(f"expected {self.n_states} hidden states, got {len(states)}")
        return states[0] if len(states) == 1 else self.pool(states)

    def pool(self, states):
        """The pooled state (..., width) of two or more `states`."""
        raise NotImplementedError

    def out_width(self, width):
        """Width of the pooled state, given the `width` of the hidden states."""
        return width

    def shares(self, states):
        """How many elements of the pooled state come from each of `states`; tensor (n_states,)."""
        return torch.full((len(states),), states[0].numel() / len(states))


class MaxOverLayers(LayerPooling):
    """Element-wise maximum. If several layers have the maximum, they share the gradient and the count equally."""

    name = "max"
    commutes_with = ("cls", "max")

    def pool(self, states):
        """The maximum of each element."""
        return torch.stack(list(states)).amax(dim=0)

    def shares(self, states):
        """In how many elements each state has the maximum; tensor (n_states,)."""
        stacked = torch.stack(list(states))
        wins = (stacked == stacked.amax(dim=0)).float()
        return (wins / wins.sum(dim=0)).flatten(1).sum(dim=1)


class MeanOverLayers(LayerPooling):
    """Element-wise mean."""

    name = "mean"
    commutes_with = ("cls", "mean")

    def pool(self, states):
        """The mean of each element."""
        return sum(states[1:], start=states[0]) / len(states)


class SumOverLayers(LayerPooling):
    """Element-wise sum."""

    name = "sum"
    commutes_with = ("cls", "mean")

    def pool(self, states):
        """The sum of each element."""
        return sum(states[1:], start=states[0])


class ConcatOverLayers(LayerPooling):
    """The states side by side: the width is multiplied by their number."""

    name = "concat"
    commutes_with = ("cls", "mean", "max")

    def pool(self, states):
        """The states side by side, (..., n_states * width)."""
        return torch.cat(list(states), dim=-1)

    def out_width(self, width):
        """`width` times the number of states."""
        return width * self.n_states


class WeightedOverLayers(LayerPooling):
    """A learned weighted sum: the weights come from a softmax and are equal at the start."""

    name = "weighted"
    learns = True

    def __init__(self, n_states):
        super().__init__(n_states)
        self.mix = nn.Parameter(torch.zeros(n_states))

    def pool(self, states):
        """The weighted sum of each element."""
        weights = torch.softmax(self.mix, dim=0).to(states[0].dtype)
        return sum(weight * state for weight, state in zip(weights, states, strict=True))

    def shares(self, states):
        """The learned weight of each state, times the number of elements; tensor (n_states,)."""
        return torch.softmax(self.mix, dim=0) * states[0].numel()


# Every value of `layer_pooling`, in the order that is used in messages.
LAYER_POOLINGS = {pooling.name: pooling for pooling in LayerPooling.__subclasses__()}


def make_layer_pooling(name, n_states):
    """Make the module for one value of `layer_pooling`.

    Parameters
    ----------
    name : {"max", "mean", "sum", "concat", "weighted"}
        The value of `layer_pooling`.
    n_states : int
        Number of hidden states to pool.

    Returns
    -------
    LayerPooling

    Raises
    ------
    ValueError
        There is no pooling of this name.
    """
    if name not in LAYER_POOLINGS:
        raise ValueError(f"layer_pooling must be one of {tuple(LAYER_POOLINGS)}, got {name!r}")
    return LAYER_POOLINGS[name](n_states)
