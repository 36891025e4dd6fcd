"""Settings of one fine-tuning run."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class FineTuneSettings:
    """How to train, in plain Python types.

    Each field is the constructor parameter of the same name, after its check, with these exceptions: `patience` is
    `n_iter_no_change`, or None without early stopping; `device` and `precision` are the values that were chosen for
    "auto"; `head_learning_rate` and `contrastive_learning_rate` are never None; and `contrastive_pooling_rate` is
    `head_learning_rate`, or `contrastive_learning_rate` if that was None.
    """

    max_epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    layer_decay: float
    warmup_ratio: float
    weight_decay: float
    pretrained_decay: float
    mixout: float
    bias_correction: bool
    max_grad_norm: float | None
    patience: int | None
    callbacks: list
    device: torch.device
    precision: str
    verbose: int
    head_init: str
    contrastive_steps: int | str
    contrastive_loss: str
    contrastive_pairs: str
    contrastive_center: bool | str
    contrastive_learning_rate: float
    contrastive_pooling_rate: float
    contrastive_batch_size: int
    contrastive_weight: float
    contrastive_temperature: float
