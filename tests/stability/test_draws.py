"""Sample draws of a study: stratified, nested, copies on one side, the same for all variants."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from skbert import RunStoreError, StabilityStudy
from tests.helpers.study_models import Guesser, labelled_texts


def study_of(X, y, estimator=None, **parameters):
    given = {"seeds": 3, "baselines": (), "scoring": "accuracy", "random_state": 0, **parameters}
    return StabilityStudy(Guesser() if estimator is None else estimator, **given).fit(X, y)


def test_splits__hold_out_the_share_of_each_class():
    X, _ = labelled_texts(100)
    y = np.array(["rare"] * 20 + ["common"] * 80)
    for split in study_of([f"{text} {label}" for text, label in zip(X, y, strict=True)], y).splits_:
        assert len(split.test) == 25
        assert (y[split.test] == "rare").sum() == 5
        assert sorted([*split.test, *split.order]) == list(range(100))


def test_train_sizes__are_nested_and_every_one_is_stratified():
    y = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    X = [f"{i} {label}" for i, label in enumerate(y)]
    study = study_of(X, y, train_sizes=[3, 10, 20, 40, 70])
    assert study.train_sizes_ == [3, 10, 20, 40, 70]
    for split in study.splits_:
        for small, large in zip(study.train_sizes_, study.train_sizes_[1:], strict=False):
            assert set(split.train(small)) <= set(split.train(large))
        assert set(y[split.train(3)]) == {"a", "b", "c"}
        for size in (20, 40, 70):
            counts = pd.Series(y[split.train(size)]).value_counts()
            assert abs(counts - size * pd.Series({"a": 0.6, "b": 0.3, "c": 0.1})).max() <= 1
    balanced, labels = labelled_texts(80, 4)
    for split in study_of(balanced, labels, train_sizes=[8, 16, 32]).splits_:
        for size in (8, 16, 32):
            assert set(pd.Series(labels[split.train(size)]).value_counts()) == {size // 4}


def test_draws__differ_from_each_other_and_follow_the_seed():
    X, y = labelled_texts(60)
    first, again, other = (study_of(X, y, random_state=seed) for seed in (0, 0, 1))
    tests = [tuple(split.test) for split in first.splits_]
    assert len(set(tests)) == 3
    assert tests == [tuple(split.test) for split in again.splits_]
    assert tests != [tuple(split.test) for split in other.splits_]


def test_copies_of_a_text__stay_on_one_side_and_are_counted():
    X, y = labelled_texts(40)
    X, y = X + X[:6] * 3, np.concatenate([y, np.tile(y[:6], 3)])
    with pytest.warns(UserWarning, match="6 of the texts occur more than once, 24 rows in total"):
        study = study_of(X, y, seeds=20)
    for split in study.splits_:
        assert not {X[i] for i in split.test} & {X[i] for i in split.order}
        assert len(split.test) >= 8


def test_copies_with_different_labels__are_told_of():
    X, y = labelled_texts(40)
    with pytest.warns(UserWarning, match="2 of them have different labels"):
        study = study_of(X + X[:2], [*y, *np.where(y[:2] == "yes", "no", "yes")])
    for split in study.splits_:
        assert not {X[i % 40] for i in split.test} & {X[i % 40] for i in split.order}


def test_training_sizes__as_shares_and_as_none():
    X, y = labelled_texts(40)
    assert study_of(X, y, train_sizes=[0.5, 1.0]).train_sizes_ == [15, 30]
    assert study_of(X, y, train_sizes=0.2).train_sizes_ == [6]
    assert study_of(X, y, test_size=12).train_sizes_ == [28]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"test_size": 0.0}, "test_size must be a float in"),
        ({"test_size": True}, "test_size must be a float in"),
        ({"test_size": 1}, "leaves 1 rows to test on and 39 to train on, but each side needs at least 2"),
        ({"train_sizes": [1]}, "must be at least 2, one per class"),
        ({"train_sizes": [31]}, "at most 30"),
        ({"train_sizes": [8, 8]}, "names the same number of texts twice"),
        ({"train_sizes": [1.5]}, "ints .texts. or floats"),
        ({"train_sizes": []}, "train_sizes is empty"),
        ({"train_sizes": "all"}, "train_sizes must be None"),
    ],
)
def test_sizes_out_of_range__are_refused(parameters, message):
    X, y = labelled_texts(40)
    with pytest.raises(ValueError, match=message):
        study_of(X, y, **parameters)


def test_class_with_one_distinct_text__is_named():
    X, y = labelled_texts(20)
    with pytest.raises(ValueError, match="Class 'alone' has 1 distinct"):
        study_of([*X, "x alone", "x alone"], [*y, "alone", "alone"])
    with pytest.raises(ValueError, match="y holds one class: 'yes'"):
        study_of(X, ["yes"] * 20)


def test_pairs_and_containers_of_texts__are_read_alike():
    X, y = labelled_texts(40)
    pairs = [(text, "and more") for text in X]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    as_list = study_of(X, y, model).results_["accuracy"]
    for form in (np.array(X, dtype=object), pd.Series(X), pl.Series(X), tuple(X)):
        assert study_of(form, y, model).results_["accuracy"].equals(as_list)
    by_tfidf = study_of(pairs, y, DummyClassifier(), baselines=["tfidf"]).results_
    assert by_tfidf["accuracy"].notna().all()


def test_tables_and_numbers__can_be_studied_without_the_text_baseline():
    X, y = labelled_texts(40)
    frame = pd.DataFrame({"text": X, "length": [len(text) for text in X], "n": range(40)})
    columns = ColumnTransformer([("words", TfidfVectorizer(), "text"), ("numbers", "passthrough", ["length"])])
    table = study_of(frame, y, make_pipeline(columns, LogisticRegression()))
    assert table.results_["accuracy"].notna().all()
    numbers = np.random.default_rng(0).normal(size=(40, 3))
    dense = study_of(numbers, y, LogisticRegression(), baselines="majority").results_
    packed = study_of(sparse.csr_matrix(numbers), y, LogisticRegression(), baselines="majority").results_
    assert dense["accuracy"].equals(packed["accuracy"])
    with pytest.raises(TypeError, match="float"):
        study_of([1.0, 2.0] * 20, y, LogisticRegression())


def test_copies_among_rows_of_numbers__stay_on_one_side():
    numbers = np.random.default_rng(0).integers(0, 3, size=(60, 2)).astype(float)
    y = np.arange(60) % 2
    with pytest.warns(UserWarning, match="occur more than once"):
        study = study_of(numbers, y, LogisticRegression())
    for split in study.splits_:
        assert not {tuple(row) for row in numbers[split.test]} & {tuple(row) for row in numbers[split.order]}


def test_tables_with_a_column_of_texts__are_tables():
    X, y = labelled_texts(40)
    frame = pd.DataFrame({"text": X, "length": [len(text) for text in X]})
    columns = ColumnTransformer([("words", TfidfVectorizer(), "text"), ("numbers", "passthrough", ["length"])])
    assert study_of(frame, y, make_pipeline(columns, LogisticRegression())).results_["accuracy"].notna().all()
    with pytest.raises(ValueError, match="row 0"):
        study_of(pd.DataFrame({"text": [None, *X[1:]]}), y)


def test_sparse_input__stays_as_it_was_and_zeros_are_one_number():
    dense = np.random.default_rng(0).integers(0, 2, (40, 4)).astype(float)
    X = sparse.csr_matrix((np.ones(80), (np.repeat(np.arange(40), 2), np.zeros(80, int))), shape=(40, 4))
    X = X + sparse.csr_matrix(dense)
    before = X.nnz
    with pytest.warns(UserWarning, match="occur more than once"):
        study_of(X, np.arange(40) % 2, LogisticRegression())
    assert X.nnz == before
    signed = np.array([[0.0, i // 2] for i in range(40)])
    signed[::2, 0] = -0.0
    with pytest.warns(UserWarning, match="20 of the texts occur more than once"):
        study = study_of(signed, np.arange(40) // 2 % 2, LogisticRegression())
    for split in study.splits_:
        assert not set(split.test // 2) & set(split.order // 2)


def test_one_group_of_each_class__stays_to_train_on():
    # Two texts a class, one of them many times: it can only go to the training side.
    X = ["a once", *["a often"] * 8, "b once", *["b often"] * 8]
    with pytest.warns(UserWarning, match="occur more than once"):
        study = study_of(X, ["a"] * 9 + ["b"] * 9, test_size=2, seeds=10)
    for split in study.splits_:
        assert {X[i] for i in split.test} == {"a once", "b once"}
    with pytest.warns(UserWarning, match="occur more than once"):
        study = study_of(X, ["a"] * 9 + ["b"] * 9, test_size=16, seeds=10)
    for split in study.splits_:
        assert len({X[i] for i in split.order}) == 2


def test_regression__is_drawn_without_classes_and_has_its_own_null_models():
    X, _ = labelled_texts(40)
    y = [float(len(text) + i % 7) for i, text in enumerate(X)]
    study = study_of(
        X,
        y,
        make_pipeline(TfidfVectorizer(), Ridge()),
        baselines=("majority", "tfidf"),
        scoring=("r2", "neg_max_error"),
    )
    assert set(study.results_["status"]) == {"ok"}
    assert study.summary("r2").set_index("variant").loc["majority", "mean"] < 0.05


def test_lists_of_numbers__are_read_as_the_array():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.tile(["a", "b"], 20)
    with pytest.warns(UserWarning, match="'tfidf' reads texts, and X holds none: it is left out"):
        found = StabilityStudy(LogisticRegression(), seeds=2, random_state=0).fit(X.tolist(), y)
    assert list(found.variants_) == ["LogisticRegression", "majority"]
    expected = StabilityStudy(LogisticRegression(), seeds=2, random_state=0, baselines=["majority"]).fit(X, y)
    assert found.results_["accuracy"].tolist() == expected.results_["accuracy"].tolist()


def test_groups__stay_on_one_side_with_all_that_hangs_on_them(tmp_path):
    X, y = labelled_texts(60)
    X = list(X)
    X[20] = X[1]  # a copy, which ties the groups of both rows together
    y[20] = y[1]
    groups = [f"author {row // 4}" for row in range(60)]
    given = {"estimator": Guesser(), "seeds": 6, "baselines": (), "random_state": 0}
    with pytest.warns(UserWarning, match="1 of the texts occur more than once, 2 rows"):
        found = StabilityStudy(**given, store=tmp_path / "s.sqlite").fit(X, y, groups)
    for split in found.splits_:
        test, train = ({groups[row] for row in rows} for rows in (split.test, split.order))
        assert not test & train
        assert ("author 0" in test) == ("author 5" in test)
        assert len(split.test) + len(split.order) == 60
    with pytest.warns(UserWarning, match="more than once"), pytest.raises(RunStoreError, match="data\\.groups"):
        StabilityStudy(**given, store=tmp_path / "s.sqlite").fit(X, y, groups[::-1])
    with pytest.raises(ValueError, match="nothing in 1 rows, the first is row 3"):
        StabilityStudy(**given).fit(X, y, [*groups[:3], None, *groups[4:]])
