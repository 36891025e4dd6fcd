"""check_texts: what counts as texts or pairs of texts, and what each wrong input is told."""

import re
from collections import deque

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skbert.text import TextInput, check_texts

SINGLES = ["where is my parcel", "", "refund"]
PAIRS = [("my lamp", "is broken"), ("", "refund"), ("login", "")]
FIRST = [pair[0] for pair in PAIRS]
SECOND = [pair[1] for pair in PAIRS]


def objects(values, shape=None):
    """An object array of `values`, which numpy is not to take apart."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array if shape is None else array.reshape(shape)


SINGLE_CONTAINERS = {
    "list": SINGLES,
    "tuple": tuple(SINGLES),
    "deque": deque(SINGLES),
    "object array": np.array(SINGLES, dtype=object),
    "unicode array": np.array(SINGLES),
    "object array (n, 1)": np.array(SINGLES, dtype=object)[:, None],
    "unicode array (n, 1)": np.array(SINGLES)[:, None],
    "strided array": np.repeat(np.array(SINGLES), 2)[::2],
    "list of numpy.str_": [np.str_(text) for text in SINGLES],
    "pandas object Series": pd.Series(SINGLES, dtype=object),
    "pandas string Series": pd.Series(SINGLES, dtype="string"),
    "pandas default Series": pd.Series(SINGLES),
    "pandas category Series": pd.Series(SINGLES, dtype="category"),
    "pandas Series, other index": pd.Series(SINGLES, index=[7, 7, -1], name="text"),
    "pandas DataFrame": pd.DataFrame({"text": SINGLES}),
    "pandas DataFrame, other index": pd.DataFrame({"text": SINGLES}, index=["c", "a", "b"]),
    "polars Series": pl.Series("text", SINGLES),
    "polars category Series": pl.Series("text", SINGLES, dtype=pl.Categorical),
    "polars DataFrame": pl.DataFrame({"text": SINGLES}),
}

PAIR_CONTAINERS = {
    "list of tuples": PAIRS,
    "tuple of tuples": tuple(PAIRS),
    "list of lists": [list(pair) for pair in PAIRS],
    "list of tuples and lists": [PAIRS[0], list(PAIRS[1]), PAIRS[2]],
    "list of numpy.str_ pairs": [(np.str_(a), np.str_(b)) for a, b in PAIRS],
    "object array (n, 2)": np.array(PAIRS, dtype=object),
    "unicode array (n, 2)": np.array(PAIRS),
    "1-D object array of tuples": objects(PAIRS),
    "pandas DataFrame": pd.DataFrame({"a": FIRST, "b": SECOND}),
    "pandas string DataFrame": pd.DataFrame({"a": FIRST, "b": SECOND}, dtype="string"),
    "pandas category DataFrame": pd.DataFrame({"a": FIRST, "b": SECOND}, dtype="category"),
    "pandas DataFrame, equal labels": pd.DataFrame(PAIRS, columns=["text", "text"]),
    "pandas DataFrame, int labels": pd.DataFrame(PAIRS),
    "pandas DataFrame, other index": pd.DataFrame(PAIRS, columns=["a", "b"], index=[5, 5, 0]),
    "polars DataFrame": pl.DataFrame({"a": FIRST, "b": SECOND}),
}


@pytest.mark.parametrize("form", SINGLE_CONTAINERS)
def test_check_texts__container_of_singles__gives_a_list_of_str(form):
    checked = check_texts(SINGLE_CONTAINERS[form])
    assert checked.first == SINGLES
    assert checked.second is None
    assert checked.n_columns == 1
    assert len(checked) == len(SINGLES)
    assert checked.rows() == SINGLES
    assert {type(text) for text in checked.first} == {str}


@pytest.mark.parametrize("form", PAIR_CONTAINERS)
def test_check_texts__container_of_pairs__gives_two_lists_of_str(form):
    checked = check_texts(PAIR_CONTAINERS[form])
    assert checked.first == FIRST
    assert checked.second == SECOND
    assert checked.n_columns == 2
    assert len(checked) == len(PAIRS)
    assert checked.rows() == PAIRS
    assert {type(text) for text in checked.first + checked.second} == {str}


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series, pl.Series])
def test_check_texts__one_row__accepted(make):
    assert check_texts(make(["refund"])).first == ["refund"]


def test_check_texts__only_empty_strings__allowed():
    assert check_texts(["", ""]).first == ["", ""]
    assert check_texts([("", "")]).rows() == [("", "")]


def test_check_texts__two_texts_in_a_list__are_two_singles_not_a_pair():
    assert check_texts(["a", "b"]).second is None


def test_check_texts__strings_of_two_letters__are_not_taken_apart_into_pairs():
    checked = check_texts(["ab", "cd"])
    assert (checked.first, checked.second) == (["ab", "cd"], None)


def test_check_texts__caller_changes_the_list_later__result_stays():
    X = ["a", "b"]
    checked = check_texts(X)
    X[0] = "changed"
    assert checked.first == ["a", "b"]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_column_names__frame_with_names__kept_in_order(frame):
    assert check_texts(frame({"question": FIRST, "answer": SECOND})).column_names == ["question", "answer"]
    assert check_texts(frame({"text": SINGLES})).column_names == ["text"]


def test_column_names__equal_names__kept():
    checked = check_texts(pd.DataFrame(PAIRS, columns=["text", "text"]))
    assert checked.column_names == ["text", "text"]


@pytest.mark.parametrize(
    "X",
    [
        SINGLES,
        np.array(PAIRS),
        pd.Series(SINGLES, name="text"),
        pd.DataFrame(PAIRS),
        pd.DataFrame(PAIRS, columns=["text", 1]),
        pl.Series("text", SINGLES),
    ],
    ids=["list", "array", "named pandas Series", "int labels", "mixed labels", "named polars Series"],
)
def test_column_names__no_names_or_not_all_strings__none(X):
    assert check_texts(X).column_names is None


def test_take__indices__gives_those_rows_in_that_order():
    singles = TextInput(["a", "b", "c"], None, ["text"]).take(np.array([2, 0, 2]))
    assert (singles.first, singles.second, singles.column_names) == (["c", "a", "c"], None, ["text"])
    assert TextInput(["a", "b"], ["c", "d"]).take([1]).rows() == [("b", "d")]


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize("X", ["a bare text", "", np.str_("a bare text")], ids=["str", "empty", "numpy.str_"])
def test_bare_string__any__error_in_the_wording_of_scikit_learn(X):
    message = "Iterable over raw text documents expected, string object received."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_texts(X)


MISSING = {"None": None, "float nan": float("nan"), "numpy nan": np.float32("nan"), "pd.NA": pd.NA, "pd.NaT": pd.NaT}


@pytest.mark.parametrize("cell", MISSING.values(), ids=MISSING.keys())
@pytest.mark.parametrize("make", [list, tuple, objects], ids=["list", "tuple", "array"])
def test_missing_text__in_singles__error_with_first_row_and_count(make, cell):
    with pytest.raises(ValueError, match=r"missing values: 2 of 4 texts .* the first in row 1\b"):
        check_texts(make(["a", cell, "b", cell]))


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(["a", None, "b", None], dtype=object),
        pd.Series(["a", np.nan, "b", np.nan], dtype=object),
        pd.Series(["a", pd.NA, "b", pd.NA], dtype="string"),
        pd.Series(["a", None, "b", None]),
        pd.Series(["a", None, "b", None], dtype="category"),
        pd.DataFrame({"text": ["a", None, "b", np.nan]}, index=[4, 3, 2, 1]),
        pl.Series(["a", None, "b", None]),
        pl.DataFrame({"text": ["a", None, "b", None]}),
    ],
    ids=["object None", "object nan", "string", "default", "category", "DataFrame", "polars Series", "polars frame"],
)
def test_missing_text__in_a_frame_or_series__error_with_first_row_and_count(X):
    with pytest.raises(ValueError, match=r"missing values: 2 of 4 texts .* the first in row 1\b"):
        check_texts(X)


@pytest.mark.parametrize("make", [list, np.array, pd.DataFrame, pl.DataFrame])
def test_missing_text__in_pairs__error_names_the_column(make):
    cells = [("a", "b"), ("c", "d"), ("e", None)]
    if make is np.array:
        X = np.array(cells, dtype=object)
    elif make is pl.DataFrame:
        X = pl.DataFrame(cells, schema=["x", "y"], orient="row")
    else:
        X = make(cells)
    with pytest.raises(ValueError, match=r"missing values: 1 of 3 texts of column 1 .* the first in row 2\b"):
        check_texts(X)


@pytest.mark.parametrize(
    ("X", "first"),
    [([("a", "b"), None, None], 1), ([None, None, ("a", "b")], 0)],
    ids=["after a pair", "before a pair"],
)
def test_missing_row__among_pairs__error_with_first_row_and_count(X, first):
    with pytest.raises(ValueError, match=rf"missing values: 2 of 3 .* the first in row {first}\b"):
        check_texts(X)


def test_missing_text__every_text__error_counts_them_all():
    with pytest.raises(ValueError, match=r"missing values: 3 of 3 texts .* the first in row 0\b"):
        check_texts([None, None, None])


def test_missing_text__beside_numbers__told_first():
    with pytest.raises(ValueError, match=r"1 of 3 texts .* the first in row 2\b"):
        check_texts(["a", 5, None])


NOT_TEXTS = {
    "int": 3,
    "float": 2.5,
    "inf": float("inf"),
    "bool": True,
    "bytes": b"parcel",
    "dict": {"text": "parcel"},
    "set": {"parcel"},
    "object": object(),
}


@pytest.mark.parametrize("kind", NOT_TEXTS)
@pytest.mark.parametrize("make", [list, tuple, objects, lambda cells: pd.Series(cells, dtype=object)])
def test_cell_is_no_text__in_singles__error_with_row_and_type(make, kind):
    cell = NOT_TEXTS[kind]
    with pytest.raises(TypeError, match=rf"row 2 holds {type(cell).__name__}\b"):
        check_texts(make(["a", "b", cell, "c", cell]))


@pytest.mark.parametrize("cell", [["parcel"], ("parcel", "late"), []], ids=["list of 1", "tuple of 2", "empty list"])
def test_cell_is_a_sequence__among_texts__error_with_row_and_type(cell):
    with pytest.raises(TypeError, match=rf"row 1 holds {type(cell).__name__}\b"):
        check_texts(["a", cell, "b"])


@pytest.mark.parametrize("make", [list, objects], ids=["list", "array"])
def test_cell_is_a_sequence__of_one_text_in_every_row__error_with_row_and_type(make):
    with pytest.raises(TypeError, match=r"row 0 holds list\b"):
        check_texts(make([["a"], ["b"]]))


def test_cell_is_a_sequence__in_a_series__error_with_row_and_type():
    with pytest.raises(TypeError, match=r"row 1 holds list\b"):
        check_texts(pd.Series(["a", ["b"]], dtype=object))


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        (np.array([4, 5]), "int"),
        (np.array([[4], [5]]), "int"),
        (np.array([1.5, 2.5]), "float"),
        (np.array([b"a", b"b"]), "bytes"),
        (pd.Series([4, 5]), "int"),
        (pd.DataFrame({"n": [4, 5]}), "int"),
        (pl.Series([4, 5]), "int"),
        (pl.DataFrame({"n": [1.5, 2.5]}), "float"),
        (range(4), "int"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_cell_is_no_text__whole_container_of_another_type__error_with_row_and_type(X, kind):
    with pytest.raises(TypeError, match=rf"row 0 holds {kind}\b"):
        check_texts(X)


@pytest.mark.parametrize(
    "X",
    [
        [("a", "b"), ("c", 7)],
        np.array([("a", "b"), ("c", 7)], dtype=object),
        pd.DataFrame({"a": ["a", "c"], "b": ["b", 7]}),
    ],
    ids=["list", "array", "DataFrame"],
)
def test_cell_is_no_text__in_pairs__error_with_row_column_and_type(X):
    with pytest.raises(TypeError, match=r"row 1, column 1 holds int: 7"):
        check_texts(X)


def test_cell_is_no_text__very_long_cell__message_stays_short():
    with pytest.raises(TypeError) as caught:
        check_texts(["a", b"x" * 10_000])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("n", [0, 3, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.full((2, n), "a"),
        lambda n: pd.DataFrame({f"c{k}": ["a", "b"] for k in range(n)}),
        lambda n: pl.DataFrame({f"c{k}": ["a", "b"] for k in range(n)}),
    ],
    ids=["array", "pandas", "polars"],
)
def test_columns__neither_one_nor_two__error_with_their_number(make, n):
    with pytest.raises(ValueError, match=rf"\b{n} columns"):
        check_texts(make(n))


@pytest.mark.parametrize("make", [list, tuple, objects], ids=["list", "tuple", "array"])
@pytest.mark.parametrize(
    ("rows", "culprit"),
    [
        ([("a", "b"), ("c", "d", "e"), ("f", "g")], "row 1"),
        ([("a", "b"), ("c", "d"), ("e",)], "row 2"),
        ([("a", "b"), ()], "row 1"),
        ([("a", "b", "c"), ("d", "e", "f")], "row 0"),
        ([("a", "b"), "c", ("d", "e")], "row 1"),
    ],
    ids=["three", "one", "none", "all three", "bare text"],
)
def test_pairs__ragged__error_with_the_row(make, rows, culprit):
    with pytest.raises(ValueError, match=rf"Ragged pairs.*{culprit}\b"):
        check_texts(make(rows))


NO_ROWS = {
    "list": [],
    "tuple": (),
    "array": np.array([], dtype=object),
    "float array": np.array([]),
    "array (0, 1)": np.empty((0, 1), dtype=object),
    "array (0, 2)": np.empty((0, 2), dtype=object),
    "pandas Series": pd.Series([], dtype=object),
    "pandas DataFrame": pd.DataFrame({"text": []}),
    "pandas pairs": pd.DataFrame({"a": [], "b": []}),
    "polars Series": pl.Series([], dtype=pl.String),
    "polars DataFrame": pl.DataFrame({"text": []}),
}


@pytest.mark.parametrize("form", NO_ROWS)
def test_no_rows__any_container__error_in_the_wording_of_scikit_learn(form):
    with pytest.raises(
        ValueError, match=r"Found array with 0 sample\(s\) .* while a minimum of 1 is required by Asker"
    ):
        check_texts(NO_ROWS[form], "Asker")


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        ({"a", "b"}, "set"),
        ({"a": "b"}, "dict"),
        ({"a": "b"}.keys(), "dict_keys"),
        (iter(["a"]), "list_iterator"),
        (b"a text", "bytes"),
        (bytearray(b"a text"), "bytearray"),
        (None, "NoneType"),
        (5, "int"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_container__not_one_of_texts__error_with_its_type(X, kind):
    with pytest.raises(TypeError, match=rf"X must be a list, .* got {kind}\b"):
        check_texts(X)


def test_container__generator__error_and_nothing_is_consumed():
    X = (text for text in ["a", "b"])
    with pytest.raises(TypeError, match=r"got generator.*list\(X\)"):
        check_texts(X)
    assert next(X) == "a"


@pytest.mark.parametrize("shape", [(2, 1, 1), (2, 2, 2), (1, 1, 1, 1)])
def test_array__more_than_two_dimensions__error_with_their_number(shape):
    with pytest.raises(ValueError, match=rf"\b{len(shape)} dimensions"):
        check_texts(np.full(shape, "a"))


def test_array__of_no_dimension__told_like_a_bare_string():
    with pytest.raises(ValueError, match="Iterable over raw text documents expected"):
        check_texts(np.array("a text"))
