"""Labels of files: read so that an estimator can learn them, and matched to the classes of one that has learned.

The one rule of matching. A label that is a class, by value and type, is that class. Else the two are compared by what
they say: true, True, TRUE and the truth value are one; 1, 1.0, "1" and "1.0" are one number; a date and its ISO 8601
text are one date. Truth values and numbers meet only where all classes are truth values, or all are 0 or 1. Where a
label says the same as several classes, or is of another kind than all of them, no match is safe, and it is refused.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np

from skbert.cli._cells import as_values, is_missing

# "007" is none: who writes it so means a text.
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d{1,3})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")


# ---------------------------------------------------------------- reading


def labels_of(table, name):
    """Labels of one column, as an array (n,) of text, whole numbers, truth values or dates.

    Raises
    ------
    ValueError
        A row without a label, labels of several kinds, or of one that no classifier learns; with file and row.
    """
    labels = _present(table, name)
    kinds = [_kind_of(label) for label in labels]
    for row, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        if kind is None:
            raise ValueError(
                f"{table.path}: row {row} of the column {name!r} holds {_short(label)}, which cannot be a label; "
                "labels are texts, whole numbers, truth values or dates without a time zone."
            )
        if kind != kinds[0]:
            raise ValueError(
                f"{table.path}: the column {name!r} mixes kinds of labels: row 0 holds {_short(labels[0])}, row {row} "
                f"{_short(label)}. Write all of them as one kind."
            )
    return _as_array(labels, kinds[0], f"{table.path}, {name!r}")


def indicators_of(table, names):
    """0 and 1 of several columns, one per label of a multi-label estimator; int array (n, n_labels)."""
    columns = []
    for name in names:
        labels = _present(table, name)
        said = [_said(label) for label in labels]
        for row, (kind, value) in enumerate(said):
            if kind not in ("truth", "number") or value not in (0, 1):
                raise ValueError(
                    f"{table.path}: row {row} of the column {name!r} holds {_short(labels[row])}; with several "
                    "--label, each column says by 0 and 1, or true and false, whether its label is there."
                )
        columns.append([int(value) for _, value in said])
    if len(set(names)) < len(names):
        raise ValueError(f"--label names a column twice: {', '.join(names)}.")
    return np.array(columns).T


def numbers_of(table, name):
    """Numbers of one column, as float64 array (n,); ValueError with the first row that holds none."""
    labels = _present(table, name)
    found = [_as_float(label) for label in labels]
    for row, number in enumerate(found):
        if number is None or not np.isfinite(number):
            raise ValueError(f"{table.path}: row {row} of the column {name!r} is no number: {_short(labels[row])}.")
    return np.array(found)


def _as_float(label):
    # A date is a number to some libraries: of nanoseconds.
    if not isinstance(label, (bool, int, float, Decimal, str)) or (isinstance(label, str) and "_" in label):
        return None
    try:
        return float(label)
    except (ValueError, OverflowError):
        return None


def _present(table, name):
    labels = table[name]
    missing = [row for row, label in enumerate(labels) if is_missing(label) or _is_blank(label)]
    if missing:
        raise ValueError(
            f"{table.path}: {len(missing)} rows have nothing in the column {name!r}, the first is row {missing[0]}."
        )
    return list(labels)


def _is_blank(label):
    return isinstance(label, str) and not label.strip()


def _short(label):
    return f"{label!r:.60} ({type(label).__name__})"


def _kind_of(label):
    """The kind that labels of one column share, or None."""
    if isinstance(label, str):
        return "text"
    if isinstance(label, bool):
        return "truth"
    if _whole(label) is not None:
        return "number"
    if isinstance(label, date) and getattr(label, "tzinfo", None) is None:
        return "date"
    return None


def _whole(label):
    """A number as an int, exactly, or None where it is none or has a fraction."""
    try:
        number = Fraction(label)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return int(number) if number.denominator == 1 else None


def _as_array(labels, kind, where):
    if kind == "number":
        # A column of whole numbers that once had gaps is stored as fractions.
        return _as_integers(list(map(_whole, labels)), where)
    if kind == "date":
        return _as_dates(labels, where)
    return np.array(labels)


def _as_integers(numbers, where):
    low, high = min(numbers), max(numbers)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(numbers, dtype=dtype)
    row = max(range(len(numbers)), key=lambda row: abs(numbers[row]))
    raise ValueError(
        f"{where}, row {row}: the label {numbers[row]} has no room in 64 bits beside the others, where scikit-learn "
        "would take numbers for one another; write labels as texts."
    )


def _as_dates(labels, where):
    # numpy knows a Timestamp of pandas by another method than a datetime.
    dates = [x.to_datetime64() if hasattr(x, "to_datetime64") else np.datetime64(x) for x in labels]
    dates = np.array(dates)
    if dates.dtype != np.dtype("M8[ns]"):
        return dates
    # Nothing else in Python knows nanoseconds.
    shorter = dates.astype("M8[us]")
    if (shorter != dates).any():
        raise ValueError(f"{where}: dates with nanoseconds cannot be labels; write them as texts.")
    return shorter


# ---------------------------------------------------------------- matching


def match(labels, classes, where):
    """Labels of a file as classes of a fitted estimator; the rule stands above.

    Parameters
    ----------
    labels : array (n,)
        As `labels_of` gives them.
    classes : array (n_classes,)
    where : str
        File and column, for messages.

    Returns
    -------
    array (n,)
        In the type of the classes. A label of their kind that is none of them stays what it is: an estimator that never
        saw it is wrong about it.

    Raises
    ------
    ValueError
        No match is safe, or not a single label is a class; names label, row and classes.
    """
    known, labels = as_values(classes), as_values(labels)
    said = [_said(label) for label in known]
    kinds = _kinds_of(said)
    found = {}
    for row, label in enumerate(labels):
        key = (type(label), label)
        if key not in found:
            found[key] = _match_one(label, known, said, kinds, f"{where}, row {row}")
    matched = [found[type(label), label] for label in labels]
    if not any(label in known for label in matched):
        raise ValueError(
            f"{where}: not one label is among the classes that were learned. Row 0 holds {_short(labels[0])}; "
            f"the classes are {_listed(known)}."
        )
    return _in_type_of(matched, classes)


def unlearned(labels, classes):
    """Labels that are no classes, with the first row of each: a dict."""
    known, found = set(as_values(classes)), {}
    for row, label in enumerate(as_values(labels)):
        if label not in known:
            found.setdefault(label, row)
    return found


def _match_one(label, known, said, kinds, where):
    exact = [name for name in known if type(name) is type(label) and name == label]
    if exact:
        return exact[0]
    kind, value = _said(label)
    if {kind, *kinds} == {"truth", "number"} and {v for _, v in said} <= {0, 1}:
        # 0 and 1 are how many programs write false and true.
        same = [name for name, (_, other) in zip(known, said, strict=True) if other == value]
    else:
        same = [name for name, other in zip(known, said, strict=True) if other == (kind, value)]
    if len(same) == 1:
        return same[0]
    if not same and kind in kinds and not ({kind, *kinds} & {"truth"}):
        unseen = _in_kind(label, value, known)
        if unseen is not None:
            return unseen
    why = f"it could be each of {_listed(same)}" if same else "it is none of them"
    raise ValueError(
        f"{where}: the label {_short(label)} cannot be matched safely to the classes that were learned, "
        f"{_listed(known)}: {why}. Write labels as they were for the training."
    )


def _said(label):
    """What a label says, whatever its type: a kind and a value that can be compared."""
    if isinstance(label, bool):
        return "truth", int(label)
    if isinstance(label, str):
        return _said_by_text(label)
    if isinstance(label, (int, float, Decimal)):
        whole = _whole(label)
        return "number", label if whole is None else whole
    if isinstance(label, date):
        return "date", _instant(label)
    return "text", str(label)


def _said_by_text(label):
    word = label.strip()
    if word.lower() in ("true", "false"):
        return "truth", int(word.lower() == "true")
    if _NUMBER.fullmatch(word) and _whole(word) is not None:
        return "number", _whole(word)
    if _DATE.fullmatch(word):
        try:
            return "date", _instant(np.datetime64(word).item())
        except ValueError:
            pass
    return "text", label


def _instant(label):
    """A date, or a date and time, as one kind of value."""
    if isinstance(label, datetime):
        return label.to_pydatetime() if hasattr(label, "to_pydatetime") else label
    return datetime(label.year, label.month, label.day)


def _kinds_of(said):
    return {kind for kind, _ in said}


def _in_kind(label, value, known):
    """An unlearned label in the type of the classes, or None where it has none."""
    kind = type(known[0])
    if kind is str:
        return label if isinstance(label, str) else str(value)
    if kind is int:
        return value if isinstance(value, int) else None
    if kind is float:
        return float(value)
    return label if isinstance(label, kind) else None


def _in_type_of(labels, classes):
    if classes.dtype.kind == "U":  # room for longer ones that were not learned
        return np.array(labels)
    if classes.dtype.kind in "iu":
        return _as_integers(labels, "labels")
    if classes.dtype.kind == "O":
        return np.array([*labels, None], dtype=object)[:-1]
    return np.array(labels, dtype=classes.dtype)


def _listed(names):
    shown = ", ".join(map(repr, names[:8]))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
