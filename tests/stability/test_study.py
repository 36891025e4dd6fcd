"""StabilityStudy: its design, its runs, and what is never lost."""

import os
import pickle
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, StabilityStudy
from skbert.estimators import TextEstimator
from skbert.stability import _execution
from tests.helpers.study_models import DESIGN, Constant, Guesser, Killer, same, study

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
    assert np.isnan([found.pvalue, found.permutation_pvalue, found.wilcoxon_pvalue]).all()


def test_too_few_seeds__are_said_before_a_run_is_paid_for(data, diary, monkeypatch):
    monkeypatch.setattr(StabilityStudy, "_run", lambda self, *given: None)
    with pytest.warns(UserWarning, match=r"With seeds=5, no comparison can show a difference.* At least seeds=6"):
        study(variants={"a": {}, "b": {}}, seeds=5).fit(*data)
    assert diary == []


@pytest.mark.parametrize("given", [{"seeds": 6}, {"seeds": 2, "variants": None}, {"seeds": {"init": 2, "order": 2}}])
def test_seeds_that_can_tell_or_need_not__are_no_cause_for_a_warning(data, given):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study(**{"variants": {"a": {}, "b": {}}, **given}).fit(*data)


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
        StabilityStudy(make_pipeline(TfidfVectorizer(), Ridge()), seeds=2, scoring="accuracy").fit(
            data[0], np.random.default_rng(0).random(60)
        )
    assert diary == []


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
from tests.helpers.study_models import DESIGN, Guesser, labelled_texts

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
    root = Path(__file__).parents[2]
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
    monkeypatch.setattr(TextEstimator, "compute_device", lambda self: torch.device("cuda", 0))
    assert _execution._gpu_of(Guesser()) is None
    assert _execution._gpu_of(make_pipeline(LayerPoolFeaturizer(tiny()), LogisticRegression())).type == "cuda"
    emptied, inside = [], []
    monkeypatch.setattr(_execution, "_gpu_name", lambda device: "cuda-test")
    monkeypatch.setattr(_execution.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))

    def use(_):
        with _execution._turn_on_gpu(MaxPoolBERTClassifier(tiny())):
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.02)
            inside.pop()

    joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(use)(i) for i in range(8))
    assert len(emptied) == 8


# ---------------------------------------------------------------- defaults


def test_scoring__by_default_follows_the_kind_of_estimator(data):
    X, y = data
    assert study().fit(X, y).scores_ == ["accuracy", "f1_macro"]
    numbers = np.array([len(text) for text in X], dtype=float)
    found = study(estimator=DummyRegressor()).fit(X, numbers)
    assert found.scores_ == ["r2"]
    assert found.results_["status"].eq("ok").all()


def test_variants__of_a_grid_of_functions__have_names_without_addresses(data):
    grid = {"functiontransformer__func": [str_upper, str_lower]}
    model = make_pipeline(FunctionTransformer(str_upper), TfidfVectorizer(), DummyClassifier())
    found = study(estimator=model, variants=grid).fit(*data)
    assert list(found.variants_) == ["functiontransformer__func=str_upper", "functiontransformer__func=str_lower"]


def str_upper(X):
    return [text.upper() for text in X]


def str_lower(X):
    return [text.lower() for text in X]


@pytest.mark.parametrize("X", [np.zeros((6, 1)), pd.DataFrame({"text": range(6)}), pd.DataFrame([["a", "b", "c"]] * 6)])
def test_what_a_variant_cannot_read__is_refused_before_anything_runs(X, tiny):
    clf = MaxPoolBERTClassifier(tiny())
    with pytest.raises((TypeError, ValueError), match=r"row 0 holds|X has 3 columns"):
        StabilityStudy(DummyClassifier(), {"dummy": {}, "encoder": clf}, seeds=1, baselines=()).fit(X, ["a", "b"] * 3)
