"""A store belongs to one study: what tells another from it, and what does not."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import loguniform
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.pipeline import make_pipeline

from skbert import LayerPoolFeaturizer, RunStoreError, StabilityStudy
from skbert.stability import _execution, _fingerprint, forget_failed, read_runs
from tests.helpers.study_models import Constant, Guesser, same, study


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

    with pytest.warns(UserWarning, match="objects of .*Opaque is not known to the store"):
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
