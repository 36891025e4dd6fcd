"""StabilityStudy: its design, its runs, and what is never lost."""

import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

import skbert
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, RunStoreError, StabilityStudy
from skbert._study import fingerprint, running
from skbert.stability import forget_failed, read_runs
from tests.study_models import Constant, Guesser, Killer, labelled_texts

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


@pytest.mark.parametrize("form", [ParameterGrid, lambda grid: list(ParameterGrid(grid)), lambda grid: [grid]])
def test_points_of_a_grid__may_be_given_themselves(data, form):
    results = study(variants=form({"luck": [0.2, 0.8]})).fit(*data).results_
    same(results, study(variants={"luck": [0.2, 0.8]}).fit(*data).results_)


def test_variant_of_nothing__is_the_estimator_as_it_is(data):
    results = study(variants={"a": None, "b": {}, "c": {"luck": 0.9}}).fit(*data).results_
    scores = results.groupby("variant")["accuracy"].apply(list)
    assert scores["a"] == scores["b"] != scores["c"]


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
    # The one run of a draw meets all runs of the other variant.
    found = done.compare("ours", "svc")
    assert (found.n, found.unit) == (12, "cells")
    others = runs[runs["variant"] == "svc"].set_index("draw")["accuracy"]
    assert sorted(found.differences) == pytest.approx(sorted(ours["accuracy"] - ours["draw"].map(others)))


def test_crossed_design_on_one_draw__pairs_by_seeds(data):
    done = study(variants={"a": {"luck": 0.2}, "b": {"luck": 0.8}}, seeds={"init": 3, "order": 2}, baselines="majority")
    runs = done.fit(*data).results_.set_index(["init_seed", "order_seed"])
    by = {name: runs[runs["variant"] == name]["accuracy"].sort_index() for name in ("a", "b")}
    found = done.compare("b", "a")
    assert (found.n, found.unit) == (6, "cells")
    assert sorted(found.differences) == pytest.approx(sorted(by["b"] - by["a"]))
    # A variant that runs once meets every run of the other.
    assert done.compare("a", "majority").n == 6
    assert np.isnan([found.corrected_pvalue, found.permutation_pvalue, found.wilcoxon_pvalue]).all()


def test_scoring__takes_a_scorer_alone(data):
    results = study(scoring=make_scorer(balanced_accuracy_score)).fit(*data).results_
    expected = study(scoring="balanced_accuracy").fit(*data).results_["balanced_accuracy"]
    assert results["score"].tolist() == expected.tolist()


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


def test_reasons__can_always_be_stored_and_the_study_always_goes_on(data, monkeypatch):
    for error in (ValueError("cannot read \udcff"), SystemExit("out"), MemoryError()):
        with monkeypatch.context() as patch:
            patch.setattr(Guesser, "fit", lambda self, X, y, error=error: (_ for _ in ()).throw(error))
            with pytest.warns(RuntimeWarning, match=type(error).__name__):
                assert set(study().fit(*data).results_["status"]) == {"failed"}


def test_n_iter_that_is_no_number__costs_nothing(data, monkeypatch):
    for odd in ([], "many", None, float("nan"), [3, 5]):
        monkeypatch.setattr(
            Guesser, "predict", lambda self, X, odd=odd: vars(self).update(n_iter_=odd) or ["no"] * len(X)
        )
        monkeypatch.setattr(
            Guesser, "fit", lambda self, X, y, odd=odd: vars(self).update(n_iter_=odd, classes_=[]) or self
        )
        results = study(scoring={"half": lambda fitted, X, y: 0.5}).fit(*data).results_
        assert set(results["status"]) == {"ok"}
        assert results["n_iter"].tolist() == ([5] * 3 if odd == [3, 5] else [pd.NA] * 3)


def test_worker_that_dies__is_one_failed_run(data):
    with pytest.warns(RuntimeWarning, match="the worker process died"):
        results = study(estimator=Killer(fails_on=(1,)), seeds=8, n_jobs=2).fit(*data).results_
    unlucky = results["random_state"] % 4 == 1
    assert 0 < unlucky.sum() < 8
    assert ((results["status"] == "failed") == unlucky).all()
    assert results[~unlucky]["accuracy"].tolist() == study(seeds=8).fit(*data).results_[~unlucky]["accuracy"].tolist()


def test_scorers_that_do_not_suit_the_targets__are_refused_before_anything_runs(data, diary):
    with pytest.raises(ValueError, match="scoring='f1' does not suit these labels"):
        study(scoring=("accuracy", "f1")).fit(*data)
    with pytest.raises(ValueError, match="scoring='accuracy' does not suit these numbers"):
        StabilityStudy(make_pipeline(TfidfVectorizer(), Ridge()), seeds=2).fit(
            data[0], np.random.default_rng(0).random(60)
        )
    assert diary == []


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
        ({"seeds": {"init": 2, "order": 2}}, "design.seeds: 3 → "),
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
    monkeypatch.setattr("tests.study_models.time.sleep", lambda seconds: None)
    monkeypatch.setattr("skbert._study.running.execute", lambda job: (job.run, running._outcome(job, 0, "")))
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
    assert fingerprint.describe(matrix) == fingerprint.describe(np.asfortranarray(matrix))
    assert fingerprint.describe({"a": 1, "b": 2}) == fingerprint.describe({"b": 2, "a": 1})
    around = []
    around.append(around)
    assert fingerprint.describe(around) == fingerprint.describe(around)


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
    (folder / "empty").touch()
    with pytest.raises(RunStoreError, match="is no store of runs"):
        read_runs(folder / "empty")


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


_THREADS = """
import joblib, torch
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_info
from skbert import StabilityStudy
from tests.study_models import Guesser, labelled_texts

def widest(fitted, X, y):
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(_openmp_effective_n_threads(), torch.get_num_threads(), *blas)

torch.set_num_threads(3)
before = threadpool_info()
for backend in ("sequential", "threading"):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        study = StabilityStudy(Guesser(seconds=0.05), seeds=8, baselines=(), scoring={"threads": widest})
        print(set(study.fit(*labelled_texts(40)).results_["threads"]))
print(threadpool_info() == before, torch.get_num_threads())
"""


def test_runs__compute_on_one_core_each_and_give_the_others_back():
    # In a process of its own: the tests themselves run with one thread.
    root = Path(__file__).parents[1]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "3")
    done = subprocess.run(
        [sys.executable, "-c", _THREADS],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), **threads},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:3] == ["{1.0}", "{1.0}", "True 3"]


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


def test_encoder_that_was_out_of_reach__may_come_later(tiny, texts, labels, tmp_path):
    store, model = tmp_path / "runs.sqlite", tmp_path / "model"
    pipeline = make_pipeline(LayerPoolFeaturizer(str(model)), LogisticRegression())
    given = {"estimator": pipeline, "seeds": 2, "test_size": 6, "store": store}
    with pytest.warns(RuntimeWarning, match="2 of 2 runs failed"):
        study(**given).fit(texts, labels)
    shutil.copytree(tiny(), model)
    assert forget_failed(store) == 2
    assert study(**given).fit(texts, labels).results_["accuracy"].notna().all()
    # From now on it is known.
    shutil.rmtree(model)
    shutil.copytree(tiny(seed=1), model)
    with pytest.raises(RunStoreError, match="encoders"):
        study(**given).fit(texts, labels)


def test_workers__end_with_the_study_that_was_killed(tmp_path):
    store, root = tmp_path / "runs.sqlite", Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(store), "2"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not store.exists() or _n_runs(store) < 3):
        time.sleep(0.02)
    process.kill()
    # Whoever reads the output of the study waits until all who might write to it are gone.
    process.communicate(timeout=30)
