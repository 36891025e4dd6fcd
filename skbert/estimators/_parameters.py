"""What each constructor parameter of the trained estimators may be, and the settings that follow from them."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

from skbert._shared import check_bool, check_callbacks, check_choice, check_int, check_real
from skbert.pooling import LAYER_POOLINGS, TOKEN_POOLINGS
from skbert.training import FineTuneSettings


def _or_none(check):
    return lambda name, value: None if value is None else check(name, value)


# The checks give the values back as plain Python types. What depends on the data or on the encoder is checked where
# it is used: `layers`, `layer_path`, `class_weight`, `label_smoothing`, and how many layers there are to freeze.
_CHECKS = {
    "layer_pooling": partial(check_choice, choices=LAYER_POOLINGS),
    "token_pooling": partial(check_choice, choices=TOKEN_POOLINGS),
    "n_heads": partial(check_int, low=1),
    "head": partial(check_choice, choices=("linear", "pooler")),
    "freeze_layers": partial(check_int, low=0),
    "reinit_layers": partial(check_int, low=0),
    "max_epochs": partial(check_int, low=1),
    "batch_size": partial(check_int, low=1),
    "learning_rate": partial(check_real, low=0),
    "head_learning_rate": _or_none(partial(check_real, low=0)),
    "layer_decay": partial(check_real, low=0, high=1, open_low=True),
    "warmup_ratio": partial(check_real, low=0, high=1),
    "weight_decay": partial(check_real, low=0),
    "pretrained_decay": partial(check_real, low=0),
    "mixout": partial(check_real, low=0, high=1, open_high=True),
    "bias_correction": check_bool,
    "max_grad_norm": _or_none(partial(check_real, low=0, open_low=True)),
    "dropout": _or_none(partial(check_real, low=0, high=1, open_high=True)),
    "early_stopping": check_bool,
    "validation_fraction": partial(check_real, low=0, high=1, open_low=True, open_high=True),
    "n_iter_no_change": partial(check_int, low=1),
    "warm_start": check_bool,
    "callbacks": lambda name, value: check_callbacks(value),
}


def checked_parameters(estimator):
    """The constructor parameters of `estimator` that depend neither on the data nor on the encoder, checked.

    Returns
    -------
    dict of name to value, in plain Python types

    Raises
    ------
    ValueError
        One of them is out of its range.
    """
    checked = {name: check(name, getattr(estimator, name)) for name, check in _CHECKS.items()}
    if checked["mixout"] and checked["dropout"] is None:
        # Mixout takes the place of dropout, as in its authors' code.
        checked["dropout"] = 0.0
    return checked


def fine_tune_settings(checked, device, precision, verbose):
    """`FineTuneSettings` from checked parameters, a torch device and a resolved precision."""
    given = {**checked, "device": device, "precision": precision, "verbose": verbose}
    if given["head_learning_rate"] is None:
        given["head_learning_rate"] = given["learning_rate"]
    given["patience"] = given["n_iter_no_change"] if given["early_stopping"] else None
    return FineTuneSettings(**{field.name: given[field.name] for field in fields(FineTuneSettings)})
