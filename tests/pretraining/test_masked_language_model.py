"""The estimator as a user calls it: input, results, copies, folders."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from transformers import AutoModelForMaskedLM, AutoTokenizer, GPT2Config, GPT2Model

from skbert import LayerPoolFeaturizer, MaskedLanguageModel, MaxPoolBERTClassifier, ModelNotFoundError
from skbert.encoder import load_encoder
from tests.helpers.masked import TEXTS, write_with_head
from tests.helpers.tiny import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def quick(folder, **parameters):
    settings = {"max_steps": 5, "batch_size": 8, "learning_rate": 1e-3, "random_state": 0, "device": "cpu"}
    return MaskedLanguageModel(folder, **settings | parameters)


@pytest.fixture(scope="module")
def fitted(tiny):
    return quick(tiny()).fit(TEXTS)


# ---------------------------------------------------------------- results


def test_fit__attributes__have_their_lengths(fitted):
    assert fitted.n_iter_ == len(fitted.loss_curve_) == len(fitted.history_) == 5
    assert [row["step"] for row in fitted.history_] == [1, 2, 3, 4, 5]
    assert {"step", "train_loss", "learning_rate", "dur"} <= set(fitted.history_[0])
    assert len(fitted.val_loss_curve_) == 6
    assert fitted.n_features_in_ == 1
    assert fitted.training_status_ in ("converged", "underfit")


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"masking": "whole_word"},
        {"masking": "span", "mask_rate": 0.4},
        {"masking": "pmi"},
        {"mask_weights": "frequency"},
        {"mask_weights": "loss", "masking": "span"},
        {"drop_mask": True, "replacement": (1, 0, 0)},
    ],
)
def test_fit__same_seed__gives_the_same_model_and_leaves_the_generators_alone(tiny, parameters):
    state = torch.get_rng_state()
    first, again = (quick(tiny(), **parameters).fit(TEXTS) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.loss_curve_ == again.loss_curve_
    assert first.score(TEXTS) == again.score(TEXTS)
    assert quick(tiny(), random_state=1, **parameters).fit(TEXTS).loss_curve_ != first.loss_curve_


def test_score__texts__is_a_mean_over_masked_tokens(fitted):
    # One masked token in each of these texts, so the mean over tokens is the mean over texts.
    alone = [fitted.score([text]) for text in TEXTS[:6]]
    assert fitted.score(TEXTS[:6]) == pytest.approx(np.mean(alone), abs=1e-5)
    assert fitted.score(TEXTS[:6][::-1]) == pytest.approx(fitted.score(TEXTS[:6]), abs=1e-6)
    assert fitted.perplexity(TEXTS) == pytest.approx(np.exp(-fitted.score(TEXTS)))


def test_score__in_a_grid_search__compares_by_the_same_masks(tiny):
    grid = {"mask_rate": [0.15, 0.4], "masking": ["token", "span"]}
    search = GridSearchCV(quick(tiny()), grid, cv=2).fit(TEXTS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.score(TEXTS) < 0


@torch.no_grad()
def test_fill_mask__are_the_best_tokens_of_transformers(fitted, tmp_path):
    fitted.to_transformers(tmp_path)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    texts = ["the [MASK] is late and the [MASK]", "money", "[MASK] back"]
    with pytest.raises(ValueError, match=r"mask token '\[MASK\]' at least once; row 1 does not \(1 of 3 rows\)"):
        fitted.fill_mask(texts)
    found = fitted.fill_mask(texts[::2], k=3)
    assert [len(text) for text in found] == [2, 1]
    for text, masks in zip(texts[::2], found, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        shares = model(**inputs).logits[0][inputs["input_ids"][0] == tokenizer.mask_token_id].softmax(dim=1)
        best = shares.topk(3)
        for tokens, values, ids in zip(masks, best.values, best.indices, strict=True):
            assert [token for token, _ in tokens] == tokenizer.convert_ids_to_tokens(ids.tolist())
            assert [share for _, share in tokens] == pytest.approx(values.tolist(), abs=1e-5)


def test_fill_mask__drop_mask__attends_to_no_mask_token(tiny):
    mlm = quick(tiny(), drop_mask=True).fit(TEXTS)
    texts = ["the [MASK] is late and the [MASK]"]
    before, plain = mlm.fill_mask(texts), quick(tiny()).fit(TEXTS)
    plain_before = plain.fill_mask(texts)
    for model in (mlm, plain):
        net = model._fitted.module(torch.device("cpu"))
        with torch.no_grad():
            # Another vector at the first mask token only: that of its position.
            net.runner.model.embeddings.position_embeddings.weight[2] += 5.0
    assert mlm.fill_mask(texts)[0][1] == before[0][1]
    assert plain.fill_mask(texts)[0][1] != plain_before[0][1]


@torch.no_grad()
def test_read_layers__are_accuracy_and_loss_of_the_head_of_transformers(tiny, tmp_path):
    mlm = quick(write_with_head(tmp_path / "start", tiny()), max_steps=1).fit(TEXTS)
    mlm.to_transformers(tmp_path / "model")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    states = model.bert(**inputs, output_hidden_states=True).hidden_states
    special = torch.isin(inputs["input_ids"], torch.tensor(tokenizer.all_special_ids))
    targets = inputs["input_ids"][~special]
    reading = mlm.read_layers(TEXTS)
    assert reading.accuracy.shape == reading.loss.shape == (5,)
    for depth, state in enumerate(states):
        logits = model.cls(state)[~special]
        assert reading.accuracy[depth] == pytest.approx(float((logits.argmax(1) == targets).float().mean()), abs=1e-6)
        assert reading.loss[depth] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), abs=1e-4)


def test_read_layers__identity_head_of_minilm__finds_the_tokens_in_the_embeddings(minilm):
    with pytest.warns(UserWarning, match="'minilm' is a sentence encoder"):
        mlm = MaskedLanguageModel(minilm, max_steps=1, random_state=0, device="cpu").fit(TEXTS)
    assert mlm.read_layers(TEXTS).accuracy[0] == 1.0


# ---------------------------------------------------------------- copies and folders


@torch.no_grad()
@pytest.mark.parametrize("head", ["identity", "random"])
@pytest.mark.parametrize("family", FAMILIES)
def test_to_transformers__every_family__loads_with_equal_logits(tiny, tmp_path, family, head):
    mlm = quick(tiny(family), head=head, max_steps=2, learning_rate=1e-2).fit(TEXTS)
    mlm.to_transformers(tmp_path)
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(tmp_path).eval(), AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(TEXTS[:1], return_tensors="pt")
    ours = mlm._fitted.module(torch.device("cpu")).model.eval()(**ids).logits
    torch.testing.assert_close(model(**ids).logits, ours, rtol=1e-6, atol=1e-6)
    assert LayerPoolFeaturizer(tmp_path).fit_transform(TEXTS[:2]).shape == (2, 32)
    # Training goes on from it, with its own output layer.
    again = quick(tmp_path, learning_rate=0.0, max_steps=1).fit(TEXTS)
    assert again.score(TEXTS) == pytest.approx(mlm.score(TEXTS), abs=1e-5)


def test_to_transformers__pooler__is_still_there(fitted, tmp_path):
    fitted.to_transformers(tmp_path)
    assert load_encoder(tmp_path).has_pooler


def test_to_transformers__file_in_the_way__is_refused(fitted, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="it is a file"):
        fitted.to_transformers(tmp_path / "file")


def test_copies__of_a_fitted_model__know_the_same(fitted, tmp_path):
    fitted.save(tmp_path)
    score, tokens = fitted.score(TEXTS), fitted.fill_mask(["the [MASK]"])
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted), MaskedLanguageModel.load(tmp_path)):
        assert again.score(TEXTS) == score
        assert again.fill_mask(["the [MASK]"]) == tokens
        assert again.get_params() == fitted.get_params()
        assert (again.history_, again.unigram_loss_) == (fitted.history_, fitted.unigram_loss_)
    assert not hasattr(clone(fitted), "n_iter_")


def test_save__weights__stand_there_once(fitted, tmp_path):
    fitted.save(tmp_path)
    size = sum(file.stat().st_size for file in Path(tmp_path).glob("*.safetensors"))
    model = fitted._fitted.module(torch.device("cpu")).model
    assert size < 4 * sum(p.numel() for p in model.parameters()) * 1.2 + 8192


# ---------------------------------------------------------------- input


@pytest.mark.parametrize(
    "X",
    [
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object)[:, None],
        pd.Series(TEXTS),
        pd.DataFrame({"t": TEXTS}),
    ],
)
def test_fit__any_container__reads_the_same_texts(tiny, fitted, X):
    assert quick(tiny()).fit(X).loss_curve_ == fitted.loss_curve_


def test_fit__pairs_of_texts__are_learned_from(tiny):
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    mlm = quick(tiny()).fit(pairs)
    assert mlm.n_features_in_ == 2
    assert mlm.score(pairs) < 0
    with pytest.raises(ValueError, match="X holds single texts, but the model learns from pairs of texts"):
        mlm.score(TEXTS)


def test_fit__extra_texts__are_learned_from_too(tiny):
    together = quick(tiny()).fit([*TEXTS[:12], *TEXTS[12:]])
    assert quick(tiny(), extra_texts=TEXTS[12:]).fit(TEXTS[:12]).loss_curve_ == together.loss_curve_


def test_fit__empty_texts__are_left_out(tiny, fitted):
    mlm = quick(tiny(), validation_fraction=0).fit(["", *TEXTS, " "])
    assert mlm.loss_curve_ == quick(tiny(), validation_fraction=0).fit(TEXTS).loss_curve_
    assert mlm.score(["", *TEXTS]) == pytest.approx(mlm.score(TEXTS), abs=1e-6)


def test_fit__long_texts__are_cut_with_one_warning(tiny):
    with pytest.warns(UserWarning, match=r"24 of 24 texts are longer than max_length=4 tokens and were cut") as caught:
        quick(tiny(), max_length=4).fit([f"{text} and more" for text in TEXTS])
    assert sum("were cut" in str(warning.message) for warning in caught) == 1


def test_fit__encoder_that_takes_less_than_max_length__is_the_limit(tiny):
    mlm = quick(tiny(), max_length=128).fit(TEXTS)
    assert mlm._fitted.blueprint.max_length == 64


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mask_rate": 0}, r"mask_rate must be a float in \(0, 1\)"),
        ({"mask_rate": 1.0}, r"mask_rate must be a float in \(0, 1\)"),
        ({"masking": "words"}, "masking must be one of"),
        ({"mask_weights": "rare"}, "mask_weights must be None, one of"),
        ({"replacement": (0.8, 0.1)}, "three shares that sum to 1"),
        ({"replacement": (0.8, 0.1, 0.2)}, "three shares that sum to 1"),
        ({"replacement": "mask"}, "three shares that sum to 1"),
        ({"replacement": (1.5, -0.5, 0)}, "three shares that sum to 1"),
        ({"head": "tied"}, "head must be one of"),
        ({"drop_mask": 1}, "drop_mask must be True or False"),
        ({"max_steps": 0}, "max_steps must be an int of at least 1"),
        ({"batch_size": 0}, "batch_size must be an int of at least 1"),
        ({"max_length": 2}, "max_length must be an int of at least 3"),
        ({"learning_rate": -1}, "learning_rate must be a float"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a float"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be an int"),
        ({"early_stopping": None}, "early_stopping must be True or False"),
        ({"random_state": -1}, "random_state must be None"),
        ({"device": "tpu"}, "device must be"),
        ({"precision": "fp8"}, "precision must be"),
        ({"revision": 3}, "revision must be None or a str"),
        ({"early_stopping": True, "validation_fraction": 0}, "early_stopping=True needs held-out texts"),
        ({"extra_texts": "one text"}, "string object received"),
        ({"extra_texts": [("a", "b")]}, "extra_texts holds pairs of texts"),
    ],
)
def test_fit__wrong_parameter__is_named(tiny, parameters, message):
    with pytest.raises(ValueError, match=message):
        quick(tiny(), **parameters).fit(TEXTS)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "0 sample"),
        ("a text", ValueError, "string object received"),
        (["a", None], ValueError, "row 1"),
        (["a", 3], TypeError, "row 1"),
        (["", " "], ValueError, "None of the .* texts has a token that can be masked"),
    ],
)
def test_fit__wrong_texts__are_named(tiny, X, error, message):
    with pytest.raises(error, match=message):
        quick(tiny(), validation_fraction=0).fit(X)


def test_fit__gpt__is_refused(tiny, tmp_path):
    GPT2Model(GPT2Config(vocab_size=200, n_embd=16, n_layer=1, n_head=2, n_positions=32)).save_pretrained(tmp_path)
    load_encoder(tiny()).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not predict masked tokens"):
        quick(tmp_path).fit(TEXTS)


@pytest.mark.parametrize("architecture", [None, {"n_layers": 1, "width": 16, "n_heads": 2}])
def test_fit__tokenizer_without_mask_token__is_refused(tiny, tmp_path, architecture):
    loaded = load_encoder(tiny())
    loaded.model.save_pretrained(tmp_path)
    type(loaded.tokenizer).from_pretrained(tiny(), mask_token=None).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no mask token, so no token can be hidden"):
        quick(tmp_path, architecture=architecture).fit(TEXTS)


def test_fit__verbose__shows_the_steps(tiny, capsys):
    quick(tiny(), verbose=1).fit(TEXTS)
    assert "pretraining" in capsys.readouterr().err
    quick(tiny()).fit(TEXTS)
    assert not capsys.readouterr().err


def test_fit__unknown_model__is_refused():
    with pytest.raises(ModelNotFoundError):
        quick("./nowhere").fit(TEXTS)


def test_fit__drop_mask_in_a_family_of_transformers__is_refused(tiny):
    with pytest.raises(NotImplementedError, match=r"drop_mask=True .* not 'deberta-v2'"):
        quick(tiny("deberta-v2"), drop_mask=True).fit(TEXTS)


@pytest.mark.parametrize("method", ["score", "perplexity", "fill_mask", "read_layers", "to_transformers", "save"])
def test_methods__before_fit__are_refused(tiny, method):
    with pytest.raises(NotFittedError):
        getattr(quick(tiny()), method)(TEXTS)


def test_score__only_empty_texts__is_refused(fitted):
    with pytest.raises(ValueError, match="None of the 2 texts has a token that can be masked"):
        fitted.score(["", ""])


def test_fit__failure__leaves_the_last_fit(tiny):
    mlm = quick(tiny()).fit(TEXTS)
    score = mlm.score(TEXTS)
    with pytest.raises(ValueError, match="None of the"):
        mlm.fit(["", ""])
    assert mlm.score(TEXTS) == score


def test_to_transformers__folder__is_fine_tuned(fitted, tmp_path, texts, labels):
    fitted.to_transformers(tmp_path)
    clf = MaxPoolBERTClassifier(str(tmp_path), layers=1, max_epochs=1, device="cpu", random_state=0).fit(texts, labels)
    assert clf.predict(texts[:2]).shape == (2,)
