"""Warnings name the line of the user: the one marked "# here" in these tests."""

import linecache
import os
import sysconfig
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skbert
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, SkipLayerProbe
from skbert._shared import _warn, warn
from skbert.compute import MemoryNotice
from tests.helpers.study_models import Guesser, study

OURS = Path(skbert.__file__).parent
LIBRARY = Path(sysconfig.get_paths()["stdlib"])
LONG = "parcel " * 40


@pytest.fixture
def caught():
    """The warnings of a test, each time they are given."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


def places(caught, words):
    """Source lines at which warnings with these words point; all must be in this file."""
    found = [warning for warning in caught if words in str(warning.message)]
    assert {warning.filename for warning in found} <= {__file__}
    return [linecache.getline(warning.filename, warning.lineno).strip() for warning in found]


def assert_here(caught, words, times=1):
    lines = places(caught, words)
    assert len(lines) == times
    assert all(line.endswith("# here") for line in lines)


def frames(*paths):
    """A stack as the interpreter shows it, the innermost frame first."""
    back = None
    for path in reversed(paths):
        back = SimpleNamespace(f_code=SimpleNamespace(co_filename=os.fspath(path)), f_back=back)
    return back


SKLEARN = Path(sklearn.__file__).parent / "pipeline.py"
JOBLIB = Path(joblib.__file__).parent / "parallel.py"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([OURS / "text" / "_tokens.py", OURS / "_x.py", "/home/user/run.py"], "/home/user/run.py"),
        ([OURS / "_x.py", SKLEARN, JOBLIB, "/home/user/run.py", "/home/user/all.py"], "/home/user/run.py"),
        ([OURS / "_x.py", LIBRARY / "contextlib.py", SKLEARN, "<stdin>"], "<stdin>"),
        ([OURS / "_x.py", "/home/user/skbert_helpers/run.py"], "/home/user/skbert_helpers/run.py"),
        ([OURS.with_name("skbert_extras") / "run.py"], OURS.with_name("skbert_extras") / "run.py"),
        ([OURS / "_x.py", LIBRARY / "site-packages" / "other" / "x.py"], LIBRARY / "site-packages" / "other" / "x.py"),
        # Nobody's line but the libraries': the innermost outside skbert.
        ([OURS / "_x.py", SKLEARN, OURS / "_y.py", JOBLIB, LIBRARY / "threading.py"], SKLEARN),
        ([OURS / "_x.py", OURS / "__main__.py", "<frozen runpy>"], "<frozen runpy>"),
        ([OURS / "_x.py", OURS / "cli" / "__main__.py"], OURS / "cli" / "__main__.py"),
    ],
)
def test_frame_of_user__is_the_innermost_that_is_the_users(paths, expected):
    assert _warn._frame_of_user(frames(*paths)).f_code.co_filename == os.fspath(expected)


def test_warn__category_and_message(caught):
    warn("a message", RuntimeWarning)  # here
    assert_here(caught, "a message")
    assert caught[0].category is RuntimeWarning


def test_warn__from_one_line__is_shown_once_by_default():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(3):
            warn("the same")
        warn("the same")
    assert len(found) == 2


def test_memory_notice__points_here(caught):
    notice = MemoryNotice()
    for _ in range(2):
        notice("memory ran out")  # here
    assert_here(caught, "memory ran out")


# ---------------------------------------------------------------- estimators


def test_classifier__fit_and_predict(tiny, texts, labels, quick, caught):
    clf = MaxPoolBERTClassifier(tiny(), max_length=6, **{**quick, "learning_rate": 0.0, "max_epochs": 1})
    clf.fit([*texts, LONG], [*labels, "order"])  # here
    assert_here(caught, "were cut")
    assert_here(caught, "Fine-tuning failed")
    caught.clear()
    clf.predict([LONG])  # here
    clf.predict_proba([LONG])  # here
    clf.transform([LONG])  # here
    assert_here(caught, "were cut", times=3)


def test_classifier__save(tiny, texts, labels, quick, tmp_path, caught):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1, "random_state": np.random.RandomState(0)})
    clf.fit(texts, labels).save(tmp_path)  # here
    assert_here(caught, "Not saved")


@pytest.mark.parametrize("as_frame", [False, True])
def test_featurizer__transform_and_fit_transform(as_frame, tiny, texts, caught):
    featurizer = LayerPoolFeaturizer(tiny(), max_length=6, device="cpu")
    # scikit-learn wraps both.
    featurizer.set_output(transform="pandas" if as_frame else "default")
    featurizer.fit_transform([*texts, LONG])  # here
    featurizer.transform([LONG])  # here
    assert_here(caught, "were cut", times=2)


def test_pipeline__fit_predict_and_transform(tiny, texts, labels, quick, caught):
    words = FunctionTransformer(lambda X: list(X))
    tuned = make_pipeline(words, MaxPoolBERTClassifier(tiny(), max_length=6, **{**quick, "max_epochs": 1}))
    frozen = make_pipeline(words, LayerPoolFeaturizer(tiny(), max_length=6, device="cpu"), LogisticRegression())
    for pipeline in (tuned, frozen):
        caught.clear()
        pipeline.fit([*texts, LONG], [*labels, "order"])  # here
        pipeline.predict([LONG])  # here
        pipeline.predict_proba([LONG])  # here
        assert_here(caught, "were cut", times=3)
    caught.clear()
    frozen[:-1].transform([LONG])  # here
    assert_here(caught, "were cut")


def test_store_that_fails__points_at_the_line_that_transforms(tiny, tmp_path, monkeypatch, caught):
    featurizer = LayerPoolFeaturizer(tiny(), store=tmp_path, device="cpu").fit(["a"])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skbert.store._in_folder.FolderBlocks.put", full)
    make_pipeline(featurizer).transform(["a text"])  # here
    assert_here(caught, "cannot be written to")


def test_thread_of_the_user__points_at_the_line_in_it(tiny, caught):
    featurizer = LayerPoolFeaturizer(tiny(), max_length=6, device="cpu").fit(["a"])

    def work():
        featurizer.transform([LONG])  # here

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert_here(caught, "were cut")


def test_thread_of_a_search__has_no_line_of_the_user__points_outside_skbert(tiny, texts, labels, caught):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), max_length=3, device="cpu"), LogisticRegression())
    with joblib.parallel_config("threading", n_jobs=2):
        cross_val_score(pipeline, texts, labels, cv=2)
    found = [Path(warning.filename) for warning in caught if "were cut" in str(warning.message)]
    assert found
    assert not any(OURS in path.parents for path in found)


# ---------------------------------------------------------------- study and probe


def test_study__fit(data, tmp_path, caught):
    X, y = data
    unlucky = {"unlucky": Guesser(fails_on=(0, 1, 2, 3)), "lucky": Guesser()}
    asked = study(variants=unlucky, baselines=("tfidf",), store=tmp_path / "runs.sqlite", scoring={"s": Slotted()})
    asked.fit([*X, X[0]], [*y, y[0]])  # here
    assert_here(caught, "occur more than once")
    assert_here(caught, "is not known to the store")
    assert_here(caught, "runs failed")
    caught.clear()
    study(variants={"a": LogisticRegression()}, baselines=("tfidf",)).fit(np.eye(60), y)  # here
    assert_here(caught, "is left out")


class Slotted:
    """A scorer that nothing can be told of: it holds a lock."""

    __slots__ = ("lock",)

    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, estimator, X, y):
        return 0.5


def test_probe__fit_and_transform(tiny, texts, labels, caught):
    constant = make_pipeline(LayerPoolFeaturizer(tiny(), max_length=6, device="cpu"), DummyClassifier())
    probe = SkipLayerProbe(constant, cv=2, spans="single", n_permutations=0)
    probe.fit(texts, labels)  # here
    assert_here(caught, "predicts one class for all samples")
    caught.clear()
    probe.transform([LONG])  # here
    make_pipeline(probe).transform([LONG])  # here
    assert_here(caught, "were cut", times=2)
