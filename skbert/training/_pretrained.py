"""Keeping close to the pretrained weights: decay towards them, and mixout.

Both need the weights as they were pretrained, not the weights from which a warm start
begins. They are given as a dict of parameter name to tensor. A parameter that is not
in the dict is new (the head, the poolings, re-initialised layers) and is not changed.
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
        Its groups define which parameters are trained, and with which rates.
    targets : dict of parameter id to tensor
        Pretrained weights.
    strength : float
        λ, the strength of the decay.
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
        """Do one step; call it before the step of the optimizer."""
        for group, parameter, target in self._pairs:
            parameter.lerp_(target, group["lr"] * self.strength)


class Mixout(nn.Module):
    """Weights W of a linear layer, mixed at random with pretrained weights U (Lee et al. 2020).

    In training, W' = ((1 − M) ⊙ U + M ⊙ W − p U) / (1 − p), where M is 0 with probability
    p and 1 otherwise. M is drawn once per input neuron: all weights that leave it are
    kept or replaced together. So E[W'] = W, and the gradient with respect to W is the
    gradient with respect to W' times M / (1 − p). In eval mode, W' = W. This module is used
    as a parametrization of torch.

    Parameters
    ----------
    target : tensor (n_out, n_in)
        U, the pretrained weights.
    p : float in [0, 1)
        Probability with which a pretrained weight replaces the trained one.

    References
    ----------
    Lee, Cho, Kang (2020). Mixout: Effective Regularization to Finetune Large-scale
    Pretrained Language Models. ICLR 2020. arXiv:1909.11299.
    """

    def __init__(self, target, p):
        super().__init__()
        self.p = p
        # Not persistent: a fit does not learn it, and early stopping does not restore it.
        self.register_buffer("target", target.detach(), persistent=False)

    def forward(self, weight):
        """W' for `weight` (n_out, n_in)."""
        if not self.training:
            return weight
        kept = torch.empty(1, weight.shape[1], device=weight.device, dtype=weight.dtype).bernoulli_(1.0 - self.p)
        # The formula of the class, written for the difference from U.
        return torch.lerp(self.target, weight, kept / (1.0 - self.p))


@contextmanager
def mixed(module, targets, p):
    """Mix the trained linear layers of the encoder of `module` with their pretrained weights.

    At the end of the block, the module has its original structure again.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    targets : dict of parameter id to tensor
        Pretrained weights.
    p : float in [0, 1)
        Probability of mixing; 0 changes nothing.
    """
    linears = [
        linear
        for linear in (module.encoder.modules() if p else ())
        if isinstance(linear, nn.Linear) and linear.weight.requires_grad and id(linear.weight) in targets
    ]
    try:
        for linear in linears:
            mixout = Mixout(targets[id(linear.weight)], p).train(linear.training)
            # "unsafe" skips a trial run, which would draw random numbers outside our stream.
            parametrize.register_parametrization(linear, "weight", mixout, unsafe=True)
        yield
    finally:
        for linear in linears:
            if parametrize.is_parametrized(linear):
                parametrize.remove_parametrizations(linear, "weight", leave_parametrized=False)
                # The weight is now registered after the bias. The original order is restored, because sums of
                # gradients depend on it.
                linear.register_parameter("bias", linear._parameters.pop("bias"))
