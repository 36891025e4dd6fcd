"""Saved estimators on disk: complete or not there, whatever happens while they are written."""

import builtins
import errno
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import skbert
from skbert.saving import _folder, read_folder, write_folder

ROOT = Path(__file__).resolve().parents[2]
KIND = "SomeEstimator"


def content(tag, size=50):
    """A state and tensors that belong together: both carry `tag`."""
    state = {"tag": tag, "text": "ä" * 20, "nested": {"items": [1, 2.5, None, float("inf")]}}
    tensors = {
        "a.weight": np.full((size, 3), tag, dtype=np.float32),
        "b": np.arange(4, dtype=np.int64) + tag,
        "scalar": np.array(float(tag), dtype=np.float32),
        "none": np.zeros((0, 2), dtype=np.float32),
    }
    return state, tensors


def save(folder, tag, **kwargs):
    write_folder(folder, KIND, *content(tag, **kwargs))


def assert_holds(folder, tag, **kwargs):
    state, tensors = read_folder(folder, KIND)
    expected_state, expected_tensors = content(tag, **kwargs)
    assert state == expected_state
    assert sorted(tensors) == sorted(expected_tensors)
    for name, array in expected_tensors.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array)


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def assert_clear_error(folder, *words):
    """The error of a damaged folder: of both built-in kinds, and it says which folder."""
    with pytest.raises(skbert.SavedEstimatorError) as caught:
        read_folder(folder, KIND)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, skbert.SkbertError)
    for word in (str(folder), *words):
        assert word in str(caught.value)


@pytest.fixture
def fast_sync(monkeypatch):
    """Leave out waiting for the disk where a test saves hundreds of times."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# ------------------------------------------------------------ round trip


def test_round_trip__state_and_tensors__equal(tmp_path):
    save(tmp_path / "new" / "deep", 7)
    assert_holds(tmp_path / "new" / "deep", 7)


def test_round_trip__path_as_str__equal(tmp_path):
    save(str(tmp_path), 7)
    assert_holds(str(tmp_path), 7)


def test_write_folder__fresh_folder__only_json_and_safetensors(tmp_path):
    save(tmp_path, 1)
    assert len(names(tmp_path)) == 3
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert all(path.is_file() for path in tmp_path.iterdir())


def test_write_folder__second_save__replaces_and_leaves_nothing_over(tmp_path):
    save(tmp_path, 1)
    first = names(tmp_path)
    save(tmp_path, 2)
    assert_holds(tmp_path, 2)
    assert len(names(tmp_path)) == len(first)
    assert set(names(tmp_path)) & set(first) == {"skbert.json"}


def test_write_folder__other_class_over_an_old_one__replaces_it(tmp_path):
    save(tmp_path, 1)
    write_folder(tmp_path, "Other", *content(2))
    assert read_folder(tmp_path, "Other")[0]["tag"] == 2
    assert len(names(tmp_path)) == 3


def test_write_folder__files_of_others__kept(tmp_path):
    others = ["README.md", "config.json", "model.safetensors", "state.json", "weights.safetensors", "manifest.json"]
    for name in others:
        (tmp_path / name).write_text(f"mine: {name}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "state-000000000000.json").write_text("mine")
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert_holds(tmp_path, 2)
    for name in others:
        assert (tmp_path / name).read_text() == f"mine: {name}"
    assert (tmp_path / "sub" / "state-000000000000.json").read_text() == "mine"
    assert len(names(tmp_path)) == 3 + len(others) + 1


@pytest.mark.parametrize("name", ["state-of-the-art.json", "weights-backup.safetensors", "manifest-v2.json"])
def test_write_folder__file_of_others_with_a_similar_name__kept(tmp_path, name):
    (tmp_path / name).write_text("mine")
    save(tmp_path, 1)
    assert (tmp_path / name).read_text() == "mine"


def test_write_folder__leftovers_of_an_interrupted_save__removed(tmp_path):
    save(tmp_path, 1)
    for path in list(tmp_path.iterdir()):
        if path.name != "skbert.json":
            stem, suffix = path.stem.split("-")[0], path.suffix
            (tmp_path / f"{stem}-0123456789ab{suffix}").write_bytes(b"half")
    assert len(names(tmp_path)) == 5
    assert_holds(tmp_path, 1)
    save(tmp_path, 2)
    assert len(names(tmp_path)) == 3
    assert_holds(tmp_path, 2)


def test_write_folder__path_is_a_file__not_a_directory_error(tmp_path):
    target = tmp_path / "file"
    target.write_text("mine")
    with pytest.raises(NotADirectoryError, match="it is a file"):
        save(target, 1)
    assert target.read_text() == "mine"


def test_write_folder__state_not_json__old_one_kept(tmp_path):
    save(tmp_path, 1)
    before = names(tmp_path)
    with pytest.raises(TypeError):
        write_folder(tmp_path, KIND, {"bad": object()}, content(2)[1])
    assert names(tmp_path) == before
    assert_holds(tmp_path, 1)


def test_read_folder__any_file__never_unpickled(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle was asked")

    save(tmp_path, 1)
    for name in ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert_holds(tmp_path, 1)


def test_read_folder__moved_to_another_place__readable(tmp_path):
    save(tmp_path / "a", 1)
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert_holds(tmp_path / "b", 1)


# ---------------------------------------------------------------- damage


def test_read_folder__nothing_there__clear_error(tmp_path):
    assert_clear_error(tmp_path / "never")
    (tmp_path / "empty").mkdir()
    assert_clear_error(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    assert_clear_error(tmp_path / "file")


@pytest.mark.parametrize("prefix", ["skbert", "state", "weights"])
def test_read_folder__file_deleted__clear_error(tmp_path, prefix):
    save(tmp_path, 1)
    (path,) = tmp_path.glob(f"{prefix}*")
    path.unlink()
    assert_clear_error(tmp_path, path.name)


@pytest.mark.parametrize("prefix", ["skbert", "state", "weights"])
def test_read_folder__file_became_a_folder__clear_error(tmp_path, prefix):
    save(tmp_path, 1)
    (path,) = tmp_path.glob(f"{prefix}*")
    path.unlink()
    path.mkdir()
    assert_clear_error(tmp_path, path.name)


@pytest.mark.parametrize("prefix", ["skbert", "state", "weights"])
def test_read_folder__file_truncated_anywhere__clear_error(tmp_path, prefix):
    save(tmp_path, 1, size=5)
    (path,) = tmp_path.glob(f"{prefix}*")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert_clear_error(tmp_path)
    path.write_bytes(whole)
    assert_holds(tmp_path, 1, size=5)


@pytest.mark.parametrize("prefix", ["skbert", "state", "weights"])
def test_read_folder__file_lengthened__clear_error(tmp_path, prefix):
    save(tmp_path, 1)
    (path,) = tmp_path.glob(f"{prefix}*")
    with open(path, "ab") as file:
        file.write(b"x")
    assert_clear_error(tmp_path)


@pytest.mark.parametrize("prefix", ["state", "weights"])
@pytest.mark.parametrize("flip", [1, 0x20, 0x80])
def test_read_folder__any_byte_of_the_content_altered__clear_error(tmp_path, prefix, flip):
    save(tmp_path, 1, size=5)
    (path,) = tmp_path.glob(f"{prefix}*")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        assert_clear_error(tmp_path)


@pytest.mark.parametrize("altered", [0, 1, 9, *b' "/\\x7\x80'])
def test_read_folder__any_byte_of_the_manifest_altered__clear_error(tmp_path, altered):
    save(tmp_path, 1)
    path = tmp_path / "skbert.json"
    whole = path.read_bytes()
    whitespace = b" \t\n\r"
    for place, byte in enumerate(whole):
        # One blank for another, between two parts of JSON, says the same.
        if byte == altered or (byte in whitespace and altered in whitespace):
            continue
        path.write_bytes(whole[:place] + bytes([altered]) + whole[place + 1 :])
        assert_clear_error(tmp_path)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "null",
        "[]",
        "3",
        '"text"',
        "{}",
        '{"format": 1}',
        '{"format": 1, "class": "SomeEstimator"}',
        '{"format": 1, "class": "SomeEstimator", "files": null}',
        '{"format": 1, "class": "SomeEstimator", "files": 3}',
        '{"format": 1, "class": "SomeEstimator", "files": "abc"}',
        '{"format": 1, "class": "SomeEstimator", "files": {}}',
        '{"format": 1, "class": "SomeEstimator", "files": {"gone.json": "00"}}',
        pytest.param("[" * 100000),
    ],
    ids=lambda text: text[:60],
)
def test_read_folder__manifest_of_another_form__clear_error(tmp_path, manifest):
    save(tmp_path, 1)
    (tmp_path / "skbert.json").write_text(manifest)
    assert_clear_error(tmp_path)


def test_read_folder__content_swapped_with_another_save__clear_error(tmp_path):
    save(tmp_path / "a", 1)
    save(tmp_path / "b", 2)
    (mine,), (other,) = (tmp_path / "a").glob("weights*"), (tmp_path / "b").glob("weights*")
    shutil.copy(other, mine)
    assert_clear_error(tmp_path / "a", mine.name)


def test_read_folder__manifest_leads_out_of_the_folder__not_followed(tmp_path):
    save(tmp_path / "a", 1)
    save(tmp_path / "b", 2)
    manifest = json.loads((tmp_path / "b" / "skbert.json").read_text())
    manifest["files"] = {f"../b/{name}": digest for name, digest in manifest["files"].items()}
    (tmp_path / "a" / "skbert.json").write_text(json.dumps(manifest))
    assert_clear_error(tmp_path / "a")


def test_read_folder__another_class__error_names_it(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(skbert.SavedEstimatorError, match=r"SomeEstimator.*SomeEstimator\.load") as caught:
        read_folder(tmp_path, "Other")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("version", [0, 2, 99, "1", None])
def test_read_folder__another_format__error_says_both(tmp_path, version):
    save(tmp_path, 1)
    path = tmp_path / "skbert.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": version}))
    assert_clear_error(tmp_path, f"format {version}", f"format {_folder.FORMAT}")


# ------------------------------------------------- a save that is cut off


class Cut(BaseException):
    """What a test raises in the middle of a save; no ``except Exception`` may swallow it."""


def failing_at(function, k, calls, error, before=True):
    """`function`, save that its k-th call raises `error`, before or after doing its work."""

    def wrapper(*args, **kwargs):
        calls.append(1)
        if len(calls) != k:
            return function(*args, **kwargs)
        if not before:
            function(*args, **kwargs)
        raise error

    return wrapper


def _cut_sync(monkeypatch, k, error):
    calls = []
    monkeypatch.setattr(os, "fsync", failing_at(os.fsync, k, calls, error))
    return calls


def _cut_replace(monkeypatch, k, error):
    calls = []
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, failing_at(getattr(os, name), k, calls, error))
    return calls


def _cut_open(monkeypatch, k, error):
    calls = []
    real = builtins.open

    def opened(file, mode="r", *args, **kwargs):
        if "w" in mode or "x" in mode or "a" in mode:
            calls.append(1)
            if len(calls) == k:
                raise error
        return real(file, mode, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)
    return calls


class _HalfWriter:
    """A file that takes half of what it is given and then fails, as on a full disk."""

    def __init__(self, file, error):
        self._file, self._error = file, error

    def write(self, data):
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        raise self._error

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._file.close()


def _cut_write(monkeypatch, k, error):
    calls = []
    real = builtins.open

    def opened(file, mode="r", *args, **kwargs):
        stream = real(file, mode, *args, **kwargs)
        if "w" in mode or "x" in mode or "a" in mode:
            calls.append(1)
            if len(calls) == k:
                return _HalfWriter(stream, error)
        return stream

    monkeypatch.setattr(builtins, "open", opened)
    monkeypatch.setattr(io, "open", opened)
    return calls


CUTS = {"fsync": _cut_sync, "replace": _cut_replace, "open": _cut_open, "write": _cut_write}
ERRORS = {"full": OSError(errno.ENOSPC, "No space left on device"), "interrupt": KeyboardInterrupt(), "any": Cut()}


def n_calls(step, tmp_path):
    """How often a whole save takes this step."""
    with pytest.MonkeyPatch.context() as patch:
        calls = CUTS[step](patch, -1, None)
        save(tmp_path, 0)
        return len(calls)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("step", CUTS)
def test_write_folder__second_save_dies_at_any_step__old_one_whole(tmp_path, step, error):
    total = n_calls(step, tmp_path / "count")
    assert total >= (1 if step == "replace" else 3)
    for k in range(1, total + 1):
        folder = tmp_path / f"{k}"
        save(folder, 1)
        before = names(folder)
        with pytest.MonkeyPatch.context() as patch:
            CUTS[step](patch, k, ERRORS[error])
            with pytest.raises(type(ERRORS[error])) as caught:
                save(folder, 2)
        assert caught.value is ERRORS[error]
        assert_holds(folder, 1)
        assert names(folder) == before
        save(folder, 3)
        assert_holds(folder, 3)
        assert len(names(folder)) == 3


@pytest.mark.parametrize("step", CUTS)
def test_write_folder__first_save_dies_at_any_step__clear_error(tmp_path, step):
    total = n_calls(step, tmp_path / "count")
    for k in range(1, total + 1):
        folder = tmp_path / f"{k}"
        with pytest.MonkeyPatch.context() as patch:
            CUTS[step](patch, k, ERRORS["full"])
            with pytest.raises(OSError, match="No space left"):
                save(folder, 2)
        assert_clear_error(folder, "first save was interrupted")
        assert names(folder) == []
        save(folder, 3)
        assert_holds(folder, 3)


def test_write_folder__interrupt_arrives_when_replace_has_just_returned__readable(tmp_path, monkeypatch):
    save(tmp_path, 1)
    monkeypatch.setattr(os, "replace", failing_at(os.replace, 1, [], KeyboardInterrupt(), before=False))
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2)
    assert read_folder(tmp_path, KIND)[0]["tag"] in (1, 2)


def cut_at_line(k, act, opcodes=False):
    """A trace function that calls `act` at the k-th line (or instruction) of the store's code."""
    seen = [0]

    def local(frame, event, argument):
        if event == ("opcode" if opcodes else "line"):
            seen[0] += 1
            if seen[0] == k:
                act()
        return local

    def start(frame, event, argument):
        if frame.f_code.co_filename != _folder.__file__:
            return None
        frame.f_trace_opcodes = opcodes
        return local

    return start, seen


def traced(function, trace):
    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(outer)


def test_write_folder__interrupt_at_every_line__old_or_new_one_whole(tmp_path, fast_sync):
    def cut():
        raise Cut

    trace, seen = cut_at_line(-1, cut)
    save(tmp_path / "count", 1)
    traced(lambda: save(tmp_path / "count", 2), trace)
    assert seen[0] > 20
    held = set()
    for k in range(1, seen[0] + 1):
        folder = tmp_path / f"{k}"
        save(folder, 1)
        with pytest.raises(Cut):
            traced(lambda folder=folder: save(folder, 2), cut_at_line(k, cut)[0])
        tag = read_folder(folder, KIND)[0]["tag"]
        assert_holds(folder, tag)
        held.add(tag)
    # The cut fell on both sides of the one step that matters.
    assert held == {1, 2}


# --------------------------------------------- processes that are killed

_PREAMBLE = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}]
import numpy as np
from skbert.saving import _folder, read_folder, write_folder
assert "torch" not in sys.modules
def content(tag, size):
    return {{"tag": tag, "pad": "x" * size}}, {{"w": np.full(size, tag, dtype=np.float32)}}
"""


def assert_one_save(folder, size):
    state, tensors = read_folder(folder, KIND)
    assert state["pad"] == "x" * size
    np.testing.assert_array_equal(tensors["w"], np.full(size, state["tag"], dtype=np.float32))
    return state["tag"]


def test_write_folder__process_killed_during_repeated_saves__always_readable(tmp_path):
    size = 80_000
    script = f"""{_PREAMBLE}
folder, tag = sys.argv[1], int(sys.argv[2])
def announced(call):
    def announcing(*arguments):
        print("step", flush=True)
        return call(*arguments)
    return announcing
os.fsync, os.replace = announced(os.fsync), announced(os.replace)
while True:
    tag += 1
    write_folder(folder, {KIND!r}, *content(tag, {size}))
    print("saved", flush=True)
"""
    folder = tmp_path / "saved"
    write_folder(folder, KIND, {"tag": 0, "pad": "x" * size}, {"w": np.zeros(size, dtype=np.float32)})
    tags, random = [0], np.random.default_rng(0)
    for turn in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(tags[-1])], stdout=subprocess.PIPE, text=True
        )
        try:
            # Every other process gets one save done first.
            if turn % 2:
                assert "saved\n" in iter(process.stdout.readline, "")
            # Somewhere after this step it is killed.
            for _ in range(random.integers(1, 12)):
                assert process.stdout.readline()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        tags.append(assert_one_save(folder, size))
    # Tags only grow, and the killed processes did get something saved.
    assert tags == sorted(tags)
    assert tags[-1] >= 6
    save(folder, 1)
    assert_holds(folder, 1)
    assert len(names(folder)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_write_folder__process_ends_at_any_instruction__old_or_new_one_whole(tmp_path):
    # SIGKILL leaves no time for any clean-up; ending the process at the k-th instruction is the same, at every place.
    script = f"""{_PREAMBLE}
os.fsync = lambda descriptor: None
folder, k = sys.argv[1], 0
held = []
while True:
    k += 1
    write_folder(folder, {KIND!r}, *content(1, 500))
    child = os.fork()
    if not child:
        seen = 0
        def local(frame, event, argument):
            global seen
            if event == "opcode":
                seen += 1
                if seen == k:
                    os._exit(9)
            return local
        def start(frame, event, argument):
            if frame.f_code.co_filename != _folder.__file__:
                return None
            frame.f_trace = local  # Python 3.13 takes the next line only for a frame that is traced already
            frame.f_trace_opcodes = True
            return local
        # Python 3.12 reports instructions only if a frame has asked for them before settrace.
        sys._getframe().f_trace_opcodes = True
        sys.settrace(start)
        write_folder(folder, {KIND!r}, *content(2, 500))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    state, tensors = read_folder(folder, {KIND!r})
    assert tensors["w"].tolist() == [state["tag"]] * 500, k
    held.append(state["tag"])
    if code == 0:
        break
    assert code == 9, code
    assert k < 5000
print(len(held), held == sorted(held), set(held) == {{1, 2}}, len(os.listdir(folder)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "saved")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    n_places, in_order, both, n_files = done.stdout.split()
    assert int(n_places) > 100
    # Up to one moment it is the old one, from then on the new one.
    assert (in_order, both, n_files) == ("True", "True", "3")


def test_two_writers_and_a_reader__the_folder_is_always_whole(tmp_path):
    folder = tmp_path / "shared"
    write_folder(folder, "Thing", {"n": -1}, {"x": np.full(1000, -1.0)})
    failures = []

    def write(n):
        for _ in range(10):
            try:
                write_folder(folder, "Thing", {"n": n}, {"x": np.full(1000, float(n))})
            except Exception as error:
                failures.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        state, tensors = read_folder(folder, "Thing")
        assert (tensors["x"] == state["n"]).all()
    assert failures == []
    assert read_folder(folder, "Thing")[0]["n"] in (0, 1)
    assert len(list(folder.iterdir())) == 3
