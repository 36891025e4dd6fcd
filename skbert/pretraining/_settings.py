"""Settings of one run of pretraining, and their checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skbert._shared import check_bool, check_choice, check_int, check_real, check_verbose
from skbert.compute import resolve_device, resolve_precision
from skbert.pretraining._checkpoint import check_checkpoint
from skbert.pretraining._from_scratch import Architecture, check_architecture, check_vocabulary

MASKINGS = ("token", "whole_word", "span", "pmi")
WEIGHTS = ("frequency", "loss")
HEADS = ("identity", "random")


@dataclass(frozen=True)
class PretrainingSettings:
    """How to train, in plain Python types; each field is the constructor parameter of the same name, after its check.

    The exceptions: `patience` is `n_iter_no_change`, or None without early stopping; `device` and `precision` are the
    values that were chosen for "auto".
    """

    architecture: Architecture | None
    vocabulary: int | None
    masking: str
    mask_rate: float
    replacement: tuple[float, float, float]
    drop_mask: bool
    head: str
    max_steps: int
    batch_size: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    validation_fraction: float
    patience: int | None
    device: torch.device
    precision: str
    verbose: int


def checked_settings(model):
    """The settings of a `MaskedLanguageModel`.

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """
    check_weights(model.mask_weights)
    check_checkpoint(model.checkpoint, model.random_state)
    if model.revision is not None and not isinstance(model.revision, str):
        raise ValueError(f"revision must be None or a str, got {model.revision!r}")
    if model.max_length is not None:
        check_int("max_length", model.max_length, 3)
    architecture = check_architecture(model.architecture)
    device = resolve_device(model.device)
    patience = check_int("n_iter_no_change", model.n_iter_no_change, 1)
    return PretrainingSettings(
        architecture=architecture,
        vocabulary=check_vocabulary(model.vocabulary, architecture),
        masking=check_choice("masking", model.masking, MASKINGS),
        mask_rate=check_real("mask_rate", model.mask_rate, 0, 1, open_low=True, open_high=True),
        replacement=check_replacement(model.replacement),
        drop_mask=check_bool("drop_mask", model.drop_mask),
        head=check_choice("head", model.head, HEADS),
        max_steps=check_int("max_steps", model.max_steps, 1),
        batch_size=check_int("batch_size", model.batch_size, 1),
        learning_rate=check_real("learning_rate", model.learning_rate, 0),
        warmup_ratio=check_real("warmup_ratio", model.warmup_ratio, 0, 1),
        weight_decay=check_real("weight_decay", model.weight_decay, 0),
        validation_fraction=check_real("validation_fraction", model.validation_fraction, 0, 1, open_high=True),
        patience=patience if check_bool("early_stopping", model.early_stopping) else None,
        device=device,
        precision=resolve_precision(model.precision, device),
        verbose=check_verbose(model.verbose),
    )


def check_weights(value):
    """Raise ValueError if `value` is no `mask_weights`."""
    if value is None or callable(value) or (isinstance(value, str) and value in WEIGHTS):
        return
    raise ValueError(f"mask_weights must be None, one of {WEIGHTS} or a callable of token ids, got {value!r:.80}")


def check_replacement(value):
    """Return `replacement` as three floats; they must be shares that sum to 1."""
    try:
        shares = tuple(float(share) for share in value)
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or min(shares) < 0 or not np.isclose(sum(shares), 1.0):
        raise ValueError(
            "replacement must be three shares that sum to 1, of masked tokens that become the mask token, become a "
            f"random token, and stay, such as (0.8, 0.1, 0.1); got {value!r:.80}"
        )
    return shares
