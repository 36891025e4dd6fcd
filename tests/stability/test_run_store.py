"""Runs of a study are never lost, and never mixed with those of another."""

import os
import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from skbert import LayerPoolFeaturizer, RunStoreError, StabilityStudy
from skbert.stability import _execution, _fingerprint, forget_failed, read_runs
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


def test_other_studies__are_refused_and_the_difference_is_named(data, tmp_path):
    X, y = data
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "store": tmp_path / "runs.sqlite", "train_sizes": [8]}
    first = study(**given).fit(X, y)
    for other, place in [
        ({"variants": {"a": {}, "b": {"luck": 0.8}}}, "variants.b.luck: 0.9 → 0.8"),
        ({"variants": {"a": {}}}, r"variants.b: \{.* → \(not there\)"),
        ({"seeds": 4}, "design.seeds: 3 → 4"),
        ({"seeds": {"init": 2, "order": 2}}, "design.seeds: 3 → "),
        ({"train_sizes": [16]}, r"design.train sizes: \[8\] → \[16\]"),
        ({"test_size": 0.5}, "design.test texts: 15 → 30"),
        ({"random_state": 1}, "design.seed of the study"),
        ({"scoring": "accuracy"}, "design.scoring"),
        ({"baselines": "majority"}, r"variants.majority: \(not there\) → \{"),
        (
            {"estimator": Constant()},
            r"variants.a.class: '[\w.]+\.Guesser' → '[\w.]+\.Constant'",
        ),
    ]:
        with pytest.raises(RunStoreError, match=place):
            study(**{**given, **other}).fit(X, y)
    with pytest.raises(RunStoreError, match=r"data\.X: "):
        study(**given).fit([*X[:-1], "another text"], y)
    with pytest.raises(RunStoreError, match=r"data\.y: "):
        study(**given).fit(X, y[::-1])
    with pytest.raises(ValueError, match=r"data\.rows: 60 → 59"):
        study(**given).fit(X[1:], y[1:])
    # What was there is as it was.
    same(read_runs(given["store"]), first.results_)
    # These change nothing in a result.
    same(study(**given, n_jobs=2, verbose=1).fit(X, y).results_, first.results_)


def test_other_code__is_refused(data, tmp_path, monkeypatch):
    store = tmp_path / "runs.sqlite"
    study(store=store).fit(*data)
    monkeypatch.setattr(_fingerprint, "__version__", "99.0")
    _fingerprint.code_facts.cache_clear()
    try:
        with pytest.raises(RunStoreError, match=r"code\.skbert: .* → '99\.0'"):
            study(store=store).fit(*data)
    finally:
        _fingerprint.code_facts.cache_clear()


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


class _Holder:
    """Something with methods, for parameters that are no plain values."""

    def __init__(self, value):
        self.value = value

    def score(self, fitted, X, y):
        return self.value


def _scorer(value):
    return lambda fitted, X, y: value


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"scoring": {"s": _scorer(0.1)}}, {"scoring": {"s": _scorer(0.9)}}),
        ({"scoring": {"s": lambda f, X, y: 0.1}}, {"scoring": {"s": lambda f, X, y: 0.9}}),
        ({"scoring": {"s": _Holder(0.1).score}}, {"scoring": {"s": _Holder(0.9).score}}),
        ({"scoring": {"s": make_scorer(lambda a, b: 0.1)}}, {"scoring": {"s": make_scorer(lambda a, b: 0.9)}}),
        ({"scoring": {"s": partial(_scorer(1), 1)}}, {"scoring": {"s": partial(_scorer(1), 2)}}),
        ({"estimator": Guesser(seconds=np.arange(3))}, {"estimator": Guesser(seconds=np.arange(1, 4))}),
        ({"estimator": Guesser(seconds=torch.zeros(2))}, {"estimator": Guesser(seconds=torch.ones(2))}),
        ({"estimator": Guesser(seconds=loguniform(1, 2))}, {"estimator": Guesser(seconds=loguniform(1, 3))}),
    ],
)
def test_stores__tell_functions_and_objects_by_what_they_do(data, tmp_path, monkeypatch, first, second):
    monkeypatch.setattr("tests.helpers.study_models.time.sleep", lambda seconds: None)
    monkeypatch.setattr("skbert.stability._execution.execute", lambda job: (job.run, _execution._outcome(job, 0, "")))
    store = tmp_path / "runs.sqlite"
    study(store=store, **first).fit(*data)
    # The same in other words is the same.
    study(store=store, **first).fit(*data)
    with pytest.raises(RunStoreError, match="holds runs of another study"):
        study(store=store, **second).fit(*data)


def test_stores__take_for_alike_what_is(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    matrix = np.arange(6.0).reshape(2, 3)
    first = {"seeds": {"init": 2, "order": 1}, "estimator": Guesser(fails_on=frozenset("abc"), seconds=0)}
    study(store=store, train_sizes=[8], **first).fit(*data)
    second = {
        "seeds": {"order": 1, "draw": 1, "init": np.int64(2)},
        "estimator": Guesser(fails_on=frozenset("cab"), seconds=0),
    }
    study(store=store, train_sizes=(np.int64(8),), **second).fit(tuple(data[0]), list(data[1]))
    assert _fingerprint.describe(matrix) == _fingerprint.describe(np.asfortranarray(matrix))
    assert _fingerprint.describe({"a": 1, "b": 2}) == _fingerprint.describe({"b": 2, "a": 1})
    around = []
    around.append(around)
    assert _fingerprint.describe(around) == _fingerprint.describe(around)


def test_refusals__say_where_in_a_pipeline_the_difference_is(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    study(store=store, estimator=make_pipeline(TfidfVectorizer(), LogisticRegression(C=1.0))).fit(*data)
    with pytest.raises(RunStoreError, match=r"variants\.Pipeline\.steps\[1\]\[1\]\.C: 1\.0 → 2\.0"):
        study(store=store, estimator=make_pipeline(TfidfVectorizer(), LogisticRegression(C=2.0))).fit(*data)


def test_objects_that_cannot_be_told_apart__are_warned_of(data, tmp_path):
    class Opaque:
        __slots__ = ()

        def __reduce__(self):
            raise TypeError("not to be pickled")

        def __deepcopy__(self, memo):
            return self

    with pytest.warns(UserWarning, match="Opaque cannot be told from others of their kind"):
        study(store=tmp_path / "runs.sqlite", estimator=Guesser(seconds=0, fails_on=[Opaque()])).fit(*data)


def test_encoder_that_changed_under_its_name__is_noticed(tiny, texts, labels, quick, tmp_path):
    folder = shutil.copytree(tiny(), tmp_path / "encoder")
    given = {"seeds": 2, "test_size": 6, "baselines": (), "random_state": 0, "store": tmp_path / "runs.sqlite"}
    frozen = make_pipeline(LayerPoolFeaturizer(str(folder), device="cpu"), LogisticRegression())
    StabilityStudy(frozen, **given).fit(texts, labels)
    shutil.rmtree(folder)
    shutil.copytree(tiny(seed=7), folder)
    with pytest.raises(RunStoreError, match=r"encoders\..*encoder: "):
        StabilityStudy(frozen, **given).fit(texts, labels)


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
    with pytest.raises(RunStoreError, match="written in format 99, this version of skbert reads 1"):
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
