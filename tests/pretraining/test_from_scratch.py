"""Models from random weights, and vocabularies that are learned from texts."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertJapaneseTokenizer, PreTrainedTokenizerFast

from skbert import LayerPoolFeaturizer, MaskedLanguageModel, MaxPoolBERTClassifier
from skbert.datasets import load_helpdesk
from skbert.encoder import load_encoder, tokenizer_from_files
from skbert.pretraining._from_scratch import check_architecture, learn_tokenizer
from skbert.text import _words
from tests.helpers.masked import TEXTS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"n_layers": 2, "width": 32, "n_heads": 4, "ffn_width": 64}


def scratch(folder="nowhere", **parameters):
    settings = {"architecture": SMALL, "max_steps": 3, "batch_size": 8, "learning_rate": 1e-2, "random_state": 0}
    return MaskedLanguageModel(folder, device="cpu", **settings | parameters)


# ---------------------------------------------------------------- architecture


def test_check_architecture__defaults__are_those_of_bert():
    found = check_architecture({"n_layers": 3, "width": 256})
    assert (found.n_heads, found.ffn_width, found.mixers) == (4, 1024, ("attention",) * 3)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (4, "architecture must be None or a dict"),
        ({"width": 32}, "architecture must say n_layers"),
        ({**SMALL, "depth": 3}, "has no entry 'depth'"),
        ({**SMALL, "n_layers": 0}, "n_layers of architecture must be an int of at least 1"),
        ({**SMALL, "n_heads": 5}, "n_heads=5 of architecture must divide width=32"),
        ({**SMALL, "mixers": ["attention", "convolution"]}, "mixers of architecture must be a list of words"),
        ({**SMALL, "mixers": "pooling"}, "mixers of architecture must be a list of words"),
        ({**SMALL, "mixers": ["pooling"]}, "one word for each of 2 layers, got 1"),
    ],
)
def test_fit__wrong_architecture__is_named(tiny, architecture, message):
    with pytest.raises(ValueError, match=message):
        scratch(tiny(), architecture=architecture).fit(TEXTS)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"vocabulary": 10}, "vocabulary must be None or an int of at least 100"),
        ({"vocabulary": "bert"}, "vocabulary must be None or an int of at least 100"),
        ({"vocabulary": 500, "architecture": None}, "vocabulary=500 needs an architecture"),
    ],
)
def test_fit__wrong_vocabulary__is_named(tiny, parameters, message):
    with pytest.raises(ValueError, match=message):
        scratch(tiny(), **parameters).fit(TEXTS)


def test_fit__tokenizer_of_a_model__starts_from_random_weights(tiny):
    mlm = scratch(tiny()).fit(TEXTS)
    config = mlm._fitted.blueprint.config
    assert config["model_type"] == "bert"
    assert (config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]) == (2, 32, 64)
    assert config["vocab_size"] == len(load_encoder(tiny()).tokenizer)
    assert mlm.count_layers() == scratch(tiny()).count_layers() == 2
    again, other = scratch(tiny()).fit(TEXTS), scratch(tiny(), random_state=1).fit(TEXTS)
    assert again.loss_curve_ == mlm.loss_curve_ != other.loss_curve_


def test_fit__attention_in_every_layer__is_bert(tiny):
    mixed = scratch(tiny(), architecture={**SMALL, "mixers": ["attention", "attention"]}).fit(TEXTS)
    assert mixed.loss_curve_ == scratch(tiny()).fit(TEXTS).loss_curve_


@pytest.mark.parametrize("drop_mask", [False, True])
def test_fit__pooling_layers__learn_and_leave_as_a_folder(tiny, tmp_path, texts, labels, drop_mask):
    architecture = {**SMALL, "mixers": ["pooling", "attention"]}
    mlm = scratch(tiny(), architecture=architecture, max_steps=60, drop_mask=drop_mask).fit(TEXTS)
    assert mlm.val_loss_curve_[-1] < mlm.val_loss_curve_[0]
    mlm.save(tmp_path / "saved")
    assert MaskedLanguageModel.load(tmp_path / "saved").score(TEXTS) == mlm.score(TEXTS)
    folder = tmp_path / "model"
    mlm.to_transformers(folder)
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
    ours = mlm._fitted.module(torch.device("cpu")).model
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, ours(**inputs).logits, rtol=1e-6, atol=1e-6)
    clf = MaxPoolBERTClassifier(str(folder), layers=1, max_epochs=1, device="cpu").fit(texts, labels)
    assert clf.predict(texts[:3]).shape == (3,)


def test_fit__long_texts__have_as_many_positions(tiny):
    texts = [" ".join(["lamp parcel"] * 140), *TEXTS]
    mlm = scratch(vocabulary=200, max_length=300).fit(texts)
    assert mlm._fitted.blueprint.max_length == 300


# ---------------------------------------------------------------- vocabulary


def test_learn_tokenizer__english__reads_words_of_the_texts_as_one_token():
    texts = load_helpdesk().data
    tokenizer, files = learn_tokenizer(texts, 1000, 128)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert len(tokenizer) == 1000
    assert tokenizer.tokenize("My PARCEL, please!") == ["my", "parcel", ",", "please", "!"]
    again = tokenizer_from_files(files)
    for text in texts[:20]:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    first, second = tokenizer("my parcel", "please"), tokenizer("my parcel")
    assert first["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert second["input_ids"] == first["input_ids"][:4]
    assert tokenizer.convert_ids_to_tokens(second["input_ids"]) == ["[CLS]", "my", "parcel", "[SEP]"]


def test_learn_tokenizer__twice__gives_the_same_vocabulary():
    texts = load_helpdesk().data
    first, second = (learn_tokenizer(texts, 500, 128)[0].get_vocab() for _ in range(2))
    assert first == second


def test_learn_tokenizer__japanese__divides_by_mecab():
    texts = load_helpdesk("ja").data
    tokenizer, files = learn_tokenizer(texts, 800, 64)
    assert isinstance(tokenizer, BertJapaneseTokenizer)
    words = tokenizer.word_tokenizer.tokenize(texts[0])
    assert len(words) > 2
    known = [word for word in words if word in tokenizer.get_vocab()]
    assert known
    assert set(known) <= set(tokenizer.tokenize(texts[0]))
    again = tokenizer_from_files(files)
    assert again(texts[0])["input_ids"] == tokenizer(texts[0])["input_ids"]


def test_learn_tokenizer__japanese_without_mecab__says_what_to_install(monkeypatch):
    texts = load_helpdesk("ja").data
    monkeypatch.setattr(_words, "mecab_dictionary", lambda: None)
    with pytest.raises(ImportError, match=r"skbert\[ja\]"):
        learn_tokenizer(texts, 800, 64)


def test_fit__japanese_from_scratch__masks_whole_words(tmp_path):
    texts = load_helpdesk("ja").data[:60]
    mlm = scratch(vocabulary=800, masking="whole_word").fit(texts)
    mlm.to_transformers(tmp_path)
    assert LayerPoolFeaturizer(str(tmp_path), device="cpu").fit_transform(texts[:2]).shape == (2, 32)
    assert np.isfinite(mlm.score(texts))


def test_fit__learned_vocabulary__no_model_is_read():
    mlm = scratch("nowhere at all", vocabulary=300).fit(TEXTS)
    assert mlm.score(TEXTS) < 0
    assert mlm.encoder_hashes()[0] != scratch("nowhere at all", vocabulary=300).encoder_hashes()[0]


def test_classifier__on_a_model_from_scratch__learns_its_vocabulary_from_its_texts(texts, labels):
    mlm = scratch(vocabulary=200)
    clf = MaxPoolBERTClassifier(mlm, layers=1, max_epochs=1, device="cpu", random_state=0).fit(texts, labels)
    assert clf.predict(texts[:3]).shape == (3,)
