"""Estimators by their names on the command line."""

from __future__ import annotations

import ast
import importlib.util
import inspect

import numpy as np

import skbert.recipes as recipes
from skbert.cli._cells import as_values

# Points of the pooling plane; the first four names are those of the MaxPoolBERT paper.
READINGS = {
    "baseline": {"layers": 1, "token_pooling": "cls"},
    "maxcls": {"layers": 3, "layer_pooling": "max", "token_pooling": "cls"},
    "mha": {"layers": 1, "token_pooling": "mha"},
    "maxpool": {"layers": 3, "layer_pooling": "max", "token_pooling": "mha"},
    "meancls": {"layers": 3, "layer_pooling": "mean", "token_pooling": "cls"},
    "meanpool": {"layers": 3, "layer_pooling": "mean", "token_pooling": "mha"},
    "mean": {"layers": 1, "token_pooling": "mean"},
}
FEATURES = "features"


def recipe_for(reading):
    """The recipe that suits a reading if none is given; see the recipes themselves."""
    return "few_data" if reading == "mean" else "few_data_joint"


def read_settings(settings):
    """Parameters from ``name=value`` words; values are Python literals or plain words."""
    found = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise ValueError(f"--set needs name=value, got {setting!r}")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def tuned(reading, recipe, model, settings=(), *, regression=False, **others):
    """Make the estimator that fine-tunes `model`, with the pooling of `reading` and the training of `recipe`.

    Raises
    ------
    ValueError
        The reading, the recipe or a parameter is unknown.
    """
    from skbert.encoder import load_encoder, make_runner
    from skbert.estimators import MaxPoolBERTClassifier, MaxPoolBERTRegressor

    if reading not in READINGS:
        raise ValueError(f"There is no reading {reading!r}; the readings are {', '.join(READINGS)}.")
    kind = MaxPoolBERTRegressor if regression else MaxPoolBERTClassifier
    recipe = recipe_for(reading) if recipe is None else recipe
    # Some recipes depend on the number of layers.
    n_layers = make_runner(load_encoder(model).model).n_layers
    parameters = recipes.get(recipe, n_layers=n_layers, regression=regression)
    parameters |= READINGS[reading] | others | read_settings(settings)
    check_known(kind, parameters)
    return kind(model, **parameters)


def check_known(kind, parameters):
    """Raise ValueError if a class of estimators does not have all of these parameters; `model` is not one to set."""
    known = [name for name in inspect.signature(kind).parameters if name != "model"]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no parameter {unknown[0]!r}; it has {', '.join(known)}.")


def frozen(model, *, regression=False):
    """Logistic (ridge) regression on standardised frozen features."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from skbert.estimators import LayerPoolFeaturizer

    head = RidgeCV([0.1, 1, 10, 100, 1000]) if regression else LogisticRegression(max_iter=1000)
    # With the memory store, each process runs the encoder once per text, for all runs.
    return make_pipeline(LayerPoolFeaturizer(model, store="memory"), StandardScaler(), head)


def variants(names, recipe, model, settings, *, regression=False):
    """Make estimators from names; a name is a reading, ``reading:recipe``, or "features".

    Returns
    -------
    dict of str to estimator
    """
    from skbert.encoder import load_encoder

    if settings and not set(names) - {FEATURES}:
        raise ValueError("--set changes how encoders are fine-tuned, but no variant in --variants is fine-tuned.")
    if recipe is not None:
        recipes.get(recipe)
    load_encoder(model)  # now, because a missing encoder would fail in every run
    found = {}
    for name in names:
        if name in found:
            raise ValueError(f"--variants names {name!r} twice.")
        if name == FEATURES:
            found[name] = frozen(model, regression=regression)
            continue
        reading, _, own = name.partition(":")
        if reading not in READINGS:
            known = ", ".join([*READINGS, FEATURES])
            raise ValueError(
                f"There is no variant {name!r}; the variants are {known}, each also with a recipe, as in mha:few_data."
            )
        found[name] = tuned(reading, own or recipe, model, settings, regression=regression)
    return found


def load(folder):
    """A fine-tuned estimator that ``save`` wrote."""
    from skbert.estimators import MaxPoolBERTClassifier, MaxPoolBERTRegressor
    from skbert.saving import saved_class

    kind = saved_class(folder)
    predicting = {known.__name__: known for known in (MaxPoolBERTClassifier, MaxPoolBERTRegressor)}
    if kind not in predicting:
        raise ValueError(f"{folder} holds a {kind}, which cannot predict labels.")
    return predicting[kind].load(folder)


def is_multilabel(estimator):
    """Whether a fitted estimator is multi-label."""
    return getattr(estimator, "_multilabel", False)


def predictions(estimator, X, proba=False):
    """Predictions of a fitted estimator for texts, as columns of a table: a dict of name to array (n,).

    A multi-label estimator has one column per label, ``prediction_0`` and so on; `proba` adds the probabilities.
    """
    found, shares = estimator._predict_with_proba(X) if proba else (estimator.predict(X), None)
    return _columns(estimator, found, shares)


def example_predictions(estimator, n, proba=False):
    """Columns like those of `predictions`, with n rows and with all classes, for checks before the computation."""
    if not hasattr(estimator, "classes_"):
        return [_columns(estimator, np.zeros(n), None)]
    n_classes = len(estimator.classes_)
    shares = np.full((n, n_classes), 0.5, dtype=np.float32) if proba else None
    if is_multilabel(estimator):
        return [_columns(estimator, np.zeros((n, n_classes), dtype=int), shares)]
    return [_columns(estimator, np.resize(estimator.classes_, n), shares), {"prediction": estimator.classes_}]


def _columns(estimator, found, shares):
    names = [str(label) for label in as_values(getattr(estimator, "classes_", []))]
    if found.ndim == 1:
        columns = {"prediction": found}
    else:
        columns = {f"prediction_{name}": column for name, column in zip(names, found.T, strict=True)}
    if shares is not None:
        columns |= {f"proba_{name}": share for name, share in zip(names, shares.T, strict=True)}
    return columns


def check_plots():
    """Raise ImportError that says how to install matplotlib, if it is missing, before anything is computed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("Reports need matplotlib: pip install 'skbert[plots]'")
