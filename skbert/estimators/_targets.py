"""Targets: from the ``y`` of a user to the form that an objective needs."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np
from sklearn.utils import assert_all_finite, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skbert.text import is_missing
from skbert.training import BinaryCrossEntropy, CrossEntropy, MeanSquaredError


@dataclass(frozen=True)
class Target:
    """Encoded targets of one set of texts.

    Attributes
    ----------
    values : array (n, ...)
        Class indices, indicators or standardised numbers, as the objective needs them.
    weight : float array (n,)
        Weight of each row by its class.
    strata : int array (n,) or None
        Classes that a random split keeps in proportion.
    """

    values: np.ndarray
    weight: np.ndarray
    strata: np.ndarray | None = None

    def take(self, rows):
        """The targets of `rows`."""
        strata = None if self.strata is None else self.strata[rows]
        return Target(self.values[rows], self.weight[rows], strata)


def as_labels(y, name):
    """Return `y` as an array of labels (n,) or of 0 and 1 (n, n_labels); anything else raises ValueError."""
    if isinstance(y, (list, tuple)):
        # Before numpy makes the text "nan" of a NaN among strings, and "1" of a 1.
        _refuse_missing(y, name)
        _refuse_mixed(y, name)
    y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
    if y.dtype.kind == "T":  # numpy's variable-width strings, which scikit-learn does not support yet
        y = y.astype(object)
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name=name)
        _refuse_too_large(y, name)
    elif y.dtype.kind == "O":
        y = _as_plain(y, name)
    check_classification_targets(y)
    return y if type_of_target(y, input_name=name) == "multilabel-indicator" else column_or_1d(y, warn=True)


def _as_plain(y, name):
    """An array of objects as one of numbers or truth values, if they are such; pandas' nullable types come so."""
    labels = y.ravel().tolist()
    _refuse_missing(labels if y.ndim == 1 else y.tolist(), name)
    _refuse_mixed(labels, name)
    kind = _kind_of(labels[0]) if labels else "text"
    return np.array(y.tolist()) if kind in ("truth value", "number") else y


def _refuse_too_large(y, name):
    """Raise ValueError for whole numbers beyond int64, which scikit-learn takes for fractions, or for one another."""
    large = np.abs(y) >= 2.0**63
    if large.any() and (y == np.floor(y)).all():
        row = int(np.argmax(large.reshape(len(y), -1).any(axis=1)))
        raise ValueError(
            f"{name} holds {y.ravel()[np.argmax(large)]!r} in row {row}, beyond int64; make texts of labels."
        )


def _refuse_mixed(labels, name):
    """Raise ValueError for labels of several kinds, which have no order and would become texts."""
    kinds = [_kind_of(label) for label in labels]
    for row, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                f"{name} mixes kinds of labels: row 0 holds {labels[0]!r:.60} (a {kinds[0]}), row {row} "
                f"{labels[row]!r:.60} (a {kind}). Make all of them texts, or all of them numbers."
            )


def _kind_of(label):
    if isinstance(label, (bool, np.bool_)):
        return "truth value"
    if isinstance(label, numbers.Real):
        return "number"
    return "text" if isinstance(label, str) else type(label).__name__


def as_numbers(y, name):
    """Return `y` as a float64 array (n,); anything else raises ValueError."""
    y = np.asarray(y)
    if y.dtype.kind in "mM":
        # numpy would count their nanoseconds.
        raise ValueError(
            f"{name} must be a 1d array of numbers, got dates or durations; say what number they stand for."
        )
    try:
        y = column_or_1d(y, dtype=np.float64, warn=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a 1d array of numbers: {error}") from error
    assert_all_finite(y, input_name=name)
    return y


def _refuse_missing(y, name):
    rows = (label if isinstance(label, list) else [label] for label in y)
    missing = [i for i, row in enumerate(rows) if any(map(is_missing, row))]
    if missing:
        raise ValueError(
            f"Input {name} contains NaN or missing values: {len(missing)} labels, the first in row {missing[0]}."
        )


def class_codes(y, classes):
    """Index in `classes` of each label, -1 for a label that is not in it; int64 array (n,)."""
    if classes.dtype.kind == "M" and y.dtype.kind == "M":
        # Of another unit, numpy gives other types for the same dates.
        y = y.astype(classes.dtype)
    known = {label: code for code, label in enumerate(classes.tolist())}
    return np.array([known.get(label, -1) for label in y.tolist()], dtype=np.int64)


class ClassTask:
    """Single-label classification: ``k`` classes, cross-entropy.

    Parameters
    ----------
    y : array (n,)
        Training labels.
    weights : float array (n,)
        Sample weights. With ``"balanced"``, the frequency of a class is the sum of its weights.
    class_weight : dict, "balanced" or None
        Weight of each class, as in scikit-learn.
    label_smoothing : float
        Share of the target probability that is spread evenly over all classes.
    classes : array, default=None
        Known classes of an earlier fit; None takes the classes of `y`.

    Raises
    ------
    ValueError
        There is only one class, or a label is not in `classes`.
    """

    multilabel = False

    def __init__(self, y, weights, class_weight, label_smoothing, classes=None):
        self.classes = np.unique(y) if classes is None else classes
        if len(self.classes) < 2:
            raise ValueError(
                "This solver needs samples of at least 2 classes in the data, but the data contains only one "
                f"class: {self.classes.tolist()[0]!r}"
            )
        self.n_outputs = len(self.classes)
        self.objective = CrossEntropy(label_smoothing)
        codes = self._codes(y, "y")
        # scikit-learn checks the parameter. Its "balanced" counts rows, but here a row of weight 2 must count twice.
        self._class_weight = compute_class_weight(class_weight, classes=self.classes, y=self.classes)
        if class_weight == "balanced":
            mass = np.bincount(codes, weights=weights, minlength=len(self.classes))
            present = mass > 0
            self._class_weight[present] = mass.sum() / (present.sum() * mass[present])

    def encode(self, y, name):
        """Labels as class indices; an unknown label raises ValueError."""
        codes = self._codes(y, name)
        return Target(codes, self._class_weight[codes], strata=codes)

    def _codes(self, y, name):
        if y.ndim != 1:
            raise ValueError(f"{name} is multi-label, but the other targets are not.")
        codes = class_codes(y, self.classes)
        if (codes < 0).any():
            unknown, known = y.tolist()[np.argmax(codes < 0)], self.classes.tolist()
            raise ValueError(f"{name} contains class {unknown!r}, which is not among the known classes {known}.")
        return codes


class MultiLabelTask:
    """Multi-label classification: one binary cross-entropy per label.

    Parameters
    ----------
    y : array (n, n_labels) of 0 and 1
        Training labels.
    weights : float array (n,)
        Not used.
    class_weight : None
        Any other value raises ValueError.
    label_smoothing : float
        Share of the target probability that is spread evenly over 0 and 1.
    classes : array, default=None
        Labels of an earlier fit; None takes the labels of `y`.
    """

    multilabel = True

    def __init__(self, y, weights, class_weight, label_smoothing, classes=None):
        if class_weight is not None:
            raise ValueError("class_weight is not defined for multi-label targets; use sample_weight.")
        self.classes = np.arange(y.shape[1]) if classes is None else classes
        self.n_outputs = len(self.classes)
        self.objective = BinaryCrossEntropy(label_smoothing)

    def encode(self, y, name):
        """Indicators as float32; another number of columns raises ValueError."""
        if y.ndim != 2 or y.shape[1] != self.n_outputs:
            raise ValueError(f"{name} must have {self.n_outputs} columns, one per label; its shape is {y.shape}.")
        return Target(y.astype(np.float32), np.ones(len(y)))


class RegressionTask:
    """Regression on standardised targets, squared error.

    Outputs start near 0 and change in small steps. So targets of any scale are first
    transformed to mean 0 and standard deviation 1.

    Parameters
    ----------
    y : float array (n,)
        Training targets.
    weights : float array (n,)
        Sample weights, for the mean and the scale.
    mean, scale : float, default=None
        Mean and scale of an earlier fit; None computes them from `y`.
    """

    n_outputs = 1

    def __init__(self, y, weights, mean=None, scale=None):
        self.mean = float(np.average(y, weights=weights)) if mean is None else mean
        if scale is None:
            scale = float(np.sqrt(np.average((y - self.mean) ** 2, weights=weights)))
        self.scale = scale if scale > 0 else 1.0
        self.objective = MeanSquaredError()

    def encode(self, y, name):
        """Standardised numbers as float32."""
        return Target(((y - self.mean) / self.scale).astype(np.float32), np.ones(len(y)))
