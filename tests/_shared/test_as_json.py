"""Parameters and fitted attributes through JSON text and back."""

import contextlib
import json
import math
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from skbert._shared._as_json import from_json, to_json


def through_text(value):
    return from_json(json.loads(json.dumps(to_json(value))))


def assert_same(got, expected):
    """Equal in value and in type, all the way down; NaN equals NaN."""
    assert type(got) is type(expected)
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        for (key, item), (expected_key, expected_item) in zip(got.items(), expected.items(), strict=True):
            assert_same(key, expected_key)
            assert_same(item, expected_item)
    elif isinstance(expected, (list, tuple)):
        assert len(got) == len(expected)
        for item, expected_item in zip(got, expected, strict=True):
            assert_same(item, expected_item)
    elif isinstance(expected, np.ndarray):
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        if expected.dtype.kind == "O":
            assert_same(got.ravel().tolist(), expected.ravel().tolist())
        else:
            np.testing.assert_array_equal(got, expected)
    elif isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(got)
    else:
        assert got == expected


VALUES = [
    None,
    True,
    False,
    0,
    -3,
    2**70,
    0.0,
    0.1,
    1e-320,
    math.pi,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    "naïve 東京 🙂",
    'quote " backslash \\ newline \n null \0',
    "__skbert__",
    [],
    [1, "a", None, [2.5, [True]]],
    (),
    (1,),
    (-3, -2, -1),
    [(1, 2), [3, (4,)]],
    range(5),
    range(10, 0, -3),
    {},
    {"a": 1},
    {0: 2.0, 1: 0.5},
    {True: 1, False: 0},
    {None: 1, 1.5: 2},
    {(1, 2): "pair", (3,): ("one",)},
    {1: {"b": {(2, "x"): [1, (2, 3)]}}},
    {"__skbert__": "tuple", "items": [1, 2]},
    {date(1, 1, 1): datetime(9999, 12, 31, 23, 59, tzinfo=timezone.utc)},
    Decimal("-0.10"),
    np.datetime64("2024-02-29"),
    np.timedelta64(5, "ms"),
    [{"epoch": 1, "train_loss": float("nan")}, {"epoch": 2, "train_loss": 0.25}],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_round_trip__plain_value__same_value_and_type(value):
    assert_same(through_text(value), value)


def test_round_trip__minus_zero__keeps_the_sign():
    assert math.copysign(1, through_text(-0.0)) == -1


ARRAYS = [
    np.array(["b", "a", "länger"]),
    np.array(["b", "a", None, 3, 2.5, True], dtype=object),
    np.array([3, -1, 2**62]),
    np.array([2**64 - 1], dtype=np.uint64),
    np.array([-128, 127], dtype=np.int8),
    np.array([True, False]),
    np.array([0.1, math.nan, math.inf, -math.inf]),
    np.array([0.1, 1e-40, 3.4e38], dtype=np.float32),
    np.array([0.1, 6e-5], dtype=np.float16),
    np.array([1, 2], dtype=">i4"),
    np.array([[1.5, 2.5], [3.5, 4.5]]),
    np.array([["a", "b"]], dtype=object),
    np.array([], dtype=float),
    np.array([], dtype="<U7"),
    np.array([], dtype=object),
    np.array(["2024-02-29", "NaT"], dtype="M8[D]"),
    np.array(["2024-02-29T01:02:03.123456789", "1700-01-01"], dtype="M8[ns]"),
    np.array([90, -1], dtype="m8[s]"),
    np.array([date(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3, 4), Decimal("1.10")], dtype=object),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype.str}{a.shape}")
def test_round_trip__array__same_values_dtype_and_shape(array):
    assert_same(through_text(array), array)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_round_trip__str_array__keeps_its_item_size(length):
    array = np.array(["x"] * length, dtype="<U9")
    assert through_text(array).dtype == np.dtype("<U9")


def test_round_trip__array_inside_dict_and_tuple__restored():
    value = {"a": (np.array([1, 2]), [np.array(["x"], dtype=object)])}
    assert_same(through_text(value), value)


def test_round_trip__two_d_array_without_rows__keeps_its_shape():
    assert through_text(np.zeros((0, 3))).shape == (0, 3)


def test_round_trip__object_array_of_tuples__stays_one_dimensional():
    array = np.empty(2, dtype=object)
    array[:] = [(1, 2), (3, 4)]
    assert_same(through_text(array), array)


SCALARS = [
    (np.int64(-5), -5),
    (np.uint8(200), 200),
    (np.int32(7), 7),
    (np.float64(0.1), 0.1),
    (np.float32(0.5), 0.5),
    (np.float32(0.1), float(np.float32(0.1))),
    (np.float64("nan"), math.nan),
    (np.float64("-inf"), -math.inf),
    (np.bool_(True), True),
    (np.bool_(False), False),
    (np.str_("abc"), "abc"),
]


@pytest.mark.parametrize(("scalar", "expected"), SCALARS, ids=lambda v: f"{type(v).__name__}-{v}")
def test_round_trip__numpy_scalar__plain_python_value(scalar, expected):
    assert_same(through_text(scalar), expected)


def test_round_trip__dict_of_numpy_keys__looked_up_by_plain_keys():
    got = through_text({np.int64(0): np.float64(2.0), np.str_("a"): 1})
    assert got == {0: 2.0, "a": 1}
    assert [type(key) for key in got] == [int, str]


def test_round_trip__path__str(tmp_path):
    assert_same(through_text(Path(tmp_path) / "x"), str(tmp_path / "x"))


def test_to_json__every_value__only_json_types_and_input_unchanged():
    def check(node):
        assert type(node) in (type(None), bool, int, float, str, list, dict)
        if isinstance(node, list):
            [check(item) for item in node]
        elif isinstance(node, dict):
            assert all(type(key) is str for key in node)
            [check(item) for item in node.values()]

    nested = {"a": [1, (2, {3: np.arange(2)})]}
    encoded = to_json(nested)
    check(encoded)
    encoded["items"].clear()
    assert list(nested) == ["a"]
    assert_same(nested["a"][:1], [1])


UNKNOWN = [
    object(),
    object,
    len,
    lambda: 0,
    b"bytes",
    bytearray(b"x"),
    {1, 2},
    frozenset({1}),
    1j,
    np.complex128(1),
    np.array([1j]),
    np.array([b"x"]),
    np.random.RandomState(0),
    np.random.default_rng(0),
    iter([1]),
    Ellipsis,
]


@pytest.mark.parametrize("value", UNKNOWN, ids=lambda v: type(v).__name__)
def test_to_json__unknown_type__type_error(value):
    with pytest.raises(TypeError):
        to_json(value)


@pytest.mark.parametrize(
    "wrap",
    [lambda v: [v], lambda v: (1, v), lambda v: {"a": v}, lambda v: {"a": [{2: (v,)}]}],
    ids=["list", "tuple", "dict", "deep"],
)
def test_to_json__unknown_type_inside__type_error_names_it(wrap):
    class Strange:
        pass

    with pytest.raises(TypeError, match="Strange"):
        to_json(wrap(Strange()))


def test_to_json__unknown_type_inside_object_array_or_as_key__type_error():
    array = np.empty(1, dtype=object)
    array[0] = object()
    with pytest.raises(TypeError, match="object"):
        to_json(array)
    with pytest.raises(TypeError, match="frozenset"):
        to_json({frozenset(): 1})


def test_to_json__longdouble__round_trip_or_type_error():
    with contextlib.suppress(TypeError):
        assert float(through_text(np.longdouble(1.5))) == 1.5
