"""CSV, TSV and similar files with other separators, as columns of text."""

from __future__ import annotations

import csv
import functools
import io
import re
import warnings

from skbert.cli._cells import CannotHoldError, as_text, check_unicode, each

# Separators that a header may have.
_SEPARATORS = ",\t;|"


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
    import pandas as pd

    quoted = separator in ",;" or _is_quoted(text.replace("\r\n", "\n").replace("\r", "\n"), separator)
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
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            names = pd.read_csv(io.StringIO(text), nrows=1, **raw).iloc[0].tolist()
            # With one column, an empty line is an empty text.
            frame = pd.read_csv(io.StringIO(text), skip_blank_lines=len(names) > 1, **raw)
    except pd.errors.EmptyDataError:
        raise ValueError("it is empty; the first row must name the columns") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(_reason(text, raw, error)) from error
    rows = frame.iloc[1:]
    return name_columns(names, [rows.iloc[:, k].tolist() for k in range(len(names))])


def name_columns(names, columns):
    """A dict of name to column; ValueError if two columns have the same name."""
    found = dict(zip(names, columns, strict=True))
    if len(found) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"two columns are named {twice!r}; rename one of them")
    return found


def _reason(text, raw, error):
    """Message about a table that pandas cannot read, with the first wrong row."""
    opened = re.search(r"EOF inside string starting at row (\d+)", str(error))
    if opened:
        row = int(opened[1]) - 1
        where = "the row of names" if row < 0 else f"row {row}"
        return f"a double quote opens in {where} and is never closed; write quotes inside quoted fields twice"
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=raw["sep"], quoting=raw["quoting"])
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
    lines = (re.sub(r'"[^"]*"', "", line) for line in re.split(r"[\r\n]+", text[:100_000]))
    header, row = next(lines, ""), next(lines, "")
    found = [separator for separator in _SEPARATORS if separator in header]
    if default in found or len(found) != 1:
        return default
    # A single column may have a name such as "yes|no"; then its rows do not have this separator.
    return found[0] if row.count(found[0]) >= header.count(found[0]) else default


@functools.cache
def _quoted_field(separator):
    """A field of CSV in quotes, between separators or line breaks, with the quotes inside it doubled."""
    between = re.escape(separator) + r"\n"
    return re.compile(rf'(?:^|(?<=[{between}]))"((?:[^"]|"")*)"(?=[{between}]|\Z)')


def _is_quoted(text, separator):
    """Whether separated text, its lines ended by line feeds, is quoted by the rules of CSV.

    Then every double quote belongs to a quoted field, and every row has as many fields as the first. A field such as
    "yes" alone does not show this, because programs quote a field only if it contains a quote, a separator or a line
    break. A quoted name in the header shows it, because column names do not have quotes.
    """
    pattern = _quoted_field(separator)
    fields = pattern.findall(text)
    if not fields or 2 * len(fields) + sum(field.count('"') for field in fields) != text.count('"'):
        return False
    # A quoted field is one cell, including the separators and line breaks in it.
    if not _is_table(pattern.sub("cell", text), separator):
        return False
    if any('"' in field for field in fields) or not _is_table(text, separator):
        return True
    first = text.lstrip("\n")
    # A quoted name may contain a line break; it only has to begin in the first line.
    return pattern.search(first).start() < len(first.partition("\n")[0])


def _is_table(text, separator):
    """Whether all lines except empty ones have the same number of separators."""
    return len({line.count(separator) for line in text.split("\n") if line}) == 1


# ---------------------------------------------------------------- writing


def encode_csv(columns):
    """Columns as CSV text; ValueError names row and column of a value that CSV cannot hold."""
    texts = each(lambda cell: check_unicode(as_text(cell)), columns, "CSV")
    rows = [list(map(_csv_field, row)) for row in _rows(texts)]
    if len(texts) == 1:
        # If there is only one column, an empty line could be overlooked.
        rows = [[field or '""' for field in row] for row in rows]
    return "".join(",".join(row) + "\n" for row in rows)


def _csv_field(text):
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


# A single carriage return also ends a row, but the csv module of Python would not quote it.
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def encode_tsv(columns):
    """Columns as TSV text without quotes; ValueError names row and column of a value that TSV cannot hold."""
    for name in columns:
        if _BREAKS.search(name):
            raise ValueError(f"the name {name!r} cannot be written in TSV; write .csv, .jsonl or .parquet.")
    texts = each(_tsv_field, columns, "TSV")
    text = "".join("\t".join(row) + "\n" for row in _rows(texts))
    if _is_quoted(text, "\t"):
        raise ValueError("texts with double quotes would be read back as other texts; write .csv or .jsonl.")
    return text


_BREAKS = re.compile(r"[\t\n\r]")


def _tsv_field(cell):
    text = check_unicode(as_text(cell))
    if _BREAKS.search(text):
        raise CannotHoldError("a tab or a line break", "write .csv, .jsonl or .parquet")
    return text


def _rows(texts):
    return [list(texts), *zip(*texts.values(), strict=True)]
