"""An output file that is written in parts, so that a job that was killed goes on where it stopped.

Until it is complete, ``out.csv`` is ``out.csv.part``, to which each part is appended, and ``out.csv.part.json``, which
says of what job the parts are and where each ends. A part counts when it is named there, which happens in one step
after its bytes are on the disk. What a killed process wrote after that is cut off.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from skbert.cli import _parquet
from skbert.saving import lock_on

_FORMAT = 1


class Parts:
    """The parts of an output; use it in a ``with`` statement.

    Parameters
    ----------
    path : path
        The output file.
    job : dict of str to str
        All that the output depends on, by names for messages. Parts of another job are never continued.

    Attributes
    ----------
    n_rows : int
        Number of rows in the parts that are there.

    Raises
    ------
    ValueError
        The parts that are there are of another job, or damaged, or another process is writing them.
    """

    def __init__(self, path, job):
        # A link stays one, and what it leads to is replaced.
        self.path = Path(path).resolve()
        self.data = self.path.with_name(f"{self.path.name}.part")
        self.state = self.path.with_name(f"{self.path.name}.part.json")
        self._new_state = self.path.with_name(f"{self.path.name}.part.json.new")
        self._job = job
        self._lock = lock_on(self.data)

    def __enter__(self):
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"{self.path} is being written by another process; wait, or name another file.") from None
        try:
            self._ends = self._read_ends()
            if not self._ends:
                # What is said there belongs to bytes that are gone; never to those that are written now.
                self.state.unlink(missing_ok=True)
            self._file = open(self.data, "r+b" if self._ends else "wb")
            self._file.truncate(self._size)
            self._file.seek(self._size)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *exc_info):
        with suppress(OSError):  # of a full disk, which was said already
            self._file.close()
        if not self._ends:
            # Nothing to go on with.
            self.data.unlink(missing_ok=True)
        self._lock.release()

    @property
    def n_rows(self):
        return self._ends[-1][0] if self._ends else 0

    @property
    def _size(self):
        return self._ends[-1][1] if self._ends else 0

    def add(self, n_rows, blocks):
        """Append a part.

        Parameters
        ----------
        n_rows : int
            Number of its rows.
        blocks : iterable of bytes-like
            Its content.
        """
        for block in blocks:
            self._file.write(block)
        self._file.flush()
        os.fsync(self._file.fileno())
        ends = [*self._ends, [self.n_rows + n_rows, self._file.tell()]]
        self._write_ends(ends)
        self._ends = ends

    def finish(self):
        """Make the parts the output file, which keeps the permissions of a file that it replaces."""
        self._file.close()
        made = self.data
        if self.path.suffix.lower() == ".parquet":
            made = self.path.with_name(f"{self.path.name}.joined")
            try:
                _parquet.join(self._contents(), made)
            except BaseException:
                made.unlink(missing_ok=True)
                raise
        with suppress(OSError):
            shutil.copymode(self.path, made)
        os.replace(made, self.path)
        self.data.unlink(missing_ok=True)
        self.state.unlink()
        self._new_state.unlink(missing_ok=True)

    def _contents(self):
        start = 0
        with open(self.data, "rb") as file:
            for _, end in self._ends:
                yield file.read(end - start)
                start = end

    def _write_ends(self, ends):
        with open(self._new_state, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "job": self._job, "ends": ends}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._new_state, self.state)

    def _read_ends(self):
        if not self.data.exists() or not self.state.exists():
            return []
        instead = f"Delete {self.data} and {self.state} to begin anew."
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
            job, ends = state["job"], [[int(rows), int(size)] for rows, size in state["ends"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.state} is damaged. {instead}") from error
        other = [name for name in dict.fromkeys([*job, *self._job]) if job.get(name) != self._job.get(name)]
        if other or state.get("format") != _FORMAT:
            n_rows = ends[-1][0] if ends else 0
            raise ValueError(
                f"{self.data} holds the first {n_rows:,} texts of another job: {_differences(other, job, self._job)}. "
                f"Repeat the earlier command to go on with it. {instead}"
            )
        if ends and self.data.stat().st_size < ends[-1][1]:
            raise ValueError(f"{self.data} is shorter than it was. {instead}")
        return ends


def _differences(names, before, now):
    def said(name):
        values = [job.get(name, "nothing") for job in (before, now)]
        # Hashes say nothing to anybody.
        return f"{name} changed" if any(len(value) == 64 for value in values) else f"{name} was {values[0]}"

    return ", ".join(map(said, names)) or "skbert changed"
