"""Models that predict only held-out samples, and scores of their predictions."""

from __future__ import annotations

from collections import Counter

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing


def held_out_splits(cv, X, y, groups=None):
    """Make pairs (train, test) of int arrays that hold out every sample once.

    Raises
    ------
    ValueError
        There is only one class, the test parts leave out or repeat samples, or a training part lacks a class.
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
            "Use KFold, StratifiedKFold or a similar splitter."
        )
    for fold, (train, _) in enumerate(splits):
        present = np.isin(names, y[train])
        if not present.all():
            place = int(np.argmin(present))
            raise ValueError(
                f"Class {names.tolist()[place]!r} is missing from the training part of fold {fold}; it has "
                f"{counts[place]} sample(s) in total. Add samples, drop the class, or use fewer folds."
            )
    return splits


def held_out_models(estimator, splits, X, y):
    """Yield, for each split, a clone of `estimator` fitted on its training part, and the rows of its test part."""
    if isinstance(estimator, FrozenEstimator):
        raise ValueError("A FrozenEstimator cannot be fitted in each fold; use cv='prefit' to probe it without a fit.")
    for train, test in splits:
        yield clone(estimator).fit(_safe_indexing(X, train), y[train]), test


def make_scorer_of_outputs(scoring):
    """Make a function of (classes, predicted indices, log-probabilities, X, y) from the parameter `scoring`."""
    scorer = get_scorer("accuracy" if scoring is None else scoring)

    def score(classes, predicted, log_proba, X, y):
        return float(scorer(_FixedOutputs(classes, predicted, log_proba), X, y))

    return score


class _FixedOutputs(ClassifierMixin, BaseEstimator):
    """Gives a scorer predictions that were computed before."""

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
        # Heads that compute in fp32 return sums that differ slightly from 1, and scorers would warn.
        return proba / proba.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X):
        return self.log_proba
