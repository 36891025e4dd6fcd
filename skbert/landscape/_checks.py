"""What LossLandscape accepts: the estimator, the texts, and the parameters; checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skbert._shared import check_choice, check_int, check_not_a_string, check_targets_given
from skbert.estimators import MaxPoolBERTClassifier, MaxPoolBERTRegressor, as_labels, as_numbers, class_codes
from skbert.text import check_texts

_WHAT_IS_NEEDED = (
    "LossLandscape needs a MaxPoolBERTClassifier or MaxPoolBERTRegressor, a Pipeline that ends in one, or a "
    "FrozenEstimator of these"
)


@dataclass(frozen=True)
class Subject:
    """The estimator whose loss is studied.

    Attributes
    ----------
    whole : estimator
        The estimator as it was given, without FrozenEstimator.
    before : Pipeline or None
        The steps before the last one.
    reader : MaxPoolBERTClassifier or MaxPoolBERTRegressor
        The last step.
    prefit : bool
        Whether it is fitted, and its own weights are the end of the line.
    """

    whole: object
    before: Pipeline | None
    reader: MaxPoolBERTClassifier | MaxPoolBERTRegressor
    prefit: bool

    @property
    def classifies(self):
        """Whether its targets are classes."""
        return is_classifier(self.reader)


def check_subject(estimator):
    """The `Subject` of an estimator; TypeError, ValueError or NotFittedError if it cannot be one."""
    prefit = isinstance(estimator, FrozenEstimator)
    whole = estimator.estimator if prefit else estimator
    if whole is None:
        whole = MaxPoolBERTClassifier()
    if prefit:
        check_is_fitted(whole)
    before, reader = None, whole
    if isinstance(whole, Pipeline):
        before, reader = (whole[:-1] if len(whole.steps) > 1 else None), whole.steps[-1][1]
    if not isinstance(reader, (MaxPoolBERTClassifier, MaxPoolBERTRegressor)):
        kind = type(reader).__name__
        found = f"this Pipeline ends in {kind}" if reader is not whole else f"got {kind}"
        hint = "; pass its best_estimator_" if hasattr(whole, "best_estimator_") else ""
        raise TypeError(f"{_WHAT_IS_NEEDED}; {found}{hint}.")
    if prefit and not isinstance(reader.random_state, (int, np.integer)):
        raise ValueError(
            "A fitted estimator must have an int as random_state, because its start is built again from the seed; "
            f"this one has random_state={reader.random_state!r}. Fit it with an int, or pass it without "
            "FrozenEstimator."
        )
    return Subject(whole, before, reader, prefit)


def check_parameters(landscape):
    """Check the constructor parameters that need no data."""
    if landscape.second is not None:
        check_choice("second", landscape.second, ("seed", "data", "random"))
    check_int("n_points", landscape.n_points, 2)
    check_int("n_groups", landscape.n_groups, 0)
    check_int("max_texts", landscape.max_texts, 2)
    span = landscape.span
    if not isinstance(span, (tuple, list, np.ndarray)) or len(span) != 2:
        raise ValueError(f"span must be two numbers (from, to), got {span!r:.80}")
    try:
        low, high = (float(value) for value in span)
    except (TypeError, ValueError):
        raise ValueError(f"span must be two numbers (from, to), got {span!r:.80}") from None
    if not (np.isfinite([low, high]).all() and low <= 0.0 and high >= 1.0):
        raise ValueError(f"span must be finite and contain 0 (the start) and 1 (the end), got {tuple(span)}")


def check_labelled(X, y, what, subject, classes=None):
    """Check one set of texts, and return it with its targets as an array.

    Parameters
    ----------
    X, y : as for `fit`
        Texts and targets.
    what : str
        How messages name `X`.
    subject : Subject
        The estimator.
    classes : array, default=None
        Labels that may occur.

    Returns
    -------
    X, y
        `y` as an array.
    """
    check_targets_given(y, "LossLandscape")
    check_not_a_string(X)
    if subject.before is None:
        try:
            check_texts(X, "LossLandscape")
        except (TypeError, ValueError) as error:
            raise type(error)(str(error) if what == "X" else f"{what}: {error}") from None
    name = what.replace("X", "y", 1)
    y = as_labels(y, name) if subject.classifies else as_numbers(y, name)
    if y.ndim != 1:
        raise ValueError(f"{name} is multi-label; LossLandscape studies the loss of single labels or numbers.")
    check_consistent_length(X, y)
    if len(y) < 2:
        raise ValueError(f"{what} holds {len(y)} text; a mean loss with its error needs at least 2.")
    if classes is not None:
        unknown = np.unique(y[class_codes(y, classes) < 0]).tolist()
        if unknown:
            raise ValueError(
                f"{name} contains class {unknown[0]!r}, which is not among the classes {classes.tolist()}."
            )
    return X, y


def check_pair(X, y, what):
    """Refuse texts without targets, and the reverse."""
    if (X is None) != (y is None):
        raise ValueError(f"X_{what} and y_{what} must be given together.")


def fresh_reader(subject, seed):
    """An unfitted copy of the estimator's last step, with an int as random_state."""
    reader = clone(subject.reader).set_params(warm_start=False)
    if not isinstance(reader.random_state, (int, np.integer)):
        reader.set_params(random_state=seed)
    return reader
