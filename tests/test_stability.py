"""StabilityStudy: its design, its runs, and what is never lost."""

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

import skbert
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, RunStoreError, StabilityStudy
from skbert._study import fingerprint, running
from skbert.stability import read_runs
from tests.study_models import Constant, Guesser, labelled_texts

DESIGN = ["variant", "size", "draw", "random_state", "init_seed", "order_seed"]
TIMES = ["seconds"]


@pytest.fixture
def data():
    return labelled_texts(60)


@pytest.fixture(autouse=True)
def diary():
    Guesser.diary.clear()
    return Guesser.diary


def study(**parameters):
    given = {"estimator": Guesser(), "seeds": 3, "baselines": (), "random_state": 0, **parameters}
    return StabilityStudy(**given)


def same(first, second):
    pd.testing.assert_frame_equal(first.drop(columns=TIMES), second.drop(columns=TIMES))


# ---------------------------------------------------------------- design


def test_results__have_a_row_a_run_and_the_columns_of_the_contract(data):
    results = (
        study(variants={"a": {}, "b": {"luck": 0.9}}, train_sizes=[8, 16], baselines=("majority", "tfidf"))
        .fit(*data)
        .results_
    )
    assert len(results) == 4 * 2 * 3
    assert list(results) == [*DESIGN, "accuracy", "f1_macro", "status", "reason", "seconds", "n_iter"]
    assert set(results["status"]) == {"ok"}
    assert (results["reason"] == "").all()
    assert (results["seconds"] >= 0).all()
    assert (results[results["variant"] == "a"]["n_iter"] == 7).all()
    assert results[["init_seed", "order_seed"]].isna().all(axis=None)


def test_variants__meet_the_same_draws_and_seeds(data):
    results = study(variants={"a": {}, "b": {"luck": 0.9}}, train_sizes=[8, 16], baselines="tfidf").fit(*data).results_
    seeds = results.groupby(["draw", "size"])["random_state"].agg(["nunique", "size"])
    assert (seeds["nunique"] == 1).all()
    assert (seeds["size"] == 3).all()
    assert results["random_state"].nunique() == 3


def test_scores__are_those_of_a_fit_by_hand(data):
    X, y = data
    model = make_pipeline(TfidfVectorizer(), LinearSVC())
    variants = {"svc": model, "guess": {"luck": 0.8}}
    done = study(variants=variants, train_sizes=[8, 24]).fit(X, y)
    for _, run in done.results_.iterrows():
        split = done.splits_[run["draw"]]
        by_hand = clone(model if run["variant"] == "svc" else Guesser(luck=0.8))
        name = "linearsvc__random_state" if run["variant"] == "svc" else "random_state"
        by_hand.set_params(**{name: run["random_state"]})
        rows = split.train(run["size"])
        by_hand.fit([X[i] for i in rows], y[rows])
        predicted = by_hand.predict([X[i] for i in split.test])
        assert run["accuracy"] == accuracy_score(y[split.test], predicted)
        assert run["f1_macro"] == f1_score(y[split.test], predicted, average="macro")


def test_encoder_runs__are_those_of_a_fit_by_hand_on_one_core(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 10})
    done = StabilityStudy(clf, seeds=2, test_size=6, baselines=(), random_state=0).fit(texts, labels)
    n_threads = torch.get_num_threads()
    for _, run in done.results_.iterrows():
        split, model = done.splits_[run["draw"]], clone(clf).set_params(random_state=run["random_state"])
        with threadpool_limits(1):
            torch.set_num_threads(1)
            model.fit([texts[i] for i in split.order], labels[split.order])
            assert run["accuracy"] == model.score([texts[i] for i in split.test], labels[split.test])
            torch.set_num_threads(n_threads)
        assert run["n_iter"] == 10


def test_grid_of_parameters__names_its_points(data):
    done = study(variants={"luck": [0.1, 0.9], "seconds": [0.0]}).fit(*data)
    assert list(done.variants_) == ["luck=0.1, seconds=0.0", "luck=0.9, seconds=0.0"]
    assert [model.luck for model in done.variants_.values()] == [0.1, 0.9]


def test_no_variants__study_the_estimator_itself(data):
    assert list(study().fit(*data).variants_) == ["Guesser"]


def test_crossed_design__crosses_both_seeds_and_runs_others_once_a_draw(data, diary):
    done = study(
        variants={"ours": {}, "svc": make_pipeline(TfidfVectorizer(), LinearSVC())},
        seeds={"init": 3, "order": 2, "draw": 2},
        baselines=("majority",),
    ).fit(*data)
    runs = done.results_
    ours = runs[runs["variant"] == "ours"]
    assert len(ours) == 3 * 2 * 2
    assert len(ours[["init_seed", "order_seed"]].drop_duplicates()) == 6
    assert ours["random_state"].nunique() == 12
    # The seeds are levels of a factor: the same ones on both draws.
    levels = [set(part["init_seed"]) for _, part in ours.groupby("draw")]
    assert levels[0] == levels[1]
    assert runs["variant"].value_counts().to_dict() == {"ours": 12, "svc": 2, "majority": 2}
    found = done.compare("ours", "svc")
    assert (found.n, found.unit) == (2, "draws")
    means = ours.groupby("draw")["accuracy"].mean() - runs[runs["variant"] == "svc"].set_index("draw")["accuracy"]
    assert found.differences == pytest.approx(means.to_numpy())


def test_crossed_design_on_one_draw__pairs_by_seeds(data):
    done = study(variants={"a": {"luck": 0.2}, "b": {"luck": 0.8}}, seeds={"init": 3, "order": 2}, baselines="majority")
    runs = done.fit(*data).results_.set_index(["init_seed", "order_seed"])
    by = {name: runs[runs["variant"] == name]["accuracy"].sort_index() for name in ("a", "b")}
    found = done.compare("b", "a")
    assert (found.n, found.unit) == (6, "runs")
    assert sorted(found.differences) == pytest.approx(sorted(by["b"] - by["a"]))
    # A variant that runs once meets every run of the other.
    assert done.compare("a", "majority").n == 6
    assert np.isnan(found.corrected_pvalue)


def test_scoring__takes_names_and_named_scorers(data):
    results = study(scoring="balanced_accuracy").fit(*data).results_
    assert results["balanced_accuracy"].notna().all()

    def half(estimator, X, y):
        return 0.5

    done = study(scoring={"half": half, "acc": "accuracy"}).fit(*data)
    assert (done.results_["half"] == 0.5).all()
    assert done.summary("acc")["n"].tolist() == [3]
    # The first is what statistics take.
    assert done.summary()["mean"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"seeds": 0}, "seeds must be an int of at least 1"),
        ({"seeds": {"init": 2}}, "seeds must be an int or a dict such as"),
        ({"seeds": {"init": 2, "order": 2, "folds": 2}}, "seeds must be an int or a dict such as"),
        ({"seeds": {"init": 2, "order": 0}}, r"seeds\['order'\] must be an int of at least 1"),
        ({"variants": {}}, "variants is empty"),
        ({"variants": "maxpool"}, "variants must be a dict of name"),
        ({"variants": {"a": {"lucky": 1}}}, "Variant 'a': Invalid parameter 'lucky'"),
        ({"variants": {"a": {}, 3: {}}}, "Names of variants must be non-empty str, got 3"),
        ({"variants": {"majority": {}}, "baselines": ("majority",)}, "names a baseline and a variant"),
        ({"baselines": ("bow",)}, "baselines must hold names out of"),
        ({"scoring": ()}, "scoring is empty"),
        ({"scoring": ["accuracy", "accuracy"]}, "names a scorer twice"),
        ({"scoring": "acuracy"}, "not a valid scoring value"),
        ({"scoring": [len]}, "give others a name"),
        ({"scoring": {"size": "accuracy"}}, "Names of scores must be str and none of"),
        ({"verbose": -1}, "verbose must be"),
        ({"random_state": "zero"}, "random_state must be"),
        (
            {"estimator": DummyClassifier(), "seeds": {"init": 2, "order": 2}},
            "needs a variant with the parameters init_seed and order_seed",
        ),
    ],
)
def test_parameters_out_of_range__are_refused_before_anything_runs(data, diary, parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        study(**parameters).fit(*data)
    assert diary == []


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ("a text", ["a"], ValueError, "Iterable over raw text documents expected"),
        (["a", None, "b", "c"], [0, 0, 1, 1], ValueError, "row 1"),
        (["a", "b", "c", "d"], None, ValueError, "requires y to be passed"),
        (["a", "b", "c", "d"], [0, 0, 1], ValueError, "inconsistent numbers of samples"),
        (
            ["a", "b", "c", "d"],
            [[0, 1], [1, 0], [1, 1], [0, 0]],
            ValueError,
            "must be one-dimensional, not multi-label",
        ),
        ([], [], ValueError, "0 sample"),
    ],
)
def test_wrong_data__is_refused(X, y, error, message):
    with pytest.raises(error, match=message):
        study().fit(X, y)


def test_predictors_of_numbers_and_of_labels__have_no_score_in_common(data):
    from sklearn.linear_model import Ridge

    with pytest.raises(ValueError, match="mixes classifiers and regressors"):
        study(variants={"a": {}, "b": make_pipeline(TfidfVectorizer(), Ridge())}).fit(*data)


def test_study__is_an_estimator_that_clones_and_pickles(data):
    made = study(variants={"a": {}}, train_sizes=[8])
    assert clone(made).get_params()["train_sizes"] == [8]
    again = pickle.loads(pickle.dumps(made.fit(*data)))
    same(again.results_, made.results_)
    pd.testing.assert_frame_equal(again.summary(), made.summary())


def test_study__neither_seeds_nor_reads_the_global_generators(data):
    with isolated_numpy(7):
        torch.manual_seed(7)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        first = study().fit(*data).results_
        assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])
    with isolated_numpy(8):
        same(study().fit(*data).results_, first)


@contextmanager
def isolated_numpy(seed):
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


def test_asking_before_the_fit__is_refused():
    for ask in (lambda s: s.summary(), lambda s: s.compare("a", "b"), lambda s: s.report("r.html")):
        with pytest.raises(NotFittedError):
            ask(study())


# ---------------------------------------------------------------- failed runs


def test_run_that_raises__is_stored_with_its_reason_and_the_study_goes_on(data):
    with pytest.warns(RuntimeWarning, match=r"4 of 24 runs failed: 1 × RuntimeError: seed .* is unlucky"):
        results = study(seeds=12, variants={"a": {}, "b": {"fails_on": (1,)}}).fit(*data).results_
    failed = results[results["status"] == "failed"]
    unlucky = results[(results["random_state"] % 4 == 1) & (results["variant"] == "b")]
    assert failed.index.equals(unlucky.index)
    assert failed["accuracy"].isna().all()
    assert failed["reason"].str.match(r"RuntimeError: seed \d+ is unlucky").all()
    assert results.drop(failed.index)["accuracy"].notna().all()


def test_training_that_failed__keeps_its_scores_and_is_counted(data):
    with pytest.warns(RuntimeWarning, match="3 of 6 runs failed: 3 × constant"):
        done = study(variants={"fine": {}, "stuck": Constant()}).fit(*data)
    stuck = done.results_[done.results_["variant"] == "stuck"]
    assert set(stuck["status"]) == {"failed"}
    assert set(stuck["reason"]) == {"constant"}
    assert stuck["accuracy"].notna().all()
    assert done.summary().set_index("variant")["failed"].to_dict() == {"fine": 0, "stuck": 1}


def test_failed_training_inside_searches_and_pipelines__is_seen(data):
    search = GridSearchCV(make_pipeline(Constant()), {"constant__luck": [0.5]}, cv=2)
    with pytest.warns(RuntimeWarning, match="constant"):
        assert set(study(estimator=search).fit(*data).results_["reason"]) == {"constant"}


def test_real_run_that_diverges__is_told_from_one_that_works(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 10})
    wild = {"learning_rate": 1e30, "warmup_ratio": 0.0, "max_grad_norm": None}
    with pytest.warns(RuntimeWarning, match="2 of 4 runs failed: 2 × diverged"):
        results = (
            StabilityStudy(clf, {"tame": {}, "wild": wild}, seeds=2, test_size=6, baselines=(), random_state=0)
            .fit(texts, labels)
            .results_
        )
    assert results[results["variant"] == "tame"]["status"].tolist() == ["ok", "ok"]
    assert results[results["variant"] == "wild"]["reason"].tolist() == ["diverged", "diverged"]


def test_scorer_that_fails__costs_its_own_score_only(data):
    with pytest.warns(RuntimeWarning, match="neg_log_loss: .*predict_proba"):
        results = study(scoring=("accuracy", "neg_log_loss")).fit(*data).results_
    assert results["accuracy"].notna().all()
    assert results["neg_log_loss"].isna().all()
    assert set(results["status"]) == {"failed"}


# ---------------------------------------------------------------- never lost


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
from skbert import StabilityStudy
from tests.study_models import Guesser, labelled_texts

store, n_jobs = sys.argv[1], int(sys.argv[2])
StabilityStudy(
    Guesser(seconds=0.3),
    {"a": {}, "b": {"luck": 0.9}},
    seeds=8,
    baselines=(),
    random_state=0,
    store=store,
    n_jobs=n_jobs,
).fit(*labelled_texts(60))
"""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_process_that_is_killed__loses_no_finished_run(data, tmp_path, n_jobs):
    store = tmp_path / "runs.sqlite"
    root = Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(store), str(n_jobs)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not store.exists() or _n_runs(store) < 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = read_runs(store)
    assert 3 <= len(kept) < 16
    parameters = {"estimator": Guesser(seconds=0.3), "variants": {"a": {}, "b": {"luck": 0.9}}, "seeds": 8}
    resumed = study(**parameters, store=store, n_jobs=n_jobs).fit(*data).results_
    # What was stored is taken as it is, its times too.
    assert resumed.merge(kept, how="inner").shape[0] == len(kept)
    same(resumed, study(**parameters).fit(*data).results_)


def _n_runs(path):
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_other_studies__are_refused_and_the_difference_is_named(data, tmp_path):
    X, y = data
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "store": tmp_path / "runs.sqlite", "train_sizes": [8]}
    first = study(**given).fit(X, y)
    for other, place in [
        ({"variants": {"a": {}, "b": {"luck": 0.8}}}, "variants.b.luck: 0.9 → 0.8"),
        ({"variants": {"a": {}}}, r"variants.b: \{.* → \(not there\)"),
        ({"seeds": 4}, "design.seeds: 3 → 4"),
        ({"train_sizes": [16]}, r"design.train sizes: \[8\] → \[16\]"),
        ({"test_size": 0.5}, "design.test texts: 15 → 30"),
        ({"random_state": 1}, "design.seed of the study"),
        ({"scoring": "accuracy"}, "design.scoring"),
        ({"baselines": "majority"}, r"variants.majority: \(not there\) → \{"),
        ({"estimator": Constant()}, "variants.a.class: 'tests.study_models.Guesser' → 'tests.study_models.Constant'"),
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
    monkeypatch.setattr(skbert, "__version__", "99.0")
    fingerprint.code_facts.cache_clear()
    try:
        with pytest.raises(RunStoreError, match=r"code\.skbert: .* → '99\.0'"):
            study(store=store).fit(*data)
    finally:
        fingerprint.code_facts.cache_clear()


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
    assert path.read_bytes() == content


def test_database_of_something_else__is_refused_and_left_alone(data, tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (a)")
    before = path.read_bytes()
    with pytest.raises(RunStoreError, match="is a database of something else"):
        study(store=path).fit(*data)
    assert path.read_bytes() == before


def test_store_that_cannot_be__is_refused(data, tmp_path):
    with pytest.raises(RunStoreError, match="is a folder"):
        study(store=tmp_path).fit(*data)
    with pytest.raises(RunStoreError, match="Does its folder exist"):
        study(store=tmp_path / "nowhere" / "runs.sqlite").fit(*data)
    with pytest.raises(RunStoreError, match="There is no store of runs"):
        read_runs(tmp_path / "runs.sqlite")


def test_store_of_another_format__is_refused(data, tmp_path):
    path = tmp_path / "runs.sqlite"
    study(store=path).fit(*data)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RunStoreError, match="written in format 99, this version of skbert reads 1"):
        study(store=path).fit(*data)


def test_two_processes_on_one_store__keep_every_run_once(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    root = Path(__file__).parents[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(store), "1"], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
        )
        for _ in range(2)
    ]
    assert [process.wait(timeout=180) for process in processes] == [0, 0]
    runs = read_runs(store)
    assert len(runs) == 16
    assert not runs.duplicated(DESIGN).any()


# ---------------------------------------------------------------- the same numbers everywhere


def test_numbers__do_not_depend_on_how_many_run_at_once(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 10})
    frozen = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    given = {"seeds": 2, "test_size": 6, "random_state": 0}
    one, two = (
        StabilityStudy(clf, {"tuned": {}, "frozen": frozen}, **given, n_jobs=n).fit(texts, labels).results_
        for n in (1, 2)
    )
    same(one, two)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        same(StabilityStudy(clf, {"tuned": {}, "frozen": frozen}, **given).fit(texts, labels).results_, one)


def test_runs__compute_on_one_core_and_give_the_others_back(data):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        results = study(scoring={"threads": lambda fitted, X, y: fitted.n_threads_}).fit(*data).results_
        assert set(results["threads"]) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_runs_on_one_gpu__take_turns(data, tiny, tmp_path, monkeypatch):
    # There is no GPU to be had here: the lock is tested with a device that only has the name of one.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("skbert.training.resolve_device", lambda device: torch.device("cuda", 0))
    assert running._gpu_of(Guesser()) is None
    assert running._gpu_of(make_pipeline(LayerPoolFeaturizer(tiny()), LogisticRegression())).type == "cuda"
    emptied, inside = [], []
    monkeypatch.setattr(running, "_gpu_name", lambda device: "cuda-test")
    monkeypatch.setattr(running.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))

    def use(_):
        with running._turn_on_gpu(MaxPoolBERTClassifier(tiny())):
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.02)
            inside.pop()

    joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(use)(i) for i in range(8))
    assert len(emptied) == 8
