"""Checks of what a study is given."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import get_scorer
from sklearn.utils import get_tags, indexable

from skbert._shared import check_int, check_not_a_string, check_targets_given, pandas
from skbert.estimators import as_labels, as_numbers
from skbert.stability import _draws as draws
from skbert.stability._run import DESIGN, OUTCOME, train_name
from skbert.text import check_texts


def resolve_scoring(scoring, regression=False):
    """A list of names of scorers, or a dict of name to scorer; one callable is named "score", None is the default."""
    if scoring is None:
        scoring = ["r2"] if regression else ["accuracy", "f1_macro"]
    return _read_scorers("scoring", scoring)


def resolve_train_scoring(train_scoring, scores):
    """A dict of name to scorer, or to the name of one of scikit-learn; read as `scoring` is, and {} for None.

    Parameters
    ----------
    train_scoring : None, str, sequence of str, callable, or dict of name to one of these
    scores : collection of str
        Names of the scores on the test texts, which stand in the same table.

    Returns
    -------
    dict
        The names begin with "train_", as those of ``cross_validate`` do.
    """
    if train_scoring is None:
        return {}
    found = _read_scorers("train_scoring", train_scoring)
    scorers = found if isinstance(found, dict) else dict(zip(found, found, strict=True))
    named = {train_name(name): scorer for name, scorer in scorers.items()}
    if len(named) < len(scorers):
        raise ValueError(f"train_scoring names a scorer twice: {list(scorers)}; names are given train_ in front.")
    both = sorted(set(named) & set(scores))
    if both:
        raise ValueError(f"{both[0]!r} names a score of scoring and a training score; give one of them another name.")
    return named


def _read_scorers(parameter, scoring):
    if callable(scoring):
        scoring = {"score": scoring}
    if isinstance(scoring, Mapping):
        found = {name: get_scorer(value) for name, value in scoring.items()}
    else:
        found = [scoring] if isinstance(scoring, str) else list(scoring or ())
        for name in found:
            if not isinstance(name, str):
                raise ValueError(f"{parameter} must hold names of scorers; give others a name: {{'name': {name!r}}}")
            get_scorer(name)
        if len(set(found)) < len(found):
            raise ValueError(f"{parameter} names a scorer twice: {found}")
    if not found:
        raise ValueError(f"{parameter} is empty; name at least one scorer.")
    taken = set(found) & {*DESIGN, *OUTCOME}
    if taken or not all(isinstance(name, str) for name in found):
        raise ValueError(f"Names of scores must be str and none of {[*DESIGN, *OUTCOME]}, got {list(found)}")
    return found


def check_scorers(parameter, scoring, y, regression):
    """Let every named scorer score a null model: one that these targets do not suit would waste every run."""
    numbers = np.zeros((len(y), 1))
    null = (DummyRegressor() if regression else DummyClassifier(strategy="prior")).fit(numbers, y)
    for name in scoring.values() if isinstance(scoring, Mapping) else scoring:
        if not isinstance(name, str):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                get_scorer(name)(null, numbers, y)
        except Exception as error:
            kind = "numbers" if regression else "labels"
            raise ValueError(f"{parameter}={name!r} does not suit these {kind}: {error}") from error


def check_store_name(store):
    """Refuse what names no file, and the word that means memory elsewhere, which would become a file of that name."""
    if not (store is None or isinstance(store, (str, PathLike))):
        raise ValueError(f"store must be the name of a file, such as 'runs.sqlite', or None, got {store!r}")
    if store == "memory":
        raise ValueError("store names a file, such as 'runs.sqlite'; leave it None to keep runs in memory.")


def check_readable(X, variants):
    """Let texts be texts where a variant takes nothing else: whatever it cannot read would fail in every run."""
    for name, estimator in variants.items():
        if hasattr(estimator, "__sklearn_tags__"):
            tags = get_tags(estimator).input_tags
            if tags.string and not tags.two_d_array:
                check_texts(X, f"the variant {name!r}")


def check_data(X, y, groups, regression):
    """`X`, `y` and `groups` checked, what tells rows apart, and the class of each row (all 0 for numbers)."""
    check_targets_given(y, "StabilityStudy")
    check_not_a_string(X)
    keys = draws.row_keys(X)
    y = as_numbers(y, "y") if regression else as_labels(y, "y")
    if y.ndim != 1:
        raise ValueError("StabilityStudy takes one target a text; y must be one-dimensional, not multi-label.")
    X, y, groups = indexable(X, y, groups)
    strata = np.zeros(len(y), dtype=int) if regression else np.unique(y, return_inverse=True)[1]
    if not regression and strata.max() == 0:
        raise ValueError(f"At least two classes are needed, but y holds one class: {y.tolist()[0]!r}.")
    return X, y, None if groups is None else check_groups(groups), keys, strata


def check_groups(groups):
    """The group of each row as a list; ValueError where one has none."""
    # A Series makes numbers of one type of them, so that a list and an array of the same groups are alike.
    groups = pandas().Series(list(groups))
    missing = np.flatnonzero(groups.isna())
    if len(missing):
        raise ValueError(f"groups has nothing in {len(missing)} rows, the first is row {missing[0]}.")
    return groups.tolist()


def check_classes(groups, strata, y):
    """Every class needs a text to train on and another to test on."""
    homes = np.bincount(draws.home_classes(groups, strata), minlength=strata.max() + 1)
    short = np.flatnonzero(homes < 2)
    if len(short):
        label = y.tolist()[int(np.argmax(strata == short[0]))]
        raise ValueError(
            f"Class {label!r} has {homes[short[0]]} distinct text(s) of its own, but needs two: one to train on and "
            "one to test on. Give it more, or drop it."
        )


def check_size(size, sizes):
    """A training size of the study; None is the largest."""
    if size is None:
        return max(sizes)
    if check_int("size", size, 1) not in sizes:
        raise ValueError(f"size={size!r} is none of the study's training sizes {sorted(sizes)}.")
    return int(size)
