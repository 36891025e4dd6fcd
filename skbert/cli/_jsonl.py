"""JSONL: one object per line, read and written without a library that converts values to dates and floats."""

from __future__ import annotations

import json
from itertools import islice

from skbert.cli._cells import ABSENT, as_json, as_values, each, is_finite

_EXAMPLE = 'every line must be an object such as {"text": "…", "label": "…"}'


def decode(text):
    """Read columns from the content of a file: a dict of name to list of JSON values.

    If a row does not have a key, its value is `ABSENT`. As JSON defines it, a line ends only at a line feed.

    Raises
    ------
    ValueError
        A line is not JSON, or not an object; the message has its number.
    """
    return next(windows(text.split("\n")), {})


def windows(lines, n_rows=None, names=()):
    """Read columns as `decode` does, `n_rows` rows at a time.

    Parameters
    ----------
    lines : iterable of str
        Lines that end only at a line feed.
    n_rows : int, default=None
        None reads all rows at once.
    names : iterable of str
        Names of columns that come first; to them are added those of the rows so far.

    Yields
    ------
    dict of str to list
    """
    names = dict.fromkeys(names)
    rows = (_row(line, number) for number, line in enumerate(lines, start=1) if line.strip())
    while window := list(islice(rows, n_rows)):
        names |= dict.fromkeys(name for row in window for name in row)
        yield {name: [row.get(name, ABSENT) for row in window] for name in names}


def _row(line, number):
    try:
        row = json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON: {error.msg} at character {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number}: {error}") from error
    if not isinstance(row, dict):
        kind = {list: "an array", str: "a text", type(None): "null", bool: "true or false"}.get(type(row), "a number")
        raise ValueError(f"line {number} holds {kind}; {_EXAMPLE}")
    return row


def _object(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"the key {twice!r} occurs twice")
    return found


def encode(columns, first=0):
    """Columns as JSONL text; ValueError names row and column of a value that JSONL cannot hold.

    `first` is the number of the first row, for messages.
    """
    # Finite numbers in an array are JSON as they are.
    others = {name: as_values(cells) for name, cells in columns.items() if not is_finite(cells)}
    held = each(lambda cell: cell if cell is ABSENT else as_json(cell), others, "JSONL", check_name=str, first=first)
    held = {name: held[name] if name in held else cells.tolist() for name, cells in columns.items()}
    rows = zip(*held.values(), strict=True)
    return "".join(f"{_line({n: c for n, c in zip(held, row, strict=True) if c is not ABSENT})}\n" for row in rows)


def _line(row):
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair was read from an escape, and is written as an escape.
        return json.dumps(row, allow_nan=False)
    return line
