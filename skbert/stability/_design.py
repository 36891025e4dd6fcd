"""The design of a study: which variants, on which draws, with which seeds; all variants meet the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skbert._shared import check_int, warn
from skbert.stability._run import SEEDS, Run
from skbert.text import check_texts

BASELINES = ("majority", "tfidf")
# One tag a purpose, so that no two streams of random numbers are one.
_DRAW, _RUN, _INIT, _ORDER, _CELL = range(5)


@dataclass(frozen=True)
class SeedPlan:
    """How many draws and seeds.

    Attributes
    ----------
    n_draws : int
    n_init, n_order : int or None
        Levels of a crossed design; None where every draw has one seed for everything.
    """

    n_draws: int
    n_init: int | None = None
    n_order: int | None = None

    def counts(self):
        """The plan as JSON types."""
        return {"draw": self.n_draws, "init": self.n_init, "order": self.n_order} if self.crossed else self.n_draws

    @property
    def crossed(self):
        """Whether initialisation and order have seeds of their own."""
        return self.n_init is not None


def resolve_seeds(seeds):
    """The `SeedPlan` for the parameter `seeds`; ValueError for anything that is none."""
    if isinstance(seeds, Mapping):
        unknown = sorted(set(seeds) - {"init", "order", "draw"}, key=str)
        if unknown or not {"init", "order"} <= set(seeds):
            raise ValueError(
                "seeds must be an int or a dict such as {'init': 5, 'order': 5}, which may also hold 'draw'; "
                f"got {dict(seeds)!r}"
            )
        levels = {name: check_int(f"seeds[{name!r}]", value, 1) for name, value in seeds.items()}
        return SeedPlan(levels.get("draw", 1), levels["init"], levels["order"])
    return SeedPlan(check_int("seeds", seeds, 1))


def resolve_variants(estimator, variants):
    """The unfitted estimator of each variant, by name.

    Parameters
    ----------
    estimator : estimator
    variants : None, dict of name to parameters or estimator or None, a grid of parameter to list, or a list
        Of grids, or of parameters.

    Returns
    -------
    dict of str to estimator

    Raises
    ------
    ValueError, TypeError
        No such form, no variants, or a parameter that the estimator does not have.
    """
    if variants is None:
        return {type(estimator).__name__: clone(estimator)}
    if isinstance(variants, Mapping) and all(_is_variant(value) for value in variants.values()):
        named = dict(variants)
    else:
        named = _grid_points(variants)
    if not named:
        raise ValueError("variants is empty; name at least one, or leave it None for the estimator as it is.")
    for name in named:
        if not isinstance(name, str) or not name:
            raise ValueError(f"Names of variants must be non-empty str, got {name!r}")
    return {name: _variant(estimator, name, value) for name, value in named.items()}


def _is_variant(value):
    return value is None or isinstance(value, Mapping) or (hasattr(value, "fit") and not isinstance(value, type))


def _grid_points(grid):
    """Points of a parameter grid, or of a list of parameters, by a name that says them."""
    forms = "variants must be a dict of name to parameters or to an estimator, or a grid of parameter to list"
    try:
        points = list(grid if isinstance(grid, ParameterGrid) or _holds_points(grid) else ParameterGrid(grid))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{forms}: {error}") from error
    # A function is printed with its address, by which a store would not know it again.
    named = {without_addresses(", ".join(f"{key}={value}" for key, value in point.items())): point for point in points}
    if len(named) < len(points):
        raise ValueError("Two points of the grid look alike when printed; give variants names: {name: parameters}.")
    return named


def without_addresses(text):
    """What Python prints of an object, without where it stood in memory: that is another in every process."""
    text = re.sub(r"<function (\S+) at 0x[0-9a-fA-F]+>", r"\1", text)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _holds_points(variants):
    """Whether `variants` is a list of parameters, as ``list(ParameterGrid(...))`` is, rather than of grids."""
    if not isinstance(variants, (list, tuple)) or not all(isinstance(point, Mapping) for point in variants):
        return False
    values = [value for point in variants for value in point.values()]
    return any(isinstance(value, str) or not hasattr(value, "__len__") for value in values)


def _variant(estimator, name, value):
    if value is None:
        return clone(estimator)
    if not isinstance(value, Mapping):
        return clone(value)
    try:
        # Cloned once more: set_params puts nested estimators in by reference.
        return clone(clone(estimator).set_params(**value))
    except ValueError as error:
        raise ValueError(f"Variant {name!r}: {error}") from error


def resolve_baselines(baselines, taken, regression, texts):
    """The null models that run along, by name; `baselines` is a str, a sequence of them, or None for none.

    One that reads texts is left out, with a warning, where `texts` says that there are none.
    """
    if not (baselines is None or isinstance(baselines, (str, Iterable))):
        raise ValueError(f"baselines must hold names out of {BASELINES}, or be None for none, got {baselines!r}")
    names = [baselines] if isinstance(baselines, str) else list(() if baselines is None else baselines)
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise ValueError(f"baselines must hold names out of {BASELINES}, got {unknown[0]!r}")
    both = sorted(set(names) & set(taken))
    if both:
        raise ValueError(f"{both[0]!r} names a baseline and a variant; rename the variant, or leave the baseline out.")
    if "tfidf" in names and not texts:
        warn("The null model 'tfidf' reads texts, and X holds none: it is left out.")
        names = [name for name in names if name != "tfidf"]
    return {name: _baseline(name, regression) for name in dict.fromkeys(names)}


def _baseline(name, regression):
    if name == "majority":
        return DummyRegressor() if regression else DummyClassifier()
    head = Ridge() if regression else LogisticRegression(max_iter=1000)
    return make_pipeline(FunctionTransformer(joined_texts), TfidfVectorizer(ngram_range=(1, 2)), head)


def joined_texts(X):
    """Texts as a list of str, pairs as one text each."""
    return [" ".join(row) if isinstance(row, tuple) else row for row in check_texts(X, "TF-IDF").rows()]


def parts_of(estimator):
    """An estimator, and the values of all its parameters, nested ones too: whatever takes part in a run."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return [part for part in parts if not isinstance(part, type)]


def seed_parameters(estimator):
    """Names of the parameters, nested ones too, that take a seed: a dict of kind to list of names."""
    names = list(estimator.get_params(deep=True))
    return {kind: [name for name in names if name.rpartition("__")[2] == kind] for kind in SEEDS}


def with_seeds(estimator, run):
    """A clone of `estimator` that has the seeds of `run`."""
    seeds = {}
    for kind, names in seed_parameters(estimator).items():
        value = getattr(run, kind)
        if value is not None:
            seeds.update(dict.fromkeys(names, value))
    return clone(estimator).set_params(**seeds)


def plan_runs(estimators, sizes, plan, root):
    """All runs, whole draws first, so that what an interrupted study has done can be compared.

    Parameters
    ----------
    estimators : dict of str to estimator
    sizes : list of int
    plan : SeedPlan
    root : int
        Seed of the study.

    Returns
    -------
    list of Run

    Raises
    ------
    ValueError
        A crossed design, and no estimator that has the two seeds.
    """
    parameters = {name: seed_parameters(estimator) for name, estimator in estimators.items()}
    crossed = {name: plan.crossed and bool(p["init_seed"] and p["order_seed"]) for name, p in parameters.items()}
    if plan.crossed and not any(crossed.values()):
        raise ValueError(
            "seeds={'init': ..., 'order': ...} needs a variant with the parameters init_seed and order_seed, which "
            "none of these has. Give seeds as an int to let everything vary together."
        )
    runs = []
    for draw in range(plan.n_draws):
        once = _seed(root, _RUN, draw)
        # What is left of random_state, the dropout above all, is new in every cell: it belongs to the interaction.
        cells = [
            (_seed(root, _CELL, draw, i, j), _seed(root, _INIT, i), _seed(root, _ORDER, j))
            for i in range(plan.n_init or 0)
            for j in range(plan.n_order or 0)
        ]
        for size in sizes:
            for name in estimators:
                # Variants that have one seed for everything, or none, run once a draw.
                one = [(once if parameters[name]["random_state"] else None, None, None)]
                runs += [Run(name, size, draw, *seeds) for seeds in (cells if crossed[name] else one)]
    return runs


def _seed(root, *path):
    return int(np.random.SeedSequence([root, *path]).generate_state(1)[0])


def draw_rng(root, draw):
    """The generator of the sample draw number `draw`."""
    return np.random.default_rng([root, _DRAW, draw])


def is_regression(estimators):
    """Whether the variants predict numbers; ValueError where only some do."""
    kinds = {bool(is_regressor(estimator)) for estimator in estimators.values()}
    if len(kinds) > 1:
        raise ValueError("variants mixes classifiers and regressors; they have no score in common.")
    return kinds.pop()
