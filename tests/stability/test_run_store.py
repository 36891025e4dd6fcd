"""Runs of a study are never lost, and never mixed with those of another."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skbert import RunStoreError
from skbert.stability import forget_failed, read_runs
from tests.helpers.study_models import DESIGN, Constant, Gated, Guesser, n_at_gate, open_gate, same, study
from tests.helpers.waiting import LIMIT, wait_until


def test_study_that_was_stopped__goes_on_with_what_is_missing(data, diary, tmp_path, monkeypatch):
    whole = study(variants={"a": {}, "b": {"luck": 0.9}}).fit(*data)
    diary.clear()
    parameters = {"variants": {"a": {}, "b": {"luck": 0.9}}, "store": tmp_path / "runs.sqlite"}

    def stop_at_the_fourth(self, X, y, fit=Guesser.fit):
        if len(diary) == 3:
            raise KeyboardInterrupt
        return fit(self, X, y)

    stopped = study(**parameters)
    with monkeypatch.context() as patch:
        patch.setattr(Guesser, "fit", stop_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(*data)
    assert len(stopped.results_) == 3
    same(read_runs(tmp_path / "runs.sqlite"), stopped.results_)
    resumed = study(**parameters).fit(*data)
    assert len(diary) == 6
    same(resumed.results_, whole.results_)
    # And with nothing missing nothing is run.
    same(study(**parameters).fit(*data).results_, whole.results_)
    assert len(diary) == 6


_SCRIPT = """
import sys
from tests.helpers.study_models import Gated, labelled_texts, study

store, gate, n_free, n_jobs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
gated = Gated(gate, n_free)
study(estimator=gated, variants={"a": {}, "b": {"luck": 0.9}}, seeds=8, store=store, n_jobs=n_jobs).fit(
    *labelled_texts(60)
)
"""


def start_gated(store, gate, n_free, n_jobs, **options):
    """A process in which a study of 16 runs goes on until `n_free` of them have passed the gate."""
    gate.mkdir(exist_ok=True)
    root = Path(__file__).parents[2]
    arguments = map(str, (store, gate, n_free, n_jobs))
    return subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, *arguments], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, **options
    )


def wait_for_runs(process, store, n):
    """Wait until `n` runs are in the store of a study in another process."""

    def there():
        assert process.poll() is None, "the study ended by itself"
        return store.exists() and len(read_runs(store)) >= n

    wait_until(there)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_process_that_is_killed__loses_no_finished_run(data, tmp_path, n_jobs):
    store, gate = tmp_path / "runs.sqlite", tmp_path / "gate"
    process = start_gated(store, gate, 3, n_jobs)
    wait_for_runs(process, store, 3)
    process.kill()
    process.wait()
    kept = read_runs(store)
    assert len(kept) == 3
    open_gate(gate)
    parameters = {"estimator": Gated(str(gate), 3), "variants": {"a": {}, "b": {"luck": 0.9}}, "seeds": 8}
    resumed = study(**parameters, store=store, n_jobs=n_jobs).fit(*data).results_
    # What was stored is taken as it is, its times too.
    assert resumed.merge(kept, how="inner").shape[0] == len(kept)
    same(resumed, study(**parameters).fit(*data).results_)


def test_study_without_a_seed__goes_on_with_that_of_its_store(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    first = study(store=store, random_state=None).fit(*data)
    same(study(store=store, random_state=None).fit(*data).results_, first.results_)
    other = study(random_state=None).fit(*data)
    assert set(other.results_["random_state"]) != set(first.results_["random_state"])


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one" * 20, b"short"])
def test_file_of_something_else__is_refused_and_left_alone(data, tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(RunStoreError, match="cannot be used as a store of runs"):
        study(store=path).fit(*data)
    for read in (read_runs, forget_failed):
        with pytest.raises(RunStoreError, match="cannot be read as a store of runs"):
            read(path)
    assert path.read_bytes() == content


def test_database_of_something_else__is_refused_and_left_alone(data, tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (a)")
    before = path.read_bytes()
    with pytest.raises(RunStoreError, match="is a database of something else"):
        study(store=path).fit(*data)
    for read in (read_runs, forget_failed):
        with pytest.raises(RunStoreError, match="is no store of runs"):
            read(path)
    assert path.read_bytes() == before


def test_store_that_cannot_be__is_refused(data, tmp_path):
    with pytest.raises(ValueError, match="store names a file"):
        study(store="memory").fit(*data)
    with pytest.raises(ValueError, match="must be the name of a file"):
        study(store=5).fit(*data)
    with pytest.raises(RunStoreError, match="is a folder"):
        study(store=tmp_path).fit(*data)
    with pytest.raises(RunStoreError, match="Does its folder exist"):
        study(store=tmp_path / "nowhere" / "runs.sqlite").fit(*data)
    with pytest.raises(RunStoreError, match="There is no store of runs"):
        read_runs(tmp_path / "runs.sqlite")


def test_failed_runs__can_be_forgotten_and_are_then_done_again(data, tmp_path, monkeypatch, diary):
    store = tmp_path / "runs.sqlite"
    given = {"variants": {"fine": {}, "stuck": Constant(), "b": {"luck": 0.9}}, "store": store}

    def raises(self, X, predict=Guesser.predict):
        return 1 / 0 if self.luck == 0.9 else predict(self, X)

    with monkeypatch.context() as patch:
        # scikit-learn asks for the method by its name.
        raises.__name__ = "predict"
        patch.setattr(Guesser, "predict", raises)
        with pytest.warns(RuntimeWarning, match="6 of 9 runs failed"):
            study(**given).fit(*data)
    # Failed trainings have their scores, and stay.
    assert forget_failed(store) == 3
    assert len(read_runs(store)) == 6
    diary.clear()
    with pytest.warns(RuntimeWarning, match="3 of 9 runs failed"):
        results = study(**given).fit(*data).results_
    assert len(diary) == 3
    assert results["accuracy"].notna().all()
    with pytest.raises(RunStoreError, match="There is no store of runs"):
        forget_failed(tmp_path / "nowhere.sqlite")


def test_crossed_design__pairs_cells_that_both_have(data, monkeypatch):
    def luck(self, X):
        # The score depends on the initialisation alone; b is better by a hundredth.
        if self.luck == 0.7 and self.init_seed % 2:
            raise RuntimeError("no")
        return np.repeat("yes", len(X))

    monkeypatch.setattr(Guesser, "predict", luck)
    scoring = {"s": lambda f, X, y: f.predict(X) is None or (f.init_seed % 1000) / 1000 + 0.01 * (f.luck == 0.9)}
    given = {"variants": {"a": {"luck": 0.7}, "b": {"luck": 0.9}}, "seeds": {"init": 4, "order": 2, "draw": 3}}
    with pytest.warns(RuntimeWarning, match="runs failed"):
        done = study(**given, scoring=scoring).fit(*data)
    missing = done.results_["s"].isna().sum()
    assert 0 < missing < 24
    found = done.compare("b", "a")
    assert found.difference == pytest.approx(0.01)
    assert (found.n, found.n_dropped, found.unit) == (24 - missing, missing, "cells")


def test_crossed_design_that_was_interrupted__pairs_the_same_seeds(data, monkeypatch, diary):
    def stop_at_the_sixth(self, X, y, fit=Guesser.fit):
        if len(diary) == 5:
            raise KeyboardInterrupt
        return fit(self, X, y)

    done = study(variants={"a": {}, "b": {"luck": 0.9}}, seeds={"init": 2, "order": 2})
    with monkeypatch.context() as patch:
        patch.setattr(Guesser, "fit", stop_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            done.fit(*data)
    assert done.results_["variant"].tolist() == ["a"] * 4 + ["b"]
    assert done.n_planned_ == 8
    assert done.compare("a", "b").n == 1


def test_store_on_a_read_only_medium__can_be_read(data, tmp_path):
    folder = tmp_path / "medium"
    folder.mkdir()
    store = folder / "runs.sqlite"
    done = study(store=store).fit(*data)
    store.chmod(0o444)
    folder.chmod(0o555)
    try:
        same(read_runs(store), done.results_)
        assert sorted(path.name for path in folder.iterdir()) == ["runs.sqlite"]
    finally:
        folder.chmod(0o755)


def test_store_of_another_format__is_refused(data, tmp_path):
    path = tmp_path / "runs.sqlite"
    study(store=path).fit(*data)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RunStoreError, match="written in format 99, this version of skbert reads 2"):
        study(store=path).fit(*data)


def test_two_processes_on_one_store__keep_every_run_once(tmp_path):
    store, gate = tmp_path / "runs.sqlite", tmp_path / "gate"
    processes = [start_gated(store, gate, 0, 1) for _ in range(2)]
    # From here on both do the same runs.
    wait_until(lambda: n_at_gate(gate) == 2)
    open_gate(gate)
    assert [process.wait() for process in processes] == [0, 0]
    runs = read_runs(store)
    assert len(runs) == 16
    assert not runs.duplicated(DESIGN).any()


def test_workers__end_with_the_study_that_was_killed(tmp_path):
    store, gate = tmp_path / "runs.sqlite", tmp_path / "gate"
    process = start_gated(store, gate, 3, 2, stdout=subprocess.PIPE)
    wait_for_runs(process, store, 3)
    wait_until(lambda: n_at_gate(gate) == 5)
    process.kill()
    # Whoever reads the output of the study waits until all who might write to it are gone; the workers are at the
    # gate, which nobody opens.
    process.communicate(timeout=LIMIT / 2)


# ---------------------------------------------------------------- damage


def damaged(path, folder, change):
    """A copy of a store whose content was changed."""
    copy = folder / "damaged.sqlite"
    content = bytearray(path.read_bytes())
    change(content)
    copy.write_bytes(content)
    return copy


@pytest.fixture
def finished(data, tmp_path):
    """A store of finished runs."""
    path = tmp_path / "runs.sqlite"
    study(store=path, variants={"a": {}, "b": {"luck": 0.9}}).fit(*data)
    return path


@pytest.mark.parametrize("text", [b"accuracy", b'"f1_macro": 0.', b"text", b"ok", b"seed of the study"])
def test_byte_that_flipped__is_never_read_as_another_run(finished, tmp_path, text):
    before, content = read_runs(finished), finished.read_bytes()
    places = [place for place in range(len(content)) if content.startswith(text, place)]
    assert places
    for place in places:
        flipped = place + len(text) - 1
        path = damaged(finished, tmp_path, lambda content, at=flipped: content.__setitem__(at, content[at] ^ 1))
        found = runs_or_error(path)
        if isinstance(found, str):
            assert "is damaged" in found
        else:  # a place that nothing stands at any more
            same(found, before)


def runs_or_error(path):
    try:
        return read_runs(path)
    except RunStoreError as error:
        return str(error)


def test_score_that_was_changed__is_refused_by_the_study_too(finished, data):
    with sqlite3.connect(finished) as connection:
        connection.execute("UPDATE runs SET scores = replace(scores, '0.', '0.9') WHERE rowid = 2")
    for read in (lambda: read_runs(finished), lambda: forget_failed(finished)):
        with pytest.raises(RunStoreError, match=r"is damaged .*its checksum differs.*Restore it from a copy"):
            read()
    with pytest.raises(RunStoreError, match="is damaged"):
        study(store=finished, variants={"a": {}, "b": {"luck": 0.9}}).fit(*data)


def test_store_that_was_cut__is_refused(finished, tmp_path):
    for size in (100, 5_000, len(finished.read_bytes()) - 1):
        path = damaged(finished, tmp_path, lambda content, size=size: content.__delitem__(slice(size, None)))
        with pytest.raises(RunStoreError, match=r"damaged\.sqlite"):
            read_runs(path)
