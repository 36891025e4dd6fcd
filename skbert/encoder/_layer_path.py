"""The layers of an encoder: which ones it has, the depth of each parameter, and re-initialising the top layers.

A layer path names the transformer layers to run, in order, as 0-based indices.
`LayerRunner.hidden_states` runs any path over an encoder without changing it.
`take_path` changes an encoder: afterwards its layers are those of the path, and
every number of layers is counted along the path.

References
----------
Sajjad, Dalvi, Durrani, Nakov (2023). On the Effect of Dropping Layers of Pre-trained
Transformer Models. arXiv:2004.03844.

Kao, Wu, Chi, Hsieh, Lee (2020). BERT's output layer recognizes all hidden layers?
arXiv:2001.09309.

Zhang, Wu, Katiyar, Weinberger, Artzi (2021). Revisiting Few-sample BERT Fine-tuning.
ICLR 2021. arXiv:2006.05987.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from skbert._shared import is_int
from skbert.encoder.families import make_runner


def resolve_path(layer_path, runner):
    """Turn the parameter `layer_path` into indices of transformer layers.

    Parameters
    ----------
    layer_path : sequence of int or None
        The value that the user gave.
    runner : LayerRunner
        The runner of the encoder as it was pretrained.

    Returns
    -------
    tuple of int, or None if all layers run once, in order

    Raises
    ------
    TypeError
        `layer_path` is not a sequence of int.
    ValueError
        `layer_path` is empty, or an index is out of range.
    NotImplementedError
        The path is not simply all layers in order, and skbert does not run this family itself.
    """
    if layer_path is None:
        return None
    if isinstance(layer_path, (str, bytes)) or not isinstance(layer_path, (Sequence, np.ndarray)):
        raise TypeError(
            f"layer_path must be None or a sequence of int, such as range(4) or [0, 1, 1, 2], got {layer_path!r:.80}"
        )
    n_layers = runner.n_layers
    if len(layer_path) == 0:
        raise ValueError(f"layer_path is empty; name at least one of the layers 0..{n_layers - 1}, or pass None.")
    for index in layer_path:
        if not is_int(index):
            raise TypeError(f"layer_path must hold ints, got {index!r:.80} of type {type(index).__name__}")
        if not 0 <= index < n_layers:
            more = f". For a recipe, give the depth of the encoder: recipes.get(name, n_layers={n_layers})."
            raise ValueError(
                f"layer_path holds {index}, but the layers of this encoder are 0..{n_layers - 1}"
                + (" (negative indices are not allowed)." if index < 0 else more)
            )
    path = tuple(int(index) for index in layer_path)
    if path == tuple(range(n_layers)):
        return None
    check_own_family(runner, "layer_path")
    return path


def take_path(model, path):
    """Replace the layers of `model` by the layers of `path`, in place.

    If `path` names a layer once, the layer keeps its weights. If it names the layer
    again, each repetition is a copy with its own weights. Layers that share their
    weights, as in ALBERT, still share them if each is named once. The config of the
    checkpoint does not change: config and path together build the same model again.

    Parameters
    ----------
    model : transformers model
        A base model of a family that skbert runs itself.
    path : tuple of int, or None
        From `resolve_path`; None leaves the model as it is.

    Returns
    -------
    model

    Raises
    ------
    NotImplementedError
        The path moves or repeats a layer to which a module outside the layers belongs.
    """
    if path is None:
        return model
    runner = make_runner(model)
    before, taken = runner.layer_modules(), set()
    after = []
    for index in path:
        after.append(copy.deepcopy(before[index]) if index in taken else before[index])
        taken.add(index)
    runner.replace_layers(after, path)
    return model


def check_own_family(runner, name):
    """Raise NotImplementedError if skbert does not run this family itself; `name` is the parameter in the message."""
    if not runner.owns_forward:
        raise NotImplementedError(
            f"{name} needs a family that skbert runs layer by layer, not {runner.model.config.model_type!r}; "
            "leave it at its default."
        )


def check_boundary(runner, name, value, boundary):
    """Check that the layers of an encoder can be divided into those below and those above `boundary`.

    Parameters
    ----------
    runner : LayerRunner
        The runner of the encoder.
    name : str
        The parameter that asks for this division, for messages.
    value : int
        Its value: a number of layers, counted from the bottom or from the top.
    boundary : int
        Number of layers below the division.

    Raises
    ------
    ValueError
        The encoder has fewer layers, or a layer below shares its weights with a layer above.
    NotImplementedError
        skbert does not run this family itself.
    """
    if value > runner.n_layers:
        raise ValueError(f"{name}={value}, but the encoder runs {runner.n_layers} layers.")
    check_own_family(runner, name)
    modules = runner.layer_modules()
    if set(map(id, modules[:boundary])) & set(map(id, modules[boundary:])):
        raise ValueError(
            f"{name}={value} would separate layers that share their weights, as in ALBERT. Take all layers of a group, "
            "or none of them."
        )


def parameter_depths(runner):
    """Depth of each parameter of an encoder, by its ``id``: 0 is the embeddings, d is layer d, L + 1 is the pooler.

    Parameters that all layers share count as embeddings. A norm after the last layer counts as part of that layer.
    Weights that several layers share have the depth of the topmost of these layers.
    """
    n_layers = runner.n_layers
    levels = [[runner.model], *(runner.layer_parts(index) for index in range(n_layers))]
    levels[-1] = levels[-1] + [part for part in [runner.final_norm] if part is not None]
    levels.append([part for part in [runner.pooler] if part is not None])
    return {id(p): depth for depth, parts in enumerate(levels) for part in parts for p in part.parameters()}


def trained_parts(runner, n_frozen):
    """The trained modules of an encoder: everything above its `n_frozen` lowest layers."""
    return runner.layer_modules()[n_frozen:] + runner.parts_above_layers()


def top_parts(runner, n_layers):
    """The modules that make up the top `n_layers` layers."""
    return [part for index in range(runner.n_layers - n_layers, runner.n_layers) for part in runner.layer_parts(index)]


@torch.no_grad()
def reinitialise(parts, std):
    """Re-initialise modules: linear layers, convolutions and embeddings from N(0, std²), biases 0, LayerNorm 1 and 0.

    The embedding of the padding token becomes 0, as in transformers.

    Parameters
    ----------
    parts : list of modules
        Modules to re-initialise; a module that is listed twice is re-initialised once.
    std : float
        Standard deviation of the new weights, the encoder's ``initializer_range``.
    """
    for module in dict.fromkeys(module for part in parts for module in part.modules()):
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Embedding)):
            module.weight.normal_(std=std)
            if getattr(module, "padding_idx", None) is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
        if getattr(module, "bias", None) is not None:
            module.bias.zero_()
