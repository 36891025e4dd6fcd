"""Models that have not seen the samples they are asked about, and scores of what they said."""

from __future__ import annotations

from collections import Counter

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing


def held_out_splits(cv, X, y, groups=None):
    """Pairs (train, test) of int arrays that hold out every sample once.

    Raises
    ------
    ValueError
        A single class, samples left out or repeated, or a class that a training part lacks.
    """
    names, counts = np.unique(y, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"At least two classes are needed, but y holds one class: {names.tolist()[0]!r}.")
    found = check_cv(cv, y, classifier=True).split(X, y, groups)
    splits = [(np.asarray(train), np.asarray(test)) for train, test in found]
    times = Counter(row for _, test in splits for row in test.tolist())
    if len(times) < len(y) or max(times.values()) > 1:
        raise ValueError(
            "cv must hold out every sample once; this splitter leaves some out or repeats them. "
            "Use KFold, StratifiedKFold or the like."
        )
    for fold, (train, _) in enumerate(splits):
        present = np.isin(names, y[train])
        if not present.all():
            place = int(np.argmin(present))
            raise ValueError(
                f"Class {names.tolist()[place]!r} is missing from the training part of fold {fold}; it has "
                f"{counts[place]} sample(s) in all. Give it more, drop it, or use fewer folds."
            )
    return splits


def held_out_models(estimator, splits, X, y):
    """Yield, for each split, a clone of `estimator` fitted on its training part, and the rows of its test part."""
    if isinstance(estimator, FrozenEstimator):
        raise ValueError("A FrozenEstimator is not fitted again in each fold; use cv='prefit' to probe it as it is.")
    for train, test in splits:
        yield clone(estimator).fit(_safe_indexing(X, train), y[train]), test


def make_scorer_of_outputs(scoring):
    """A function of (classes, predicted indices, log-probabilities, X, y) for the parameter `scoring`."""
    scorer = get_scorer("accuracy" if scoring is None else scoring)

    def score(classes, predicted, log_proba, X, y):
        return float(scorer(_FixedOutputs(classes, predicted, log_proba), X, y))

    return score


class _FixedOutputs(ClassifierMixin, BaseEstimator):
    """Gives a scorer what was computed before."""

    def __init__(self, classes=None, predicted=None, log_proba=None):
        self.classes, self.predicted, self.log_proba = classes, predicted, log_proba

    @property
    def classes_(self):
        return self.classes

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.classes[self.predicted]

    def predict_proba(self, X):
        proba = np.exp(self.log_proba)
        # Heads that compute in fp32 leave sums that scorers warn of.
        return proba / proba.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X):
        return self.log_proba
