"""Long jobs of `features` and `predict`: killed and continued, changed in between, stopped by errors and full disks."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from torch.nn.modules.module import register_module_forward_hook

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier
from skbert.cli import _long_inputs, _source
from skbert.cli._files import Writable, read_table
from skbert.cli._parts import Parts
from skbert.saving import lock_on
from tests.estimators.test_long_inputs import many_texts
from tests.helpers.forked_commands import Commands
from tests.helpers.waiting import wait_until

N_TEXTS, ROWS = 1500, 50
needs_fork = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="test needs fork, and /proc")


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with Commands(tmp_path_factory.mktemp("commands"), ROWS) as server:
        yield server


@pytest.fixture(scope="module")
def long_table(tmp_path_factory):
    path = tmp_path_factory.mktemp("long") / "long.csv"
    pd.DataFrame({"text": many_texts(N_TEXTS), "number": range(N_TEXTS)}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tiny, texts, labels):
    """The folder of a fitted classifier."""
    folder = tmp_path_factory.mktemp("classifier") / "model"
    quick = {"max_epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "layers": 2, "random_state": 0}
    MaxPoolBERTClassifier(tiny(), **quick, device="cpu").fit(texts, labels).save(folder)
    return folder


@pytest.fixture
def small_windows(monkeypatch):
    """The command in this process has small windows, too."""
    monkeypatch.setattr(_long_inputs, "MOST_ROWS", ROWS)
    monkeypatch.setattr(_source.Source.windows, "__defaults__", (ROWS, ()))


def rows_in_parts(out):
    """Number of rows that are named in the state of an output; 0 without one."""
    try:
        ends = json.loads(out.with_name(f"{out.name}.part.json").read_text(encoding="utf-8"))["ends"]
    except FileNotFoundError:
        return 0
    return ends[-1][0]


def beside(out):
    """Names of the files of an output."""
    return sorted(path.name for path in out.parent.iterdir() if path.name.startswith(out.name))


def content(path):
    """What must be equal: all bytes, but of Parquet the values and types."""
    return pq.read_table(path) if path.suffix == ".parquet" else path.read_bytes()


# ---------------------------------------------------------------- killed and continued


_JOBS = [
    ("features", "npy"),
    *((job, k) for job in ("features", "predict") for k in ("csv", "tsv", "jsonl", "parquet")),
]


@needs_fork
@pytest.mark.parametrize(("job", "kind"), _JOBS)
def test_job_that_was_killed__goes_on_and_gives_the_same(commands, long_table, classifier, tiny, tmp_path, job, kind):
    words = ["features", long_table, "--model", tiny()] if job == "features" else ["predict", classifier, long_table]
    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    assert commands.start(*words, "--output", whole).ended()[0] == 0
    rng, n_before = np.random.default_rng([len(job), len(kind)]), 0
    for n_rows in [1, *np.sort(rng.integers(ROWS, N_TEXTS // 2, 2))]:
        command = commands.start(*words, "--output", out)
        # The command before may have gone beyond these rows: this one must have added to them, or it has done nothing.
        enough = max(n_rows, n_before + 1)
        wait_until(lambda enough=enough, at=command: rows_in_parts(out) >= enough or at.over)
        command.kill()
        status, _, err = command.ended()
        assert status is None, err
        # Nothing that was there is lost, and nothing is there that looks complete.
        n_now = rows_in_parts(out)
        assert n_now >= enough
        assert f"Going on after {n_before} of {N_TEXTS} texts" in err or not n_before
        assert not out.exists()
        n_before = n_now
    status, said, err = commands.start(*words, "--output", out).ended()
    assert status == 0, err
    assert f"Going on after {n_before} of {N_TEXTS} texts" in err
    assert said.startswith(f"{N_TEXTS} ")
    assert content(out) == content(whole)
    assert beside(out) == [out.name]


@needs_fork
def test_job_that_was_killed_within_a_part__cuts_it_off(commands, long_table, tiny, tmp_path):
    words = ["features", long_table, "--model", tiny(), "--output"]
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    assert commands.start(*words, whole).ended()[0] == 0
    command = commands.start(*words, out)
    wait_until(lambda: rows_in_parts(out) >= 3 * ROWS)
    command.kill()
    with open(tmp_path / "out.csv.part", "ab") as file:
        file.write(b"0.125,half of a li")
    assert commands.start(*words, out).ended()[0] == 0
    assert content(out) == content(whole)


@needs_fork
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_full_disk__keeps_the_parts(commands, long_table, tiny, tmp_path, kind):
    words = ["features", long_table, "--model", tiny(), "--output"]
    whole, out = tmp_path / f"whole.{kind}", tmp_path / f"out.{kind}"
    assert commands.start(*words, whole).ended()[0] == 0
    status, _, err = commands.start(*words, out, most_bytes=200_000).ended()
    assert status == 1
    n_rows = rows_in_parts(out)
    assert 0 < n_rows < N_TEXTS
    assert f"{n_rows} of {N_TEXTS} texts are kept in {out}.part; the same command goes on with them" in err
    assert "Traceback" not in err
    assert commands.start(*words, out).ended()[0] == 0
    assert content(out) == content(whole)


@needs_fork
def test_memory__does_not_grow_with_the_file(commands, tiny, tmp_path):
    peaks = []
    for n in (500, 10_000):
        frame = pd.DataFrame({"text": many_texts(n), "notes": ["x" * 5000] * n})
        frame.to_csv(tmp_path / "t.csv", index=False)
        command = commands.start("features", tmp_path / "t.csv", "--model", tiny(), "--output", tmp_path / "f.npy")
        assert command.ended()[0] == 0
        peaks.append(command.peak)
    # The file alone has 50 MB, and texts of Python that many again.
    assert peaks[1] - peaks[0] < 25e6


# ---------------------------------------------------------------- changed in between


@pytest.fixture
def stopped(run, small_windows, monkeypatch, long_table, tiny, tmp_path):
    """Features of a copy of the table that were stopped by an error after three windows: the words, and the output."""
    source, out = tmp_path / "copy.csv", tmp_path / "out.csv"
    source.write_bytes(long_table.read_bytes())
    words = ["features", source, "--output", out, "--model", tiny()]
    transform = LayerPoolFeaturizer.transform
    calls = []

    def fails(self, X):
        calls.append(len(X))
        if len(calls) > 3:
            raise OSError("the network drive is gone")
        return transform(self, X)

    with monkeypatch.context() as patch:
        patch.setattr(LayerPoolFeaturizer, "transform", fails)
        status, said, err = run(*words)
    assert (status, said) == (1, "")
    assert "Error: the network drive is gone" in err
    assert f"{sum(calls[:3])} of {N_TEXTS} texts are kept in {out}.part" in err
    return words, out


def test_error__keeps_what_was_computed(stopped, run, small_windows, monkeypatch, tmp_path):
    words, out = stopped
    n_rows = rows_in_parts(out)
    computed = []
    transform = LayerPoolFeaturizer.transform
    monkeypatch.setattr(LayerPoolFeaturizer, "transform", lambda self, X: computed.extend(X) or transform(self, X))
    status, said, err = run(*words)
    assert status == 0
    assert said == f"{N_TEXTS} texts × 32 features: {out}\n"
    assert f"Going on after {n_rows} of {N_TEXTS} texts" in err
    assert computed == many_texts(N_TEXTS)[n_rows:]
    monkeypatch.undo()
    whole = LayerPoolFeaturizer(words[-1]).fit_transform(many_texts(N_TEXTS))
    np.testing.assert_allclose(pd.read_csv(out), whole, atol=2e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--layers", "2"], "another job: --layers was 1."),
        (["--token-pooling", "cls", "--normalize"], "another job: --token-pooling was mean, --normalize was False."),
        (["--text", "number"], None),
        (["--encoding", "latin-1"], "--encoding was utf-8"),
        (["--precision", "bf16"], "--precision was fp32"),
    ],
)
def test_options_that_changed__are_refused(stopped, run, more, message):
    words, out = stopped
    before = {name: (out.parent / name).read_bytes() for name in beside(out)}
    if message is None:
        source = words[1]
        frame = pd.read_csv(source).assign(number="a text")
        frame.to_csv(source, index=False)
        message = "the content of the input changed, --text was ['text']"
    status, said, err = run(*words, *more)
    assert (status, said) == (1, "")
    assert message in err
    assert f"Delete {out}.part and {out}.part.json to begin anew" in err
    # Nothing was mixed, and the earlier job can still go on.
    assert {name: (out.parent / name).read_bytes() for name in beside(out)} == before


def test_input_that_changed__is_refused_until_its_parts_are_deleted(stopped, run, tiny):
    words, out = stopped
    X = many_texts(N_TEXTS)
    X[-1] = "another text"
    pd.DataFrame({"text": X}).to_csv(words[1], index=False)
    status, _, err = run(*words)
    assert status == 1
    assert "another job: the content of the input changed." in err
    assert f"holds the first {rows_in_parts(out)} texts" in err
    for name in beside(out):
        (out.parent / name).unlink()
    status, _, err = run(*words)
    assert status == 0
    assert "Going on" not in err
    np.testing.assert_allclose(pd.read_csv(out), LayerPoolFeaturizer(tiny()).fit_transform(X), atol=2e-6)


def test_windows_that_changed__are_refused(stopped, run, monkeypatch):
    words, _ = stopped
    monkeypatch.setattr(_long_inputs, "_MOST_NUMBERS", 32 * 20)
    status, _, err = run(*words)
    assert status == 1
    assert "another job: the size of windows was 50 rows read, 50 computed, 500000 characters" in err


def test_vectors_that_are_long__have_small_windows(run, small_windows, monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(_long_inputs, "_MOST_NUMBERS", 32 * 20)
    X = many_texts(130)
    pd.DataFrame({"text": X}).to_csv(tmp_path / "t.csv", index=False)
    sizes = []
    transform = LayerPoolFeaturizer.transform
    monkeypatch.setattr(LayerPoolFeaturizer, "transform", lambda self, X: sizes.append(len(X)) or transform(self, X))
    assert run("features", tmp_path / "t.csv", "--model", tiny(), "--output", tmp_path / "f.npy")[0] == 0
    assert sum(sizes) == 130
    assert max(sizes) == 20
    expected = LayerPoolFeaturizer(tiny()).fit(X)
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), transform(expected, X), atol=2e-6)


def test_encoder_that_changed__is_refused(stopped, run, tiny):
    words, _ = stopped
    status, _, err = run(*words[:-1], tiny(seed=1))
    assert status == 1
    assert "another job: the encoder changed" in err


def test_estimator_that_changed__is_refused(run, small_windows, monkeypatch, long_table, classifier, tmp_path):
    words = ["predict", tmp_path / "model", long_table, "--output", tmp_path / "out.jsonl"]
    clf = MaxPoolBERTClassifier.load(classifier)
    clf.save(tmp_path / "model")
    predict = MaxPoolBERTClassifier.predict
    with monkeypatch.context() as patch:
        calls = []
        patch.setattr(
            MaxPoolBERTClassifier,
            "predict",
            lambda self, X: predict(self, X) if calls.append(X) or len(calls) < 3 else 1 / 0,
        )
        with pytest.raises(ZeroDivisionError):
            run_plain(patch, words)
    assert rows_in_parts(tmp_path / "out.jsonl") > 0
    assert "another job: --proba was False" in run(*words, "--proba")[2]
    clf.warm_start = True
    clf.save(tmp_path / "model")
    assert "another job: the estimator changed." in run(*words)[2]


def run_plain(patch, words):
    """The command, with the traceback of a bug."""
    import sys

    from skbert.cli import main

    patch.setattr(sys, "argv", ["skbert", *map(str, words)])
    main()


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"job": {}, "ends": [["a", 1]]}'])
def test_state_that_is_damaged__is_refused(stopped, run, damage):
    words, out = stopped
    out.with_name("out.csv.part.json").write_bytes(damage)
    status, _, err = run(*words)
    assert status == 1
    assert "out.csv.part.json is damaged. Delete" in err


def test_parts_that_became_shorter__are_refused(stopped, run):
    words, out = stopped
    os.truncate(f"{out}.part", 100)
    status, _, err = run(*words)
    assert status == 1
    assert "out.csv.part is shorter than it was. Delete" in err


def test_state_without_parts__begins_anew(stopped, run):
    words, out = stopped
    os.unlink(f"{out}.part")
    status, _, err = run(*words, "--layers", "2")
    assert status == 0
    assert "Going on" not in err
    assert beside(out) == ["out.csv"]


def test_two_processes__do_not_write_one_output(stopped, run):
    words, out = stopped
    with lock_on(Path(f"{out}.part")):
        status, _, err = run(*words)
    assert status == 1
    assert f"{out} is being written by another process" in err
    assert run(*words)[0] == 0


def test_file_that_changes_while_it_is_read__is_noticed(run, small_windows, monkeypatch, long_table, tiny, tmp_path):
    source = tmp_path / "t.csv"
    source.write_bytes(long_table.read_bytes())
    transform = LayerPoolFeaturizer.transform

    def grows(self, X):
        with open(source, "a", encoding="utf-8") as file:
            file.write("one more,1\n")
        return transform(self, X)

    monkeypatch.setattr(LayerPoolFeaturizer, "transform", grows)
    status, _, err = run("features", source, "--model", tiny(), "--output", tmp_path / "out.npy")
    assert status == 1
    assert f"has changed while it was read: it had {N_TEXTS} rows" in err
    assert not (tmp_path / "out.npy").exists()


# ---------------------------------------------------------------- what is said, and where


def test_progress__is_on_standard_error_only(run, small_windows, long_table, classifier, tiny, tmp_path):
    out = tmp_path / "out.npy"
    status, said, err = run("features", long_table, "--model", tiny(), "--output", out)
    assert (status, said) == (0, f"{N_TEXTS} texts × 32 features: {out}\n")
    assert f"/{N_TEXTS} [" in err
    assert "texts/s]" in err
    status, said, err = run("predict", classifier, long_table)
    assert status == 0
    assert f"/{N_TEXTS} [" in err
    assert run("predict", classifier, long_table, "--output", tmp_path / "out.csv")[0] == 0
    assert said == (tmp_path / "out.csv").read_text(encoding="utf-8")


def test_texts_that_are_cut__are_counted_once(run, small_windows, tiny, tmp_path):
    X = ["lost parcel", "lost " * 100] * 70
    pd.DataFrame({"text": X}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(UserWarning, match="70 of 140 texts are longer than max_length=64") as caught:
        assert run("features", tmp_path / "t.csv", "--model", tiny(), "--output", tmp_path / "f.npy")[0] == 0
    assert len(caught) == 1


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("job", ["features", "predict"])
def test_what_is_no_text__is_said_with_its_row_before_anything_is_computed(
    run, small_windows, monkeypatch, classifier, tiny, tmp_path, job, kind
):
    X = many_texts(200)
    X[170] = None
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pd.DataFrame({"text": X}).to_parquet(path)
    else:
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in X), encoding="utf-8")
    for estimator, method in ((LayerPoolFeaturizer, "transform"), (MaxPoolBERTClassifier, "predict")):
        monkeypatch.setattr(estimator, method, lambda *args: pytest.fail("was computed"))
    words = ["features", path, "--model", tiny()] if job == "features" else ["predict", classifier, path]
    status, _, err = run(*words, "--output", tmp_path / "out.csv")
    assert status == 1
    assert f"t.{kind}, 'text', rows 150 to 199: " in err
    assert "the first in row 170" in err


def test_what_the_output_cannot_hold__is_said_with_its_row(run, small_windows, classifier, tmp_path):
    cells = [float(row) for row in range(200)]
    cells[170] = np.inf
    pd.DataFrame({"text": many_texts(200), "x": cells}).to_parquet(tmp_path / "t.parquet")
    status, _, err = run("predict", classifier, tmp_path / "t.parquet", "--output", tmp_path / "out.jsonl")
    assert status == 1
    assert "row 170 of the column 'x' holds inf, which JSONL cannot" in err
    assert beside(tmp_path / "out.jsonl") == []


def test_predict__in_windows_is_what_it_is_at_once(run, monkeypatch, classifier, tmp_path):
    """Columns whose types, gaps and keys differ from window to window."""
    rows = [{"text": text, "id": row} for row, text in enumerate(many_texts(200))]
    for row in rows[60:]:
        row |= {"id": row["id"] + 0.5, "late": ["a"], "gap": None}
    rows[190] |= {"gap": 7, "nested": {"a": 1}}
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        whole, parts = tmp_path / f"whole.{kind}", tmp_path / f"parts.{kind}"
        words = ["predict", classifier, tmp_path / "t.jsonl", "--output"]
        status, _, err = run(*words, whole)
        assert status == 0, err
        with monkeypatch.context() as patch:
            patch.setattr(_long_inputs, "MOST_ROWS", ROWS)
            patch.setattr(_source.Source.windows, "__defaults__", (ROWS, ()))
            assert run(*words, parts)[0] == 0
        assert read_table(parts).columns == read_table(whole).columns
    pd.testing.assert_frame_equal(pd.read_parquet(parts), pd.read_parquet(whole))
    assert pq.ParquetFile(parts).num_row_groups == 4


# ---------------------------------------------------------------- what only shows after the first window


def test_jsonl_whose_columns_begin_late__is_refused_where_tsv_would_be_read_otherwise(
    run, small_windows, classifier, tmp_path
):
    rows = [{"text": 'a "b"'} for _ in range(60)]
    rows[55]["late"] = 1
    rows = [row | {"text": '"a ""b"""'} for row in rows]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    status, _, err = run("predict", classifier, tmp_path / "t.jsonl", "--output", tmp_path / "out.tsv")
    assert status == 1
    assert "out.tsv" in err
    assert beside(tmp_path / "out.tsv") == []


def test_dicts_with_other_keys_later__are_refused_by_parquet(run, small_windows, classifier, tmp_path):
    rows = [{"text": "lost parcel", "found": {"a": 1} if row < ROWS else {"b": 2}} for row in range(60)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    status, _, err = run("predict", classifier, tmp_path / "t.jsonl", "--output", tmp_path / "out.parquet")
    assert status == 1
    assert "'found' holds {'a': 1}, which would be read back as" in err


def test_numbers_that_begin_late__are_integers_with_gaps(run, small_windows, classifier, tmp_path):
    large = 2**53 + 1
    rows = [{"text": "lost parcel"} | ({"n": large} if row >= ROWS else {}) for row in range(60)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert run("predict", classifier, tmp_path / "t.jsonl", "--output", tmp_path / "out.parquet")[0] == 0
    found = pd.read_parquet(tmp_path / "out.parquet")["n"]
    assert str(found.dtype) == "Int64"
    assert found[55] == large


def test_parquet_with_a_range_index__keeps_it(run, small_windows, classifier, tmp_path):
    frame = pd.DataFrame({"text": many_texts(200)}).iloc[60:]
    frame.to_parquet(tmp_path / "t.parquet")
    status, _, err = run("predict", classifier, tmp_path / "t.parquet", "--output", tmp_path / "out.parquet")
    assert status == 0, err
    assert read_table(tmp_path / "out.parquet")["index"] == list(range(60, 200))


# ---------------------------------------------------------------- files around the output


def test_state_of_another_job_without_its_parts__is_never_continued(tmp_path):
    out = tmp_path / "out.csv"
    with Parts(out, {"job": "A"}) as parts:
        parts.add(2, [b"AA"])
    os.unlink(f"{out}.part")
    killed = Parts(out, {"job": "B"}).__enter__()
    killed._file.write(b"BBBB")
    killed._file.close()
    killed._lock.release()
    with Parts(out, {"job": "A"}) as parts:
        assert parts.n_rows == 0
        parts.add(1, [b"A"])
        parts.finish()
    assert out.read_bytes() == b"A"
    assert beside(out) == ["out.csv"]


@pytest.mark.skipif(os.name != "posix", reason="links and permissions")
def test_output_that_is_a_link__stays_one_and_keeps_its_permissions(run, tiny, long_table, tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "f.npy", tmp_path / "f.npy"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert run("features", long_table, "--model", tiny(), "--output", link)[0] == 0
    assert link.is_symlink()
    assert np.load(target).shape == (N_TEXTS, 32)
    assert target.stat().st_mode & 0o777 == 0o640


def test_output_in_the_folder_of_the_estimator__goes_on(run, small_windows, monkeypatch, long_table, classifier):
    out, predict = classifier / "out.csv", MaxPoolBERTClassifier.predict
    calls = []

    def fails(self, X):
        calls.append(len(X))
        if len(calls) > 2:
            raise OSError("the network drive is gone")
        return predict(self, X)

    with monkeypatch.context() as patch:
        patch.setattr(MaxPoolBERTClassifier, "predict", fails)
        assert run("predict", classifier, long_table, "--output", out)[0] == 1
    n_rows = rows_in_parts(out)
    assert n_rows
    status, _, err = run("predict", classifier, long_table, "--output", out)
    assert status == 0, err
    assert f"Going on after {n_rows} of" in err
    out.unlink()


def test_input_that_is_replaced_by_as_many_rows__is_noticed(
    run, small_windows, monkeypatch, long_table, tiny, tmp_path
):
    source, transform = tmp_path / "t.csv", LayerPoolFeaturizer.transform
    source.write_bytes(long_table.read_bytes())

    def replaces(self, X):
        pd.DataFrame({"text": ["why"] * N_TEXTS}).to_csv(source, index=False)
        return transform(self, X)

    monkeypatch.setattr(LayerPoolFeaturizer, "transform", replaces)
    status, _, err = run("features", source, "--model", tiny(), "--output", tmp_path / "out.npy")
    assert status == 1
    assert "t.csv has changed while it was read" in err
    assert not (tmp_path / "out.npy").exists()


def test_predict_with_probabilities__counts_cut_texts_once(run, classifier, tmp_path):
    pd.DataFrame({"text": ["lost parcel", "lost " * 100, "lost " * 90]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.warns(UserWarning, match="2 of 3 texts are longer than max_length=64") as caught:
        assert run("predict", classifier, tmp_path / "t.csv", "--proba", "--output", tmp_path / "p.csv")[0] == 0
    assert len(caught) == 1


def test_predict_with_probabilities__encodes_each_text_once(run, classifier, tmp_path):
    pd.DataFrame({"text": ["lost parcel", "refund"]}).to_csv(tmp_path / "t.csv", index=False)
    n_calls = []
    for words in ([], ["--proba"]):
        called = []
        hook = register_module_forward_hook(lambda module, inputs, output, at=called: at.append(type(module).__name__))
        with hook:
            assert run("predict", classifier, tmp_path / "t.csv", "--output", tmp_path / "p.csv", *words)[0] == 0
        n_calls.append(called.count("BertEmbeddings"))
    assert n_calls[0] == n_calls[1] > 0


@pytest.mark.parametrize(("kind", "late", "n_passes"), [("csv", False, 1), ("jsonl", False, 1), ("jsonl", True, 2)])
def test_check_of_the_output__is_made_twice_only_where_columns_begin_late(
    run, small_windows, monkeypatch, classifier, tmp_path, kind, late, n_passes
):
    rows = [{"text": text} | ({"late": 1} if late and row >= ROWS else {}) for row, text in enumerate(many_texts(200))]
    source, checks, add = tmp_path / f"t.{kind}", [], Writable.add
    if kind == "csv":
        pd.DataFrame(rows).to_csv(source, index=False)
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(Writable, "add", lambda self, table: checks.append(len(table)) or add(self, table))
    assert run("predict", classifier, source, "--output", tmp_path / "out.jsonl")[0] == 0
    # The first are the classes.
    assert sum(checks[1:]) == 200 * n_passes
