"""The feature store: nothing is computed twice, nothing damaged is served, and nothing is lost."""

import itertools
import json
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skbert import FeatureStore, LayerPoolFeaturizer
from skbert.encoder import LayerRunner, load_encoder
from skbert.encoder.families import _registry
from skbert.pooling import LAYER_POOLINGS, TOKEN_POOLINGS, records_of
from skbert.text import Layout
from tests.helpers.tiny import FAMILIES

# Every point of the plane that needs no training.
POINTS = list(
    itertools.product(
        [1, 3, (0, 2), (-1, 1, 0)],
        [name for name, pooling in LAYER_POOLINGS.items() if not pooling.learns],
        [name for name, pooling in TOKEN_POOLINGS.items() if not pooling.learns],
    )
)


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    """Both kinds of store, empty."""
    return "memory" if request.param == "memory" else str(tmp_path / "store")


@pytest.fixture
def n_encoded(monkeypatch):
    """Counts the texts that go through an encoder, whoever sends them."""
    count = [0]
    hidden_states = LayerRunner.hidden_states

    def counting(self, batch, *arguments, **options):
        count[0] += len(batch)
        return hidden_states(self, batch, *arguments, **options)

    monkeypatch.setattr(LayerRunner, "hidden_states", counting)
    return count


def _segments(folder):
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".safetensors"))


@pytest.mark.parametrize("family", FAMILIES)
def test_store__every_point_of_the_pooling_plane_from_one_forward(tiny, texts, store, family, n_encoded):
    folder = tiny(family)
    for layers, layer_pooling, token_pooling in POINTS:
        point = {"layers": layers, "layer_pooling": layer_pooling, "token_pooling": token_pooling}
        stored = LayerPoolFeaturizer(folder, **point, store=store).fit_transform(texts)
        assert n_encoded[0] == len(texts)
        again = LayerPoolFeaturizer(folder, **point, store=store).fit_transform(texts)
        np.testing.assert_array_equal(stored, again)
        n_before = n_encoded[0]
        plain = LayerPoolFeaturizer(folder, **point).fit_transform(texts)
        n_encoded[0] = n_before
        np.testing.assert_allclose(stored, plain, atol=1e-5)


def test_store__a_family_of_unknown_layers_is_stored_too(tiny, texts, store, monkeypatch):
    monkeypatch.setattr(_registry, "_runners", dict)
    plain = LayerPoolFeaturizer(tiny(), layers=2, layer_pooling="max").fit_transform(texts)
    for _ in range(2):
        stored = LayerPoolFeaturizer(tiny(), layers=2, layer_pooling="max", store=store).fit_transform(texts)
        np.testing.assert_allclose(stored, plain, atol=1e-5)


def test_store__a_grid_search_encodes_each_distinct_text_once(tiny, texts, labels, store, n_encoded):
    grid = {"read__layers": [1, 2, 3, 4], "read__token_pooling": ["cls", "mean", "max"]}
    pipeline = Pipeline([("read", LayerPoolFeaturizer(tiny(), store=store)), ("head", LogisticRegression())])
    X = texts + texts[:5]
    y = np.concatenate([labels, labels[:5]])
    search = GridSearchCV(pipeline, grid, cv=5).fit(X, y)
    assert n_encoded[0] == len(texts)
    plain = GridSearchCV(clone(pipeline).set_params(read__store=None), grid, cv=5).fit(X, y)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])


def test_store__a_grid_search_on_minilm_encodes_each_distinct_text_once(minilm, n_encoded, store):
    X = [
        f"my {thing} number {i} is {state}"
        for i, thing in enumerate(["parcel", "bill"] * 5)
        for state in ("late", "lost")
    ]
    y = np.array(["late", "lost"] * 10)
    grid = {"read__layers": [1, 2, 3, 4, 5, 6], "read__token_pooling": ["cls", "mean", "max"]}
    pipeline = Pipeline([("read", LayerPoolFeaturizer(minilm, store=store)), ("head", LogisticRegression())])
    GridSearchCV(pipeline, grid, cv=5).fit(X, y)
    assert n_encoded[0] == 20


def test_store__only_new_texts_are_computed(tiny, texts, store, n_encoded):
    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(texts)
    featurizer.transform(texts[:10])
    expected = LayerPoolFeaturizer(tiny()).fit(texts).transform(texts[5:] + texts[:2])
    n_encoded[0] = 0
    np.testing.assert_allclose(featurizer.transform(texts[5:] + texts[:2]), expected, atol=1e-5)
    assert n_encoded[0] == len(texts) - 10


def test_store__texts_of_equal_tokens_share_one_entry(tiny, store, n_encoded):
    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(["x"])
    result = featurizer.transform(["My Parcel", "my parcel", "MY PARCEL", "my parcel"])
    assert n_encoded[0] == 1
    assert (result == result[0]).all()


def test_store__pairs_and_the_texts_they_are_made_of_are_different(tiny, store, n_encoded):
    pairs = [("my parcel", "late"), ("my", "parcel late")]
    single = ["my parcel late"]
    both = LayerPoolFeaturizer(tiny(), store=store).fit_transform(pairs)
    alone = LayerPoolFeaturizer(tiny(), store=store).fit_transform(single)
    assert n_encoded[0] == 3
    np.testing.assert_allclose(both, LayerPoolFeaturizer(tiny()).fit_transform(pairs), atol=1e-5)
    np.testing.assert_allclose(alone, LayerPoolFeaturizer(tiny()).fit_transform(single), atol=1e-5)


@pytest.mark.parametrize("change", ["weights", "tokenizer", "max_length", "precision", "config"])
@pytest.mark.filterwarnings("ignore:.*were cut")
def test_store__what_changes_the_features_changes_the_key(tiny, tmp_path, texts, store, change):
    first, parameters = tiny(), {}
    other = first
    if change == "weights":
        other = tiny(seed=1)
    elif change == "max_length":
        parameters["max_length"] = 4
    elif change == "precision":
        parameters["precision"] = "bf16"
    else:
        other = _altered_copy(first, tmp_path / "altered", change)
    LayerPoolFeaturizer(first, store=store).fit_transform(texts)
    expected = LayerPoolFeaturizer(other, **parameters).fit_transform(texts)
    np.testing.assert_allclose(
        LayerPoolFeaturizer(other, **parameters, store=store).fit_transform(texts), expected, atol=1e-5
    )
    assert np.abs(expected - LayerPoolFeaturizer(first, store=store).fit_transform(texts)).max() > 1e-4


def _altered_copy(folder, altered, change):
    """An encoder with the same weights, but another tokenizer or activation."""
    shutil.copytree(folder, altered)
    if change == "config":
        config = json.loads((altered / "config.json").read_text())
        (altered / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    else:
        tokenizer = json.loads((altered / "tokenizer.json").read_text())
        vocab = tokenizer["model"]["vocab"]
        vocab["parcel"], vocab["late"] = vocab["late"], vocab["parcel"]
        (altered / "tokenizer.json").write_text(json.dumps(tokenizer))
    return str(altered)


def test_store__a_second_name_of_one_encoder_shares_what_is_stored(tiny, tmp_path, texts, store, n_encoded):
    LayerPoolFeaturizer(tiny(), store=store).fit_transform(texts)
    copy = shutil.copytree(tiny(), tmp_path / "copy")
    LayerPoolFeaturizer(str(copy), store=store, max_length=50).fit_transform(texts)
    assert n_encoded[0] == len(texts)


def test_store__cut_texts_are_warned_of_each_time(tiny, texts, store):
    featurizer = LayerPoolFeaturizer(tiny(), max_length=4, store=store)
    for _ in range(2):
        with pytest.warns(UserWarning, match="were cut"):
            featurizer.fit_transform(texts)


def test_store__bf16_states_are_stored_as_they_were_computed(tiny, texts, store):
    featurizer = LayerPoolFeaturizer(tiny(), layers=2, layer_pooling="max", precision="bf16", store=store)
    cold, warm = featurizer.fit_transform(texts), featurizer.fit_transform(texts)
    np.testing.assert_array_equal(cold, warm)
    plain = LayerPoolFeaturizer(tiny(), layers=2, layer_pooling="max", precision="bf16").fit_transform(texts)
    np.testing.assert_allclose(cold, plain, atol=0.05)


def test_store__featurizer_with_a_store_is_pickled_cloned_saved(tiny, texts, store, tmp_path, n_encoded):
    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(texts)
    expected = featurizer.transform(texts)
    n_encoded[0] = 0
    featurizer.save(tmp_path / "saved")
    for other in (
        pickle.loads(pickle.dumps(featurizer)),
        LayerPoolFeaturizer.load(tmp_path / "saved"),
        clone(featurizer).fit(texts),
    ):
        assert other.store == store
        np.testing.assert_array_equal(other.transform(texts), expected)
    assert n_encoded[0] == 0


# Damage


def _damaged_store(folder, content, path):
    """A folder with one damaged segment, of which this process knows nothing yet."""
    folder.mkdir()
    (folder / os.path.basename(path)).write_bytes(content)
    return folder


def test_store__any_flipped_byte_is_found_and_recomputed(tiny, texts, tmp_path, n_encoded):
    first = tmp_path / "first"
    featurizer = LayerPoolFeaturizer(tiny(), layers=(0, 1, 2, 3, 4), layer_pooling="max", store=first).fit(texts)
    expected = featurizer.transform(texts)
    (path,) = _segments(first)
    with open(path, "rb") as file:
        content = file.read()
    place = random.Random(0)
    # The table stands in front of the data; both are aimed at.
    positions = [place.randrange(4000) for _ in range(40)] + [place.randrange(len(content)) for _ in range(40)]
    n_encoded[0] = 0
    for i, position in enumerate(positions):
        damaged = bytearray(content)
        damaged[position] ^= 1 << place.randrange(8)
        featurizer.set_params(store=_damaged_store(tmp_path / str(i), damaged, path))
        np.testing.assert_array_equal(featurizer.transform(texts), expected)
    # Some flips hit summaries, which this point of the pooling plane does not read; the others were all noticed.
    assert n_encoded[0] >= 50 * len(texts)


def test_store__a_byte_flipped_under_a_running_process_is_found(tiny, texts, tmp_path, n_encoded):
    featurizer = LayerPoolFeaturizer(tiny(), layers=4, layer_pooling="max", store=tmp_path).fit(texts)
    expected = featurizer.transform(texts)
    (path,) = _segments(tmp_path)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)  # the last number of the last state, which is read
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 64]))
    n_encoded[0] = 0
    np.testing.assert_array_equal(featurizer.transform(texts), expected)
    assert n_encoded[0] == len(texts)
    np.testing.assert_array_equal(featurizer.transform(texts), expected)
    assert n_encoded[0] == len(texts)


@pytest.mark.parametrize("length", [0, 3, 100, 3000, -1])
def test_store__a_torn_segment_is_found_and_recomputed(tiny, texts, tmp_path, length):
    first = tmp_path / "first"
    featurizer = LayerPoolFeaturizer(tiny(), layers=3, layer_pooling="max", store=first).fit(texts)
    expected = featurizer.transform(texts)
    (path,) = _segments(first)
    os.truncate(path, length if length >= 0 else os.path.getsize(path) - 1)
    with open(path, "rb") as file:
        torn = file.read()
    np.testing.assert_array_equal(featurizer.transform(texts), expected)
    featurizer.set_params(store=_damaged_store(tmp_path / "unknown", torn, path))
    np.testing.assert_array_equal(featurizer.transform(texts), expected)


_WRITE_FOREVER = """
import itertools, os, sys
from skbert import LayerPoolFeaturizer
def replace(*arguments, replace=os.replace):
    print("replacing", flush=True)
    replace(*arguments)
featurizer = LayerPoolFeaturizer(sys.argv[1], store=sys.argv[2]).fit(["a"])
os.replace = replace
for i in itertools.count():
    featurizer.transform([f"parcel {i} {k}" for k in range(8)])
    print("done", flush=True)
"""


def test_store__killed_while_writing__the_next_process_reads_and_writes_rightly(tiny, tmp_path):
    X = [f"parcel {i} {k}" for i in range(40) for k in range(8)]
    expected = LayerPoolFeaturizer(tiny()).fit(["a"]).transform(X)
    for place in ("done", "replacing"):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOREVER, tiny(), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4):
            assert f"{place}\n" in iter(writer.stdout.readline, "")
        writer.kill()
        writer.wait()
        writer.stdout.close()
        featurizer = LayerPoolFeaturizer(tiny(), store=tmp_path).fit(["a"])
        np.testing.assert_allclose(featurizer.transform(X), expected, atol=1e-5)


def test_store__killed_in_the_middle_of_a_segment__nothing_half_written_is_served(tiny, texts, tmp_path, monkeypatch):
    # What a kill leaves in the middle of a write: a file under its temporary name.
    featurizer = LayerPoolFeaturizer(tiny(), store=tmp_path).fit(texts)
    expected = featurizer.transform(texts)
    (path,) = _segments(tmp_path)
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    leftover = tmp_path / "segment-0123456789abcdef.part"
    leftover.write_bytes(content[: len(content) // 2])
    np.testing.assert_array_equal(featurizer.transform(texts), expected)
    assert leftover.exists()  # a writer may still be at it
    os.utime(leftover, (0, 0))
    featurizer.transform(["another text"])
    assert not leftover.exists()


# Several at once


def _encode_and_compare(arguments):
    folder, store, seed = arguments
    rng = np.random.default_rng(seed)
    featurizer = LayerPoolFeaturizer(folder, store=store, layers=2, layer_pooling="max").fit(["a"])
    plain = LayerPoolFeaturizer(folder, layers=2, layer_pooling="max").fit(["a"])
    worst = 0.0
    for _ in range(15):
        X = [f"parcel {i}" for i in rng.integers(0, 60, size=12)]
        worst = max(worst, float(np.abs(featurizer.transform(X) - plain.transform(X)).max()))
    return worst


def test_store__two_processes_write_read_and_evict_at_once(tiny, tmp_path):
    # So small that each process takes segments away that the other is about to read.
    FeatureStore(tmp_path, max_bytes=200_000)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        worst = pool.map(_encode_and_compare, [(tiny(), str(tmp_path), seed) for seed in range(2)], chunksize=1)
    assert max(worst) < 1e-5
    assert 0 < FeatureStore(tmp_path).n_bytes <= 200_000


def test_store__threads_share_it(tiny, texts, store):
    from concurrent.futures import ThreadPoolExecutor

    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(texts)
    expected = LayerPoolFeaturizer(tiny()).fit(texts).transform(texts)
    with ThreadPoolExecutor(4) as threads:
        for result in threads.map(lambda _: featurizer.transform(texts), range(12)):
            np.testing.assert_allclose(result, expected, atol=1e-5)


def test_store__workers_of_a_search_share_a_folder(tiny, texts, labels, tmp_path):
    pipeline = Pipeline([("read", LayerPoolFeaturizer(tiny(), store=tmp_path)), ("head", LogisticRegression())])
    grid = {"read__layers": [1, 2, 3, 4]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(texts, labels)
    plain = GridSearchCV(clone(pipeline).set_params(read__store=None), grid, cv=3).fit(texts, labels)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    assert len(FeatureStore(tmp_path)) == len(texts)


# Size


def test_store__bound_is_kept_and_the_least_recently_used_goes_first(tiny, texts, store, n_encoded):
    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(texts)
    for second, text in enumerate(texts[:8]):
        featurizer.transform([text])
        if second == 0:
            one = FeatureStore(store).n_bytes
        if store != "memory":
            # The clock of a file system may be too coarse to tell one use from the next.
            os.utime(max(_segments(store), key=os.path.getmtime), (second, second))
    featurizer.transform(texts[:1])
    FeatureStore(store, max_bytes=4 * one)
    assert FeatureStore(store).n_bytes <= 4 * one
    n_encoded[0] = 0
    featurizer.transform(texts[:1])
    assert n_encoded[0] == 0
    featurizer.transform(texts[1:2])
    assert n_encoded[0] == 1
    featurizer.transform(texts)
    assert FeatureStore(store).n_bytes <= 4 * one


@pytest.fixture(autouse=True)
def memory_bound_put_back():
    """The bound of the memory store outlives a test."""
    before = FeatureStore().max_bytes
    yield
    FeatureStore().max_bytes = before


def test_store__smaller_than_one_text__still_right(tiny, texts, store):
    FeatureStore(store, max_bytes=10)
    expected = LayerPoolFeaturizer(tiny()).fit(texts).transform(texts)
    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(texts)
    for _ in range(2):
        np.testing.assert_allclose(featurizer.transform(texts), expected, atol=1e-5)
    assert FeatureStore(store).n_bytes <= 10


def test_store__bytes_of_a_text_are_as_documented(tiny, store):
    LayerPoolFeaturizer(tiny(), store=store).fit_transform(["my parcel", "my late parcel came"])
    n_tokens = [len(load_encoder(tiny()).tokenizer(text)["input_ids"]) for text in ("my parcel", "my late parcel came")]
    n_numbers = sum(3 * 5 + 5 * n for n in n_tokens) * 32
    assert 4 * n_numbers <= FeatureStore(store).n_bytes <= 4 * n_numbers + 2000


def test_store__clear_and_len(tiny, texts, store):
    featurizer = LayerPoolFeaturizer(tiny(), store=store).fit(texts)
    featurizer.transform(texts)
    assert len(FeatureStore(store)) == len(texts)
    FeatureStore(store).clear()
    assert len(FeatureStore(store)) == 0
    assert FeatureStore(store).n_bytes == 0


def test_store__a_folder_remembers_its_bound(tmp_path):
    FeatureStore(tmp_path, max_bytes=12345)
    assert FeatureStore(tmp_path).max_bytes == 12345
    code = "import sys; from skbert import FeatureStore; print(FeatureStore(sys.argv[1]).max_bytes)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "12345"
    (tmp_path / "store.json").write_text("{damaged")
    assert FeatureStore(tmp_path).max_bytes > 12345


# Wrong stores


@pytest.mark.parametrize(
    ("store", "error", "message"),
    [(3, TypeError, "store"), (b"x", TypeError, "store"), ("", ValueError, "empty"), (True, TypeError, "store")],
)
def test_store__wrong_value__says_what_is_allowed(tiny, texts, store, error, message):
    with pytest.raises(error, match=message):
        LayerPoolFeaturizer(tiny(), store=store).fit(texts)


def test_store__path_of_a_file__says_so(tiny, texts, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        LayerPoolFeaturizer(tiny(), store=tmp_path / "file").fit(texts)


@pytest.mark.parametrize("max_bytes", [0, -1, 1.5, "1", True])
def test_store__wrong_bound__says_so(tmp_path, max_bytes):
    with pytest.raises(ValueError, match="max_bytes"):
        FeatureStore(tmp_path, max_bytes=max_bytes)


def test_store__folder_that_cannot_be_written__warns_and_goes_on(tiny, texts, tmp_path):
    # A file where the folder's parent should be; unlike permissions, this also stops the superuser.
    featurizer = LayerPoolFeaturizer(tiny(), store=tmp_path / "parent" / "store").fit(texts)
    (tmp_path / "parent").write_text("")
    expected = LayerPoolFeaturizer(tiny()).fit(texts).transform(texts)
    with pytest.warns(RuntimeWarning, match="cannot be"):
        result = featurizer.transform(texts)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_store__folder_that_cannot_be_written__warns_once(tiny, texts, tmp_path):
    featurizer = LayerPoolFeaturizer(tiny(), store=tmp_path / "parent" / "store").fit(texts)
    (tmp_path / "parent").write_text("")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for text in texts[:4]:
            featurizer.transform([text])
    assert len({str(warning.message) for warning in caught}) <= 2  # one for reading, one for writing


def test_store__a_segment_that_cannot_be_read__does_not_hide_the_others(tiny, texts, tmp_path, n_encoded):
    featurizer = LayerPoolFeaturizer(tiny(), store=tmp_path).fit(texts)
    featurizer.transform(texts)
    # A folder of that name is listed but cannot be opened; unlike permissions, this also stops a superuser.
    (tmp_path / f"segment-{'0' * 16}-{'0' * 8}.safetensors").mkdir()
    n_encoded[0] = 0
    featurizer.transform(texts)
    assert n_encoded[0] == 0


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_records__of_states_in_two_formats__are_kept_in_the_wider(kind, tmp_path):
    torch.manual_seed(0)
    layout = Layout((3, 5), torch.tensor([1, 0]))
    states = [torch.randn(8, 4).bfloat16(), torch.randn(8, 4)]
    records = dict(zip([b"a" * 16, b"b" * 16], records_of(states, layout), strict=True))
    store = FeatureStore("memory" if kind == "memory" else tmp_path)
    store.put(records)
    for key, record in records.items():
        (summary, low, high) = store.get([key], ["summary", "state 0", "state 1"])[key]
        assert summary.dtype == low.dtype == high.dtype == torch.float32
        torch.testing.assert_close(low, record["state 0"])
    torch.testing.assert_close(store.get([b"b" * 16], ["state 1"])[b"b" * 16][0], states[1][3:])


def test_store__foreign_files_in_the_folder_are_left_alone(tiny, texts, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "segment-mine.safetensors").write_bytes(b"mine")
    FeatureStore(tmp_path, max_bytes=1)
    LayerPoolFeaturizer(tiny(), store=tmp_path).fit_transform(texts)
    FeatureStore(tmp_path).clear()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "segment-mine.safetensors").read_bytes() == b"mine"


def test_store__a_relative_path_is_the_folder_it_named_at_fit(tiny, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LayerPoolFeaturizer(tiny(), store="features").fit_transform(texts)
    assert _segments(tmp_path / "features")


def test_store__a_segment_is_a_plain_safetensors_file(tiny, texts, tmp_path):
    from safetensors.numpy import load_file

    LayerPoolFeaturizer(tiny(), store=tmp_path).fit_transform(texts)
    tensors = load_file(_segments(tmp_path)[0])
    assert tensors["keys"].shape == (len(texts), 16)
    assert tensors["data"].shape == (tensors["n_rows"].sum(), 32)
