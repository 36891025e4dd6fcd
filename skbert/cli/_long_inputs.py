"""Any number of texts through an estimator: read, computed and written window by window, and continued after a kill."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager

import numpy as np
from tqdm.auto import tqdm

from skbert._version import __version__
from skbert.cli import _files
from skbert.cli._parts import Parts
from skbert.cli._source import MOST_ROWS, Source, sha256_of
from skbert.cli._terminal import say
from skbert.text import TextInput, TextsCutWarning, warn_of_cuts, windows

# What is computed between two states on the disk, and lost by a kill: at most this many characters.
_MOST_CHARACTERS = 500_000
# Numbers in the vectors of a window, and cells that are text at once when it is written.
_MOST_NUMBERS = 1 << 23
_MOST_CELLS = 1 << 18


class LongInput:
    """The texts of a file, in windows; the file is read several times and never held as a whole.

    Parameters
    ----------
    path, encoding, separator
        As of `Source`.
    text : list of str
        The column of texts, or both columns of pairs.

    Attributes
    ----------
    n_rows : int or None
        Number of rows, after `check`.
    names_grew : bool
        Whether columns begin after the first window, as in JSONL; known after `check`.
    """

    def __init__(self, path, encoding, separator, text):
        self.path, self.text = path, text
        self._source = Source(path, encoding, separator)
        self._given = {"--text": str(list(text)), "--encoding": encoding, "--separator": str(separator)}
        self._names = ()
        self._most_rows = MOST_ROWS
        self._as_found = self._stamp()
        self.n_rows, self.names_grew = None, False

    def _stamp(self):
        """Changes whenever the file does, except for a change within a tick of the clock that keeps its size."""
        found = os.stat(self.path)
        return found.st_size, found.st_mtime_ns

    def head(self):
        """The first window."""
        return next(self._source.windows())

    def texts(self, table):
        """The texts of a window; ValueError with column and row if something else is among them."""
        return _files.texts_of(table, self.text)

    def check(self, check=lambda table: None):
        """Check all texts before anything is computed, and call `check` with each window."""
        n_rows = 0
        with tqdm(desc="checked", unit=" texts", leave=False) as bar:
            for table in self._source.windows():
                self.texts(table)
                check(table)
                names = list(table.columns)
                self.names_grew |= bool(n_rows) and names != self._names
                self._names = names
                n_rows += len(table)
                bar.update(len(table))
        self.n_rows = n_rows

    def limit(self, width):
        """Take fewer rows per window if the vectors of a window, of this width, would need much memory."""
        self._most_rows = max(1, min(MOST_ROWS, _MOST_NUMBERS // width))

    def tables(self):
        """All windows, with the names that `check` found."""
        return self._source.windows(names=self._names)

    def windows(self, n_done=0):
        """The windows after the first `n_done` rows; `check` comes first.

        Equal files have equal windows, so that a job that goes on computes the same batches.
        """
        n_rows = 0
        for table in self.tables():
            n_rows += len(table)
            columns = TextInput(*(table[name] for name in self.text))
            for start, stop in windows(columns, self._most_rows, _MOST_CHARACTERS):
                if table.first + start >= n_done:
                    yield table.between(start, stop)
        if n_rows != self.n_rows:
            raise ValueError(f"{self.path} has changed while it was read: it had {self.n_rows} rows, now {n_rows}.")
        if self._stamp() != self._as_found:
            raise ValueError(f"{self.path} has changed while it was read. The result is not that of either content.")

    def job(self, others):
        """What an output depends on, by names for messages: the input, and `others`."""
        # Not the path, which can be written in several ways.
        said = {"the content of the input": sha256_of(self.path), **self._given, **others}
        # Parts end where windows do.
        said["the size of windows"] = (
            f"{MOST_ROWS} rows read, {self._most_rows} computed, {_MOST_CHARACTERS} characters"
        )
        return {name: str(value) for name, value in {**said, "the version of skbert": __version__}.items()}


def write(texts, output, job, blocks):
    """Compute what belongs to each window of texts and write it, from where an equal job stopped.

    Parameters
    ----------
    texts : LongInput
        After its `check`.
    output : path
    job : dict of str to str
        What the output depends on; see `LongInput.job`.
    blocks : callable
        Takes a window, and gives its content in the output as an iterable of bytes.
    """
    with Parts(output, job) as parts:
        if parts.n_rows:
            say(f"Going on after {parts.n_rows} of {texts.n_rows} texts, which are in {parts.data}.", err=True)
        try:
            with progress(texts.n_rows, parts.n_rows) as done:
                for window in texts.windows(parts.n_rows):
                    parts.add(len(window), blocks(window))
                    done(len(window))
            parts.finish()
        except BaseException:
            if parts.n_rows:
                kept = f"{parts.n_rows} of {texts.n_rows} texts are kept in {parts.data}"
                say(f"{kept}; the same command goes on with them.", err=True)
            raise


@contextmanager
def progress(n_texts, n_done=0):
    """Show texts done, per second, and the time left, on standard error; yield a function that takes how many more.

    Warnings that texts were cut become one at the end, of all windows.
    """
    cut = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", TextsCutWarning)
        show = warnings.showwarning

        def collect(message, *others, **more):
            if isinstance(message, TextsCutWarning):
                cut.append(message)
            else:
                show(message, *others, **more)

        warnings.showwarning = collect
        try:
            with tqdm(total=n_texts, initial=n_done, unit=" texts", leave=False) as bar:
                yield bar.update
        finally:
            warnings.showwarning = show
            if cut:
                warn_of_cuts(sum(one.n_cut for one in cut), n_texts - n_done, cut[0].max_length)


def encoded(table, output, types=None):
    """The content of a window of an output, a `Table`, as blocks of bytes."""
    # A Parquet file holds numbers as they are, and each is a part of its own.
    at_once = len(table) if output.suffix.lower() == ".parquet" else max(1, _MOST_CELLS // len(table.columns))
    for start in range(0, len(table), at_once):
        part = table.between(start, min(start + at_once, len(table)))
        yield _files.encode_part(part, output, header=part.first == 0, types=types)


def npy_header(shape):
    """The beginning of the .npy file of a float32 array; its rows follow."""
    from io import BytesIO

    header = BytesIO()
    described = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()
