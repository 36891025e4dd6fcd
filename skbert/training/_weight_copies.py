"""Copies of weights in bf16, made once per optimizer step from the fp32 weights that are trained."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import torch
from torch import nn

from skbert.encoder import even_linear


class WeightCopies:
    """Lets the linear layers of an encoder compute gradients with copies of their weights in bf16.

    Autocast casts each weight wherever it is used, and casts it again in the backward pass where several weights were
    joined first. Here each weight is cast once per step. All else is as with autocast: the module has fp32 weights,
    the optimizer sees nothing but these, and their gradients are those with respect to the copies.

    Copies are used on a CPU in bf16, and nowhere else. They are only in the module during `in_use`, which makes them
    anew, so they are never older than the weights.

    Parameters
    ----------
    module : nn.Module
        A module with the `runner` of an encoder. Only linear layers that are trained get copies.
    settings : FineTuneSettings or PretrainingSettings
        Device and precision.
    """

    def __init__(self, module, settings):
        is_used = settings.precision == "bf16" and settings.device.type == "cpu" and module.runner.owns_forward
        self._places = list(_trained_linears(module.runner)) if is_used else []
        self._copies = _copies(module.runner, self._places) if is_used else {}

    @contextmanager
    def in_use(self):
        """Inside the block, the module computes with new copies, and a backward pass gives gradients to the weights."""
        with torch.no_grad():
            for copy in self._copies.values():
                copy.tensor.copy_(copy.weight)
        plain = {id(layer): layer for layer, _, _ in self._places if _is_plain(layer)}.values()
        try:
            for layer, name, weight in self._places:
                layer._parameters[name] = self._copies[id(weight)].tensor
            for layer in plain:
                layer.forward = partial(_forward, layer)
            yield
        finally:
            for layer, name, weight in self._places:
                layer._parameters[name] = weight
            for layer in plain:
                vars(layer).pop("forward", None)


def _is_plain(layer):
    """Whether `layer` does no more than a linear layer of torch."""
    return type(layer).forward is nn.Linear.forward and "forward" not in vars(layer)


def _forward(layer, states):
    return even_linear(states, layer.weight, layer.bias)


class _Copy:
    """One weight and its copy; each backward pass adds the gradient of the copy to that of the weight."""

    def __init__(self, weight, memory):
        self.weight = weight
        self.tensor = memory.detach().requires_grad_()
        # The hook must not lead back to the tensor that holds it: Python cannot see, and so not free, such a circle.
        self.tensor.register_post_accumulate_grad_hook(_passed_on_to(weight))


def _passed_on_to(weight):
    # Kept from step to step, because new memory costs more than the sum.
    gradient = torch.empty_like(weight)

    @torch.no_grad()
    def pass_on(copy):
        if weight.grad is None:
            weight.grad = gradient.copy_(copy.grad)
        else:
            weight.grad.add_(copy.grad)
        copy.grad = None

    return pass_on


def _trained_linears(runner):
    """Each weight and bias of a linear layer that is trained: the layer, the name there, and the parameter."""
    # A module that two layers share is visited once.
    layers = {id(layer): layer for layer in runner.layer_modules()}
    for layer in layers.values():
        for part in layer.modules():
            if isinstance(part, nn.Linear):
                # A weight that mixout replaces is no longer here.
                for name, weight in part._parameters.items():
                    if weight is not None and weight.requires_grad:
                        yield part, name, weight


def _copies(runner, places):
    """Copies by the id of their weight; those that one matrix product uses lie next to each other."""
    copies = {}
    for index in range(runner.n_layers):
        parts = runner.joined_linears(index)
        for name in ("weight", "bias"):
            _add(copies, [part._parameters.get(name) for part in parts])
    for _, _, weight in places:
        _add(copies, [weight])
    return copies


def _add(copies, weights):
    weights = [weight for weight in weights if weight is not None and weight.requires_grad and id(weight) not in copies]
    if not weights:
        return
    sizes = [len(weight) for weight in weights]
    # Memory that is taken inside the inference mode of a caller could not be trained.
    with torch.inference_mode(False):
        memory = weights[0].new_empty(sum(sizes), *weights[0].shape[1:], dtype=torch.bfloat16)
        for weight, part in zip(weights, memory.split(sizes), strict=True):
            copies[id(weight)] = _Copy(weight, part)
