"""Holding on to the pretrained weights: decay towards them, and mixout.

Both need the weights as they were pretrained, which are not those that a warm start
begins with. They are given as a dict of parameter name to tensor; a parameter that is
not in it is new (the head, the poolings, layers drawn anew) and is left in peace.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.utils import parametrize


class PretrainedDecay:
    """Decoupled decay towards the pretrained weights (Zhang et al. 2021): w ← w − lr · λ · (w − w_pre).

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Its groups say which parameters are trained, and at which rates.
    targets : dict of parameter id to tensor
    strength : float
        λ.
    """

    def __init__(self, optimizer, targets, strength):
        self.strength = strength
        self._pairs = [
            (group, parameter, targets[id(parameter)])
            for group in optimizer.param_groups
            for parameter in group["params"]
            if id(parameter) in targets
        ]

    @torch.no_grad()
    def step(self):
        """One step, to be taken before that of the optimizer."""
        for group, parameter, target in self._pairs:
            parameter.lerp_(target, group["lr"] * self.strength)


class Mixout(nn.Module):
    """Weights W of a linear layer, mixed at random with pretrained ones U (Lee et al. 2020).

    In training W' = ((1 − M) ⊙ U + M ⊙ W − p U) / (1 − p), where M is 0 with probability
    p and 1 otherwise, drawn once for each input neuron: all weights that leave it are
    kept or replaced together. So E[W'] = W, and the gradient to W is that to W' times
    M / (1 − p). In eval mode W' = W. Used as a parametrization of torch.

    Parameters
    ----------
    target : tensor (n_out, n_in)
        U.
    p : float in [0, 1)

    References
    ----------
    Lee, Cho, Kang (2020). Mixout: Effective Regularization to Finetune Large-scale
    Pretrained Language Models. ICLR 2020. arXiv:1909.11299.
    """

    def __init__(self, target, p):
        super().__init__()
        self.p = p
        # Not persistent: it is no part of what a fit learns, nor of what early stopping takes back.
        self.register_buffer("target", target.detach(), persistent=False)

    def forward(self, weight):
        """W' for `weight` (n_out, n_in)."""
        if not self.training:
            return weight
        kept = torch.empty(1, weight.shape[1], device=weight.device, dtype=weight.dtype).bernoulli_(1.0 - self.p)
        # The formula of the class, solved for the difference from U.
        return torch.lerp(self.target, weight, kept / (1.0 - self.p))


@contextmanager
def mixed(module, targets, p):
    """Mix the trained linear layers of the encoder of `module` with their pretrained weights.

    On leaving, the module is as if nothing had been there.

    Parameters
    ----------
    module : PooledEncoder
    targets : dict of parameter id to tensor
    p : float in [0, 1)
        0 changes nothing.
    """
    linears = [
        linear
        for linear in (module.encoder.modules() if p else ())
        if isinstance(linear, nn.Linear) and linear.weight.requires_grad and id(linear.weight) in targets
    ]
    try:
        for linear in linears:
            mixout = Mixout(targets[id(linear.weight)], p).train(linear.training)
            # "Unsafe" leaves out a trial run, which would draw random numbers outside of our stream.
            parametrize.register_parametrization(linear, "weight", mixout, unsafe=True)
        yield
    finally:
        for linear in linears:
            if parametrize.is_parametrized(linear):
                parametrize.remove_parametrizations(linear, "weight", leave_parametrized=False)
                # The weight came back behind the bias; parameters have an order, which sums of gradients follow.
                linear.register_parameter("bias", linear._parameters.pop("bias"))
