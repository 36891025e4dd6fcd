"""Finished runs of a study in one SQLite file: each is on disk before the next is waited for."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from skbert.errors import RunStoreError
from skbert.stability._run import DESIGN, OUTCOME

# Of the layout of the tables; a file of another number is refused.
FORMAT = 2
# Seconds to wait for another process that writes.
_PATIENCE = 60
# "skbt", in the header of the file: what else SQLite has written is not ours to touch.
_APPLICATION_ID = 0x736B6274
_COLUMNS = (*DESIGN, *OUTCOME, "scores", "finished")
_TABLES = f"""
CREATE TABLE study (name TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE runs (
    variant TEXT NOT NULL, size INTEGER NOT NULL, draw INTEGER NOT NULL,
    random_state INTEGER, init_seed INTEGER, order_seed INTEGER,
    status TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL, n_iter INTEGER,
    scores TEXT NOT NULL, finished TEXT NOT NULL, digest TEXT NOT NULL
);
CREATE UNIQUE INDEX one_of_each ON runs (
    variant, size, draw, ifnull(random_state, -1), ifnull(init_seed, -1), ifnull(order_seed, -1)
);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""


class RunStore:
    """Runs by their design, in a file or, with ``path=None``, in memory.

    Several processes may write to one file; what two of them did both is kept once. Every row carries a checksum, so
    that a byte that flipped on the disk is found, and never read as another score.

    Parameters
    ----------
    path : str, path or None
        A new file, an empty one, or one that a `RunStore` made.

    Raises
    ------
    RunStoreError
        The file is something else, damaged, or of another version.
    """

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        if self.path is not None and self.path.is_dir():
            raise RunStoreError(f"{self.path} is a folder; store must name a file, such as 'runs.sqlite'.")
        try:
            self._connection = sqlite3.connect(
                ":memory:" if path is None else self.path, timeout=_PATIENCE, isolation_level=None
            )
        except sqlite3.Error as error:
            raise RunStoreError(f"{self.path} cannot be opened: {error}. Does its folder exist?") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self.close()
            raise RunStoreError(
                f"{self.path} cannot be used as a store of runs: {error}. Name another file, or move this one away."
            ) from error
        except RunStoreError:
            self.close()
            raise

    def _open(self):
        connection = self._connection
        # Before anything is written: a file of somebody else stays as it is.
        n_tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if n_tables and connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise RunStoreError(f"{self.path} is a database of something else; name another file as store.")
        _check_whole(connection, self.path)
        # SQLite does not wait by itself for others who do the same at this moment.
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        # A run that was told to be stored is still there after a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        if not n_tables:
            self._create()
        _check_format(connection, self.path)

    def _create(self):
        self._connection.execute("BEGIN IMMEDIATE")
        # Another process may have been first.
        if not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in filter(str.strip, _TABLES.split(";")):
                self._connection.execute(statement)
        self._connection.execute("COMMIT")

    def close(self):
        """Let go of the file."""
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    # ------------------------------------------------------------- facts

    def facts(self):
        """What the store belongs to, a dict of name to JSON value; {} for a new one."""
        return self._undamaged(_facts)

    def adopt(self, facts):
        """Write what the store belongs to, unless that was written before."""
        rows = [_signed((name, json.dumps(value, ensure_ascii=False))) for name, value in facts.items()]
        self._connection.execute("BEGIN IMMEDIATE")
        if not self._connection.execute("SELECT count(*) FROM study").fetchone()[0]:
            self._connection.executemany("INSERT INTO study VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def replace(self, name, value):
        """Write one fact anew."""
        row = _signed((name, json.dumps(value, ensure_ascii=False)))
        self._connection.execute("INSERT OR REPLACE INTO study VALUES (?, ?, ?)", row)

    # ------------------------------------------------------------- runs

    def add(self, key, outcome):
        """Write one finished run; it is on disk when this returns.

        Parameters
        ----------
        key : dict
            What tells the run from all others; see `Run.as_dict`.
        outcome : dict
            ``status``, ``reason``, ``seconds``, ``n_iter``, ``scores`` (a dict; None for a score that could not be
            computed) and ``finished``.
        """
        outcome = {**outcome, "scores": json.dumps(outcome["scores"])}
        row = _signed([{**key, **outcome}[name] for name in _COLUMNS])
        places = ", ".join("?" for _ in row)
        self._connection.execute(f"INSERT OR IGNORE INTO runs ({', '.join(_COLUMNS)}, digest) VALUES ({places})", row)

    def runs(self):
        """All runs, as dicts of the entries that `add` takes, in the order in which they were stored."""
        return self._undamaged(_runs)

    def _undamaged(self, read):
        try:
            return read(self._connection, self.path)
        except sqlite3.DatabaseError as error:
            raise RunStoreError(_damaged(self.path, error)) from error

    def drop_failed(self, names):
        """Forget the runs that failed without any of the scores `names`; returns how many there were."""
        dropped = 0
        for row, scores in self._connection.execute(
            "SELECT rowid, scores FROM runs WHERE status = 'failed'"
        ).fetchall():
            found = json.loads(scores)
            if all(found.get(name) is None for name in names):
                dropped += self._connection.execute("DELETE FROM runs WHERE rowid = ?", [row]).rowcount
        return dropped


def _patiently(attempt):
    """What `attempt` returns, once no other process is in its way."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def read_store(path):
    """Facts and runs of the store in a file, which is not written to; see `RunStore`.

    A store that another process is just making, and a file in which there is nothing yet, are empty stores.

    Raises
    ------
    RunStoreError
        There is no such file, or it is no store.
    """
    path = Path(path)
    if not path.is_file():
        raise RunStoreError(f"There is no store of runs at {path}.")
    try:
        found = _patiently(lambda: _read_settled(path))
    except (sqlite3.Error, OSError) as error:
        raise RunStoreError(f"{path} cannot be read as a store of runs: {error}") from error
    if found is None:
        raise RunStoreError(f"{path} is no store of runs.")
    return found


def _read_settled(path):
    """As `_read`; OperationalError where somebody changed the file under a reader who asked for no lock."""
    before = _state(path)
    # A store that nobody has open can be read without a trace, and on a medium that takes no writing.
    nobody_writes = not before[0]
    try:
        found, error = _read(path, immutable=nobody_writes), None
    except (sqlite3.Error, RunStoreError) as raised:
        found, error = None, raised
    if (nobody_writes or error) and _state(path) != before:
        raise sqlite3.OperationalError(f"{path} was locked by another process") from error
    if error:
        raise error
    return found


def _state(path):
    """What changes when a process opens a store to write, or writes to its file."""
    found = path.stat()
    return path.with_name(path.name + "-wal").exists(), found.st_size, found.st_mtime_ns


def _read(path, immutable):
    """Facts and runs; nothing of either where there are no tables yet; None for a database of something else."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro{'&immutable=1' if immutable else ''}"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)) as connection:
        # All that is read is of one moment.
        connection.execute("BEGIN")
        n_tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if owner == _APPLICATION_ID:
            _check_whole(connection, path)
        if not n_tables and owner in (0, _APPLICATION_ID):
            return {}, []
        if owner != _APPLICATION_ID:
            return None
        _check_format(connection, path)
        return _facts(connection, path), _runs(connection, path)


def _facts(connection, path):
    rows = _select(connection, "SELECT name, value, digest FROM study", path)
    return {name: json.loads(value) for name, value in rows}


def _runs(connection, path):
    rows = _select(connection, f"SELECT {', '.join(_COLUMNS)}, digest FROM runs ORDER BY rowid", path)
    found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    for run in found:
        run["scores"] = json.loads(run["scores"])
    return found


def _select(connection, query, path):
    """Rows without their checksums, which are the last column of the query."""
    return [_checked(row, path) for row in connection.execute(query)]


# ---------------------------------------------------------------- damage


def _check_whole(connection, path):
    """Refuse a file whose pages do not fit together, as one that was cut or in which bytes flipped."""
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise RunStoreError(_damaged(path, found))


def _check_format(connection, path):
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != FORMAT:
        raise RunStoreError(
            f"{path} was written in format {found}, this version of skbert reads {FORMAT}. Use the version "
            "that wrote it, or another file."
        )


def _signed(row):
    """A row with its checksum behind it."""
    # SQLite gives some whole numbers back as floats, or the reverse.
    plain = [int(value) if isinstance(value, float) and value.is_integer() else value for value in row]
    return [*row, hashlib.sha256(repr(plain).encode("utf-8", "backslashreplace")).hexdigest()[:16]]


def _checked(row, path):
    """A row without its checksum; RunStoreError where it does not fit."""
    *row, digest = row
    if _signed(row)[-1] != digest:
        raise RunStoreError(_damaged(path, "a row is not as it was written: its checksum differs"))
    return row


def _damaged(path, why):
    return f"{path} is damaged ({why}). Restore it from a copy, or name another file as store."
