"""Layer paths: what they refuse, and that an encoder made to have them computes what running them computes."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, ErnieConfig

from skbert import LayerPoolFeaturizer
from skbert.encoder import load_encoder, make_runner, resolve_path, take_path
from skbert.networks import PooledEncoder
from skbert.text import check_texts, collate, tokenize
from tests.helpers.tiny import FAMILIES

N_LAYERS = 4
# DeBERTa's convolution lets layer 0 stand nowhere but in the first place.
PATHS = [(0, 1), (2, 3), (3, 1), (0, 2, 1, 3), (0, 1, 1, 1, 2), (3, 3, 3, 2, 1)]


def batch_of(loaded, texts):
    return collate(tokenize(check_texts(texts), loaded.tokenizer, 64), range(len(texts)))


def states_of(model, batch, path=None):
    runner = make_runner(model)
    with torch.no_grad():
        return runner.hidden_states(batch, range(1 + (runner.n_layers if path is None else len(path))), path=path)[0]


@pytest.mark.parametrize("path", [(0, 1), (3, 1), (0, 1, 1, 1, 2)], ids=str)
def test_take_path__of_bert_equals_a_loop_over_the_layers_of_transformers(tiny, path):
    loaded = load_encoder(tiny())
    model = AutoModel.from_pretrained(tiny()).eval()
    inputs = loaded.tokenizer(["my parcel is late", "a refund of the money back"], padding=True, return_tensors="pt")
    mask = torch.zeros(inputs["attention_mask"].shape).masked_fill(inputs["attention_mask"] == 0, -1e9)[:, None, None]
    with torch.no_grad():
        expected = model.embeddings(inputs["input_ids"], inputs["token_type_ids"])
        for index in path:
            expected = model.encoder.layer[index](expected, mask)
    features = LayerPoolFeaturizer(tiny(), token_pooling="cls", layer_path=path).fit_transform(
        ["my parcel is late", "a refund of the money back"]
    )
    np.testing.assert_allclose(features, expected[:, 0], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_take_path__gives_the_states_of_running_the_path(tiny, texts, family, path):
    loaded = load_encoder(tiny(family))
    batch = batch_of(loaded, texts)
    expected = states_of(loaded.model, batch, path)
    taken = loaded.copy_model(path=path)
    assert make_runner(taken).n_layers == len(path)
    for state, reference in zip(states_of(taken, batch), expected, strict=True):
        assert torch.equal(state, reference)
    # Different paths are different functions, so the comparison above can fail.
    assert not torch.equal(expected[-1], states_of(loaded.model, batch)[-1])


@pytest.mark.parametrize("family", FAMILIES)
def test_take_path__repeats_have_weights_of_their_own(tiny, texts, family):
    loaded = load_encoder(tiny(family))
    taken = loaded.copy_model(path=(0, 1, 1, 3, 3))
    modules = make_runner(taken).layer_modules()
    with torch.no_grad():
        for parameter in modules[2].parameters():
            parameter.zero_()
    original = make_runner(loaded.model).layer_modules()
    for place, index in ((1, 1), (3, 3), (4, 3)):
        for name, weight in original[index].state_dict().items():
            assert torch.equal(modules[place].state_dict()[name], weight)
    # ALBERT's layers 0 and 1 are one; that the path leaves as it is.
    assert (modules[0] is modules[1]) == (original[0] is original[1]) == (family == "albert")


@pytest.mark.parametrize("family", FAMILIES)
def test_take_path__leaves_the_loaded_encoder_alone(tiny, texts, family):
    loaded = load_encoder(tiny(family))
    batch = batch_of(loaded, texts)
    before = states_of(loaded.model, batch)
    loaded.copy_model(path=(3, 2))
    for state, reference in zip(states_of(loaded.model, batch), before, strict=True):
        assert torch.equal(state, reference)


@pytest.mark.parametrize("path", [(1, 0), (0, 0, 1)])
def test_take_path__convolution_of_deberta_cannot_move(tiny, path):
    with pytest.raises(NotImplementedError, match="convolution next to its layer 0"):
        load_encoder(tiny("deberta-v2")).copy_model(path=path)


@pytest.mark.parametrize("all_layers", [None, range(4), [0, 1, 2, 3], np.arange(4)], ids=str)
def test_resolve_path__all_layers_once_is_none(tiny, all_layers):
    assert resolve_path(all_layers, make_runner(load_encoder(tiny()).model)) is None
    model = load_encoder(tiny()).model
    assert take_path(model, None) is model


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ((), ValueError, "empty"),
        ([0, 4], ValueError, r"holds 4, but the layers of this encoder are 0\.\.3"),
        ([0, -1], ValueError, "negative indices are not allowed"),
        ([0, 1.0], TypeError, r"must hold ints, got 1\.0"),
        ([0, True], TypeError, "must hold ints, got True"),
        (["0"], TypeError, "must hold ints"),
        ("01", TypeError, "must be None or a sequence of int"),
        (3, TypeError, "must be None or a sequence of int"),
        (True, TypeError, "must be None or a sequence of int"),
        ({0, 1}, TypeError, "must be None or a sequence of int"),
        (np.eye(2, dtype=int), TypeError, "must hold ints"),
    ],
)
def test_resolve_path__wrong_ones_are_refused(tiny, bad, error, words):
    runner = make_runner(load_encoder(tiny()).model)
    with pytest.raises(error, match=words):
        resolve_path(bad, runner)


def test_resolve_path__of_a_family_that_is_not_ours():
    config = ErnieConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16
    )
    runner = make_runner(AutoModel.from_config(config))
    assert resolve_path(range(3), runner) is None
    with pytest.raises(NotImplementedError, match="layer by layer, not 'ernie'"):
        resolve_path([0, 2], runner)


def test_pooled_encoder__with_a_head_wants_an_encoder_that_has_the_path(tiny):
    with pytest.raises(ValueError, match="pass one with the path's layers"):
        PooledEncoder(load_encoder(tiny()).copy_model(), 2, path=(0, 1))


# ------------------------------------------------------------------ re-initialisation


def fresh_names(family, n_fresh, model):
    """Names of the parameters of the top `n_fresh` of four layers, by the families' own naming."""
    group = {
        "albert": "encoder.albert_layer_groups.{}.",
        "distilbert": "transformer.layer.{}.",
        "modernbert": "layers.{}.",
    }
    prefix = group.get(family, "encoder.layer.{}.")
    places = [1] if family == "albert" else range(4 - n_fresh, 4)
    starts = tuple(prefix.format(place) for place in places)
    return {name for name, _ in model.named_parameters() if name.startswith(starts)}


@pytest.mark.parametrize("family", FAMILIES)
def test_reinitialise__draws_the_top_layers_and_nothing_else(tiny, family):
    loaded = load_encoder(tiny(family))
    module = PooledEncoder(loaded.copy_model(), 2)
    # As after training, when biases and norms are no longer 0 and 1.
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.37)
    before = {name: p.detach().clone() for name, p in module.encoder.named_parameters()}
    module.reinitialise(2)
    fresh = fresh_names(family, 2, module.encoder)
    assert fresh
    weights = []
    for name, parameter in module.encoder.named_parameters():
        if name not in fresh:
            assert torch.equal(parameter, before[name]), name
        elif parameter.ndim > 1:
            weights.append(parameter.detach().flatten())
        else:
            norm = "norm" in name.lower() and name.endswith("weight")
            assert (parameter == (1.0 if norm else 0.0)).all(), name
    drawn = torch.cat(weights)
    # 0.2 is the initializer_range of the small encoders.
    assert drawn.mean().abs() < 5 * 0.2 / len(drawn) ** 0.5
    assert drawn.std() == pytest.approx(0.2, rel=5 / (2 * len(drawn)) ** 0.5)


def test_reinitialise__all_layers_of_deberta_take_the_convolution_along(tiny):
    module = PooledEncoder(load_encoder(tiny("deberta-v2")).copy_model(), 2)
    conv = module.encoder.encoder.conv.conv.weight
    before = conv.detach().clone()
    module.reinitialise(3)
    assert torch.equal(conv, before)
    module.reinitialise(4)
    assert not torch.equal(conv, before)
