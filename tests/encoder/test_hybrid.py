"""HybridBERT: its pooling layers against a plain loop, and as a family like any other."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, SkipLayerProbe
from skbert.encoder import load_encoder, make_runner, new_masked_lm
from skbert.encoder.families._hybrid import PoolingMixer
from skbert.text import check_texts, collate, tokenize

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
MIXED = ["pooling", "attention", "pooling", "attention"]
TEXTS = ["the lamp is late", "money", "please, where is my parcel now", "why", "the code is bad"]
PAIRS = [("the lamp is late", "money"), ("why", "where is my parcel"), ("money", "the lamp is bad"), ("a", "b")]


@pytest.fixture(scope="module")
def hybrid(tiny, tmp_path_factory):
    """The folder of a small random HybridBERT with the tokenizer of the small BERT."""
    folder = tmp_path_factory.mktemp("hybrid")
    tokenizer = load_encoder(tiny()).tokenizer
    content = {"model_type": "hybridbert", "vocab_size": len(tokenizer), **SIZES, "mixers": MIXED}
    new_masked_lm(content, 0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def mixed_by_hand(mixer, states, special, segments, attended):
    """What a `PoolingMixer` makes of one text, (length, width), token by token."""

    def linear(part, x):
        return part.weight.detach().double().numpy() @ x + part.bias.detach().double().numpy()

    q, k, o, s, c = ([linear(part, x) for x in states] for part in (
        mixer.query, mixer.key, mixer.gate, mixer.segment, mixer.local,
    ))  # fmt: skip
    n, width = len(states), len(states[0])
    head = width // mixer.n_heads
    whole = np.zeros(width)
    for h in range(mixer.n_heads):
        part = slice(h * head, (h + 1) * head)
        mean = np.mean([q[i][part] for i in range(n) if attended[i]], axis=0)
        scores = {i: math.exp(mean @ k[i][part] / math.sqrt(head)) for i in range(n) if attended[i]}
        for i, score in scores.items():
            whole[part] += score / sum(scores.values()) * k[i][part]
    found = []
    for i in range(n):
        largest, near = np.zeros(width), np.zeros(width)
        if not special[i]:
            usable = [j for j in range(n) if attended[j] and not special[j]]
            own = [s[j] for j in usable if segments[j] == segments[i]]
            around = [c[j] for j in usable if abs(i - j) <= 1]
            largest = np.max(own, axis=0) if own else largest
            near = np.max(around, axis=0) if around else near
        found.append((whole + largest) * o[i] + near)
    return np.array(found)


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("texts", [TEXTS, PAIRS, ["", "a"]], ids=["texts", "pairs", "empty"])
@torch.no_grad()
def test_pooling_mixer__equals_a_plain_loop(hybrid, texts, dropped):
    loaded = load_encoder(hybrid)
    batch = collate(tokenize(check_texts(texts), loaded.tokenizer, 64), range(len(texts)))
    if dropped:  # every third token, so that some segments have none left
        attended = torch.arange(len(batch.input_ids)) % 3 != 1
        batch = replace(batch, attended=attended)
    runner = make_runner(loaded.model)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(len(batch.input_ids), 32, generator=generator)
    mixer = runner.layer_modules()[0].attention.self
    assert isinstance(mixer, PoolingMixer)
    found = mixer(state, runner.context(batch, batch.layout, state)).double().numpy()
    sep = loaded.tokenizer.sep_token_id
    for start, length in zip(batch.layout.cls_index.tolist(), batch.lengths, strict=True):
        own = slice(start, start + length)
        ids = batch.input_ids[own].tolist()
        special = [i == 0 or token == sep for i, token in enumerate(ids)]
        segments = np.cumsum([token == sep for token in ids])
        attended = [True] * length if batch.attended is None else batch.attended[own].tolist()
        expected = mixed_by_hand(mixer, state[own].double().numpy(), special, segments, attended)
        np.testing.assert_allclose(found[own], expected, rtol=1e-4, atol=1e-4)


def test_pooling_mixer__heads_that_do_not_divide_the_width__are_refused():
    with pytest.raises(ValueError, match="n_heads=3 must divide the width 32"):
        PoolingMixer(32, 3)


@torch.no_grad()
def test_attention_in_every_layer__is_bert(tiny):
    content = {"vocab_size": 131, **SIZES}
    ours = new_masked_lm({"model_type": "hybridbert", **content, "mixers": ["attention"] * 4}, 0)
    bert = BertForMaskedLM(BertConfig(**content)).eval()
    bert.load_state_dict(ours.state_dict())
    inputs = load_encoder(tiny()).tokenizer(TEXTS, padding=True, return_tensors="pt")
    kept = inputs["attention_mask"].bool()
    torch.testing.assert_close(ours(**inputs).logits[kept], bert(**inputs).logits[kept], rtol=1e-5, atol=1e-5)
    states = ours.bert(**inputs, output_hidden_states=True).hidden_states
    for found, expected in zip(states, bert.bert(**inputs, output_hidden_states=True).hidden_states, strict=True):
        torch.testing.assert_close(found[kept], expected[kept], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixers", [["attention"], ["attention"] * 3 + ["convolution"]])
def test_mixers__that_do_not_fit__are_refused(mixers):
    with pytest.raises(ValueError, match="mixers must be 4 words"):
        new_masked_lm({"model_type": "hybridbert", "vocab_size": 50, **SIZES, "mixers": mixers}, 0)


@torch.no_grad()
def test_forward__padding__changes_nothing(hybrid):
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(hybrid).eval(), load_encoder(hybrid).tokenizer
    together = tokenizer(TEXTS, padding=True, return_tensors="pt")
    logits = model(**together).logits
    for row, text in enumerate(TEXTS):
        alone = model(**tokenizer(text, return_tensors="pt")).logits[0]
        torch.testing.assert_close(logits[row, : len(alone)], alone, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_runner__equals_the_forward_of_transformers(hybrid):
    loaded = load_encoder(hybrid)
    model = AutoModel.from_pretrained(hybrid).eval()
    batch = collate(tokenize(check_texts(PAIRS), loaded.tokenizer, 64), range(len(PAIRS)))
    states, layout = make_runner(loaded.model).hidden_states(batch, range(5))
    inputs = loaded.tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
    expected = model(**inputs, output_hidden_states=True).hidden_states
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(layout.pad(ours)[layout.mask], theirs[layout.mask], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_dropped_token__changes_no_other_token(hybrid):
    loaded = load_encoder(hybrid)
    batch = collate(tokenize(check_texts(TEXTS), loaded.tokenizer, 64), range(len(TEXTS)))
    place = int(batch.layout.cls_index[-1]) + 3
    attended = torch.ones(len(batch.input_ids), dtype=torch.bool)
    attended[place] = False
    other = batch.input_ids.clone()
    other[place] = 40
    runner = make_runner(loaded.model)
    before, after = (
        runner.hidden_states(replace(batch, input_ids=ids, attended=attended), [4])[0][0]
        for ids in (batch.input_ids, other)
    )
    torch.testing.assert_close(after[attended], before[attended], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(after[place], before[place], atol=1e-3)


# ---------------------------------------------------------------- as any other family


def test_classifier__is_fine_tuned_saved_and_loaded(hybrid, texts, labels, quick, tmp_path):
    clf = MaxPoolBERTClassifier(hybrid, **quick).fit(texts, labels)
    assert clf.training_status_ == "converged"
    clf.save(tmp_path)
    assert np.array_equal(MaxPoolBERTClassifier.load(tmp_path).decision_function(texts), clf.decision_function(texts))


def test_classifier__all_rows_of_the_table__train_the_same(hybrid, texts, labels, quick, monkeypatch):
    # In training the ids are those of a smaller table; special tokens must be found all the same.
    expected = MaxPoolBERTClassifier(hybrid, **quick).fit(texts, labels)
    monkeypatch.setattr("skbert.encoder.families._hybrid.HybridBertRunner.owns_forward", False)
    found = MaxPoolBERTClassifier(hybrid, **quick).fit(texts, labels)
    assert found.loss_curve_ == pytest.approx(expected.loss_curve_, rel=1e-3)


def test_featurizer__layer_path__runs_the_layers_that_it_names(hybrid):
    texts = TEXTS[:3]
    whole = LayerPoolFeaturizer(hybrid, layers=(0, 2, 4), layer_pooling="concat").fit_transform(texts)
    first_two = LayerPoolFeaturizer(hybrid, layers=(2,), layer_path=(0, 1)).fit_transform(texts)
    np.testing.assert_allclose(first_two, whole[:, 32:64], rtol=1e-5, atol=1e-5)
    assert LayerPoolFeaturizer(hybrid, layer_path=(0, 0, 3), token_pooling="cls").fit_transform(texts).shape == (3, 32)


def test_classifier__reinitialised_and_frozen_layers__are_those_of_the_family(hybrid, texts, labels, quick):
    clf = MaxPoolBERTClassifier(hybrid, **quick, freeze_layers=1, reinit_layers=2, layer_decay=0.9).fit(texts, labels)
    assert clf.predict(texts).shape == (24,)


def test_probe__skips_pooling_layers(hybrid, texts, labels, quick):
    clf = MaxPoolBERTClassifier(hybrid, **quick).fit(texts, labels)
    probe = SkipLayerProbe(clf, cv="prefit", n_permutations=9).fit(texts, labels)
    assert probe.scores_.shape == (10,)
    module = clf._fitted.module(torch.device("cpu"))
    skips = [(), (2,)]
    (outputs,) = clf.outputs_without_layers(texts[:4], skips, lambda values: (values,))
    tokens, _ = clf._fitted.distinct_tokens(check_texts(texts[:4]))
    with torch.no_grad():
        states, layout = module.runner.hidden_states(collate(tokens, range(4)), [2, 3], path=[0, 1, 3])
        # `layers=2` reads hidden states 3 and 4 of the full model; layer 2 repeats state 2.
        expected = module.head(module.pool_states(states, layout))
    np.testing.assert_allclose(outputs[:, 1], expected.numpy(), rtol=1e-4, atol=1e-4)
