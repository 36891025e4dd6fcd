"""CSV, TSV and similar files with other separators, as columns of text."""

from __future__ import annotations

import csv
import io
import re

from skbert.cli._cells import CannotHoldError, as_text, as_values, check_named, check_unicode, each, is_finite

# Separators that a header may have.
_SEPARATORS = ",\t;|"
# Number of characters at the beginning of a text that are looked at.
GUESSED_FROM = 100_000


def decode(text, separator):
    """Read columns of text from the content of a file: a dict of name to list of str; cells are not converted.

    With a comma or a semicolon, double quotes are those of CSV. With any other separator, a double quote is an
    ordinary character, unless the whole file is quoted, as written by pandas, R and spreadsheets.

    Raises
    ------
    ValueError
        Two columns have the same name, a row has more fields than the header, a quote is not closed, or the content is
        empty.
    """
    quoted = has_quotes(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), separator)
    (columns,) = windows(lambda: io.StringIO(text), separator, quoted)
    return columns


def windows(open_text, separator, quoted, n_rows=None):
    """Read columns as `decode` does, `n_rows` rows at a time.

    Parameters
    ----------
    open_text : callable
        Gives the content as a new text stream that does not convert line breaks.
    separator : str
    quoted : bool
        Whether double quotes are those of CSV; see `has_quotes`.
    n_rows : int, default=None
        None reads all rows at once.

    Yields
    ------
    dict of str to list of str
    """
    import pandas as pd

    raw = {
        "sep": separator,
        "quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        # The header is read like any other row, so that pandas does not invent names or shift columns.
        "header": None,
        "index_col": False,
        "dtype": str,
        "keep_default_na": False,
        "na_filter": False,
    }
    try:
        with open_text() as text:
            names = pd.read_csv(text, nrows=1, **raw).iloc[0].tolist()
        name_columns(names, names)
        with open_text() as text:
            # With one column, an empty line is an empty text.
            frames = pd.read_csv(text, chunksize=n_rows, skip_blank_lines=len(names) > 1, **raw)
            for k, frame in enumerate([frames] if n_rows is None else frames):
                rows = frame.iloc[1:] if k == 0 else frame
                yield name_columns(names, [rows.iloc[:, column].tolist() for column in range(len(names))])
    except pd.errors.EmptyDataError:
        raise ValueError("it is empty; the first row must name the columns") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        with open_text() as text:
            raise ValueError(_reason(text, raw, error)) from error


def name_columns(names, columns):
    """A dict of name to column; ValueError if two columns have the same name."""
    found = dict(zip(names, columns, strict=True))
    if len(found) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"two columns are named {twice!r}; rename one of them")
    return found


def _reason(lines, raw, error):
    """Message about a table that pandas cannot read, with the first wrong row."""
    opened = re.search(r"EOF inside string starting at row (\d+)", str(error))
    if opened:
        row = int(opened[1]) - 1
        where = "the row of names" if row < 0 else f"row {row}"
        return f"a double quote opens in {where} and is never closed; write quotes inside quoted fields twice"
    try:
        reader = csv.reader(lines, delimiter=raw["sep"], quoting=raw["quoting"])
        rows = (fields for fields in reader if fields)
        width = len(next(rows))
        for row, fields in enumerate(rows):
            if len(fields) > width:
                return (
                    f"row {row}, which ends in line {reader.line_num}, has {len(fields)} fields, but the header names "
                    f"{width} columns. Put quotes around fields that hold the separator, or name the missing column"
                )
    except csv.Error:  # this reader does not accept fields of more than 131,072 characters
        pass
    return str(error)


# ---------------------------------------------------------------- what a file is like


def guess_separator(text, default):
    """The separator of the header: `default`, unless the header has only exactly one other kind of separator."""
    lines = (re.sub(r'"[^"]*"', "", line) for line in re.split(r"[\r\n]+", text[:GUESSED_FROM]))
    header, row = next(lines, ""), next(lines, "")
    found = [separator for separator in _SEPARATORS if separator in header]
    if default in found or len(found) != 1:
        return default
    # A single column may have a name such as "yes|no"; then its rows do not have this separator.
    return found[0] if row.count(found[0]) >= header.count(found[0]) else default


def has_quotes(lines, separator):
    """Whether double quotes are those of CSV: always with a comma or a semicolon, else if all lines are so written.

    Parameters
    ----------
    lines : iterable of str
        Lines without their ends, or with a line feed.
    separator : str
    """
    if separator in ",;":
        return True
    quotes = Quotes(separator)
    return all(quotes.add(line) for line in lines) and quotes.found


class Quotes:
    """Finds out, line by line, whether separated text is quoted by the rules of CSV.

    Then every double quote belongs to a quoted field, and every row has as many fields as the first. A field such as
    "yes" alone does not show this, because programs quote a field only if it contains a quote, a separator or a line
    break. A quoted name in the header shows it, because column names do not have quotes.
    """

    def __init__(self, separator):
        self._separator = separator
        self._possible, self._open = True, False
        # Separators outside quoted fields in the row that is being read, and of the first row.
        self._n_separators = self._expected = None
        self._n_in_first_line = None
        self._shown = False

    @property
    def found(self):
        """Whether the lines that were added are quoted."""
        return self._possible and not self._open and self._shown

    def add(self, line):
        """Take the next line; return False if nothing that follows could make the text a quoted one."""
        line = line.removesuffix("\n")
        if self._possible and (line or self._open):
            begun, first_line = self._open, self._n_in_first_line is None
            n_separators = line.count(self._separator)
            if first_line:
                self._n_in_first_line = n_separators
            self._n_separators = self._n_separators if begun else 0
            has_field = self._read(line)
            # Without its quotes, the text is no table; or the header has a quoted name.
            self._shown |= bool(line) and n_separators != self._n_in_first_line
            self._shown |= first_line and has_field
            if not self._open:
                self._expected = self._n_separators if self._expected is None else self._expected
                self._possible &= self._n_separators == self._expected
        return self._possible

    def _read(self, line):
        """Read the fields of a line; return whether a quoted field begins in it."""
        if not self._open and '"' not in line:
            self._n_separators += line.count(self._separator)
            return False
        place, has_field = 0, False
        while True:
            if self._open or line.startswith('"', place):
                has_field |= not self._open
                place = self._read_quoted(line, place if self._open else place + 1)
                if self._open or not self._possible:
                    return has_field
            else:
                start, place = place, line.find(self._separator, place)
                place = len(line) if place < 0 else place
                self._possible &= '"' not in line[start:place]
            if place == len(line) or not self._possible:
                return has_field
            self._n_separators += 1
            place += 1

    def _read_quoted(self, line, place):
        """Read the rest of a quoted field; return the place behind its end."""
        content = _QUOTED.match(line, place)
        self._shown |= '"' in content[0]
        self._open = content.end() == len(line)
        place = content.end() + 1
        self._possible &= self._open or place == len(line) or line[place] == self._separator
        return place


# What may stand in a quoted field: quotes are doubled.
_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*')


# ---------------------------------------------------------------- writing


def encode_csv(columns, first=0, header=True):
    """Columns as CSV text; ValueError names row and column of a value that CSV cannot hold.

    Parameters
    ----------
    columns : dict of str to list or array
    first : int
        Number of the first row, for messages.
    header : bool
        Whether the names come first.
    """
    fields = _fields(lambda cell: _csv_field(check_unicode(as_text(cell))), columns, "CSV", first)
    names = list(map(_csv_field, columns))
    if len(columns) == 1:
        # If there is only one column, an empty line could be overlooked.
        names, fields = [names[0] or '""'], [[field or '""' for field in fields[0]]]
    return _joined(",", names if header else None, fields)


def _csv_field(text):
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


# A single carriage return also ends a row, but the csv module of Python would not quote it.
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def encode_tsv(columns, first=0, header=True):
    """Columns as TSV text without quotes, as `encode_csv`; whether it would be read as quoted is not checked."""
    for name in columns:
        if _BREAKS.search(name):
            raise ValueError(f"the name {name!r} cannot be written in TSV; write .csv, .jsonl or .parquet.")
    return _joined("\t", list(columns) if header else None, _fields(_tsv_field, columns, "TSV", first))


_BREAKS = re.compile(r"[\t\n\r]")


def _tsv_field(cell):
    text = check_unicode(as_text(cell))
    if _BREAKS.search(text):
        raise CannotHoldError("a tab or a line break", "write .csv, .jsonl or .parquet")
    return text


def check_not_quoted(quotes):
    """Refuse TSV text without quotes that a reader would take for a quoted one.

    Parameters
    ----------
    quotes : Quotes
        After all lines.
    """
    if quotes.found:
        raise ValueError("texts with double quotes would be read back as other texts; write .csv or .jsonl.")


def _fields(convert, columns, kind, first):
    """The fields of each column; finite numbers in an array need no check."""
    plain = {name for name, cells in columns.items() if is_finite(cells)}
    others = each(convert, {name: as_values(columns[name]) for name in columns if name not in plain}, kind, first=first)
    for name in plain:
        check_named(name, check_unicode)
    # That is what `as_text` gives for numbers.
    return [list(map(repr, columns[name].tolist())) if name in plain else others[name] for name in columns]


def _joined(separator, names, fields):
    rows = zip(*fields, strict=True)
    return "".join(separator.join(row) + "\n" for row in ([names, *rows] if names is not None else rows))
