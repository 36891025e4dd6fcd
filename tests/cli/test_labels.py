"""Labels of files: what is learned from them, and how they are matched to classes that were learned."""

import json
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.cli._cells import ABSENT
from skbert.cli._files import Table
from skbert.cli._labels import indicators_of, labels_of, match, numbers_of, unlearned

FORMATS = ("csv", "tsv", "jsonl", "parquet")


def write(frame, path):
    """A file as others write it: pandas, with its own idea of every type."""
    kind = path.suffix
    if kind == ".parquet":
        frame.to_parquet(path)
    elif kind == ".jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso", force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep={".csv": ",", ".tsv": "\t"}[kind])
    return path


def column(*cells):
    return Table("t.jsonl", {"label": list(cells)})


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["b", "a"], np.array(["b", "a"])),
        ([True, False], np.array([True, False])),
        ([3, -1], np.array([3, -1])),
        ([1.0, 2, 3.0], np.array([1, 2, 3])),
        ([Decimal("1"), Decimal("2.00")], np.array([1, 2])),
        ([2**63, 1], np.array([2**63, 1], dtype=np.uint64)),
        ([date(2024, 1, 2), date(1999, 12, 31)], np.array(["2024-01-02", "1999-12-31"], dtype="M8[D]")),
        ([datetime(2024, 1, 2, 3, 4)], np.array(["2024-01-02T03:04"], dtype="M8[us]")),
        ([pd.Timestamp("2024-01-02T03:04").as_unit("us")], np.array(["2024-01-02T03:04"], dtype="M8[us]")),
    ],
)
def test_labels_of__every_kind__keeps_its_values_apart(cells, expected):
    found = labels_of(column(*cells), "label")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["x", 1], "mixes kinds of labels: row 0 holds 'x' (str), row 1 1 (int)"),
        ([1, True], "row 0 holds 1 (int), row 1 True (bool)"),
        ([date(2024, 1, 2), "2024-01-02"], "row 1 '2024-01-02' (str)"),
        ([0.5, 1.5], "row 0 of the column 'label' holds 0.5 (float), which cannot be a label"),
        ([1, float("inf")], "row 1 of the column 'label' holds inf"),
        ([b"a"], "holds b'a' (bytes)"),
        ([["a"]], "holds ['a'] (list)"),
        ([1, {"a": 1}], "row 1 of the column 'label' holds {'a': 1} (dict)"),
        ([pd.Timestamp("2024-01-02", tz="UTC")], "which cannot be a label"),
        ([pd.Timestamp("2024-01-02 00:00:00.000000001")], "nanoseconds"),
        ([3, 2**70 + 1], "row 1: the label 1180591620717411303425 has no room in 64 bits"),
        ([1e20, 2e20], "row 1: the label 200000000000000000000 has no room in 64 bits"),
        ([2**63, -1], "row 0: the label 9223372036854775808 has no room in 64 bits beside the others"),
        (["a", None, "b", ABSENT], "2 rows have nothing in the column 'label', the first is row 1"),
        (["a", " "], "1 rows have nothing in the column 'label', the first is row 1"),
    ],
)
def test_labels_of__what_is_no_label__is_named_with_its_row(cells, message):
    with pytest.raises(ValueError, match=r"t\.jsonl") as caught:
        labels_of(column(*cells), "label")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "cells", [[1, 0, 1], [True, False, True], ["1", "0", "1"], [1.0, 0.0, 1.0], ["TRUE", "0", "1.0"]]
)
def test_indicators_of__every_spelling_of_0_and_1(cells):
    table = Table("t", {"a": cells, "b": [0, 0, 1]})
    assert indicators_of(table, ["a", "b"]).tolist() == [[1, 0], [0, 0], [1, 1]]


def test_indicators_of__anything_else__is_named_with_its_row():
    with pytest.raises(ValueError, match=r"row 1 of the column 'a' holds 2 \(int\)"):
        indicators_of(Table("t", {"a": [1, 2]}), ["a", "a"])
    with pytest.raises(ValueError, match="names a column twice: a, a"):
        indicators_of(Table("t", {"a": [1, 0]}), ["a", "a"])


@pytest.mark.parametrize("cells", [[1, 2.5], ["1", " 2.5 "], [Decimal("1"), Decimal("2.5")], ["1e0", "25e-1"]])
def test_numbers_of__numbers_however_they_are_written(cells):
    assert numbers_of(column(*cells), "label").tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    "cell",
    [date(2024, 1, 2), pd.Timestamp("2024-01-02"), pd.Timedelta("1s"), "1,5", "1_000", "nan", "inf", 1e400, b"1", [1]],
)
def test_numbers_of__what_is_no_number__is_named_with_its_row(cell):
    with pytest.raises(ValueError, match=r"row 1 of the column 'label' is no number"):
        numbers_of(column(1, cell), "label")


# ---------------------------------------------------------------- matching

DAYS = np.array(["2024-01-02", "2024-02-29"], dtype="M8[D]")


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        # Truth values, however they are said.
        ([False, True], ["True", "False"], [True, False]),
        ([False, True], ["TRUE", "false"], [True, False]),
        ([False, True], [1, 0], [True, False]),
        ([False, True], ["1", "0.0"], [True, False]),
        ([0, 1], [True, False], [1, 0]),
        ([0, 1], ["true", "False"], [1, 0]),
        (["False", "True"], [True, False], ["True", "False"]),
        (["False", "True"], ["TRUE", "FALSE"], ["True", "False"]),
        (["False", "True"], [1, 0], ["True", "False"]),
        (["0", "1"], [True, False], ["1", "0"]),
        (["False", "True", "maybe"], [True, False], ["True", "False"]),
        # Whole numbers.
        ([1, 2, 10], ["10", "2.0", "+1"], [10, 2, 1]),
        (["1", "2"], [2, 1], ["2", "1"]),
        (["1.0", "2.0"], ["1", "2"], ["1.0", "2.0"]),
        (["1", "2"], [2.0, 1.0], ["2", "1"]),
        ([-3, 2**62 + 1], [str(2**62 + 1), "-3"], [2**62 + 1, -3]),
        ([1e15, 2e15], ["1e15", "2000000000000000"], [1e15, 2e15]),
        # Dates.
        (DAYS, ["2024-02-29", "2024-01-02 00:00:00"], DAYS[::-1]),
        (["2024-01-02", "x"], DAYS[:1], ["2024-01-02"]),
        (DAYS.astype("M8[ns]"), DAYS, DAYS.astype("M8[ns]")),
        # A class itself comes first, whatever else it could say.
        (["1", "1.0", "True"], ["1.0", "1", "True"], ["1.0", "1", "True"]),
        # Of the kind of the classes, and none of them: an error of the estimator, not of the file.
        (["a", "b"], ["a", "a longer one"], ["a", "a longer one"]),
        ([0, 1], ["1", "2"], [1, 2]),
        (["0", "1"], [1, 7], ["1", "7"]),
    ],
)
def test_match__labels_that_say_the_same(classes, labels, expected):
    classes, expected = np.array(classes), np.array(expected)
    found = match(np.array(labels), classes, "t.csv, 'label'")
    assert found.tolist() == expected.tolist()
    assert found.dtype.kind == classes.dtype.kind


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        ([False, True], ["True", "yes"], "row 1: the label 'yes' (str) cannot be matched safely"),
        ([False, True], [1, 2], "row 1: the label 2 (int)"),
        ([0, 1, 2], [True, False], "row 0: the label True (bool)"),
        ([0, 1], ["1", "maybe"], "row 1: the label 'maybe' (str)"),
        (["order", "refund"], [3, 4], "row 0: the label 3 (int)"),
        (["007", "008"], [7, 8], "row 0: the label 7 (int)"),
        ([7, 8], ["8", "007"], "row 1: the label '007' (str)"),
        (["1", "1.0"], [1], "it could be each of '1', '1.0'"),
        (["True", "TRUE"], ["true"], "it could be each of 'True', 'TRUE'"),
        (DAYS, ["02.01.2024"], "the label '02.01.2024' (str)"),
        (DAYS, [20240102], "the label 20240102 (int)"),
        (["order", "refund"], ["Order", "Refund"], "not one label is among the classes that were learned"),
        ([0, 1], [5, 6], "not one label is among the classes"),
    ],
)
def test_match__no_safe_match__names_label_row_and_classes(classes, labels, message):
    classes = np.array(classes)
    with pytest.raises(ValueError, match="classes that were learned") as caught:
        match(np.array(labels), classes, "t.csv, 'label'")
    assert message in str(caught.value)
    assert all(repr(name) in str(caught.value) for name in classes.tolist())


def test_unlearned__first_row_of_each():
    assert unlearned(np.array(["b", "c", "a", "c"]), np.array(["a", "b"])) == {"c": 1}


# ---------------------------------------------------------------- by the command


@pytest.fixture
def fitted(tiny, texts, quick, tmp_path):
    """Call with labels; gives the folder of a classifier that learned them."""

    def fit(labels):
        MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels).save(tmp_path / "model")
        return tmp_path / "model"

    return fit


LABELS = {
    "truth": np.arange(24) % 2 == 0,
    "numbers": np.arange(24) % 2,
    "nullable": pd.array(np.arange(24) % 2, dtype="Int64"),
    "floats": (np.arange(24) % 2).astype(float),
    "texts": np.array(["no", "yes"])[np.arange(24) % 2],
    "categories": pd.Categorical(np.array(["no", "yes"])[np.arange(24) % 2]),
    "dates": pd.to_datetime(np.array(["2024-01-02", "2024-02-29"])[np.arange(24) % 2]).date,
    "times": pd.to_datetime(np.array(["2024-01-02T10:00", "2024-02-29T11:30"])[np.arange(24) % 2]),
}


@pytest.mark.parametrize("learned_from", ["csv", "parquet"])
@pytest.mark.parametrize("kind", LABELS)
def test_evaluate__gives_the_same_scores_from_every_format(run, tmp_path, tiny, texts, kind, learned_from):
    frame = pd.DataFrame({"text": texts, "label": LABELS[kind]})
    folder, quick = tmp_path / "model", ["--set", "max_epochs=4", "--set", "learning_rate=5e-3", "--set", "device=cpu"]
    source = write(frame, tmp_path / f"train.{learned_from}")
    assert run("fit", source, "--output", folder, "--model", tiny(), *quick)[0] == 0
    found = []
    for form in FORMATS:
        out = tmp_path / f"{form}.json"
        assert run("evaluate", folder, write(frame, tmp_path / f"test.{form}"), "--output", out)[0] == 0
        found.append(json.loads(out.read_text(encoding="utf-8")))
    assert found[0] == found[1] == found[2] == found[3]
    assert [row["support"] for row in found[0]["by_label"].values()] == [12, 12]
    clf = MaxPoolBERTClassifier.load(folder)
    _, codes = np.unique(np.asarray(LABELS[kind]), return_inverse=True)
    assert found[0]["accuracy"] == np.mean(clf.predict(texts) == clf.classes_[codes])


def test_probe__of_a_saved_estimator_takes_labels_of_another_type(run, fitted, texts, tmp_path):
    folder = fitted(LABELS["truth"])
    found = []
    for form in ("csv", "jsonl"):
        source = write(pd.DataFrame({"text": texts, "label": LABELS["numbers"] == 0}), tmp_path / f"t.{form}")
        status, out, _ = run("probe", source, "--folder", folder, "--output", tmp_path / form)
        assert status == 0
        assert "p = nan" not in out
        found.append(pd.read_csv(tmp_path / form / "spans.csv"))
    pd.testing.assert_frame_equal(*found)


def test_evaluate__label_that_was_never_learned__is_said_and_counts_as_an_error(run, fitted, texts, tmp_path):
    folder = fitted(LABELS["texts"])
    labels = np.where(np.arange(24) == 5, "perhaps", LABELS["texts"])
    source = write(pd.DataFrame({"text": texts, "label": labels}), tmp_path / "t.csv")
    status, _, err = run("evaluate", folder, source, "--output", tmp_path / "s.json")
    assert status == 0
    assert "The label 'perhaps', first in row 5, was never learned" in err
    scores = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert scores["labels"] == ["no", "yes", "perhaps"]
    assert scores["by_label"]["perhaps"] == {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 1}


def test_evaluate__labels_without_a_safe_match__predicts_nothing(run, fitted, texts, tmp_path, monkeypatch):
    folder = fitted(LABELS["truth"])
    monkeypatch.setattr(MaxPoolBERTClassifier, "predict", lambda *args: pytest.fail("was predicted"))
    source = write(pd.DataFrame({"text": texts, "label": LABELS["texts"]}), tmp_path / "t.csv")
    status, _, err = run("evaluate", folder, source)
    assert status == 1
    assert "row 0: the label 'no' (str) cannot be matched safely to the classes that were learned, False, True" in err


@pytest.mark.parametrize("names", [["accuracy", "macro avg"], ["weighted avg", "n"], ["by_label", "labels"]])
def test_evaluate__classes_called_like_scores__keep_their_own(run, fitted, texts, tmp_path, names):
    labels = np.array(names)[np.arange(24) % 2]
    folder = fitted(labels)
    source = write(pd.DataFrame({"text": texts, "label": labels}), tmp_path / "t.csv")
    assert run("evaluate", folder, source, "--output", tmp_path / "s.json")[0] == 0
    scores = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert sorted(scores["by_label"]) == sorted(names)
    assert [row["support"] for row in scores["by_label"].values()] == [12, 12]
    assert scores["accuracy"] == np.mean(MaxPoolBERTClassifier.load(folder).predict(texts) == labels)
    assert scores["macro avg"]["support"] == scores["weighted avg"]["support"] == scores["n"] == 24


def test_evaluate__score_that_cannot_be_computed__is_null(run, tiny, texts, quick, tmp_path):
    MaxPoolBERTRegressor(tiny(), **{**quick, "max_epochs": 1}).fit(texts, np.arange(24.0)).save(tmp_path / "model")
    source = write(pd.DataFrame({"text": texts[:1], "label": [3.0]}), tmp_path / "t.csv")
    with pytest.warns(UserWarning, match="R.2 score is not well-defined"):
        assert run("evaluate", tmp_path / "model", source, "--output", tmp_path / "s.json")[0] == 0

    def refuse(constant):
        pytest.fail(f"{constant} is no JSON")

    scores = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert scores["r2"] is None
    assert scores["mae"] > 0


@pytest.mark.parametrize("form", FORMATS)
def test_dates__under_regression__are_refused_before_training(run, tiny, texts, tmp_path, form):
    frame = pd.DataFrame({"text": texts, "label": pd.date_range("2024-01-01", periods=24)})
    source = write(frame, tmp_path / f"t.{form}")
    status, _, err = run("fit", source, "--regression", "--output", tmp_path / "m", "--model", tiny())
    assert status == 1
    assert "row 0 of the column 'label' is no number" in err
    assert not (tmp_path / "m").exists()


# ---------------------------------------------------------------- several labels


@pytest.fixture
def topics(texts):
    """Texts and two columns of 0 and 1."""
    return pd.DataFrame({"text": texts, "money": np.arange(24) % 3 == 1, "code": np.arange(24) % 3 == 2})


@pytest.mark.parametrize("form", FORMATS)
def test_multilabel__is_fitted_predicted_and_scored_from_every_format(run, tiny, tmp_path, topics, form):
    both, folder = ["--label", "money", "--label", "code"], tmp_path / "model"
    source = write(topics, tmp_path / f"t.{form}")
    quick = ["--model", tiny(), "--set", "max_epochs=10", "--set", "learning_rate=5e-3", "--set", "device=cpu"]
    assert run("fit", source, *both, "--output", folder, *quick)[0] == 0
    clf, y = MaxPoolBERTClassifier.load(folder), topics[["money", "code"]].to_numpy(int)
    predicted, shares = clf.predict(topics["text"]), clf.predict_proba(topics["text"])
    assert predicted.shape == (24, 2)
    assert run("predict", folder, source, "--proba", "--output", tmp_path / "out.parquet")[0] == 0
    out = pd.read_parquet(tmp_path / "out.parquet")
    np.testing.assert_array_equal(out[["prediction_0", "prediction_1"]], predicted)
    np.testing.assert_array_equal(out[["proba_0", "proba_1"]], shares)
    status, shown, _ = run("evaluate", folder, source, *both, "--output", tmp_path / "s.json")
    assert status == 0
    assert "Texts with all labels right" in shown
    scores = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert scores["accuracy"] == (predicted == y).all(axis=1).mean()
    assert scores["by_label"]["1"]["support"] == 8
    assert scores["confusion"][0][1][1] == int((predicted[:, 0] & y[:, 0]).sum())


def test_multilabel__wrong_number_of_labels__is_said(run, tiny, quick, tmp_path, topics):
    y = topics[["money", "code"]].to_numpy(int)
    MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).fit(topics["text"].tolist(), y).save(tmp_path / "model")
    source = write(topics, tmp_path / "t.csv")
    status, _, err = run("evaluate", tmp_path / "model", source, "--label", "money")
    assert status == 1
    assert "2 labels were learned, each from a column of 0 and 1, but --label was given 1 times" in err
    for words in (["study", source], ["probe", source, "--output", tmp_path / "p"]):
        status, _, err = run(*words, "--model", tiny(), "--label", "money", "--label", "code")
        assert status == 1
        assert "needs exactly one --label, got money, code" in err
