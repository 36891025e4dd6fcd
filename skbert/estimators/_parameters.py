"""The constructor parameters of the trained estimators: the allowed values of each, and its use.

There is one list, in the order of the constructor. It defines the checks, the settings of a training run, the
parameters that a recipe may set, and the parameters that determine the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import joblib
from sklearn.base import is_regressor

from skbert._shared import (
    as_list,
    check_bool,
    check_callbacks,
    check_choice,
    check_int,
    check_real,
    check_verbose,
    to_json,
    warn,
)
from skbert.estimators._nested_model import is_nested
from skbert.networks import TEXT_HEADS
from skbert.pooling import LAYER_POOLINGS, TOKEN_POOLINGS
from skbert.training import CONTRASTIVE_LOSSES, FineTuneSettings


@dataclass(frozen=True)
class Parameter:
    """One constructor parameter.

    Attributes
    ----------
    name : str
        Name of the parameter.
    check : callable or None
        Takes name and value, and returns the value as a plain Python type or raises ValueError. None if the check
        needs the data or the encoder; such a value is checked where it is used.
    shape : callable or None
        Returns the value in JSON form. A warm start compares it to see whether the parameters still ask for the model
        of the last fit. None if the parameter does not affect the structure of the model.
    recipe : bool
        Whether a recipe may set it.
    of_classes : bool
        Whether it needs classes; a regressor takes only the default, so that recipes can be passed to it.
    """

    name: str
    check: Callable | None = None
    shape: Callable | None = None
    recipe: bool = False
    of_classes: bool = False


def _or_none(check):
    return lambda name, value: None if value is None else check(name, value)


def _check_revision(name, value):
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be None or a str, got {value!r}")
    return value


def _or_word(word, check):
    """A check for `word`, or for what `check` accepts."""

    def check_both(name, value):
        if isinstance(value, str) and value == word:
            return value
        try:
            return check(name, value)
        except ValueError as error:
            raise ValueError(f'{error}; or "{word}"') from None

    return check_both


def _name_of_model(value):
    """The name of an encoder; for a model that trains one, its class and its parameters."""
    if not is_nested(value):
        return str(value)
    parameters = sorted(value.get_params(deep=False).items())
    # Functions by their names, because some cannot be hashed.
    plain = [(name, repr(item) if callable(item) else item) for name, item in parameters]
    return f"{type(value).__name__} {joblib.hash(plain)}"


_at_least_0, _at_least_1 = partial(check_int, low=0), partial(check_int, low=1)
_not_negative = partial(check_real, low=0)

PARAMETERS = (
    Parameter("model", shape=_name_of_model),
    Parameter("revision", _check_revision, shape=to_json),
    Parameter("layers", shape=as_list),
    Parameter("layer_pooling", partial(check_choice, choices=tuple(LAYER_POOLINGS)), shape=to_json),
    Parameter("token_pooling", partial(check_choice, choices=tuple(TOKEN_POOLINGS)), shape=to_json),
    Parameter("n_heads", _at_least_1, shape=to_json),
    Parameter("head", partial(check_choice, choices=tuple(TEXT_HEADS)), shape=to_json),
    Parameter("layer_path", shape=as_list, recipe=True),
    Parameter("freeze_layers", _at_least_0, recipe=True),
    Parameter("reinit_layers", _or_word("all", _at_least_0), shape=to_json, recipe=True),
    Parameter("max_length", _or_none(partial(check_int, low=3)), shape=to_json),
    Parameter("max_epochs", _at_least_0, recipe=True),
    Parameter("batch_size", _at_least_1, recipe=True),
    Parameter("learning_rate", _not_negative, recipe=True),
    Parameter("head_learning_rate", _or_none(_not_negative), recipe=True),
    Parameter("layer_decay", partial(check_real, low=0, high=1, open_low=True), recipe=True),
    Parameter("warmup_ratio", partial(check_real, low=0, high=1), recipe=True),
    Parameter("weight_decay", _not_negative, recipe=True),
    Parameter("pretrained_decay", _not_negative, recipe=True),
    # The dropout of the model depends on whether there is mixout.
    Parameter("mixout", partial(check_real, low=0, high=1, open_high=True), shape=bool, recipe=True),
    Parameter("bias_correction", check_bool, recipe=True),
    Parameter("max_grad_norm", _or_none(partial(check_real, low=0, open_low=True)), recipe=True),
    Parameter("dropout", _or_none(partial(check_real, low=0, high=1, open_high=True)), shape=to_json, recipe=True),
    Parameter("head_init", partial(check_choice, choices=("random", "logistic")), recipe=True, of_classes=True),
    Parameter("contrastive_steps", _or_word("auto", _at_least_0), recipe=True, of_classes=True),
    Parameter(
        "contrastive_loss", partial(check_choice, choices=tuple(CONTRASTIVE_LOSSES)), recipe=True, of_classes=True
    ),
    Parameter("contrastive_pairs", partial(check_choice, choices=("batch", "setfit")), recipe=True, of_classes=True),
    Parameter("contrastive_center", _or_word("auto", check_bool), recipe=True, of_classes=True),
    Parameter("contrastive_learning_rate", _or_none(_not_negative), recipe=True, of_classes=True),
    # With fewer texts, a batch would have one class.
    Parameter("contrastive_batch_size", partial(check_int, low=4), recipe=True, of_classes=True),
    Parameter("contrastive_weight", _not_negative, recipe=True, of_classes=True),
    Parameter("contrastive_temperature", partial(check_real, low=0, open_low=True), recipe=True, of_classes=True),
    Parameter("label_smoothing", partial(check_real, low=0, high=1, open_high=True)),
    Parameter("class_weight"),
    Parameter("early_stopping", check_bool),
    Parameter("validation_fraction", partial(check_real, low=0, high=1, open_low=True, open_high=True)),
    Parameter("n_iter_no_change", _at_least_1),
    Parameter("warm_start", check_bool),
    Parameter("callbacks", lambda name, value: check_callbacks(value)),
    Parameter("random_state"),
    Parameter("init_seed"),
    Parameter("order_seed"),
    Parameter("device"),
    Parameter("precision"),
    Parameter("verbose", lambda name, value: check_verbose(value)),
)

RECIPE_PARAMETERS = tuple(parameter.name for parameter in PARAMETERS if parameter.recipe)


def checked_parameters(estimator, names=None):
    """Check the constructor parameters of `estimator` that need neither data nor the encoder, and return them.

    Parameters
    ----------
    estimator : estimator
        The estimator; it may have only some of the parameters.
    names : collection of str, default=None
        Check only these; None means all.

    Returns
    -------
    dict of name to value, in plain Python types

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """
    checked = {
        parameter.name: parameter.check(parameter.name, getattr(estimator, parameter.name))
        for parameter in PARAMETERS
        if parameter.check and hasattr(estimator, parameter.name) and (names is None or parameter.name in names)
    }
    _check_phases(checked)
    return checked


def warn_of_defaults(estimator, width, n_texts):
    """Warn if a small encoder is trained on few texts with nothing but the defaults, which were made for large ones."""
    if (
        width >= _WIDTH_OF_BASE
        or n_texts > _MOST_TEXTS
        or not all(_is_default(estimator, n) for n in RECIPE_PARAMETERS)
    ):
        return
    name, reading, recipe = type(estimator).__name__, "", "'few_data_joint'"
    if is_regressor(estimator):
        recipe = "'few_data', regression=True"
    elif all(_is_default(estimator, parameter) for parameter in _READING):
        reading, recipe = "layers=1, token_pooling='mean', ", "'few_data'"
    elif estimator.token_pooling == "mean" and as_list(estimator.layers) in (1, [-1]):
        recipe = "'few_data'"
    warn(
        f"The default training was made for BERT-large; an encoder of width {width} learns little from it on {n_texts} "
        f"texts. With few texts, use {name}(model, {reading}**recipes.get({recipe})), or set the parameters of "
        "the training yourself. See skbert.recipes."
    )


# The hidden size of BERT-base, and the number of texts up to which recipes for few data were measured.
_WIDTH_OF_BASE, _MOST_TEXTS = 768, 500
_READING = ("layers", "layer_pooling", "token_pooling")


def refuse_class_parameters(estimator):
    """Raise ValueError if `estimator`, a regressor, was given a value for what only classifiers can do."""
    for name in (parameter.name for parameter in PARAMETERS if parameter.of_classes):
        if not _is_default(estimator, name):
            default = inspect.signature(type(estimator)).parameters[name].default
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} needs classes, and {type(estimator).__name__} has none: leave "
                f"{name}={default!r}. For the parameters of a recipe, use recipes.get(name, regression=True)."
            )


def _is_default(estimator, name):
    value, default = getattr(estimator, name), inspect.signature(type(estimator)).parameters[name].default
    # A sequence may be an array, whose comparison is another one.
    return value is default or (isinstance(value, (bool, int, float, str)) and value == default)


def _check_phases(checked):
    """Raise ValueError if the phases of training do not fit together."""
    if checked.get("max_epochs") == 0 and checked.get("head_init") != "logistic":
        raise ValueError(
            "max_epochs must be an int of at least 1, got 0: the head would stay random. It may be 0 only with "
            "head_init='logistic', in classifiers."
        )
    if checked.get("contrastive_pairs") == "setfit" and checked["contrastive_loss"] != "cosine":
        raise ValueError(
            f"contrastive_pairs='setfit' has the loss 'cosine', got contrastive_loss={checked['contrastive_loss']!r}."
        )


def head_of_unit_vectors(checked):
    """Whether the head starts on vectors of length 1, because only their directions were trained."""
    return checked.get("head_init") == "logistic" and checked["contrastive_steps"] != 0


def dropout_asked(checked):
    """The probability that replaces every dropout of the encoder and of the head, or None."""
    # Mixout replaces dropout, as in the code of its authors.
    return 0.0 if checked["mixout"] and checked["dropout"] is None else checked["dropout"]


def model_asked(estimator):
    """The parameters that determine the model of `estimator`, as JSON types."""
    return {
        parameter.name: parameter.shape(getattr(estimator, parameter.name))
        for parameter in PARAMETERS
        if parameter.shape
    }


def fine_tune_settings(checked, device, precision):
    """`FineTuneSettings` from checked parameters, a torch device and a resolved precision."""
    given = {**checked, "device": device, "precision": precision}
    rate, contrastive_rate = given["learning_rate"], given["contrastive_learning_rate"]
    contrastive_rate = rate if contrastive_rate is None else contrastive_rate
    for_new = given["head_learning_rate"]
    given["contrastive_learning_rate"] = contrastive_rate
    given["contrastive_pooling_rate"] = contrastive_rate if for_new is None else for_new
    given["head_learning_rate"] = rate if for_new is None else for_new
    given["patience"] = given["n_iter_no_change"] if given["early_stopping"] else None
    return FineTuneSettings(**{field.name: given[field.name] for field in fields(FineTuneSettings)})
