"""Estimators by the names that a command line gives them."""

from __future__ import annotations

import ast
import inspect

import numpy as np

import skbert.recipes as recipes

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


def read_settings(settings):
    """Parameters out of ``name=value`` words; values are Python literals or plain words."""
    found = {}
    for setting in settings:
        name, sign, value = setting.partition("=")
        if not sign or not name:
            raise ValueError(f"--set takes name=value, got {setting!r}")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def tuned(reading, recipe, model, settings=(), *, regression=False, **others):
    """The estimator that fine-tunes `model`, reading it as `reading` and training as `recipe` says.

    Raises
    ------
    ValueError
        An unknown reading, recipe or parameter.
    """
    from skbert.encoder import load_encoder, make_runner
    from skbert.estimators import MaxPoolBERTClassifier, MaxPoolBERTRegressor

    if reading not in READINGS:
        raise ValueError(f"There is no reading {reading!r}; there are {', '.join(READINGS)}.")
    kind = MaxPoolBERTRegressor if regression else MaxPoolBERTClassifier
    # Some recipes depend on how many layers there are.
    parameters = recipes.get(recipe, n_layers=make_runner(load_encoder(model).model).n_layers)
    parameters |= READINGS[reading] | others | read_settings(settings)
    known = [name for name in inspect.signature(kind).parameters if name != "model"]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{kind.__name__} has no parameter {unknown[0]!r}; it has {', '.join(known)}.")
    return kind(model, **parameters)


def frozen(model, *, regression=False):
    """Logistic (ridge) regression on standardised frozen features."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from skbert.estimators import LayerPoolFeaturizer

    head = RidgeCV([0.1, 1, 10, 100, 1000]) if regression else LogisticRegression(max_iter=1000)
    # In memory, each process reads a text once for all runs.
    return make_pipeline(LayerPoolFeaturizer(model, store="memory"), StandardScaler(), head)


def variants(names, recipe, model, settings, *, regression=False):
    """Estimators by name; a name is a reading, ``reading:recipe``, or "features".

    Returns
    -------
    dict of str to estimator
    """
    from skbert.encoder import load_encoder

    if settings and not set(names) - {FEATURES}:
        raise ValueError("--set changes how encoders are fine-tuned, and --variants names none that is.")
    recipes.get(recipe)
    load_encoder(model)  # now, for what cannot be had would fail in every run
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
                f"There is no variant {name!r}; there are {known}, and each with a recipe, as in mha:few_data."
            )
        found[name] = tuned(reading, own or recipe, model, settings, regression=regression)
    return found


def labels_as_learned(estimator, y):
    """Labels in the type in which an estimator learned them: a CSV file has texts where Parquet has numbers."""
    classes = getattr(estimator, "classes_", None)
    if classes is None or not len(y):
        return y
    kind = type(classes.tolist()[0])
    if all(isinstance(label, kind) for label in y.tolist()):
        return y
    try:
        return np.array([kind(label) for label in y.tolist()], dtype=classes.dtype if kind is not str else object)
    except ValueError as error:
        raise ValueError(f"Labels of type {kind.__name__} were learned, but these are others: {error}") from error


def load(folder):
    """A fine-tuned estimator that ``save`` wrote."""
    from skbert.estimators import MaxPoolBERTClassifier, MaxPoolBERTRegressor
    from skbert.saving import saved_class

    kind = saved_class(folder)
    predicting = {known.__name__: known for known in (MaxPoolBERTClassifier, MaxPoolBERTRegressor)}
    if kind not in predicting:
        raise ValueError(f"{folder} holds a {kind}, which predicts nothing.")
    return predicting[kind].load(folder)
