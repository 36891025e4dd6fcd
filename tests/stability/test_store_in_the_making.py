"""A store that another process is just making is an empty store."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from skbert import RunStoreError
from skbert.stability import _run_store, forget_failed, read_runs
from skbert.stability._run import DESIGN, OUTCOME, Run
from skbert.stability._run_store import RunStore, read_store
from tests.helpers.study_models import study

OUTCOME_OF_ONE = {
    "status": "ok",
    "reason": "",
    "seconds": 0.0,
    "n_iter": None,
    "scores": {"accuracy": 1.0},
    "finished": "2026-01-01",
}


def assert_empty_and_left_alone(path):
    before = path.read_bytes()
    runs = read_runs(path)
    assert len(runs) == 0
    assert list(runs) == [*DESIGN, *OUTCOME]
    assert forget_failed(path) == 0
    assert path.read_bytes() == before


def opened(path):
    return closing(sqlite3.connect(path, isolation_level=None))


def test_file_without_content__has_no_runs(tmp_path):
    path = tmp_path / "runs.sqlite"
    path.touch()
    assert_empty_and_left_alone(path)
    path.chmod(0o444)
    assert_empty_and_left_alone(path)


def test_database_without_tables__has_no_runs_open_or_closed(tmp_path):
    path = tmp_path / "runs.sqlite"
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        assert_empty_and_left_alone(path)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        assert_empty_and_left_alone(path)
    assert path.stat().st_size
    assert_empty_and_left_alone(path)


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_tables_that_are_not_committed_yet__are_no_runs(tmp_path, mode):
    path = tmp_path / "runs.sqlite"
    with opened(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("BEGIN EXCLUSIVE")
        for statement in filter(str.strip, _run_store._TABLES.split(";")):
            connection.execute(statement)
        assert_empty_and_left_alone(path)
        connection.execute("COMMIT")
        assert len(read_runs(path)) == 0


def test_tables_without_facts__have_no_runs(tmp_path):
    path = tmp_path / "runs.sqlite"
    with RunStore(path):
        assert_empty_and_left_alone(path)
    assert_empty_and_left_alone(path)


def test_file_without_content__becomes_a_store(data, tmp_path):
    path = tmp_path / "runs.sqlite"
    path.touch()
    read_runs(path)
    assert len(study(store=path).fit(*data).results_) == len(read_runs(path)) == 3


def test_database_without_tables_of_something_else__is_no_store(tmp_path):
    path = tmp_path / "other.sqlite"
    with opened(path) as connection:
        connection.execute("PRAGMA application_id = 7")
    with pytest.raises(RunStoreError, match="is no store of runs"):
        read_runs(path)


def test_store_that_is_locked_for_a_moment__is_read_when_it_is_free(tmp_path, monkeypatch):
    path, tries = tmp_path / "runs.sqlite", []
    with RunStore(path) as store:
        store.add(Run("a", 8, 0, 1).as_dict(), OUTCOME_OF_ONE)

    def locked_at_first(path, immutable, read=_run_store._read):
        tries.append(immutable)
        if len(tries) < 3:
            raise sqlite3.OperationalError("database is locked")
        return read(path, immutable)

    monkeypatch.setattr(_run_store, "_read", locked_at_first)
    assert len(read_runs(path)) == 1
    assert len(tries) == 3


def test_store_that_stays_locked__is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "runs.sqlite"

    def locked(path, immutable):
        raise sqlite3.OperationalError("database is locked")

    path.touch()
    monkeypatch.setattr(_run_store, "_read", locked)
    monkeypatch.setattr(_run_store, "_PATIENCE", -1)
    with pytest.raises(RunStoreError, match="database is locked"):
        read_runs(path)


@pytest.mark.parametrize("fails", [False, True])
def test_store_that_somebody_opens_while_it_is_read__is_read_again(tmp_path, monkeypatch, fails):
    path, tries, writers = tmp_path / "runs.sqlite", [], []
    path.touch()

    def opened_meanwhile(path, immutable, read=_run_store._read):
        tries.append(immutable)
        if len(tries) == 1:
            writers.append(RunStore(path))
            writers[0].add(Run("a", 8, 0, 1).as_dict(), OUTCOME_OF_ONE)
            if fails:
                raise sqlite3.DatabaseError("database disk image is malformed")
            return {}, []
        return read(path, immutable)

    monkeypatch.setattr(_run_store, "_read", opened_meanwhile)
    _, runs = read_store(path)
    assert [run["variant"] for run in runs] == ["a"]
    # Whoever has it open writes beside the file, and from then on is asked for a lock.
    assert tries == [True, False]
    writers[0].close()


_MAKERS = """
import sys
import types
from pathlib import Path

# The room without its door, through which torch would come in: this way the makers start at once.
room = types.ModuleType("skbert.stability")
room.__path__ = ["skbert/stability"]
sys.modules["skbert.stability"] = room
from skbert.stability._run import Run
from skbert.stability._run_store import RunStore

folder, n = Path(sys.argv[1]), int(sys.argv[2])
outcome = {"status": "ok", "reason": "", "seconds": 0.0, "n_iter": 1, "scores": {"s": 1.0}, "finished": ""}
for i in range(n):
    with RunStore(folder / f"{i}.sqlite") as store:
        store.adopt({"design": {"scoring": ["s"]}})
        store.add(Run(sys.argv[3], 8, 0, 1).as_dict(), outcome)
assert "torch" not in sys.modules
"""


def test_two_processes_that_make_stores__while_this_one_reads_them(tmp_path):
    n, root = 60, Path(__file__).parents[2]
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", _MAKERS, str(tmp_path), str(n), name],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        for name in ("a", "b")
    ]
    for i in range(n):
        path = tmp_path / f"{i}.sqlite"
        # As often as it can be done, from the moment at which there is a file; no reading may fail.
        while not path.exists() or len(read_runs(path)) < 2:
            assert any(maker.poll() is None for maker in makers) or len(read_runs(path)) == 2
    assert [maker.wait() for maker in makers] == [0, 0]
    for i in range(n):
        assert sorted(read_runs(tmp_path / f"{i}.sqlite")["variant"]) == ["a", "b"]
