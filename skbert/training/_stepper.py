"""One optimizer step, once the gradients of a batch are there."""

from __future__ import annotations

import math

import torch

from skbert.compute import giving_up
from skbert.training._micro_batches import too_large
from skbert.training._optimizers import BertAdam, parameter_groups
from skbert.training._pretrained import PretrainedDecay

# Epsilon of Adam in the recipe of Mosbach et al. (2021), whose training parameters are our defaults.
_BETAS, _EPS = (0.9, 0.999), 1e-6


class Diverged(Exception):
    """The loss or a gradient became non-finite; this step was not applied."""


class Stepper:
    """The optimizer of one phase of training, with what belongs to each of its steps.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    settings : FineTuneSettings
        How to train.
    targets : dict of parameter id to tensor
        Pretrained weights, for `pretrained_decay`.
    note_step : callable
        Called at every step that trains the table of token embeddings; see `Vocabulary`.
    learning_rate, head_learning_rate : float
        Learning rates of this phase, of the encoder and of new parameters.
    """

    def __init__(self, module, settings, targets, note_step, *, learning_rate, head_learning_rate):
        self.module, self.settings, self.note_step = module, settings, note_step
        groups = parameter_groups(
            module, learning_rate, head_learning_rate, settings.weight_decay, settings.layer_decay
        )
        if settings.bias_correction:
            fused = settings.device.type in ("cpu", "cuda")
            self.optimizer = torch.optim.AdamW(groups, betas=_BETAS, eps=_EPS, fused=fused)
        else:
            self.optimizer = BertAdam(groups, betas=_BETAS, eps=_EPS)
        self._highest = [group["lr"] for group in self.optimizer.param_groups]
        table = module.encoder.get_input_embeddings().weight
        # None if the table is frozen.
        holders = (group for group in self.optimizer.param_groups if any(p is table for p in group["params"]))
        self._table_group = next(holders, None)
        self._pretrained_decay = PretrainedDecay(self.optimizer, targets, settings.pretrained_decay)

    def scale_rates(self, factor):
        """Set all learning rates to `factor` times their highest value."""
        for group, highest in zip(self.optimizer.param_groups, self._highest, strict=True):
            group["lr"] = highest * factor

    def step(self):
        """Apply the gradients; Diverged if they are not finite."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        limit = self.settings.max_grad_norm
        norm = torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
        if not math.isfinite(norm):
            raise Diverged
        if self.settings.pretrained_decay:
            self._pretrained_decay.step()
        # The first step creates the state of the optimizer, which is twice as large as the model.
        with giving_up(lambda: too_large(self.module, self.settings)):
            self.optimizer.step()
        if self._table_group is not None:
            rate = self._table_group["lr"]
            self.note_step(rate * self._table_group["weight_decay"], rate * self.settings.pretrained_decay)
