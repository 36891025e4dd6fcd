"""Files of texts, read whole or in windows of rows."""

from __future__ import annotations

import codecs
import hashlib
import io
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from skbert._shared import pandas
from skbert.cli import _cells, _delimited, _jsonl, _parquet

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
FORMATS = ".csv, .tsv, .jsonl (or .ndjson) and .parquet"
# Formats with separators: the usual one.
DELIMITED = {".csv": ",", ".tsv": "\t"}
# Rows of a window at most.
MOST_ROWS = 16_384
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Table:
    """Columns of a file, or of a window of its rows, unchanged, and columns that were added.

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
    first : int, default=0
        Number of the first row in the file.
    """

    path: Path | str
    columns: dict
    source: object = None
    carried: frozenset = field(default_factory=frozenset)
    first: int = 0

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
        return replace(self, columns={**self.columns, **columns})

    def between(self, start, stop):
        """The rows from `start` to before `stop`, counted from the first of this table."""
        if (start, stop) == (0, len(self)):
            return self
        source = None if self.source is None else self.source.slice(start, stop - start)
        columns = {name: column[start:stop] for name, column in self.columns.items()}
        return replace(self, columns=columns, source=source, first=self.first + start)

    def added(self):
        """The columns that the Parquet file did not have; all columns if the table is not from a Parquet file."""
        return {name: column for name, column in self.columns.items() if name not in self.carried}

    def as_cells(self):
        """All columns as lists of Python values."""
        return {name: _cells.as_values(column) for name, column in self.columns.items()}


class Source:
    """A file of texts; the extension of its name defines the format.

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
        The extension, the encoding or the separator is unknown, or the encoding is wrong.
    FileNotFoundError
        There is no such file.
    """

    def __init__(self, path, encoding="utf-8", separator=None):
        pandas()
        self.path = path = Path(path)
        self.kind = kind = path.suffix.lower()
        check_file(path)
        if kind not in (*TABLES, ".txt"):
            raise ValueError(f"{path}: skbert reads {FORMATS}, and .txt with --separator.")
        if separator is not None and kind not in (*DELIMITED, ".txt"):
            raise ValueError(f"--separator is for .csv, .tsv and .txt files; {path} has none.")
        self._open = partial(open_text, path, encoding)
        if kind != ".parquet":
            check_encoding(path, encoding)
        if kind in (*DELIMITED, ".txt"):
            with self._explained():
                self._separator = _separator_of(separator) or self._guess_separator()
            with self._open(None) as lines:
                self._quoted = _delimited.has_quotes(lines, self._separator)

    def _guess_separator(self):
        with self._open("") as text:
            found = _delimited.guess_separator(text.read(_delimited.GUESSED_FROM), DELIMITED.get(self.kind, ""))
        if not found:
            raise ValueError("its header does not clearly show the separator of columns; give it with --separator")
        return found

    def whole(self):
        """The `Table` in the file; ValueError with row or line if the content cannot be read."""
        (table,) = self.windows(None)
        return table

    def windows(self, n_rows=MOST_ROWS, names=()):
        """The file, `n_rows` rows at a time; the whole file if this is None.

        Parameters
        ----------
        n_rows : int or None
        names : iterable of str
            All names of a JSONL file, whose rows need not have all keys. Without them, windows have the names so far.

        Yields
        ------
        Table

        Raises
        ------
        ValueError
            The content cannot be read, with row or line, or there are no rows.
        """
        first, columns = 0, {}
        with self._explained():
            for columns, source in self._read(n_rows, names):
                carried = frozenset() if source is None else frozenset(columns)
                table = Table(self.path, columns, source, carried, first)
                first += len(table)
                if len(table):
                    yield table
        if not first:
            what = "rows under the names of its columns" if columns else "rows"
            raise ValueError(f"{self.path} cannot be read as {self.kind[1:]}: there are no {what}")

    def _read(self, n_rows, names):
        if self.kind == ".parquet":
            yield from _parquet.windows(self.path, n_rows)
            return
        if self.kind in (".jsonl", ".ndjson"):
            with self._open("\n") as lines:
                windows = _jsonl.windows(lines, n_rows, names)
                yield from ((columns, None) for columns in windows)
            return
        windows = _delimited.windows(partial(self._open, ""), self._separator, self._quoted, n_rows)
        yield from ((columns, None) for columns in windows)

    @contextmanager
    def _explained(self):
        try:
            yield
        except ImportError:
            raise
        except Exception as error:
            # Any error of the reader of a damaged Parquet file is about the file.
            if not isinstance(error, (ValueError, OSError)) and not type(error).__module__.startswith("pyarrow"):
                raise
            name = "a table" if self.kind in (*DELIMITED, ".txt") else self.kind[1:]
            raise ValueError(f"{self.path} cannot be read as {name}: {error}") from error


def check_file(path):
    """Raise FileNotFoundError if there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")


def sha256_of(path):
    """SHA-256 of the content of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_encoding(path, encoding):
    """Raise ValueError if a text file is not in this encoding of Python."""
    try:
        # Some encodings of Python turn bytes into bytes, such as hex, or texts into texts; a text file refuses them.
        io.TextIOWrapper(io.BytesIO(), encoding)
        decoder, n_before = codecs.getincrementaldecoder(encoding)(), 0
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                decoder.decode(block)
                n_before += len(block)
        decoder.decode(b"", final=True)
    except LookupError as error:
        raise ValueError(
            f"--encoding {encoding!r} is not a text encoding of Python; utf-8 and cp932 are examples."
        ) from error
    except UnicodeDecodeError as error:
        # The decoder may have kept some bytes of the block before.
        kept = len(error.object) - len(block)
        wrong, place = error.object[error.start : error.end], n_before - kept + error.start
        raise ValueError(
            f"{path} is not {encoding}: {wrong!r} at byte {place}: {error.reason}. Give its encoding, such as "
            "--encoding cp932."
        ) from error
    except (UnicodeError, ValueError) as error:
        raise ValueError(f"{path} cannot be decoded with --encoding {encoding!r}: {error}.") from error


@contextmanager
def open_text(path, encoding, newline):
    """A text file, opened to be read, without a byte order mark; `newline` is that of `open`."""
    with open(path, encoding=encoding, newline=newline) as file:
        # Excel writes a byte order mark before UTF-8, which would become part of the name of the first column.
        if file.read(1) != "\ufeff":
            file.seek(0)
        yield file


def _separator_of(asked):
    """The separator that --separator names, or None; ValueError unless it is one character."""
    if asked is None:
        return None
    # A tab is hard to type in a shell.
    named = {"\\t": "\t", "tab": "\t"}.get(asked, asked)
    if len(named) != 1 or named in '"\r\n':
        raise ValueError(f"--separator needs one character, or tab, got {asked!r}")
    return named
