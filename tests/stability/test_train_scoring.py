"""Training scores: asked on a run's own training texts, kept with the run, and never taken for test scores."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.metrics import accuracy_score, log_loss

from skbert import MaxPoolBERTClassifier, RunStoreError
from skbert.plots import StabilityDisplay
from skbert.stability import forget_failed, read_runs
from skbert.stability._run_store import RunStore
from tests.helpers.study_models import DESIGN, Guesser, same, study

pytestmark = pytest.mark.filterwarnings("ignore:With seeds=3")


def first_text(fitted, X, y):
    """Tells on which texts it was asked, and which estimator."""
    return int(X[0].split()[1]) + len(X) / 1000 + fitted.luck / 1e6


def never(fitted, X, y):
    raise ArithmeticError(f"no number for {len(X)} texts")


# ---------------------------------------------------------------- what is asked


def test_training_scores__are_those_of_the_fitted_estimator_on_its_own_training_texts(data):
    X, y = data
    done = study(
        variants={"a": {}, "b": {"luck": 0.9}},
        train_sizes=[8, 16],
        train_scoring={"acc": "accuracy", "own": first_text},
    ).fit(X, y)
    for _, run in done.results_.iterrows():
        rows = done.splits_[run["draw"]].train(run["size"])
        texts, model = [X[i] for i in rows], clone(done.variants_[run["variant"]])
        model.set_params(random_state=run["random_state"]).fit(texts, y[rows])
        assert run["train_acc"] == accuracy_score(y[rows], model.predict(texts))
        assert run["train_own"] == first_text(model, texts, y[rows])


def test_training_scores__stand_behind_the_scores_and_are_listed_apart(data):
    done = study(scoring="f1_macro", train_scoring=["accuracy", "f1_macro"]).fit(*data)
    columns = ["f1_macro", "train_accuracy", "train_f1_macro", "status", "reason", "seconds", "n_iter"]
    assert list(done.results_) == [*DESIGN, *columns]
    assert (done.scores_, done.train_scores_) == (["f1_macro"], ["train_accuracy", "train_f1_macro"])
    assert done.results_["train_accuracy"].dtype == float
    assert study().fit(*data).train_scores_ == []


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("accuracy", ["train_accuracy"]),
        (["accuracy", "balanced_accuracy"], ["train_accuracy", "train_balanced_accuracy"]),
        (first_text, ["train_score"]),
        ({"sharpness": first_text, "train_acc": "accuracy"}, ["train_sharpness", "train_acc"]),
    ],
)
def test_training_scorers__are_given_as_scorers_are_and_named_as_in_cross_validate(data, given, names):
    done = study(train_scoring=given).fit(*data)
    assert done.train_scores_ == names
    assert done.results_[names].notna().all(axis=None)


def test_training_scores__change_no_other_number(data):
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "baselines": ("majority",)}
    plain, more = study(**given).fit(*data), study(**given, train_scoring={"own": len_of_texts}).fit(*data)
    same(more.results_.drop(columns="train_own"), plain.results_)
    assert more.conclusions() == plain.conclusions()
    assert more.compare("a", "b").pvalue == plain.compare("a", "b").pvalue


def len_of_texts(fitted, X, y):
    return float(len(X))


def test_training_scores__do_not_depend_on_how_many_run_at_once(data):
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "train_scoring": {"own": first_text, "acc": "accuracy"}}
    same(study(**given, n_jobs=2).fit(*data).results_, study(**given).fit(*data).results_)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"train_scoring": ()}, "train_scoring is empty"),
        ({"train_scoring": {}}, "train_scoring is empty"),
        ({"train_scoring": ["accuracy", "accuracy"]}, "train_scoring names a scorer twice"),
        ({"train_scoring": {"a": "accuracy", "train_a": "f1_macro"}}, "train_scoring names a scorer twice"),
        ({"train_scoring": "acuracy"}, "not a valid scoring value"),
        ({"train_scoring": [len]}, "train_scoring must hold names of scorers; give others a name"),
        ({"train_scoring": "f1"}, "train_scoring='f1' does not suit these labels"),
        (
            {"train_scoring": "accuracy", "scoring": {"train_accuracy": "accuracy"}},
            "'train_accuracy' names a score of scoring and a training score",
        ),
    ],
)
def test_training_scorers_that_cannot_be__are_refused_before_anything_runs(data, diary, parameters, message):
    with pytest.raises(ValueError, match=message):
        study(**parameters).fit(*data)
    assert diary == []


def test_training_score__is_never_taken_for_a_test_score(data):
    done = study(
        variants={"a": {}, "b": {"luck": 0.9}}, seeds={"init": 2, "order": 2}, train_scoring={"own": first_text}
    ).fit(*data)
    for ask in (
        lambda name: done.summary(name),
        lambda name: done.expected_max(2, name),
        lambda name: done.expected_max(2, by=name),
        lambda name: done.compare("a", "b", score=name),
        lambda name: done.comparisons(score=name),
        lambda name: done.conclusions(score=name),
        lambda name: done.variance_components(name),
        lambda name: done.variance_conclusions(by=name),
        lambda name: StabilityDisplay.from_estimator(done, score=name),
    ):
        with pytest.raises(ValueError, match="score='train_own' is a training score"):
            ask("train_own")
        with pytest.raises(ValueError, match="score='own' is not one of the scores"):
            ask("own")


# ---------------------------------------------------------------- failures


def test_training_scorer_that_fails__costs_its_own_score_only_and_the_run_says_why(data):
    with pytest.warns(
        RuntimeWarning, match="3 of 3 runs failed: 3 × train_bad: ArithmeticError: no number for 45 texts"
    ):
        done = study(train_scoring={"bad": never, "acc": "accuracy"}).fit(*data)
    assert done.results_["train_bad"].isna().all()
    assert done.results_[["accuracy", "f1_macro", "train_acc"]].notna().all(axis=None)
    assert set(done.results_["status"]) == {"failed"}
    assert done.summary()["n"].tolist() == [3]


def test_training_score_that_is_no_number__is_missing_with_a_reason(data):
    with pytest.warns(RuntimeWarning, match="train_wild is inf"):
        done = study(train_scoring={"wild": lambda fitted, X, y: np.inf}).fit(*data)
    assert done.results_["train_wild"].isna().all()


def test_run_that_raises__has_no_training_score(data):
    with pytest.warns(RuntimeWarning, match="unlucky"):
        results = study(estimator=Guesser(fails_on=(0, 1, 2, 3)), train_scoring="accuracy").fit(*data).results_
    assert results["train_accuracy"].isna().all()


def luck_of(fitted, X, y):
    return fitted.luck


def test_null_models__are_asked_too_and_need_not_answer(data):
    # The first asks for what a null model does not have; the second suits any classifier.
    scorers = {"luck": luck_of, "loss": lambda fitted, X, y: 1 - fitted.score(X, y)}
    done = study(baselines=("majority", "tfidf"), train_scoring=scorers).fit(*data)
    by = done.results_.groupby("variant")[["train_luck", "train_loss"]].count().T.to_dict()
    assert by == {
        "Guesser": {"train_luck": 3, "train_loss": 3},
        "majority": {"train_luck": 0, "train_loss": 3},
        "tfidf": {"train_luck": 0, "train_loss": 3},
    }
    assert set(done.results_["status"]) == {"ok"}


def test_training_scores_of_a_regressor__are_computed(data):
    numbers = np.arange(60.0)
    done = study(estimator=DummyRegressor(), train_scoring="neg_mean_squared_error").fit(data[0], numbers)
    for _, run in done.results_.iterrows():
        rows = done.splits_[run["draw"]].train(run["size"])
        assert run["train_neg_mean_squared_error"] == pytest.approx(-np.var(numbers[rows]))


# ---------------------------------------------------------------- in a store


def test_store__keeps_training_scores_and_gives_them_back(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    given = {"train_scoring": {"own": first_text, "acc": "accuracy"}, "store": store}
    done = study(**given).fit(*data)
    same(read_runs(store), done.results_)
    same(study(**given).fit(*data).results_, done.results_)


def test_study_that_was_stopped__goes_on_with_its_training_scores(data, diary, tmp_path, monkeypatch):
    given = {"variants": {"a": {}, "b": {"luck": 0.9}}, "train_scoring": {"own": first_text}}
    whole = study(**given).fit(*data)
    diary.clear()
    store = tmp_path / "runs.sqlite"

    def stop_at_the_fourth(self, X, y, fit=Guesser.fit):
        if len(diary) == 3:
            raise KeyboardInterrupt
        return fit(self, X, y)

    with monkeypatch.context() as patch:
        patch.setattr(Guesser, "fit", stop_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            study(**given, store=store).fit(*data)
    assert read_runs(store)["train_own"].notna().sum() == 3
    same(study(**given, store=store).fit(*data).results_, whole.results_)
    assert len(diary) == 6


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (None, "accuracy"),
        ("accuracy", None),
        ("accuracy", ["accuracy", "f1_macro"]),
        ({"s": first_text}, {"s": never}),
        ({"s": first_text}, {"t": first_text}),
    ],
)
def test_store_of_other_training_scores__is_refused(data, tmp_path, first, second):
    store = tmp_path / "runs.sqlite"
    before = study(train_scoring=first, store=store).fit(*data).results_
    with pytest.raises(RunStoreError, match=r"design\.train scoring"):
        study(train_scoring=second, store=store).fit(*data)
    same(read_runs(store), before)


def test_store_from_before_there_were_training_scores__can_be_read(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    done = study(store=store).fit(*data)
    with RunStore(store) as opened:
        opened.replace("design", {k: item for k, item in opened.facts()["design"].items() if k != "train scoring"})
    same(read_runs(store), done.results_)


def test_run_that_has_training_scores_only__is_forgotten_as_failed(data, tmp_path):
    store = tmp_path / "runs.sqlite"
    given = {"scoring": {"s": never}, "train_scoring": {"own": first_text}, "store": store}
    with pytest.warns(RuntimeWarning, match="3 of 3 runs failed"):
        study(**given).fit(*data)
    assert forget_failed(store) == 3
    assert len(read_runs(store)) == 0


def test_log_loss_of_encoders__is_that_on_their_training_texts(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 10})
    done = study(estimator=clf, seeds=2, test_size=6, train_scoring="neg_log_loss").fit(texts, labels)
    run = done.results_.iloc[1]
    rows = done.splits_[1].order
    own = [texts[i] for i in rows]
    model = clone(clf).set_params(random_state=run["random_state"]).fit(own, labels[rows])
    expected = -log_loss(labels[rows], model.predict_proba(own), labels=model.classes_)
    assert run["train_neg_log_loss"] == pytest.approx(expected, rel=1e-4)
