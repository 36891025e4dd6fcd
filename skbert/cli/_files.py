"""Tables of texts as files: CSV, TSV, JSONL and Parquet, checked before anything is computed."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from skbert._shared import pandas
from skbert.cli import _cells, _delimited, _jsonl, _parquet
from skbert.cli._source import DELIMITED, FORMATS, TABLES, Source, Table, check_encoding, check_file, open_text

# ---------------------------------------------------------------- reading


def read_table(path, encoding="utf-8", separator=None):
    """Read the `Table` in a file; see `Source`, which also says what is refused."""
    return Source(path, encoding, separator).whole()


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
    check_file(path)
    check_encoding(path, encoding)
    with open_text(path, encoding, "") as file:
        lines = [line.strip() for line in file.read().splitlines()]
    if not any(lines):
        raise ValueError(f"{path} has no text: all lines are blank.")
    return [line for line in lines if line]


def read_texts(path, names, encoding="utf-8", separator=None):
    """Texts of a file: the lines of a .txt file, without blank ones, or a column of a table; ValueError if none."""
    path = Path(path)
    if path.suffix.lower() == ".txt":
        return read_lines(path, encoding)
    texts = texts_of(read_table(path, encoding, separator), names)
    if not isinstance(texts[0], str):
        raise ValueError("This command needs exactly one --text.")
    return list(texts)


# ---------------------------------------------------------------- writing


def write_table(table, path):
    """Write a `Table`, or a data frame, in the format of the extension of the name.

    Raises
    ------
    ValueError
        The format cannot hold a cell; with row and column. See `check_writable`.
    """
    Path(path).write_bytes(encode(_as_table(table), path))


def as_csv(table, header=True):
    """A `Table` as CSV text."""
    return _delimited.encode_csv(table.columns, table.first, header)


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


def encode(table, path):
    """The content of a file with a `Table`, in the format of the extension of the name; ValueError as `write_table`."""
    content = encode_part(table, path)
    if Path(path).suffix.lower() == ".tsv":
        quotes = _delimited.Quotes("\t")
        _add_lines(quotes, content)
        with _naming(path):
            _delimited.check_not_quoted(quotes)
    return content


def encode_part(table, path, header=True, types=None):
    """A part of a file, with some of its rows.

    Parameters
    ----------
    table : Table
        The rows.
    path : path
        Name of the file, for its extension and for messages.
    header : bool
        Whether it is the first part, in which CSV and TSV have the names of the columns.
    types : pyarrow.Schema, default=None
        Types of columns in Parquet; see `Writable`.

    Returns
    -------
    bytes
        In Parquet, this is a file of its own.
    """
    kind = Path(path).suffix.lower()
    with _naming(path):
        if kind == ".csv":
            return as_csv(table, header).encode("utf-8")
        if kind == ".tsv":
            return _delimited.encode_tsv(table.columns, table.first, header).encode("utf-8")
        if kind in (".jsonl", ".ndjson"):
            return _jsonl.encode(table.columns, table.first).encode("utf-8")
        if kind == ".parquet":
            return _parquet.encode(table.added(), table.source, table.first, types)
    raise ValueError(f"{path}: skbert writes {FORMATS}.")


@contextmanager
def _naming(path):
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _add_lines(quotes, content):
    # Not splitlines, which also ends lines elsewhere.
    all(quotes.add(line) for line in content.decode("utf-8").split("\n"))


# The form of a cell in each kind of file; if a reader would return something else, the file must not be written.
_HELD = {".csv": _cells.as_text, ".tsv": _cells.as_text, ".jsonl": _cells.as_json, ".ndjson": _cells.as_json}


class Writable:
    """Refuses tables that a format cannot hold, before anything is computed; a file is checked window by window.

    Each window is written to memory and read again; the message names a value that would be read back differently.

    Parameters
    ----------
    path : path
        Name of the file.
    types : pyarrow.Schema, default=None
        Types of the columns in a Parquet file, which are those of `types` of a first pass. None infers them.

    Attributes
    ----------
    types : pyarrow.Schema or None
        Types of the columns in a Parquet file, for `encode_part`; None in other formats.
    agree : bool
        Whether all windows by themselves have these types. If not, check them again, with the types.
    """

    def __init__(self, path, types=None):
        self.path, self.kind = path, Path(path).suffix.lower()
        self.types, self.agree = types, True
        self._given = types
        self._separator = None
        self._quotes = _delimited.Quotes("\t")

    def add(self, table):
        """Check the next window; ValueError with row and column."""
        content = encode_part(table, self.path, types=self._given)
        try:
            back = self._read_back(content, table.first)
        except ValueError as error:
            raise ValueError(
                f"{self.path}: these names and rows would not be read back ({error}); write .jsonl."
            ) from error
        self._check_same(table, back)
        if self.kind == ".parquet" and self._given is None:
            self._add_types(table)
        elif self.kind == ".tsv":
            # The names come once.
            _add_lines(self._quotes, content if table.first == 0 else content.partition(b"\n")[2])

    def finish(self):
        """Check what only shows in all windows together."""
        with _naming(self.path):
            _delimited.check_not_quoted(self._quotes)

    def _read_back(self, content, first):
        """Columns as a reader that knows only the extension reads them, who has read `first` rows before."""
        if self.kind == ".parquet":
            ((columns, _),) = _parquet.windows(io.BytesIO(content), first=first)
            return columns
        text = content.decode("utf-8").removeprefix("\ufeff")
        if self.kind not in DELIMITED:
            return _jsonl.decode(text)
        if self._separator is None:
            self._separator = _delimited.guess_separator(text, DELIMITED[self.kind])
        # Whether tabs separate quoted fields is known at the end.
        quoted = self._separator in ",;"
        (columns,) = _delimited.windows(lambda: io.StringIO(text), self._separator, quoted)
        return columns

    def _check_same(self, table, back):
        absent = {name for name, cells in table.columns.items() if all(cell is _cells.ABSENT for cell in cells)}
        names = [name for name in table.columns if name in back or name not in absent]
        # In JSONL, names have the order of the rows that have them first, in which nothing is lost.
        in_order = sorted if self.kind in (".jsonl", ".ndjson") else list
        if in_order(back) != in_order(names):
            lost = [name for name in names if name not in back]
            raise ValueError(
                f"{self.path}: the name {(lost or list(back))[0]!r} would be read back as another; rename the column."
            )
        held = _HELD.get(self.kind, lambda cell: cell)
        for name, column in table.as_cells().items():
            if name not in names:
                continue
            if len(back[name]) != len(column):
                raise ValueError(f"{self.path}: the column {name!r} would be read back with other rows; write .jsonl.")
            for row, (cell, again) in enumerate(zip(column, back[name], strict=True), start=table.first):
                if not _cells.same(held(cell), again):
                    raise ValueError(
                        f"{self.path}: row {row} of the column {name!r} holds {cell!r:.80}, which would be read back "
                        f"as {again!r:.80}; write .jsonl or .parquet."
                    )

    def _add_types(self, table):
        with _naming(self.path):
            types = _parquet.types_of(table.added(), table.first)
            if self.types is None:
                self.types = types
            elif not self.types.equals(types):
                self.agree = False
                self.types = _parquet.merge_types(self.types, types)


def check_writable(table, path):
    """Refuse a table that the format of `path` cannot hold; see `Writable`."""
    writable = Writable(path)
    writable.add(table)
    writable.finish()


def check_shown(table, encoding):
    """Refuse a table that a terminal of this encoding cannot show as CSV, before anything is computed."""
    for name, column in _cells.each(_cells.as_text, table.as_cells(), "CSV", first=table.first).items():
        for row, text in enumerate([name, *column], start=-1):
            try:
                text.encode(encoding)
            except UnicodeEncodeError as error:
                where = f"the name {name!r}" if row < 0 else f"row {table.first + row} of the column {name!r}"
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
        check_texts(texts, first_row=table.first)
    except (TypeError, ValueError) as error:
        within = f", rows {table.first} to {table.first + len(table) - 1}" if table.first else ""
        raise ValueError(f"{table.path}, {' and '.join(map(repr, names))}{within}: {error}") from error
    return texts
