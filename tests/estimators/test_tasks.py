"""The callbacks of scikit-learn on a fine-tuning: the fit is a task, and every epoch is one within it."""

import importlib
import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.estimators import _tasks

sklearn_callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks since 1.9")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Diary:
    """Notes what happens, and what a model fitted so far would say of the training texts."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.lines, self.probabilities, self.metadata = [], [], []

    def setup(self, estimator, context):
        self.lines.append(("setup", context.max_subtasks))

    def teardown(self, estimator, context):
        self.lines.append(("teardown", context.max_subtasks))

    def on_fit_task_begin(self, estimator, context):
        self.lines.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, metadata=None, fitted_estimator=None):
        self.lines.append(("end", context.task_name, context.task_id))
        self.metadata.append(metadata)
        self.probabilities.append(fitted_estimator.predict_proba(X))
        return context.task_name == "epoch" and context.task_id == self.stop_after


class StopAfter(Callback):
    """Stops after an epoch, as callbacks of skorch do."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if net.history[-1, "epoch"] == self.epoch:
            raise KeyboardInterrupt


WAYS = [
    {},
    {"mixout": 0.3},
    {"pretrained_decay": 0.1, "weight_decay": 0.1},
    {"freeze_layers": 2},
    {"early_stopping": True, "n_iter_no_change": 4},
    {"token_pooling": "mha", "layer_pooling": "weighted", "reinit_layers": 1},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_callbacks__are_told_of_every_epoch_and_change_nothing(tiny, texts, labels, quick, way):
    diary = Diary()
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 3, **way}).set_callbacks(diary).fit(texts, labels)
    epochs = [(moment, "epoch", i) for i in range(3) for moment in ("begin", "end")]
    assert diary.lines == [("setup", 3), ("begin", "fit", 0), *epochs, ("end", "fit", 0), ("teardown", 3)]
    np.testing.assert_array_equal(diary.probabilities[-1], clf.predict_proba(texts))
    plain = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 3, **way}).fit(texts, labels)
    np.testing.assert_array_equal(plain.predict_proba(texts), clf.predict_proba(texts))
    # What it saw after two epochs is what a training that is stopped there leaves.
    stopped = clone(plain).set_params(callbacks=[StopAfter(2)], early_stopping=False)
    if "early_stopping" not in way:
        np.testing.assert_array_equal(diary.probabilities[1], stopped.fit(texts, labels).predict_proba(texts))


def test_scoring_monitor__of_a_classifier(tiny, texts, labels, quick):
    monitor = sklearn_callback.ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    clf = MaxPoolBERTClassifier(tiny(), **quick).set_callbacks(monitor).fit(texts, labels)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit"] + ["epoch"] * 4
    assert rows[0]["accuracy"] == rows[-1]["accuracy"] == accuracy_score(labels, clf.predict(texts))
    assert rows[-1]["neg_log_loss"] == pytest.approx(-log_loss(labels, clf.predict_proba(texts)))
    assert rows[-1]["neg_log_loss"] > rows[1]["neg_log_loss"]


def test_scoring_monitor__of_a_regressor_on_pairs_with_weights(tiny, texts, quick):
    monitor = sklearn_callback.ScoringMonitor(scoring="r2")
    pairs, y, weights = list(zip(texts, texts[::-1], strict=True)), 100.0 + np.arange(24), 1.0 + np.arange(24) % 2
    regressor = MaxPoolBERTRegressor(tiny(), **quick).set_callbacks(monitor)
    regressor.fit(pairs, y, sample_weight=weights)
    expected = r2_score(y, regressor.predict(pairs), sample_weight=weights)
    assert monitor.get_logs().data[-1]["r2"] == pytest.approx(expected)


def test_progress_bar__counts_epochs(tiny, texts, labels, quick, capsys):
    MaxPoolBERTClassifier(tiny(), **quick).set_callbacks(sklearn_callback.ProgressBar()).fit(texts, labels)
    shown = capsys.readouterr().out
    assert "MaxPoolBERTClassifier" in shown
    assert "100%" in shown


def test_progress_bar__of_a_pipeline__goes_down_to_the_fine_tuning(tiny, texts, labels, quick, capsys):
    model = make_pipeline(FunctionTransformer(), MaxPoolBERTClassifier(tiny(), **quick))
    model.set_callbacks(sklearn_callback.ProgressBar(max_propagation_depth=None)).fit(texts, labels)
    assert "MaxPoolBERTClassifier" in capsys.readouterr().out


def test_scoring_monitor__within_a_search__keeps_the_runs_apart(tiny, texts, labels, quick):
    monitor = sklearn_callback.ScoringMonitor(scoring="accuracy")
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 2}).set_callbacks(monitor)
    search = GridSearchCV(clf, {"layers": [1, 2]}, cv=2).fit(texts, labels)
    rows = [row for log in monitor.get_logs(select="all") for row in log.data if row["task_name"] == "epoch"]
    assert len(rows) == 2 * (2 * 2 + 1)
    assert search.best_estimator_.n_iter_ == 2


def test_callback_that_says_stop__stops(tiny, texts, labels, quick):
    diary = Diary(stop_after=1)
    clf = MaxPoolBERTClassifier(tiny(), **quick).set_callbacks(diary).fit(texts, labels)
    assert clf.n_iter_ == 2
    np.testing.assert_array_equal(diary.probabilities[1], clf.predict_proba(texts))


def test_sample_weight__is_the_metadata_of_every_task(tiny, texts, labels, quick):
    diary, weights = Diary(), np.where(np.arange(24) < 3, 0.0, 2.0)
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).set_callbacks(diary)
    clf.fit(texts, labels, sample_weight=weights)
    # Rows of no weight are rows that are not there.
    assert [metadata["sample_weight"].tolist() for metadata in diary.metadata] == [[2.0] * 21] * 2
    assert len(diary.probabilities[0]) == 21


def test_fit_that_fails__is_torn_down(tiny, texts, labels, quick):
    diary = Diary()
    clf = MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=99).set_callbacks(diary)
    with pytest.raises(ValueError, match="freeze_layers"):
        clf.fit(texts, labels)
    assert diary.lines == [("setup", 4), ("begin", "fit", 0), ("teardown", 4)]
    assert not [name for name in vars(clf) if "callback" in name and name not in ("callbacks", "_skl_callbacks")]


def test_callbacks__survive_pickle_and_are_named_by_save(tiny, texts, labels, quick, tmp_path):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).set_callbacks(Diary()).fit(texts, labels)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))
    with pytest.warns(UserWarning, match="Not saved, because JSON cannot hold them: callbacks of set_callbacks"):
        clf.save(tmp_path)
    assert MaxPoolBERTClassifier.load(tmp_path).fit(texts, labels).n_iter_ == 1


def test_older_scikit_learn__fits_without(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sklearn.callback", None)
        old = importlib.util.module_from_spec(importlib.util.find_spec(_tasks.__name__))
        old.__spec__.loader.exec_module(old)
    assert not hasattr(old.CallbackSupportMixin, "set_callbacks")

    class Model(old.CallbackSupportMixin):
        @old.with_callbacks
        def fit(self):
            tasks = old.EpochTasks(self, 2, {}, None)
            tasks.on_epoch_begin(None)
            tasks.on_epoch_end(None)
            tasks.end()
            return self

    assert isinstance(Model().fit(), Model)
