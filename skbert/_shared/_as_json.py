"""Converts parameters and fitted attributes to JSON types and back, without loss."""

from __future__ import annotations

import os
from datetime import date, datetime
from decimal import Decimal

import numpy as np

_TAG = "__skbert__"
# Types that a text says in full: how to write and how to read it.
_AS_TEXT = {
    "date": (date, date.isoformat, date.fromisoformat),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "decimal": (Decimal, str, Decimal),
}


def as_list(value):
    """Return a sequence of numbers (list, tuple, range or array) as a plain list, and anything else as in `to_json`."""
    return to_json(list(value) if isinstance(value, (list, tuple, range, np.ndarray)) else value)


def to_json(value):
    """Encode None, bool, int, float, str, dates, decimals, list, tuple, dict, path, numpy scalars and arrays.

    Raises
    ------
    TypeError
        `value` is something else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return {_TAG: "time", "dtype": value.dtype.str, "items": value.astype(np.int64).item()}
    if isinstance(value, np.generic):
        if isinstance(value.item(), np.generic):  # a number wider than any Python number
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
        # numpy gives dates of nanoseconds as ints, and of coarser units as others of Python.
        items = value.ravel().astype(np.int64).tolist() if value.dtype.kind in "mM" else map(to_json, value.ravel())
        return {_TAG: "array", "dtype": value.dtype.str, "shape": list(value.shape), "items": list(items)}
    for name, (kind, encode, _) in _AS_TEXT.items():
        # Not of a subclass, which would come back as another type: a Timestamp of pandas is a datetime.
        if type(value) is kind:
            return {_TAG: name, "items": encode(value)}
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
        if value[_TAG] in _AS_TEXT:
            return _AS_TEXT[value[_TAG]][2](items)
        if value[_TAG] == "time":
            return np.int64(items).astype(value["dtype"])
        if np.dtype(value["dtype"]).kind in "mM":
            return np.array(items, dtype=np.int64).astype(value["dtype"]).reshape(value["shape"])
        # Filled one by one: numpy would take an array of tuples apart into further axes.
        array = np.empty(len(items), dtype=np.dtype(value["dtype"]))
        for i, item in enumerate(items):
            array[i] = from_json(item)
        return array.reshape(value["shape"])
    return value
