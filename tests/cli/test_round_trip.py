"""What goes in comes out: tables of every type of column through every pair of formats, or refused before computing."""

import json
import math
import os
import re
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from skbert.cli._files import Table, Writable, check_writable, encode_part, read_table, write_table
from skbert.cli._parquet import join
from skbert.cli._source import Source

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
# More of them find more: SKBERT_EXAMPLES=1000 python -m pytest tests/cli/test_round_trip.py
EXAMPLES = int(os.environ.get("SKBERT_EXAMPLES", "100"))

# ---------------------------------------------------------------- what each format makes of a cell
#
# Said here once more, and otherwise than in the package: a test that asks the code under test is worth nothing.


def is_missing(cell):
    return cell is None or cell is pd.NaT or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell))


def in_json(cell):
    if isinstance(cell, dict):
        return {key: in_json(item) for key, item in cell.items()}
    if isinstance(cell, list):
        return [in_json(item) for item in cell]
    if is_missing(cell):
        return None
    if isinstance(cell, (date, datetime)):
        return cell.isoformat()
    return str(cell) if isinstance(cell, Decimal) else cell


def in_text(cell):
    if is_missing(cell):
        return ""
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, (dict, list)):
        return json.dumps(in_json(cell), ensure_ascii=False)
    return str(cell)


EXPECTED = {".csv": in_text, ".tsv": in_text, ".jsonl": in_json, ".parquet": lambda cell: cell}


def as_plain(cell):
    """A cell that was read, with what is missing as None; a Timestamp is the datetime that it is."""
    if isinstance(cell, dict):
        return {key: as_plain(item) for key, item in cell.items()}
    if isinstance(cell, (list, tuple)):
        return [as_plain(item) for item in cell]
    if isinstance(cell, pd.Timestamp) and not is_missing(cell):
        return cell.to_pydatetime()
    return None if is_missing(cell) or repr(cell) == "(not there)" else cell


def like(cell):
    """A cell with its type, so that True is not 1; a whole float is the number."""
    if isinstance(cell, dict):
        return "dict", {key: like(item) for key, item in cell.items()}
    if isinstance(cell, list):
        return "list", [like(item) for item in cell]
    return bool if isinstance(cell, bool) else "number" if isinstance(cell, (int, float)) else type(cell), cell


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, cells in expected.items():
        assert [like(as_plain(cell)) for cell in found[name]] == [like(as_plain(cell)) for cell in cells], name


# ---------------------------------------------------------------- random tables

# With a taste for what files trip over.
awkward = st.sampled_from(
    ["", " ", "NA", "None", "nan", "007", "1e5", "True", '"', '""', "a,b", "a\tb", "a\nb", "a\r", "\x00"]
)
text = st.one_of(awkward, st.text(max_size=8), st.text("\"',\t\n\r|; ab\ufeff\u2028\ud800é日🙂", max_size=6))
plain_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
integer = st.one_of(st.integers(-(2**63), 2**64 - 1), st.integers(-5, 5), st.sampled_from([2**53 + 1, -(2**60) - 1]))
number = st.floats(allow_nan=True, allow_infinity=True)
day = st.dates()
moment = st.datetimes(min_value=datetime(1700, 1, 1), max_value=datetime(2200, 1, 1))
nested = st.recursive(
    st.one_of(st.none(), st.booleans(), integer, st.floats(allow_nan=False), plain_text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(plain_text, inner, max_size=3)),
    max_leaves=5,
)
KINDS = {
    "text": text,
    "truth": st.booleans(),
    "integer": integer,
    "float": number,
    "nested": nested,
    "mixed": st.one_of(text, integer, st.booleans()),
}


@st.composite
def json_tables(draw):
    """Rows as a JSONL file has them: of JSON's types, with keys that are not everywhere."""
    n = draw(st.integers(1, 5))
    names = draw(st.lists(st.one_of(st.sampled_from(["id", "text", ""]), text), min_size=1, max_size=4, unique=True))
    rows = [{} for _ in range(n)]
    for name in names:
        cells = KINDS[draw(st.sampled_from(sorted(KINDS)))]
        for row in rows:
            state = draw(st.sampled_from(["there", "there", "there", "null", "not there"]))
            if state != "not there":
                row[name] = draw(cells) if state == "there" else None
    assume(any(rows))
    return rows


@st.composite
def frames(draw):
    """Frames of pandas as a Parquet file holds them."""
    n = draw(st.integers(1, 5))

    def cells(strategy, gaps=True):
        return draw(st.lists(st.one_of(st.none(), strategy) if gaps else strategy, min_size=n, max_size=n))

    int64 = st.integers(-(2**63), 2**63 - 1)
    makers = {
        "text": lambda: pd.Series(cells(text.filter(encodable)), dtype=object),
        "truth": lambda: pd.Series(cells(st.booleans(), gaps=False)),
        "truth with gaps": lambda: pd.Series(cells(st.booleans()), dtype="boolean"),
        "integers": lambda: pd.Series(cells(int64, gaps=False), dtype="int64"),
        "integers with gaps": lambda: pd.Series(pd.array(cells(int64), dtype="Int64")),
        "floats": lambda: pd.Series(cells(number, gaps=False), dtype=float),
        "short floats": lambda: pd.Series(np.array(cells(st.floats(width=32), gaps=False), dtype="float32")),
        "dates": lambda: pd.Series(cells(day), dtype=object),
        "times": lambda: pd.Series(pd.DatetimeIndex(cells(moment))),
        "times with a zone": lambda: pd.Series(pd.DatetimeIndex(cells(moment))).dt.tz_localize(timezone.utc),
        "categories": lambda: pd.Series(pd.Categorical(cells(st.sampled_from(["x", "y", "only"])))),
        "decimals": lambda: pd.Series(cells(st.decimals(-999, 999, places=2)), dtype=object),
        "lists": lambda: pd.Series(cells(st.lists(int64, max_size=3)), dtype=object),
        "bytes": lambda: pd.Series(cells(st.binary(max_size=3)), dtype=object),
    }
    kinds = draw(st.lists(st.sampled_from(sorted(makers)), min_size=1, max_size=4, unique=True))
    frame = pd.DataFrame({kind: makers[kind]() for kind in kinds})
    if draw(st.booleans()):
        frame.index = [f"row {i}" for i in range(n)]
    return frame


def encodable(word):
    return not any("\ud800" <= character <= "\udfff" for character in word)


def assert_written_or_refused(table, kind, folder):
    """Whatever passes the check is written, and reads back as what the format makes of it."""
    path = folder / f"out{kind}"
    refusal = refused(table, path)
    if refusal is not None:
        # Then before anything is computed, and by name.
        assert str(path) in refusal
        assert any(word in refusal for word in ("row ", "name ", "names ", "texts with double quotes"))
        return False
    write_table(table, path)
    expected = {name: [EXPECTED[kind](as_plain(cell)) for cell in cells] for name, cells in table.columns.items()}
    assert_same(read_table(path).columns, expected)
    return True


def refused(table, path):
    try:
        check_writable(table, path)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=json_tables())
def test_jsonl__into_every_format__comes_out_or_is_refused(kind, rows):
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / "in.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        table = read_table(source)
        names = dict.fromkeys(name for row in rows for name in row)
        assert_same(table.columns, {name: [row.get(name) for row in rows] for name in names})
        written = assert_written_or_refused(table, kind, folder)
        infinite = any(cell in (math.inf, -math.inf) for row in rows for cell in leaves(list(row.values())))
        if kind == ".jsonl" and not infinite:
            # Keys that were not there are not there.
            assert written
            lines = (folder / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
            assert [list(json.loads(line)) for line in lines] == [sorted(row, key=list(names).index) for row in rows]


def leaves(cell):
    if isinstance(cell, dict):
        cell = list(cell.values())
    return [leaf for item in cell for leaf in leaves(item)] if isinstance(cell, list) else [cell]


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frame=frames())
def test_parquet__into_every_format__comes_out_or_is_refused(kind, frame):
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        try:
            frame.to_parquet(folder / "in.parquet")
        except pa.ArrowException:
            return  # dates that Parquet has no room for
        table = read_table(folder / "in.parquet")
        whole = frame if frame.index.dtype.kind == "i" else frame.rename_axis("index").reset_index()
        assert_same(table.columns, {name: column.tolist() for name, column in whole.items()})
        written = assert_written_or_refused(table.plus({"prediction": list(range(len(frame)))}), kind, folder)
        if kind == ".parquet":
            assert written
            again = pd.read_parquet(folder / "out.parquet").drop(columns="prediction")
            # Types, categories and index too, as pandas reads them from the one file and the other.
            pd.testing.assert_frame_equal(again, pd.read_parquet(folder / "in.parquet"))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("separator", [",", "\t", "|", ";"])
@settings(max_examples=max(1, EXAMPLES // 4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_delimited__into_every_format__comes_out_or_is_refused(separator, kind, data):
    word = text.filter(encodable).filter(lambda cell: "\x00" not in cell)
    names = data.draw(st.lists(word.filter(str.strip), min_size=2, max_size=3, unique=True))
    rows = data.draw(st.lists(st.lists(word, min_size=len(names), max_size=len(names)), min_size=1, max_size=4))
    # As who quotes everything does it, whatever stands inside.
    lines = [separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [names, *rows]]
    with TemporaryDirectory() as folder:
        folder = Path(folder)
        source = folder / "in.csv"
        source.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))
        table = read_table(source, separator=separator)
        assert_same(table.columns, {name: [row[k] for row in rows] for k, name in enumerate(names)})
        written = assert_written_or_refused(table, kind, folder)
        if kind in (".jsonl", ".parquet"):
            assert written


# ---------------------------------------------------------------- chosen tables


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_of_every_type__come_out_of_every_format(tmp_path, kind):
    frame = pd.DataFrame(
        {
            "big": pd.array([1436278513418522630, None], dtype="Int64"),
            "unsigned": np.array([2**64 - 1, 0], dtype="uint64"),
            "flag": pd.array([True, None], dtype="boolean"),
            "tiny": [1.5e-13, 0.1 + 0.2],
            "only": pd.Categorical(["x", "x"]),
            "day": [date(2024, 2, 29), None],
            "time": pd.to_datetime(["2024-02-29 01:02:03.123456", None]),
            "price": [Decimal("1.10"), Decimal("-2.00")],
            "list": [["a", None], []],
            "month": pd.period_range("2024-01", periods=2, freq="M"),
        }
    )
    frame.to_parquet(tmp_path / "in.parquet")
    table = read_table(tmp_path / "in.parquet")
    check_writable(table, tmp_path / f"out{kind}")
    write_table(table, tmp_path / f"out{kind}")
    found = read_table(tmp_path / f"out{kind}").columns
    if kind == ".parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), frame)
        return
    first = {name: cells[0] for name, cells in found.items()}
    said = {
        "big": 1436278513418522630,
        "unsigned": 2**64 - 1,
        "flag": True,
        "tiny": 1.5e-13,
        "only": "x",
        "day": "2024-02-29",
        "time": "2024-02-29T01:02:03.123456",
        "price": "1.10",
        "list": ["a", None],
        "month": "2024-01",
    }
    if kind != ".jsonl":
        said = {name: str(value) for name, value in said.items()}
        said |= {"time": said["time"].replace("T", " "), "list": '["a", null]'}
    assert first == said
    missing = None if kind == ".jsonl" else ""
    assert [found[name][1] for name in ("big", "flag", "day", "time")] == [missing] * 4
    assert float(found["tiny"][1]) == 0.1 + 0.2


@pytest.mark.parametrize(
    ("cells", "kind", "message"),
    [
        ([1.0, math.inf], ".jsonl", "row 1 of the column 'k' holds inf, which JSONL cannot; write .csv or .parquet"),
        (["a", b"\xff"], ".jsonl", "row 1 of the column 'k' holds bytes, which JSONL cannot; write .parquet"),
        (["a", b"\xff"], ".csv", "row 1 of the column 'k' holds bytes, which CSV cannot; write .parquet"),
        ([[b"a"]], ".csv", "row 0 of the column 'k' holds bytes"),
        ([{1: "a"}], ".jsonl", "a map whose keys are not texts"),
        ([object()], ".csv", "an object of type object"),
        (
            ["ok", "half \ud83d"],
            ".csv",
            "row 1 of the column 'k' holds half of a surrogate pair ('\\ud83d' at character 5)",
        ),
        (["ok", "half \ud83d"], ".tsv", "row 1 of the column 'k' holds half of a surrogate pair"),
        (["ok", ["half \ud83d"]], ".parquet", "row 1 of the column 'k' holds half of a surrogate pair"),
        (["a", "b\tc"], ".tsv", "row 1 of the column 'k' holds a tab or a line break"),
        ([None, 3, "x"], ".parquet", "row 2 of the column 'k' holds 'x' (str) beside 3 (int) in row 1"),
        ([1, 2, True], ".parquet", "row 2 of the column 'k' holds True (bool) beside 1 (int) in row 0"),
        ([2**53 + 1, 0.5], ".parquet", "row 1 of the column 'k' holds 0.5 (float)"),
        ([2**70], ".parquet", "row 0 of the column 'k' holds 1180591620717411303424 (int), which Parquet cannot"),
        ([{"a": 1}, {"b": 2}], ".parquet", "row 0 of the column 'k' holds {'a': 1}, which would be read back as"),
    ],
)
def test_cells_that_a_format_cannot_hold__are_refused_with_row_and_column(tmp_path, cells, kind, message):
    with pytest.raises(ValueError, match=f"out{kind}: ") as caught:
        check_writable(Table("in", {"k": cells}), tmp_path / f"out{kind}")
    assert message in str(caught.value)


def test_jsonl__half_of_a_surrogate_pair__goes_out_as_the_escape_that_came_in(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "a", "k": "\\ud83d é"}\n', encoding="utf-8")
    table = read_table(tmp_path / "in.jsonl")
    check_writable(table, tmp_path / "out.jsonl")
    write_table(table, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8")) == {"text": "a", "k": "\ud83d é"}


def test_jsonl__keys_that_are_not_there__stay_away_and_null_stays_null(tmp_path):
    lines = '{"text": "a", "id": 1436278513418522630}\n{"text": "b"}\n{"text": "c", "id": null}\n'
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    write_table(read_table(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == lines


def test_jsonl_with_gaps__into_parquet__pandas_reads_integers(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": 1436278513418522631, "ok": true}\n{"x": 1}\n', encoding="utf-8")
    write_table(read_table(tmp_path / "in.jsonl"), tmp_path / "out.parquet")
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["id"].tolist() == [1436278513418522631, pd.NA]
    assert frame["ok"].tolist() == [True, pd.NA]


def test_parquet__of_other_programs__keeps_its_types(tmp_path):
    schema = pa.schema(
        [pa.field("id", pa.int64(), metadata={"unit": "none"}), pa.field("when", pa.timestamp("s", "Asia/Tokyo"))]
    )
    source = pa.table({"id": [2**60 + 1, None], "when": [0, None]}, schema=schema)
    pq.write_table(source, tmp_path / "in.parquet")
    table = read_table(tmp_path / "in.parquet").plus({"prediction": np.array(["a", "b"])})
    write_table(table, tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.drop_columns("prediction").equals(pq.read_table(tmp_path / "in.parquet"), check_metadata=True)
    assert written["prediction"].to_pylist() == ["a", "b"]


# ---------------------------------------------------------------- in windows


def in_windows(source, n_rows):
    """The tables of a file that is read in windows, as the commands do it: twice, for the names."""
    for table in source.windows(n_rows):
        names = list(table.columns)
    return list(source.windows(n_rows, names))


def assert_read_in_windows(path, n_rows):
    """What windows hold together is what the whole file holds, or both are refused."""
    whole, tables = read_table(path), in_windows(Source(path), n_rows)
    assert [table.first for table in tables] == list(np.cumsum([0, *map(len, tables[:-1])]))
    together = {name: [cell for table in tables for cell in table[name]] for name in whole.columns}
    assert_same(together, whole.columns)
    return whole, tables


def assert_written_in_windows(whole, tables, path):
    """Windows that pass the checks are together what the whole table is; where it is refused, so are they."""
    if refused(whole, path) is not None:
        with pytest.raises(ValueError, match=re.escape(str(path))):
            list(parts_of(tables, path))
        return
    parts = list(parts_of(tables, path))
    if path.suffix == ".parquet":
        join(parts, path)
    else:
        path.write_bytes(b"".join(parts))
    found = read_table(path)
    whole_path = path.with_name(f"whole{path.suffix}")
    write_table(whole, whole_path)
    assert_same(found.columns, read_table(whole_path).columns)
    if path.suffix == ".parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(whole_path))


def parts_of(tables, path):
    """The content of a file, window by window, as `skbert predict` writes it."""
    writable = Writable(path)
    for table in tables:
        writable.add(table)
    if not writable.agree:
        writable = Writable(path, writable.types)
        for table in tables:
            writable.add(table)
    writable.finish()
    for table in tables:
        yield encode_part(table, path, header=table.first == 0, types=writable.types)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=json_tables(), n_rows=st.integers(1, 4))
def test_jsonl__in_windows__is_what_it_is_at_once(kind, rows, n_rows):
    assume(all(rows))
    with TemporaryDirectory() as folder:
        source = Path(folder) / "in.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        whole, tables = assert_read_in_windows(source, n_rows)
        assert_written_in_windows(whole, tables, Path(folder) / f"out{kind}")


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frame=frames(), n_rows=st.integers(1, 4))
def test_parquet__in_windows__is_what_it_is_at_once(kind, frame, n_rows):
    with TemporaryDirectory() as folder:
        source = Path(folder) / "in.parquet"
        frame.to_parquet(source)
        whole, tables = assert_read_in_windows(source, n_rows)
        assert_written_in_windows(whole, tables, Path(folder) / f"out{kind}")


@pytest.mark.parametrize("kind", [".csv", ".tsv"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.text('ab"\t,\n\r', max_size=40), n_rows=st.integers(1, 3))
def test_separated_text__in_windows__is_what_it_is_at_once(kind, content, n_rows):
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"in{kind}"
        path.write_bytes(content.encode())
        try:
            whole = read_table(path)
        except ValueError as error:
            with pytest.raises(ValueError, match=re.escape(str(error))):
                in_windows(Source(path), n_rows)
        else:
            _, tables = assert_read_in_windows(path, n_rows)
            assert_written_in_windows(whole, tables, Path(folder) / f"out{kind}")
