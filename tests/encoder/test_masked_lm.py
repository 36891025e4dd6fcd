"""Masked language models of every family: the output layer, and what is loaded."""

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForMaskedLM, GPT2Config, GPT2Model

from skbert.encoder import (
    build_masked_lm,
    load_encoder,
    load_masked_lm,
    masked_lm_weights,
    output_layer,
    runner_of,
    start_as_identity,
)
from skbert.text import check_texts, collate, tokenize
from tests.helpers.masked import TEXTS, write_with_head
from tests.helpers.tiny import FAMILIES

WITHOUT_PROJECTION = [family for family in FAMILIES if family not in ("electra", "albert")]


def batch_of(folder, texts=TEXTS[:5]):
    loaded = load_encoder(folder)
    return collate(tokenize(check_texts(texts), loaded.tokenizer, 64), range(len(texts)))


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_output_layer__every_family__gives_the_logits_of_transformers(tiny, tmp_path, family):
    folder = write_with_head(tmp_path, tiny(family))
    loaded = load_masked_lm(folder)
    assert loaded.has_head
    batch, runner = batch_of(folder), runner_of(loaded.model)
    (states,), layout = runner.hidden_states(batch, [runner.n_layers])
    ours = layout.pad(output_layer(loaded.model)(states))
    tokenizer = loaded.encoder.tokenizer
    inputs = tokenizer(TEXTS[:5], padding=True, return_tensors="pt")
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()(**inputs).logits
    torch.testing.assert_close(ours[layout.mask], theirs[layout.mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_load_masked_lm__encoder_without_output_layer__gets_one_that_is_tied(tiny, family):
    loaded = load_masked_lm(tiny(family), seed=3)
    assert not loaded.has_head
    assert output_layer(loaded.model).decoder.weight is loaded.model.get_input_embeddings().weight
    again, other = (load_masked_lm(tiny(family), seed=seed).model for seed in (3, 4))
    assert torch.equal(output_layer(loaded.model).dense.weight, output_layer(again).dense.weight)
    assert not torch.equal(output_layer(loaded.model).dense.weight, output_layer(other).dense.weight)


def test_load_masked_lm__global_generators__do_not_change(tiny):
    state = torch.get_rng_state()
    load_masked_lm(tiny())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("family", WITHOUT_PROJECTION)
@torch.no_grad()
def test_start_as_identity__is_a_layer_norm_and_the_embeddings(tiny, family):
    model = load_masked_lm(tiny(family)).model
    start_as_identity(model)
    runner, layer = runner_of(model), output_layer(model)
    batch = batch_of(tiny(family))
    states, _ = runner.hidden_states(batch, range(runner.n_layers + 1))
    for state in states[:: runner.n_layers]:
        normed = F.layer_norm(state, state.shape[1:], eps=layer.norm.eps)
        expected = normed @ model.get_input_embeddings().weight.T
        torch.testing.assert_close(layer(state), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_start_as_identity__minilm__finds_each_token_in_its_embedding(minilm):
    model = load_masked_lm(minilm).model
    start_as_identity(model)
    batch = batch_of(minilm)
    (state,), _ = runner_of(model).hidden_states(batch, [0])
    assert torch.equal(output_layer(model)(state).argmax(dim=1), batch.input_ids)


@pytest.mark.parametrize("family", ["electra", "albert"])
@torch.no_grad()
def test_start_as_identity__narrow_embeddings__undoes_the_projection(tiny, family):
    model = load_masked_lm(tiny(family)).model
    start_as_identity(model)
    embedded = torch.randn(7, output_layer(model).dense.out_features, generator=torch.Generator().manual_seed(0))
    base = model.base_model
    project = base.embeddings_project if family == "electra" else base.encoder.embedding_hidden_mapping_in
    layer = output_layer(model)
    found = layer.dense(project(embedded))
    expected = embedded + (found - embedded).mean()  # a constant, which the norm removes
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_start_as_identity__bounded_activation__is_refused(tiny):
    model = load_masked_lm(tiny()).model
    model.cls.predictions.transform.transform_act_fn = torch.nn.Tanh()
    with pytest.raises(ValueError, match="Use head='random'"):
        start_as_identity(model)


def test_load_masked_lm__pooler__is_kept(tiny):
    loaded = load_masked_lm(tiny())
    assert torch.equal(loaded.model.bert.pooler.dense.weight, loaded.encoder.model.pooler.dense.weight)
    assert loaded.model.bert.pooler.dense.weight is not loaded.encoder.model.pooler.dense.weight


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_build_masked_lm__from_weights__is_the_same_model(tiny, family):
    model = load_masked_lm(tiny(family)).model
    weights = masked_lm_weights(model)
    assert len({tensor.data_ptr() for tensor in weights.values()}) == len(weights)  # tied ones once
    again = build_masked_lm(model.config, {name: tensor.clone() for name, tensor in weights.items()})
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_load_masked_lm__gpt__is_refused(tiny, tmp_path):
    config = GPT2Config(vocab_size=200, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    GPT2Model(config).save_pretrained(tmp_path)
    load_encoder(tiny()).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a 'gpt2' model, which does not predict masked tokens"):
        load_masked_lm(tmp_path)


def test_load_masked_lm__tokenizer_without_mask_token__is_refused(tiny, tmp_path):
    load_encoder(tiny()).model.save_pretrained(tmp_path)
    tokenizer = load_encoder(tiny()).tokenizer.__class__.from_pretrained(tiny(), mask_token=None)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no mask token"):
        load_masked_lm(tmp_path)


def test_output_layer__unknown_family__is_named(tiny):
    model = load_masked_lm(tiny()).model
    model.config.model_type = "elsewhere"
    with pytest.raises(NotImplementedError, match="'elsewhere'"):
        output_layer(model)
