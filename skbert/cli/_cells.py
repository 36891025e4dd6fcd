"""Cells of tables: which are missing, whether two are the same, and their form in text and JSON."""

from __future__ import annotations

import json
import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np

from skbert.text import is_missing as is_no_value


class _Absent:
    """Marks a key that a row of JSONL does not have; this is different from null."""

    def __repr__(self):
        return "(not there)"


ABSENT = _Absent()


class CannotHoldError(ValueError):
    """A format cannot hold a value.

    Parameters
    ----------
    what : str
        The value in words, such as "bytes" or "a tab".
    advice : str
        What to do.
    """

    def __init__(self, what, advice):
        super().__init__(what)
        self.advice = advice


def as_values(column):
    """A list or an array as a list of Python values."""
    if not isinstance(column, np.ndarray):
        return list(column)
    if column.dtype == np.dtype("M8[ns]"):  # numpy would convert it to ints
        import pandas as pd

        return pd.Series(column).tolist()
    return column.tolist()


def is_missing(cell):
    """Whether a cell is empty: None, NaN, NA, NaT, or a missing key."""
    return cell is ABSENT or (isinstance(cell, Decimal) and cell.is_nan()) or is_no_value(cell)


def same(a, b):
    """Whether two cells are equal: numbers by value, others by type and value; all missing values are equal."""
    if is_missing(a) or is_missing(b):
        return is_missing(a) and is_missing(b)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def as_json(cell):
    """Convert a cell to JSON: dates by ISO 8601, decimals and other exact values as text, NaN as null.

    Raises
    ------
    CannotHoldError
        The cell is bytes, an infinity, a dict whose keys are not texts, or an object of unknown type.
    """
    if isinstance(cell, (str, bool, int)):
        return cell
    if is_missing(cell):
        return None
    if isinstance(cell, float):
        if math.isinf(cell):
            raise CannotHoldError(f"{cell!r}", "write .csv or .parquet")
        return cell
    if isinstance(cell, (list, tuple)):
        return [as_json(item) for item in cell]
    if isinstance(cell, dict):
        if not all(isinstance(key, str) for key in cell):
            raise CannotHoldError("a map whose keys are not texts", "write .parquet")
        return {key: as_json(item) for key, item in cell.items()}
    if isinstance(cell, (date, time)):  # a datetime is a date, and a Timestamp of pandas a datetime
        return cell.isoformat()
    return _plain_text(cell)


def as_text(cell):
    """Convert a cell to CSV and TSV: a missing value is empty, lists and dicts are JSON.

    Raises
    ------
    CannotHoldError
        The cell is bytes or an object of unknown type, or a list or dict with a value that JSON cannot hold.
    """
    if isinstance(cell, str):
        return cell
    if is_missing(cell):
        return ""
    if isinstance(cell, (bool, int)):
        return str(cell)
    if isinstance(cell, float):
        # The shortest text that is read back as the same number.
        return repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    if isinstance(cell, (list, tuple, dict)):
        return json.dumps(as_json(cell), ensure_ascii=False)
    return _plain_text(cell)


def _plain_text(cell):
    if isinstance(cell, (bytes, bytearray, memoryview)):
        raise CannotHoldError("bytes", "write .parquet")
    # Periods, intervals and offsets of pandas have a complete text form.
    if isinstance(cell, (Decimal, timedelta)) or type(cell).__module__.partition(".")[0] in ("pandas", "uuid"):
        return str(cell)
    raise CannotHoldError(f"an object of type {type(cell).__name__}", "convert it to a text, or leave the column out")


def check_unicode(text):
    """Return `text`; CannotHoldError for half of a surrogate pair, which no Unicode encoding can write."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = text[error.start]
        what = f"half of a surrogate pair ({half!r} at character {error.start})"
        raise CannotHoldError(what, "write .jsonl, or correct the text") from None
    return text


def is_finite(column):
    """Whether a column is an array of numbers or truth values none of which is missing or infinite."""
    known = isinstance(column, np.ndarray) and column.dtype.kind in "iufb" and column.dtype.itemsize <= 8
    return known and bool(np.isfinite(column).all())


def check_named(name, check):
    """Run `check` on the name of a column; its CannotHoldError becomes a ValueError that says what to do."""
    try:
        check(name)
    except CannotHoldError as error:
        raise ValueError(f"the name {name!r} holds {error}; rename the column.") from error


def each(convert, columns, kind, check_name=check_unicode, first=0):
    """Convert all cells of all columns; the error for a value that the format cannot hold names row and column.

    Parameters
    ----------
    convert : callable
        Converts a cell, or raises CannotHoldError.
    columns : dict of str to list
        The cells.
    kind : str
        Name of the format, such as "JSONL".
    check_name : callable
        Raises CannotHoldError for a name that the format cannot hold.
    first : int
        Number of the first row, for messages.

    Returns
    -------
    dict of str to list
    """
    found = {}
    for name, cells in columns.items():
        check_named(name, check_name)
        found[name] = done = []
        for row, cell in enumerate(cells, start=first):
            try:
                done.append(convert(cell))
            except CannotHoldError as error:
                raise ValueError(
                    f"row {row} of the column {name!r} holds {error}, which {kind} cannot; {error.advice}."
                ) from error
    return found
