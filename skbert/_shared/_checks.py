"""Checks of constructor parameters, done in ``fit``, with the same wording everywhere."""

from __future__ import annotations

import numbers

import numpy as np


def is_int(value):
    """Whether `value` is an integer of Python or numpy; True and False are not."""
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


def check_int(name, value, low):
    """Return `value` as an int; it must be at least `low`."""
    if not is_int(value) or value < low:
        raise ValueError(f"{name} must be an int of at least {low}, got {value!r}")
    return int(value)


def check_real(name, value, low, high=np.inf, *, open_low=False, open_high=False):
    """Return `value` as a finite float between `low` and `high`; an open end excludes the limit itself."""
    valid = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)) and np.isfinite(value)
    if valid:
        valid = (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not valid:
        left, right = "(" if open_low else "[", ")" if open_high or high == np.inf else "]"
        raise ValueError(f"{name} must be a float in {left}{low}, {high}{right}, got {value!r}")
    return float(value)


def check_bool(name, value):
    """Return `value` as a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_not_empty(n, who):
    """Raise ValueError, with the words of scikit-learn, if there are no rows."""
    if n == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required by {who}.")


def check_not_a_string(X):
    """Raise ValueError, with the words of scikit-learn, if `X` is a single string instead of several texts."""
    if isinstance(X, str):
        raise ValueError("Iterable over raw text documents expected, string object received.")


def check_targets_given(y, who):
    """Raise ValueError, with the words of scikit-learn, if `y` is None."""
    if y is None:
        raise ValueError(f"{who} requires y to be passed, but the target y is None.")


def check_verbose(value):
    """Return `verbose` as an int; True is 1."""
    return check_int("verbose", int(value) if isinstance(value, (bool, np.bool_)) else value, 0)


def check_choice(name, value, choices):
    """Return `value`, which must be one of the strings `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}")
    return value


def check_callbacks(callbacks):
    """Return `callbacks` as a list of skorch callbacks, or of pairs (name, callback)."""
    if callbacks is None:
        return []
    valid = isinstance(callbacks, (list, tuple))
    for entry in callbacks if valid else ():
        callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
        valid = valid and hasattr(callback, "on_train_begin")
    if not valid:
        raise ValueError(f"callbacks must be a list of skorch callbacks, or of (name, callback), got {callbacks!r:.80}")
    return list(callbacks)


def check_weights(sample_weight, n, name="sample_weight"):
    """Return weights as float64 (n,): finite, non-negative, not all zero. None gives ones; a number is repeated."""
    if sample_weight is None:
        return np.ones(n)
    if isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(n, sample_weight)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers.") from error
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array in {name}.")
    if len(weights) != n:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[n, len(weights)]} ({name})")
    if not np.isfinite(weights).all():
        raise ValueError(f"{name} holds NaN or infinity, the first in row {int(np.argmin(np.isfinite(weights)))}.")
    if (weights < 0).any():
        raise ValueError(f"Negative values in data passed to {name}, the first in row {int(np.argmax(weights < 0))}.")
    if not weights.any():
        raise ValueError(f"{name} is zero for every sample; at least one weight must be greater than zero.")
    return weights
