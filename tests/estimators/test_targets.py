"""What may be a target: labels of every container and type, and what is refused."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.estimators._targets import as_labels, as_numbers

BITS = [[1, 0], [0, 1], [1, 1]]


DTYPES = ["Int64", "UInt8", "boolean", "Float64", "int64[pyarrow]", "bool[pyarrow]", "int8", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_multilabel_frame__of_any_dtype__as_its_array(dtype):
    found = as_labels(pd.DataFrame(BITS, columns=["a", "b"]).astype(dtype), "y")
    assert found.tolist() == BITS
    assert found.dtype.kind in "iufb"


def test_multilabel_frame__of_several_dtypes():
    frame = pd.DataFrame({"a": pd.array([1, 0], dtype="Int64"), "b": np.array([0, 1], dtype="int8")})
    assert as_labels(frame, "y").tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2, 5, 2], "Int64"),
        ([True, False, True], "boolean"),
        (["b", "a", "b"], "string"),
        (["b", "a", "b"], "category"),
        ([2, 5, 2], "category"),
        ([2, 5, 2], "int64[pyarrow]"),
        ([2, 5, 2], object),
    ],
)
def test_series__of_any_dtype__as_its_list(values, dtype):
    assert as_labels(pd.Series(values, dtype=dtype), "y").tolist() == values


def test_multilabel_frame__nullable__trains(tiny, texts, quick):
    y = np.column_stack([np.arange(24) % 3 == 0, np.arange(24) % 3 == 1])
    probabilities = [
        MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).fit(texts, targets).predict_proba(texts)
        for targets in (y.astype(int), pd.DataFrame(y).astype("boolean"), pd.DataFrame(y).astype("Int64"))
    ]
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(probabilities[0], probabilities[2])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["x", 1], "y mixes kinds of labels: row 0 holds 'x' (a text), row 1 1 (a number)"),
        (np.array(["x", "y", 1], dtype=object), "row 2 1 (a number)"),
        ([True, 1], "row 0 holds True (a truth value), row 1 1 (a number)"),
        ([1, date(2024, 1, 2)], "(a date)"),
        (pd.Series(["x", 1.5], dtype=object), "mixes kinds of labels"),
        (["x", None], "1 labels, the first in row 1"),
        (pd.Series([1, None], dtype="Int64"), "y contains NaN"),
        (pd.DataFrame({"a": pd.array([1, None], dtype="boolean")}), "1 labels, the first in row 1"),
    ],
)
def test_labels__that_are_none__are_refused_with_their_row(y, message):
    with pytest.raises(ValueError, match="y ") as caught:
        as_labels(y, "y")
    assert message in str(caught.value)


@pytest.mark.parametrize("y", [[1.0, 1e20, 2e20], [-1e300, 1e300, 1.0], [[1.0, 0.0], [1e19, 0.0]]])
def test_labels__whole_floats_beyond_int64__are_refused(y):
    with pytest.raises(ValueError, match=r"y holds .* in row [01], beyond int64; make texts of labels"):
        as_labels(np.array(y), "y")


@pytest.mark.parametrize("labels", [[2**62, 2**62 + 1], [2**63, 2**63 + 1]])
def test_classes__of_large_numbers__stay_apart(tiny, texts, quick, labels):
    y = np.array(labels)[np.arange(24) % 2]
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).fit(texts, y)
    assert clf.classes_.tolist() == sorted(labels)


@pytest.mark.parametrize("y", [pd.date_range("2024-01-01", periods=3), pd.to_timedelta([1, 2, 3], unit="s")])
def test_numbers__dates_and_durations__are_refused(y):
    with pytest.raises(ValueError, match="got dates or durations"):
        as_numbers(y, "y")
    with pytest.raises(ValueError, match="got dates or durations"):
        MaxPoolBERTRegressor().fit(["a", "b", "c"], y)
