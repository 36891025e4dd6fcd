"""Tables as others write them: what is read, what is refused with row and line, and what is said before computing."""

import csv
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier
from skbert.cli import _source
from skbert.cli._files import Table, check_folder, check_output, check_shown, read_table, write_table


def columns_of(path, content, *arguments, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return read_table(path, *arguments).columns


# ---------------------------------------------------------------- what is read

ROWS = [["where is it", "a"], ['he said "no"', "b"], ["a; b | c", "a"]]


@pytest.mark.parametrize("quoting", ["QUOTE_ALL", "QUOTE_NONNUMERIC", "QUOTE_MINIMAL", "QUOTE_NONE"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [["only \r\n one", "a"]]])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_tsv__however_it_is_quoted__is_read(tmp_path, quoting, rows, ends):
    if quoting == "QUOTE_NONE" and "\n" in rows[0][0]:
        rows = ROWS[1:]
    out = io.StringIO()
    options = {"escapechar": "\\", "quotechar": None} if quoting == "QUOTE_NONE" else {}
    writer = csv.writer(out, delimiter="\t", lineterminator=ends, quoting=getattr(csv, quoting), **options)
    writer.writerows([["text", "label"], *rows])
    found = columns_of(tmp_path / "t.tsv", out.getvalue())
    assert found == {"text": [row[0] for row in rows], "label": [row[1] for row in rows]}


def test_tsv__quotes_in_cells_alone__are_characters(tmp_path):
    assert columns_of(tmp_path / "t.tsv", 'text\tlabel\n"yes"\ta\n"no"\tb\n')["text"] == ['"yes"', '"no"']


@pytest.mark.parametrize("separator", ["|", ";", "\t"])
def test_separator__is_guessed_from_a_plain_header(tmp_path, separator):
    rows = [["text", "label"], ["one, two, three", "a"], ["four", "b"]]
    content = "".join(separator.join(row) + "\n" for row in rows)
    expected = {"text": ["one, two, three", "four"], "label": ["a", "b"]}
    assert columns_of(tmp_path / "t.csv", content) == expected
    assert columns_of(tmp_path / "t.txt", content) == expected
    assert columns_of(tmp_path / "g.csv", content, "gb18030", separator, encoding="gb18030") == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("yes|no\nperhaps\nnever\n", {"yes|no": ["perhaps", "never"]}),  # the rows do not go on like that
        ("a;b|c\n1;2|3\n", {"a;b|c": ["1;2|3"]}),  # which of the two?
        ("text,a|b\nx,y|z\n", {"text": ["x"], "a|b": ["y|z"]}),
        ('"a|b",c\n1,2\n', {"a|b": ["1"], "c": ["2"]}),
    ],
)
def test_separator__is_that_of_the_ending_where_the_header_is_not_plain(tmp_path, content, expected):
    assert columns_of(tmp_path / "t.csv", content) == expected


def test_separator__by_the_command(run, tiny, tmp_path):
    (tmp_path / "t.csv").write_bytes("标题~文本\n1~你好 | 再见\n2~好\n".encode("gb18030"))
    words = ["features", tmp_path / "t.csv", "--text", "文本", "--model", tiny(), "--output", tmp_path / "f.npy"]
    status, _, err = run(*words, "--encoding", "gb18030")
    assert status == 1
    assert "it has 标题~文本. If there are more columns, give their separator with --separator" in err
    assert run(*words, "--encoding", "gb18030", "--separator", "~")[0] == 0
    expected = LayerPoolFeaturizer(tiny()).fit_transform(["你好 | 再见", "好"])
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), expected, atol=1e-6)


@pytest.mark.parametrize("named", ["\\t", "tab", "\t"])
def test_separator__a_tab_by_its_names(tmp_path, named):
    assert columns_of(tmp_path / "t.txt", "a b\tc\n1\t2\n", "utf-8", named) == {"a b": ["1"], "c": ["2"]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (",text,label\n7,a,b\n", {"": ["7"], "text": ["a"], "label": ["b"]}),
        ('"",text\n7,a\n', {"": ["7"], "text": ["a"]}),
        ("text,Unnamed: 0\na,7\n", {"text": ["a"], "Unnamed: 0": ["7"]}),
        ("text,a.1,a\nx,1,2\n", {"text": ["x"], "a.1": ["1"], "a": ["2"]}),
    ],
)
def test_names_of_columns__stay_as_they_are(run, tmp_path, content, expected):
    found = columns_of(tmp_path / "t.csv", content)
    assert found == expected
    write_table(read_table(tmp_path / "t.csv"), tmp_path / "out.csv")
    assert read_table(tmp_path / "out.csv").columns == expected


INDEXES = {
    "texts": pd.Index(["r7", "r8"]),
    "named texts": pd.Index(["r7", "r8"], name="id"),
    "numbers with a gap": pd.Index([3, 9]),
    "a range that begins elsewhere": pd.RangeIndex(5, 7),
    "two levels": pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None]),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_index_of_parquet__is_kept(tmp_path, kind):
    frame = pd.DataFrame({"text": ["a", "b"]}, index=INDEXES[kind])
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    named = frame.reset_index()
    assert {name: list(cells) for name, cells in table.columns.items()} == named.to_dict("list")
    write_table(table, tmp_path / "out.csv")
    assert read_table(tmp_path / "out.csv").columns == named.astype(str).to_dict("list")
    write_table(table.plus({"prediction": np.array([1, 2])}), tmp_path / "out.parquet")
    expected = frame.assign(prediction=[1, 2])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), expected)


def test_index_of_parquet__a_plain_numbering_is_no_column(tmp_path):
    pd.DataFrame({"text": ["a", "b"]}).to_parquet(tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet").columns) == ["text"]


def test_index_of_parquet__beside_a_column_of_its_name(tmp_path):
    frame = pd.DataFrame({"index": ["a", "b"]}, index=["x", "y"])
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").columns == {"level_0": ["x", "y"], "index": ["a", "b"]}


def test_columns_that_are_numbers__are_named_by_their_digits(run, tiny, tmp_path):
    pd.DataFrame({0: ["where", "lamp"], 1: [2.5, 3.5]}).to_parquet(tmp_path / "t.parquet")
    words = ["--text", "0", "--label", "1", "--regression", "--model", tiny(), "--set", "max_epochs=1"]
    assert run("fit", tmp_path / "t.parquet", *words, "--output", tmp_path / "model")[0] == 0
    out = tmp_path / "out.parquet"
    assert run("predict", tmp_path / "model", tmp_path / "t.parquet", "--text", "0", "--output", out)[0] == 0
    assert pd.read_parquet(out).columns.tolist() == ["0", "1", "prediction"]


def test_parquet__under_a_folder_that_looks_like_a_partition(tmp_path):
    (tmp_path / "lang=ja").mkdir()
    pd.DataFrame({"text": ["a"]}).to_parquet(tmp_path / "lang=ja" / "t.parquet")
    assert read_table(tmp_path / "lang=ja" / "t.parquet").columns == {"text": ["a"]}


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("null\n", "line 1 holds null; every line must be an object such as"),
        ('{"a": 1}\n\n[1, 2]\n', "line 3 holds an array"),
        ('{"a": 1}\n"text"\n', "line 2 holds a text"),
        ('{"a": 1}\n2\n', "line 2 holds a number"),
        ('{"a": 1}\ntrue\n', "line 2 holds true or false"),
        ('{"a": 1}\n{"a": 2}\n{"a": 3,}\n', "line 3 is not JSON: "),
        ('{"a": 1}\n{"a": "cut', "line 2 is not JSON: "),
        ('{"a": 1}\n{"a": 1, "b": 2, "a": 3}\n', "line 2: the key 'a' occurs twice"),
        ('{"a": 1}\n{"a": {"b": 1, "b": 2}}\n', "line 2: the key 'b' occurs twice"),
        ('{"a": 1}\n{"a": ' + "9" * 5000 + "}\n", "line 2: "),
        ('{"a": 1}\n{"a": ' + "[" * 100_000 + "}\n", "line 2: "),
        ("{}\n{}\n", "there are no rows"),
    ],
)
def test_jsonl__that_cannot_be_read__is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=r"t\.jsonl cannot be read as jsonl: ") as caught:
        columns_of(tmp_path / "t.jsonl", content)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,b,c\nd,e,f\n", "row 0, which ends in line 2, has 3 fields, but the header names 2 columns"),
        ('text,label\nok,1\n"x,\ny",2\nq,3,4\n', "row 2, which ends in line 5, has 3 fields"),
        ("text,label\nok,1\n\n\nq,3,4\n", "row 1, which ends in line 5, has 3 fields"),
        ('text,label\nok,1\n"never closed,2\nq,3\n', "a double quote opens in row 1 and is never closed"),
        ('"text,label\nok,1\n', "a double quote opens in the row of names and is never closed"),
        ("text,text\na,b\n", "two columns are named 'text'"),
        (",\na,b\n", "two columns are named ''"),
        ("", "it is empty; the first row must name the columns"),
        ("text,label\n", "there are no rows under the names"),
    ],
)
def test_csv__that_cannot_be_read__is_refused_with_its_row(tmp_path, content, message):
    with pytest.raises(ValueError, match=r"t\.csv cannot be read as ") as caught:
        columns_of(tmp_path / "t.csv", content)
    assert message in str(caught.value)


@pytest.mark.parametrize("encoding", ["hex", "rot13", "base64", "zlib", "shiftjis9", "", "undefined"])
def test_encodings_that_are_none_of_texts__are_refused(tmp_path, encoding):
    with pytest.raises(ValueError, match="--encoding") as caught:
        columns_of(tmp_path / "t.csv", "text\na\n", encoding)
    assert repr(encoding) in str(caught.value)


@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"text\n" + "zoë日本".encode() + b"\ncaf\xe9 au lait\n", b"\xe9"),
        ("text\n日".encode()[:-1], "日".encode()[:-1]),
    ],
)
def test_bytes_that_are_no_text__are_named_with_their_place(tmp_path, monkeypatch, block, content, wrong):
    monkeypatch.setattr(_source, "_BLOCK", block)
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match="Give its encoding, such as --encoding cp932") as caught:
        read_table(tmp_path / "t.csv")
    assert f"is not utf-8: {wrong!r} at byte {content.index(wrong)}: " in str(caught.value)


@pytest.mark.parametrize("named", ["||", "", '"', "\n"])
def test_separators_that_are_none__are_refused(tmp_path, named):
    with pytest.raises(ValueError, match="--separator needs one character, or tab"):
        columns_of(tmp_path / "t.csv", "text\na\n", "utf-8", named)


def test_separator__of_files_that_have_none__is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--separator is for \.csv, \.tsv and \.txt files"):
        columns_of(tmp_path / "t.jsonl", '{"text": "a"}\n', "utf-8", "|")
    with pytest.raises(ValueError, match="give it with --separator"):
        columns_of(tmp_path / "t.txt", "text\na\n")


# ---------------------------------------------------------------- before anything is computed


@pytest.fixture
def never(monkeypatch):
    """No prediction may be made."""
    for method in ("predict", "predict_proba"):
        monkeypatch.setattr(MaxPoolBERTClassifier, method, lambda *args: pytest.fail("was predicted"))


@pytest.mark.parametrize(
    ("cells", "name", "message"),
    [
        ([b"\x00", None], "out.jsonl", "row 0 of the column 'extra' holds bytes, which JSONL cannot; write .parquet"),
        ([b"\x00", None], "out.csv", "row 0 of the column 'extra' holds bytes, which CSV cannot"),
        ([1.0, np.inf], "out.jsonl", "row 1 of the column 'extra' holds inf, which JSONL cannot"),
        (["a", "b\nc"], "out.tsv", "row 1 of the column 'extra' holds a tab or a line break"),
    ],
)
def test_predict__what_the_output_cannot_hold__is_said_first(run, saved, never, tmp_path, cells, name, message):
    pd.DataFrame({"text": ["a", "b"], "extra": cells}).to_parquet(tmp_path / "t.parquet")
    status, _, err = run("predict", saved, tmp_path / "t.parquet", "--output", tmp_path / name)
    assert status == 1
    assert message in err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet"])
def test_predict__half_of_a_surrogate_pair__is_said_with_row_and_column(run, saved, never, tmp_path, name):
    (tmp_path / "t.jsonl").write_text('{"text": "a", "k": "x"}\n{"text": "b", "k": "\\udc00"}\n', encoding="utf-8")
    status, _, err = run("predict", saved, tmp_path / "t.jsonl", "--output", tmp_path / name)
    assert status == 1
    assert "row 1 of the column 'k' holds half of a surrogate pair" in err


def test_predict__columns_that_are_there_already__is_said_first(run, saved, never, tmp_path):
    for name in ("prediction", "proba_order"):
        pd.DataFrame({"text": ["a"], name: [1]}).to_csv(tmp_path / "t.csv", index=False)
        status, _, err = run("predict", saved, tmp_path / "t.csv", "--proba")
        assert status == 1
        assert f"already has a column {name!r}; rename it" in err


def test_predict__a_category_of_one_value__in_every_format(run, saved, tmp_path, texts):
    labels, sources = pd.Categorical(["order"] * 3), pd.Categorical(["web", None, "web"])
    frame = pd.DataFrame({"text": texts[:3], "label": labels, "from": sources})
    frame.to_parquet(tmp_path / "t.parquet")
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        out = tmp_path / f"out.{kind}"
        assert run("predict", saved, tmp_path / "t.parquet", "--output", out)[0] == 0
        assert read_table(out).columns["label"] == ["order"] * 3
    assert run("evaluate", saved, tmp_path / "t.parquet")[0] == 0
    assert pd.read_parquet(tmp_path / "out.parquet")["from"].dtype == "category"


def test_predict__jsonl__numbers_come_out_whole(run, saved, tmp_path):
    lines = '{"text": "a", "id": 1436278513418522630, "x": 1.5e-13}\n{"text": "b", "x": 0.1}\n'
    (tmp_path / "t.jsonl").write_text(lines, encoding="utf-8")
    assert run("predict", saved, tmp_path / "t.jsonl", "--proba", "--output", tmp_path / "out.jsonl")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[0]["id"] == 1436278513418522630
    assert [row["x"] for row in rows] == [1.5e-13, 0.1]
    assert "id" not in rows[1]
    shares = MaxPoolBERTClassifier.load(saved).predict_proba(["a", "b"])
    np.testing.assert_array_equal([[row[f"proba_{c}"] for c in ("login", "order", "refund")] for row in rows], shares)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_features__come_out_equal(run, tiny, tmp_path, texts, kind):
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / f"out.{kind}"
    assert run("features", tmp_path / "t.csv", "--model", tiny(), "--output", out)[0] == 0
    found = np.array([list(map(float, cells)) for cells in read_table(out).columns.values()]).T
    np.testing.assert_array_equal(found, LayerPoolFeaturizer(tiny()).fit_transform(texts))


def test_predict__to_a_terminal_that_has_not_every_character__is_said_first(run, saved, never, tmp_path, monkeypatch):
    pd.DataFrame({"text": ["a", "Zoë"]}).to_csv(tmp_path / "t.csv", index=False)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
        status, _, err = run("predict", saved, tmp_path / "t.csv")
    assert status == 1
    assert "Standard output is ascii, which has no 'ë' as in row 1 of the column 'text'" in err


def test_check_shown__names_too():
    check_shown(Table("t", {"größe": ["é"]}), "latin-1")
    with pytest.raises(ValueError, match="has no 'ö' as in the name 'größe'"):
        check_shown(Table("t", {"größe": ["a"]}), "ascii")


def test_evaluate__on_such_a_terminal__writes_escapes(run, tiny, texts, quick, tmp_path, monkeypatch):
    labels = np.array(["schön", "übel"])[np.arange(24) % 2]
    MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).fit(texts, labels).save(tmp_path / "model")
    pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "t.csv", index=False)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert run("evaluate", tmp_path / "model", tmp_path / "t.csv")[0] == 0
    assert rb"sch\xf6n" in terminal.buffer.getvalue()


def test_outputs_that_cannot_be_written__are_refused(tmp_path):
    (tmp_path / "file.csv").write_text("text\na\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"file\.csv is the file that is read; give --output another name"):
        check_output(tmp_path / "file.csv", source=tmp_path / "." / "file.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder; give the name of a file"):
        check_output(tmp_path / "folder.csv")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        check_output(tmp_path / "no" / "out.csv")
    with pytest.raises(NotADirectoryError, match=r"cannot be created: .*file\.csv is a file"):
        check_folder(tmp_path / "file.csv" / "model")
    with pytest.raises(ValueError, match="is a file; --output needs a folder"):
        check_folder(tmp_path / "file.csv")
    check_folder(tmp_path / "new" / "model")


def test_parquet_without_pyarrow__is_said_first(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        check_output(tmp_path / "out.parquet")
