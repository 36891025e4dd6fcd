"""Tables of texts as files: CSV, TSV, JSONL and Parquet, checked before anything is computed."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from skbert._shared import pandas
from skbert.cli import _cells, _delimited, _jsonl, _parquet

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_FORMATS = ".csv, .tsv, .jsonl (or .ndjson) and .parquet"
_DELIMITED = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Table:
    """Columns of a file, unchanged, and columns that were added.

    Attributes
    ----------
    path : Path or str
        Source of the table, for messages.
    columns : dict of str to list or array (n,)
        Cells as Python values. From CSV and TSV they are texts, from JSONL they are JSON values and `_cells.ABSENT`.
    source : pyarrow.Table, default=None
        Content of a Parquet file, with the types with which its columns are written again.
    carried : frozenset of str
        Names of the columns that `source` has.
    """

    path: Path | str
    columns: dict
    source: object = None
    carried: frozenset = field(default_factory=frozenset)

    def __len__(self):
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name):
        """A column; if there is no such column, ValueError that lists the columns."""
        if name not in self.columns:
            known, more = list(map(str, self.columns)), ""
            if len(known) == 1:
                more = " If there are more columns, give their separator with --separator."
            raise ValueError(f"{self.path} has no column {name!r}; it has {', '.join(known)}.{more}")
        return self.columns[name]

    def plus(self, columns):
        """The table with more columns; ValueError if a name already exists."""
        taken = [name for name in columns if name in self.columns]
        if taken:
            raise ValueError(f"{self.path} already has a column {taken[0]!r}; rename it.")
        return Table(self.path, {**self.columns, **columns}, self.source, self.carried)

    def added(self):
        """The columns that the Parquet file did not have; all columns if the table is not from a Parquet file."""
        return {name: column for name, column in self.columns.items() if name not in self.carried}

    def as_cells(self):
        """All columns as lists of Python values."""
        return {name: _cells.as_values(column) for name, column in self.columns.items()}


# ---------------------------------------------------------------- reading


def read_table(path, encoding="utf-8", separator=None):
    """Read the `Table` in a file; the extension of its name defines the format.

    Cells of CSV and TSV are not converted: "NA", "None" and "007" are texts.

    Parameters
    ----------
    path : str or path
        The file.
    encoding : str, default="utf-8"
        Encoding of text files.
    separator : str, default=None
        The character between fields of CSV, TSV and .txt files. None uses the separator of the header if it is clear,
        else the separator that belongs to the extension.

    Raises
    ------
    ValueError
        The extension, the encoding or the separator is unknown, or the content cannot be read; with row or line.
    FileNotFoundError
        There is no such file.
    """
    pandas()
    path = Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if kind not in (*TABLES, ".txt"):
        raise ValueError(f"{path}: skbert reads {_FORMATS}, and .txt with --separator.")
    if separator is not None and kind not in (*_DELIMITED, ".txt"):
        raise ValueError(f"--separator is for .csv, .tsv and .txt files; {path} has none.")
    if kind == ".parquet":
        table = _read(path, kind, lambda: _from_parquet(path, path))
    else:
        text = _decoded(path, encoding)
        table = _read(path, kind, lambda: Table(path, _decode(text, kind, _separator(separator))))
    if not len(table):
        what = "rows" if not table.columns else "rows under the names of its columns"
        raise ValueError(f"{path} cannot be read as {kind[1:]}: there are no {what}")
    return table


def read_lines(path, encoding="utf-8"):
    """The lines of a text file that are not blank, without the blanks around them.

    Raises
    ------
    ValueError
        The encoding is unknown or wrong, or all lines are blank.
    FileNotFoundError
        There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    lines = [line.strip() for line in _decoded(path, encoding).splitlines()]
    if not any(lines):
        raise ValueError(f"{path} has no text: all lines are blank.")
    return [line for line in lines if line]


def _read(path, kind, read):
    try:
        return read()
    except ImportError:
        raise
    except Exception as error:
        # Any error of the reader of a damaged Parquet file is about the file.
        if not isinstance(error, (ValueError, OSError)) and not type(error).__module__.startswith("pyarrow"):
            raise
        name = "a table" if kind in (*_DELIMITED, ".txt") else kind[1:]
        raise ValueError(f"{path} cannot be read as {name}: {error}") from error


def _decoded(path, encoding):
    try:
        # Some encodings of Python turn bytes into bytes, such as hex.
        b"".decode(encoding)
        text = path.read_bytes().decode(encoding)
    except LookupError as error:
        raise ValueError(
            f"--encoding {encoding!r} is not a text encoding of Python; utf-8 and cp932 are examples."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not {encoding}: {error}. Give its encoding, such as --encoding cp932.") from error
    except (UnicodeError, ValueError) as error:
        raise ValueError(f"{path} cannot be decoded with --encoding {encoding!r}: {error}.") from error
    # Excel writes a byte order mark before UTF-8, which would become part of the name of the first column.
    return text.removeprefix("\ufeff")


def _separator(asked):
    """The separator that --separator names, or None; ValueError unless it is one character."""
    if asked is None:
        return None
    # A tab is hard to type in a shell.
    named = {"\\t": "\t", "tab": "\t"}.get(asked, asked)
    if len(named) != 1 or named in '"\r\n':
        raise ValueError(f"--separator needs one character, or tab, got {asked!r}")
    return named


def _decode(text, kind, separator=None):
    """Read columns from the content of a text file of this kind."""
    if kind in (".jsonl", ".ndjson"):
        return _jsonl.decode(text)
    if separator is None:
        separator = _delimited.guess_separator(text, _DELIMITED.get(kind, ""))
    if not separator:
        raise ValueError("its header does not clearly show the separator of columns; give it with --separator")
    return _delimited.decode(text, separator)


def _from_parquet(path, source):
    columns, table = _parquet.read(source)
    return Table(path, columns, table, frozenset(columns))


def read_texts(path, names, encoding="utf-8", separator=None):
    """Texts of a file: the lines of a .txt file, without blank ones, or a column of a table; ValueError if none."""
    path = Path(path)
    if path.suffix.lower() != ".txt":
        texts = texts_of(read_table(path, encoding, separator), names)
        if not isinstance(texts[0], str):
            raise ValueError("This command needs exactly one --text.")
        return list(texts)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    texts = [line.strip() for line in _decoded(path, encoding).splitlines() if line.strip()]
    if not texts:
        raise ValueError(f"{path} has no text: all its lines are blank.")
    return texts


# ---------------------------------------------------------------- writing


def write_table(table, path):
    """Write a `Table`, or a data frame, in the format of the extension of the name.

    Raises
    ------
    ValueError
        The format cannot hold a cell; with row and column. See `check_writable`.
    """
    Path(path).write_bytes(_content(_as_table(table), path))


def as_csv(table):
    """A `Table` as CSV text."""
    return _delimited.encode_csv(table.as_cells())


def _as_table(table):
    if isinstance(table, Table):
        return table
    if len({str(name) for name in table.columns}) < len(table.columns):
        raise ValueError(f"two columns have the same name: {list(table.columns)}")
    # Numbers stay arrays of their type; everything else, and missing values, become cells.
    plain = {str(name): table[name] for name in table.columns}
    return Table("", {n: c.to_numpy() if _is_numeric(c.dtype) else c.tolist() for n, c in plain.items()})


def _is_numeric(dtype):
    return isinstance(dtype, np.dtype) and dtype.kind in "iufb"


def _content(table, path):
    kind = Path(path).suffix.lower()
    try:
        if kind == ".csv":
            return as_csv(table).encode("utf-8")
        if kind == ".tsv":
            return _delimited.encode_tsv(table.as_cells()).encode("utf-8")
        if kind in (".jsonl", ".ndjson"):
            return _jsonl.encode(table.as_cells()).encode("utf-8")
        if kind == ".parquet":
            return _parquet.encode(table.added(), table.source)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    raise ValueError(f"{path}: skbert writes {_FORMATS}.")


# The form of a cell in each kind of file; if a reader would return something else, the file must not be written.
_HELD = {".csv": _cells.as_text, ".tsv": _cells.as_text, ".jsonl": _cells.as_json, ".ndjson": _cells.as_json}


def check_writable(table, path):
    """Refuse a table that the format of `path` cannot hold, before anything is computed.

    The table is written to memory and read again; the message names a value that would be read back differently.

    Raises
    ------
    ValueError
        With row and column.
    """
    kind, content = Path(path).suffix.lower(), _content(table, path)
    try:
        if kind == ".parquet":
            back = _from_parquet(path, io.BytesIO(content)).columns
        else:
            # As a reader that knows only the extension does it.
            back = _decode(content.decode("utf-8").removeprefix("\ufeff"), kind)
    except ValueError as error:
        raise ValueError(f"{path}: these names and rows would not be read back ({error}); write .jsonl.") from error
    if list(back) != list(table.columns):
        lost = [name for name in table.columns if name not in back]
        raise ValueError(
            f"{path}: the name {(lost or list(back))[0]!r} would be read back as another; rename the column."
        )
    held = _HELD.get(kind, lambda cell: cell)
    for name, column in table.as_cells().items():
        if len(back[name]) != len(column):
            raise ValueError(f"{path}: the column {name!r} would be read back with other rows; write .jsonl.")
        for row, (cell, again) in enumerate(zip(column, back[name], strict=True)):
            if not _cells.same(held(cell), again):
                raise ValueError(
                    f"{path}: row {row} of the column {name!r} holds {cell!r:.80}, which would be read back as "
                    f"{again!r:.80}; write .jsonl or .parquet."
                )


def check_predictions(table, example, output):
    """Refuse predictions that could not be added to a table and written, before anything is computed.

    Parameters
    ----------
    table : Table
    example : dict of str to array
        Columns like those that will be added, with the same number of rows; otherwise they are checked alone.
    output : path or None
        None is standard output.
    """
    if all(len(column) == len(table) for column in example.values()):
        example = table.plus(example)
    else:
        example = Table(table.path, example)
    if output is None:
        check_shown(example, sys.stdout.encoding or "utf-8")
    else:
        check_writable(example, output)


def check_shown(table, encoding):
    """Refuse a table that a terminal of this encoding cannot show as CSV, before anything is computed."""
    for name, column in _cells.each(_cells.as_text, table.as_cells(), "CSV").items():
        for row, text in enumerate([name, *column], start=-1):
            try:
                text.encode(encoding)
            except UnicodeEncodeError as error:
                where = f"the name {name!r}" if row < 0 else f"row {row} of the column {name!r}"
                raise ValueError(
                    f"Standard output is {encoding}, which has no {text[error.start]!r} as in {where}; name a file "
                    "with --output, or set PYTHONIOENCODING=utf-8."
                ) from error


def check_output(path, kinds=TABLES, source=None):
    """Refuse a name that could not be written at the end, before anything is computed.

    Parameters
    ----------
    path : str or path
    kinds : sequence of str
        Allowed extensions.
    source : path, default=None
        The file that is read, which must not be overwritten.
    """
    path = Path(path)
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path}: the name must end in {', '.join(kinds)}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} to.")
    if source is not None and path.exists() and Path(source).exists() and path.samefile(source):
        raise ValueError(f"{path} is the file that is read; give --output another name.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: permission denied.")
    if path.suffix.lower() == ".parquet":
        _parquet.arrow()
    return path


def check_folder(path):
    """Refuse a folder that could not be created or written to at the end, before anything is computed."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file; --output needs a folder.")
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"{path} cannot be created: {there} is a file.")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"{path} cannot be written: permission denied.")
    return path


# ---------------------------------------------------------------- texts


def texts_of(table, names):
    """Texts, or pairs of texts, of one or two columns; ValueError with file, column and row."""
    from skbert.text import check_texts

    if len(names) > 2:
        raise ValueError(f"--text was given {len(names)} times; give it once for texts, twice for pairs of texts.")
    if len(set(names)) < len(names):
        raise ValueError(f"--text was given {names[0]!r} twice; pairs need two different columns.")
    columns = [[None if cell is _cells.ABSENT else cell for cell in table[name]] for name in names]
    texts = pandas().DataFrame(dict(zip(names, columns, strict=True)), dtype=object)
    if len(names) == 1:
        texts = texts[names[0]].to_numpy(object)
    try:
        check_texts(texts)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{table.path}, {' and '.join(map(repr, names))}: {error}") from error
    return texts
