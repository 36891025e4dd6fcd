"""Tables of texts as files: CSV, TSV, JSONL and Parquet."""

from __future__ import annotations

import codecs
import csv
import json
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from skbert._shared import pandas

_FORMATS = ".csv, .tsv, .jsonl (or .ndjson) and .parquet"


def read_table(path, encoding="utf-8"):
    """A file as a data frame; the ending of its name says the format.

    Cells of CSV and TSV stay as they are written: "NA" and "None" are texts, and so is "007". In TSV a double
    quote is an ordinary character, unless the file as a whole is quoted as pandas and spreadsheets do it.

    Raises
    ------
    ValueError
        An unknown ending or encoding, or content that cannot be read.
    """
    pd, path = pandas(), Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        encoding = codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(f"--encoding {encoding!r} is none that Python knows; utf-8 and cp932 are.") from error
    # Excel writes a mark before UTF-8, which would become part of the first column's name.
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        if kind == ".csv":
            return _read_csv(pd, path, encoding)
        if kind == ".tsv":
            quoted = _is_quoted(path.read_text(encoding))
            return _read_csv(pd, path, encoding, sep="\t", quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        if kind in (".jsonl", ".ndjson"):
            # Not by pandas, which makes dates and numbers of what looks like them. A line ends where JSON says.
            rows = [json.loads(line) for line in path.read_text(encoding).split("\n") if line.strip()]
            return _not_empty(pd.DataFrame(rows), path)
        if kind == ".parquet":
            return _read_parquet(pd, path)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not {encoding.removesuffix('-sig')}: {error}. Say what it is, for example --encoding cp932."
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as {kind[1:]}: {error}") from error
    raise ValueError(f"{path}: skbert reads {_FORMATS}.")


def _read_csv(pd, path, encoding, **dialect):
    raw = {"dtype": str, "keep_default_na": False, "encoding": encoding, **dialect}
    names = pd.read_csv(path, header=None, nrows=1, **raw).iloc[0].tolist()
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two columns are named {twice[0]!r}")
    with warnings.catch_warnings():
        # Fields that no column is named for would be cut off, or shift all others.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # With one column, an empty line is an empty text.
        return _not_empty(pd.read_csv(path, index_col=False, skip_blank_lines=len(names) > 1, **raw), path)


# A field of CSV in quotes, between tabs or line breaks, with the quotes inside it doubled.
_QUOTED = re.compile(r'(?:^|(?<=[\t\n]))"((?:[^"]|"")*)"(?=[\t\n]|\Z)')


def _is_quoted(text):
    """Whether tab-separated text, its lines ended by line feeds, is quoted by the rules of CSV.

    Then every double quote belongs to a quoted field, and every row has as many fields as the first. A field such as
    "yes" alone is no sign of it: who quotes does so only where a quote, a tab or a line break is inside.
    """
    fields = _QUOTED.findall(text)
    if not fields or 2 * len(fields) + sum(field.count('"') for field in fields) != text.count('"'):
        return False
    # What stands in a quoted field, tabs and line breaks too, is one cell.
    if not _is_table(_QUOTED.sub("cell", text)):
        return False
    return any('"' in field for field in fields) or not _is_table(text)


def _is_table(text):
    """Whether all lines, but for empty ones, have as many tabs."""
    return len({line.count("\t") for line in text.split("\n") if line}) == 1


def _not_empty(frame, path):
    if not len(frame):
        raise ValueError("there are no rows")
    return frame


def _read_parquet(pd, path):
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install pyarrow") from error
    # An index with a name is a column that pandas put aside.
    frame = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    return _not_empty(frame, path)


def as_csv(frame):
    """A data frame as CSV text."""
    # Python writes a lone carriage return without quotes, and reads it as the end of a row.
    quoting = csv.QUOTE_NONNUMERIC if _holds(frame, "\r") is not None else csv.QUOTE_MINIMAL
    return frame.to_csv(index=False, lineterminator="\n", quoting=quoting)


def _holds(frame, characters):
    """Row and column of the first text that holds one of the characters, or None."""
    for name in frame.columns:
        found = frame[name].map(lambda cell: isinstance(cell, str) and not set(characters).isdisjoint(cell))
        if found.any():
            return int(found.to_numpy().argmax()), name
    return None


def write_table(frame, path):
    """Write a data frame in the format that the ending of the name says."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        path.write_text(as_csv(frame), encoding="utf-8", newline="")
    elif kind == ".tsv":
        path.write_text(_as_tsv(frame, path), encoding="utf-8", newline="")
    elif kind in (".jsonl", ".ndjson"):
        frame.to_json(path, orient="records", lines=True, force_ascii=False, date_format="iso")
    elif kind == ".parquet":
        try:
            frame.to_parquet(path, index=False)
        except ImportError as error:
            raise ImportError("Parquet files need pyarrow: pip install pyarrow") from error
    else:
        raise ValueError(f"{path}: skbert writes {_FORMATS}.")


def _as_tsv(frame, path):
    breaks = "\t\n\r"
    torn = [name for name in map(str, frame.columns) if not set(breaks).isdisjoint(name)]
    if torn:
        raise ValueError(f"{path}: the name {torn[0]!r} cannot stand in TSV; write .csv, .jsonl or .parquet.")
    found = _holds(frame, breaks)
    if found is not None:
        raise ValueError(
            f"{path}: row {found[0]} of the column {found[1]!r} holds a tab or a line break, which TSV cannot; write "
            ".csv, .jsonl or .parquet."
        )
    text = frame.to_csv(sep="\t", index=False, lineterminator="\n", quoting=csv.QUOTE_NONE)
    if _is_quoted(text):
        raise ValueError(f"{path}: texts with double quotes would be read back as others; write .csv or .jsonl.")
    return text


def check_writable(frame, path):
    """Refuse texts that the format of `path` cannot hold, before anything is computed."""
    if Path(path).suffix.lower() == ".tsv":
        _as_tsv(frame, path)


def check_output(path, kinds=(".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")):
    """Refuse a name that could not be written in the end, before anything is computed."""
    path = Path(path)
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path}: the name must end in {', '.join(kinds)}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} to.")
    return path


def column(frame, name, path):
    """A column of a data frame; ValueError that lists those that are there."""
    if name not in frame.columns:
        raise ValueError(f"{path} has no column {name!r}; it has {', '.join(map(str, frame.columns))}.")
    return frame[name]


def texts_of(frame, names, path):
    """Texts, or pairs of texts, of one or two columns."""
    from skbert.text import check_texts

    if len(names) > 2:
        raise ValueError(f"--text was given {len(names)} times; once is texts, twice is pairs of texts.")
    columns = [column(frame, name, path) for name in names]
    texts = columns[0].to_numpy(object) if len(columns) == 1 else frame[list(names)]
    try:
        check_texts(texts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, {' and '.join(map(repr, names))}: {error}") from error
    return texts


def labels_of(frame, name, path, regression=False):
    """Labels, or numbers, of one column; ValueError with the first row in which there is none."""
    values = column(frame, name, path)
    missing = (values.isna() | values.map(lambda cell: isinstance(cell, str) and not cell.strip())).to_numpy(bool)
    if missing.any():
        raise ValueError(
            f"{path}: {int(missing.sum())} rows have nothing in the column {name!r}, the first is row "
            f"{missing.argmax()}."
        )
    if not regression:
        # A column of whole numbers that once had gaps is stored as fractions.
        whole = values.dtype.kind == "f" and (values % 1 == 0).all()
        return values.astype(int).to_numpy() if whole else values.to_numpy()
    numbers = pandas().to_numeric(values, errors="coerce").to_numpy(float)
    if np.isnan(numbers).any():
        row = int(np.isnan(numbers).argmax())
        raise ValueError(f"{path}: row {row} of the column {name!r} is no number: {values.iloc[row]!r}.")
    return numbers
