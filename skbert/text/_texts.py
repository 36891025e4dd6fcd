"""Checks of user input: containers of texts are converted to plain lists of ``str``."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skbert._shared import check_not_a_string, check_not_empty


@dataclass(frozen=True)
class TextInput:
    """Texts, or pairs of texts, that passed all checks.

    Attributes
    ----------
    first : list of str
        The texts, or the first text of every pair.
    second : list of str or None
        The second text of every pair; None for single texts.
    column_names : list of str or None
        Column names, if the input was a data frame whose column names are strings.
    """

    first: list[str]
    second: list[str] | None = None
    column_names: list[str] | None = None

    def __len__(self):
        return len(self.first)

    @property
    def n_columns(self):
        """1 for single texts, 2 for pairs."""
        return 1 if self.second is None else 2

    def rows(self):
        """The texts as hashable rows: ``str``, or ``(str, str)`` for pairs."""
        return self.first if self.second is None else list(zip(self.first, self.second, strict=True))

    def take(self, indices):
        """The rows at `indices`, in that order."""
        second = None if self.second is None else [self.second[i] for i in indices]
        return TextInput([self.first[i] for i in indices], second, self.column_names)

    def between(self, start, stop):
        """The rows from `start` to before `stop`."""
        second = None if self.second is None else self.second[start:stop]
        return TextInput(self.first[start:stop], second, self.column_names)


def check_texts(X, estimator_name="this estimator", first_row=0):
    """Check `X` and convert it to lists of ``str``.

    Parameters
    ----------
    X : list, tuple, 1-D array of str, Series, one-column DataFrame or (n, 1) array
        Texts. Two columns, or a list of ``(a, b)``, are pairs of texts.
        Containers of pandas and of polars are both allowed.
    estimator_name : str
        Name of the caller, for messages.
    first_row : int
        Number of the first row, for messages.

    Returns
    -------
    TextInput
        The texts, as lists of ``str``.

    Raises
    ------
    ValueError
        `X` is a single string, has no rows, has missing values or three or more columns, or only some rows are pairs.
    TypeError
        An entry is not a ``str``, or `X` is not a container of texts.
    """
    check_not_a_string(X)
    columns, names = _columns(X, first_row)
    check_not_empty(len(columns[0]), estimator_name)
    for k, column in enumerate(columns):
        _check_column(column, None if len(columns) == 1 else k, first_row)
    # str() converts subclasses such as numpy.str_ to plain strings, because tokenizers and JSON need plain strings.
    columns = [[str(text) for text in column] for column in columns]
    return TextInput(columns[0], columns[1] if len(columns) == 2 else None, names)


def _columns(X, first):
    """Split `X` into one or two columns of cells; return (columns, column names or None)."""
    if _is_data_frame(X):
        labels = list(X.columns)
        _check_n_columns(len(labels))
        # By position, because pandas returns a frame instead of a column if a label occurs twice.
        columns = [X.iloc[:, k] if hasattr(X, "iloc") else X[:, k] for k in range(len(labels))]
        names = labels if all(isinstance(label, str) for label in labels) else None
        return [column.to_list() for column in columns], names
    if _is_series(X):
        return [X.to_list()], None
    if isinstance(X, np.ndarray) or (hasattr(X, "__array__") and not isinstance(X, Sequence)):
        return _array_columns(np.asarray(X), first), None
    if isinstance(X, (bytes, bytearray)) or not isinstance(X, Sequence):
        raise TypeError(
            "X must be a list, tuple, array, Series or DataFrame of texts, "
            f"got {type(X).__name__}. Turn other iterables into a list first: list(X)."
        )
    return _sequence_columns(X, first), None


def _is_data_frame(X):
    return hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "shape")


def _is_series(X):
    return hasattr(X, "to_list") and hasattr(X, "dtype") and not isinstance(X, np.ndarray)


def _check_n_columns(n):
    if n not in (1, 2):
        raise ValueError(f"X has {n} columns; expected one column of texts, or two columns for pairs of texts.")


def _array_columns(X, first):
    if X.ndim == 0:
        raise ValueError("Iterable over raw text documents expected, scalar received.")
    if X.ndim == 1:
        # An object array may hold pairs, e.g. np.array([("a", "b"), ...], dtype=object) built row by row.
        return _sequence_columns(X.tolist(), first)
    if X.ndim > 2:
        raise ValueError(f"X has {X.ndim} dimensions; expected one column of texts, or two columns for pairs of texts.")
    _check_n_columns(X.shape[1])
    return [X[:, k].tolist() for k in range(X.shape[1])]


def _sequence_columns(X, first):
    """A list of texts is one column; a list of (a, b) is two columns."""
    is_row = [isinstance(cell, (tuple, list)) for cell in X]
    if not any(is_row):
        return [list(X)]
    if not all(is_row):
        missing = [i for i, cell in enumerate(X) if is_missing(cell)]
        if missing:
            raise ValueError(_missing(missing, len(X), None, first))
        # The first row defines what the list contains; the first row that differs is reported.
        culprit = is_row.index(not is_row[0])
        if is_row[0]:
            raise ValueError(
                f"Ragged pairs: row {first} is a {type(X[0]).__name__}, but row {first + culprit} is a "
                f"{type(X[culprit]).__name__}. "
                "Every row must be a pair (a, b) of texts."
            )
        raise TypeError(_not_a_text(first + culprit, X[culprit], None))
    if all(len(cell) == 1 for cell in X):
        raise TypeError(_not_a_text(first, X[0], None))
    widths = [len(cell) for cell in X]
    if set(widths) != {2}:
        culprit = next(i for i, width in enumerate(widths) if width != 2)
        raise ValueError(
            f"Ragged pairs: row {first + culprit} holds {widths[culprit]} texts. "
            "Every row must be a pair (a, b) of texts."
        )
    return [[cell[0] for cell in X], [cell[1] for cell in X]]


def is_missing(cell):
    """Whether `cell` is None, NaN, NA or NaT."""
    # pd.NA and pd.NaT are recognised by name, so pandas does not have to be imported (or installed).
    return (
        cell is None
        or (isinstance(cell, numbers.Real) and cell != cell)
        or type(cell).__name__ in ("NAType", "NaTType")
    )


def _check_column(cells, column, first):
    wrong = [i for i, cell in enumerate(cells) if not isinstance(cell, str)]
    if not wrong:
        for row, text in enumerate(cells, start=first):
            if not text.isascii():
                try:
                    text.encode("utf-8")
                except UnicodeEncodeError as error:
                    where = f"row {row}" if column is None else f"row {row}, column {column}"
                    raise ValueError(f"X must hold valid Unicode, but {where} does not: {error}") from error
        return
    missing = [i for i in wrong if is_missing(cells[i])]
    if missing:
        raise ValueError(_missing(missing, len(cells), column, first))
    raise TypeError(_not_a_text(first + wrong[0], cells[wrong[0]], column))


def _missing(rows, n, column, first):
    where = "" if column is None else f" of column {column}"
    return (
        f"Input X contains missing values: {len(rows)} of {n} texts{where} are None, NaN or NA, "
        f"the first in row {first + rows[0]}. Drop these rows or replace these texts by an empty string."
    )


def _not_a_text(row, cell, column):
    where = f"row {row}" if column is None else f"row {row}, column {column}"
    return f"X must hold texts (str), but {where} holds {type(cell).__name__}: {cell!r:.80}"
