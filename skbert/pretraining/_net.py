"""A masked language model as a torch module that reads packed batches and predicts masked tokens only."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from skbert.encoder import output_layer, runner_of


class MaskedNet(nn.Module):
    """A masked language model of transformers, run layer by layer on batches without padding.

    Parameters
    ----------
    model : transformers model
        The model with its output layer. It becomes part of this module.

    Attributes
    ----------
    runner : LayerRunner
        Runs the layers of the encoder.
    output : OutputLayer
        Logits from hidden states.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model
        # In tuples, because otherwise torch would register the modules a second time.
        self._parts = (runner_of(model), output_layer(model))

    @property
    def runner(self):
        """Runs the layers of the encoder."""
        return self._parts[0]

    @property
    def output(self):
        """Logits from hidden states."""
        return self._parts[1]

    def forward(self, batch, places):
        """Logits (n_places, vocabulary) at some of the packed tokens of a batch."""
        (states,), _ = self.runner.hidden_states(batch, [self.runner.n_layers])
        # The output layer is the largest part of a small model, so it runs only where its result is used.
        return self.output(states[places])

    def losses(self, batch, places, targets):
        """Cross-entropy (n_places,) of the tokens `targets` at `places`, in nats."""
        return F.cross_entropy(self(batch, places).float(), targets, reduction="none")


def parameter_groups(net, weight_decay):
    """The parameters of a module for an optimizer, without weight decay for vectors: biases and norms."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def weights_of(net):
    """Parameters and buffers of a module by name, each once; those of the module itself, not copies."""
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}


def state_copy(net):
    """A copy of all weights of a module, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights_of(net).items()}


@torch.no_grad()
def load_copy(net, tensors):
    """Set all weights of a module to those of `state_copy`."""
    for name, tensor in weights_of(net).items():
        tensor.copy_(tensors[name])
