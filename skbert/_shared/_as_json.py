"""Parameters and fitted attributes as JSON types and back, without loss."""

from __future__ import annotations

import os

import numpy as np

_TAG = "__skbert__"


def as_list(value):
    """A sequence of numbers (list, tuple, range or array) as a plain JSON list; anything else as `to_json` has it."""
    return to_json(list(value) if isinstance(value, (list, tuple, range, np.ndarray)) else value)


def to_json(value):
    """Encode None, bool, int, float, str, list, tuple, dict, path, numpy scalars and 1-D or 2-D arrays.

    Raises
    ------
    TypeError
        Anything else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        if isinstance(value.item(), np.generic):  # a number wider than any of Python's
            raise TypeError(f"{type(value).__name__} cannot be written as JSON")
        return to_json(value.item())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, tuple):
        return {_TAG: "tuple", "items": [to_json(item) for item in value]}
    if isinstance(value, range):
        return {_TAG: "range", "items": [value.start, value.stop, value.step]}
    if isinstance(value, dict):
        return {_TAG: "dict", "items": [[to_json(key), to_json(item)] for key, item in value.items()]}
    if isinstance(value, np.ndarray):
        return {
            _TAG: "array",
            "dtype": value.dtype.str,
            "shape": list(value.shape),
            "items": [to_json(item) for item in value.ravel()],
        }
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def from_json(value):
    """The inverse of `to_json`."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        items = value["items"]
        if value[_TAG] == "tuple":
            return tuple(from_json(item) for item in items)
        if value[_TAG] == "range":
            return range(*items)
        if value[_TAG] == "dict":
            return {from_json(key): from_json(item) for key, item in items}
        # Filled one by one: numpy would take an array of tuples apart into further axes.
        array = np.empty(len(items), dtype=np.dtype(value["dtype"]))
        for i, item in enumerate(items):
            array[i] = from_json(item)
        return array.reshape(value["shape"])
    return value
