"""Frozen layers: they stay as they are, and running them once gives what running them always gives."""

import numpy as np
import pytest
import torch
from transformers import AutoModel

from skbert import FeatureStore, MaxPoolBERTClassifier
from skbert.encoder import load_encoder
from skbert.encoder.families._post_ln import BertRunner
from skbert.training import _frozen_prefix
from tests.helpers.tiny import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("n_frozen", "layers"), [(2, 3), (3, (0, 2, 4)), (4, 2)])
@pytest.mark.parametrize("token_pooling", ["cls", "mha"])
def test_frozen__cached_and_uncached_training_are_the_same(
    tiny, texts, labels, quick, family, n_frozen, layers, token_pooling, monkeypatch
):
    if family == "albert" and n_frozen == 3:
        n_frozen = 2  # its layers 2 and 3 are one
    parameters = {**quick, "layers": layers, "token_pooling": token_pooling, "freeze_layers": n_frozen}
    fits = {}
    for name, limit in (("cached", 2**40), ("uncached", 0)):
        monkeypatch.setattr(_frozen_prefix, "_MAX_BYTES", limit)
        fits[name] = MaxPoolBERTClassifier(tiny(family), **parameters).fit(
            texts, labels, X_val=texts[:5], y_val=labels[:5]
        )
    np.testing.assert_allclose(fits["cached"].loss_curve_, fits["uncached"].loss_curve_, atol=1e-6)
    valid = {name: [row["valid_loss"] for row in clf.history_] for name, clf in fits.items()}
    np.testing.assert_allclose(valid["cached"], valid["uncached"], atol=1e-6)
    np.testing.assert_allclose(fits["cached"].predict_proba(texts), fits["uncached"].predict_proba(texts), atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "modernbert", "deberta-v2", "distilbert"])
def test_frozen__only_the_layers_above_change(tiny, texts, labels, quick, family):
    clf = MaxPoolBERTClassifier(tiny(family), **quick, freeze_layers=2).fit(texts, labels)
    before, after = AutoModel.from_pretrained(tiny(family)).state_dict(), clf._fitted.tensors()
    changed = {
        name
        for name in before
        if f"encoder.{name}" in after and (before[name].numpy() != after[f"encoder.{name}"]).any()
    }
    assert changed
    for name in changed:
        index = next((int(part) for part in name.split(".") if part.isdigit()), None)
        assert name.startswith("final_norm") or index >= 2, name


@pytest.fixture
def n_tokens(monkeypatch):
    """How many tokens went through each layer so far."""
    counts = dict.fromkeys(range(4), 0)
    layer = BertRunner.layer

    def counting(self, index, state, context, cls_only=False):
        counts[index] += len(state)
        return layer(self, index, state, context, cls_only)

    monkeypatch.setattr(BertRunner, "layer", counting)
    return counts


def _tokens_of(folder, texts):
    tokenizer = load_encoder(folder).tokenizer
    return sum(len(tokenizer(text)["input_ids"]) for text in texts)


def test_frozen__each_distinct_text_goes_through_the_frozen_layers_once(tiny, texts, labels, quick, n_tokens):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 5}, freeze_layers=3)
    clf.fit(texts * 2, np.tile(labels, 2), X_val=texts, y_val=labels)
    once = _tokens_of(tiny(), texts)
    # Above: twice every text in five epochs and in the look back at the end, and the validation data every epoch.
    assert n_tokens == {0: once, 1: once, 2: once, 3: 5 * 2 * once + 2 * once + 5 * once}


def test_frozen__states_are_used_again_over_folds_and_seeds(tiny, texts, labels, quick, n_tokens):
    clf = MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=3)
    for seed in range(3):
        for train in (slice(0, None, 2), slice(1, None, 2), slice(None)):
            clf.set_params(random_state=seed).fit(texts[train], labels[train])
    once = _tokens_of(tiny(), texts)
    assert [n_tokens[index] for index in range(3)] == [once] * 3


def test_frozen__states_that_an_earlier_fit_left_give_the_same_curve(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "layers": (1, 4)}, freeze_layers=2)
    cold = clf.fit(texts, labels).loss_curve_
    assert FeatureStore().n_bytes > 0
    assert clf.fit(texts, labels).loss_curve_ == cold


@pytest.mark.parametrize("change", ["depth", "encoder", "layers", "max_length"])
def test_frozen__states_of_another_encoder_depth_or_length_are_not_taken(tiny, texts, labels, quick, change):
    quick = {**quick, "layers": 1, "freeze_layers": 2}
    changes = {"depth": {"freeze_layers": 3}, "layers": {"layers": (1, 4)}, "max_length": {"max_length": 5}}
    other = changes.get(change, {})
    model = tiny("bert", seed=1) if change == "encoder" else tiny()
    expected = MaxPoolBERTClassifier(model, **{**quick, **other}).fit(texts, labels).loss_curve_
    FeatureStore().clear()
    MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    assert MaxPoolBERTClassifier(model, **{**quick, **other}).fit(texts, labels).loss_curve_ == expected


def test_frozen__a_warm_start_that_trained_the_layers_does_not_take_the_states_of_before(tiny, texts, labels, quick):
    def second_fit(clear):
        clf = MaxPoolBERTClassifier(tiny(), **quick, warm_start=True).fit(texts, labels)
        MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=3).fit(texts, labels)
        if clear:
            FeatureStore().clear()
        return clf.set_params(freeze_layers=3).fit(texts, labels).loss_curve_

    assert second_fit(clear=False) == second_fit(clear=True)


def test_frozen__all_layers_leave_only_the_head_to_train(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 30}, freeze_layers=4).fit(texts, labels)
    assert clf.training_status_ == "converged"
    before, after = AutoModel.from_pretrained(tiny()).state_dict(), clf._fitted.tensors()
    assert all((before[name[8:]].numpy() == after[name]).all() for name in after if name.startswith("encoder."))


def test_frozen__may_be_thawed_in_a_warm_start(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=4, warm_start=True).fit(texts, labels)
    frozen = clf._fitted.tensors()["encoder.encoder.layer.0.output.dense.weight"]
    clf.set_params(freeze_layers=0).fit(texts, labels)
    assert (clf._fitted.tensors()["encoder.encoder.layer.0.output.dense.weight"] != frozen).any()


@pytest.mark.parametrize("bad", [-1, 5, 1.5, "all", True, None])
def test_frozen__wrong_numbers_are_refused(tiny, texts, labels, quick, bad):
    with pytest.raises(ValueError, match="freeze_layers"):
        MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=bad).fit(texts, labels)


def test_frozen__layers_that_share_weights_are_frozen_together_or_not_at_all(tiny, texts, labels, quick):
    with pytest.raises(ValueError, match="share their weights"):
        MaxPoolBERTClassifier(tiny("albert"), **quick, freeze_layers=3).fit(texts, labels)


def test_frozen__on_several_cores__states_that_are_there_already(tiny, texts, labels, quick):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        clf = MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=2)
        first = clf.fit(texts, labels, X_val=texts[:5], y_val=labels[:5]).loss_curve_
        assert clf.fit(texts, labels, X_val=texts[:5], y_val=labels[:5]).loss_curve_ == pytest.approx(first, abs=1e-6)
    finally:
        torch.set_num_threads(before)
