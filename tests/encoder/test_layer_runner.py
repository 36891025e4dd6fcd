"""Running layers ourselves gives what transformers gives, on any batch, any layers, any path."""

import copy
import pickle
import re
from itertools import combinations

import numpy as np
import pytest
import torch
import transformers
from sklearn.utils.fixes import parse_version
from torch import nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    ElectraConfig,
    ErnieConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
)

from skbert.encoder import make_runner
from skbert.encoder.families._any import TransformersRunner
from skbert.text import TextInput, collate, tokenize
from tests.helpers.tiny import FAMILIES, WORDS

N_LAYERS = 4
NO_TOKEN_TYPES = ("distilbert", "modernbert")  # their forward takes none, though the tokenizer makes them

# The part of a layer that every way of running it must call, by its name in the model.
FFN = re.compile(r"(intermediate\.dense|ffn\.lin1|albert_layers\.\d+\.ffn|mlp\.Wi)$")


def words(n, seed):
    return " ".join(np.random.default_rng(seed).choice(WORDS, size=n))


# Lengths in words: many, some alike, neighbours and strangers, one empty, one at 42 tokens.
SINGLES = [words(n, seed) for seed, n in enumerate([3, 38, 5, 5, 12, 1, 25, 12, 40, 0, 5])]
PAIRS = (
    [words(n, 100 + n) for n in (4, 20, 1, 7, 9, 7, 0)],
    [words(n, 200 + n) for n in (6, 18, 1, 7, 30, 7, 3)],
)
SEVERAL = TextInput(SINGLES)
IN_PAIRS = TextInput(*PAIRS)
INPUTS = pytest.mark.parametrize("texts", [SEVERAL, IN_PAIRS], ids=["single", "pair"])
EACH_FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def model_of(tiny):
    """A model that transformers has never run, and its tokenizer; `fresh` for one that no other test sees."""
    made = {}

    def get(family, fresh=False):
        if family not in made:
            folder = tiny(family, n_layers=N_LAYERS)
            made[family] = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        model, tokenizer = made[family]
        return (copy.deepcopy(model) if fresh else model), tokenizer

    return get


def batch_of(texts, tokenizer, indices=None):
    tokens = tokenize(texts, tokenizer, 64)
    return collate(tokens, range(len(texts)) if indices is None else indices)


def reference(model, tokenizer, texts):
    """Hidden states of transformers' own forward, padded by its own tokenizer: (list of states, mask)."""
    inputs = tokenizer(texts.first, texts.second, padding=True, return_tensors="pt")
    if model.config.model_type in NO_TOKEN_TYPES:
        inputs.pop("token_type_ids", None)
    # On a copy: transformers puts hooks on the layers, which would stay.
    with torch.no_grad():
        output = copy.deepcopy(model)(**inputs, output_hidden_states=True)
    return output.hidden_states, inputs["attention_mask"].bool()


def assert_same_states(states, layout, expected, mask):
    assert torch.equal(layout.mask, mask)
    assert len(states) == len(expected)
    for depth, (state, wanted) in enumerate(zip(states, expected, strict=True)):
        torch.testing.assert_close(
            layout.pad(state)[mask], wanted[mask], rtol=0, atol=1e-5, msg=lambda text, d=depth: f"state {d}: {text}"
        )


@torch.no_grad()
def run(runner, *args, **kwargs):
    return runner.hidden_states(*args, **kwargs)


# ------------------------------------------------------------------ equal to transformers


@EACH_FAMILY
@INPUTS
def test_hidden_states__all_layers__equal_transformers(model_of, family, texts):
    model, tokenizer = model_of(family)
    expected, mask = reference(model, tokenizer, texts)
    assert mask.sum(1).unique().numel() > 4
    assert mask.shape[1] > 38
    states, layout = run(make_runner(model), batch_of(texts, tokenizer), range(N_LAYERS + 1))
    assert_same_states(states, layout, expected, mask)
    # The states themselves differ, or else giving out the wrong one would go unnoticed.
    for one, other in combinations(states, 2):
        assert (one - other).abs().max() > 0.1


@EACH_FAMILY
@INPUTS
def test_hidden_states__shuffled_batch__rows_in_the_order_asked_for(model_of, family, texts):
    model, tokenizer = model_of(family)
    expected, mask = reference(model, tokenizer, texts)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(len(texts))
        states, layout = run(make_runner(model), batch_of(texts, tokenizer, shuffled), range(N_LAYERS + 1))
        assert_same_states(states, layout, [state[shuffled] for state in expected], mask[shuffled])


@EACH_FAMILY
def test_hidden_states__wanted_in_any_order__given_in_that_order(model_of, family):
    model, tokenizer = model_of(family)
    expected, mask = reference(model, tokenizer, SEVERAL)
    states, layout = run(make_runner(model), batch_of(SEVERAL, tokenizer), [3, 0, 4, 1])
    assert_same_states(states, layout, [expected[d] for d in (3, 0, 4, 1)], mask)


@EACH_FAMILY
@INPUTS
def test_hidden_states__cls_only__first_row_of_the_full_states(model_of, family, texts):
    model, tokenizer = model_of(family)
    runner = make_runner(model)
    batch = batch_of(texts, tokenizer, np.random.default_rng(0).permutation(len(texts)))
    states, layout = run(runner, batch, range(N_LAYERS + 1))
    full = [layout.pad(state)[:, 0] for state in states]
    subsets = [s for size in range(1, N_LAYERS + 2) for s in combinations(range(N_LAYERS + 1), size)]
    for wanted in [*subsets, (4, 2), (3, 0, 1)]:
        rows, _ = run(runner, batch, wanted, cls_only=True)
        assert len(rows) == len(wanted)
        for depth, row in zip(wanted, rows, strict=True):
            torch.testing.assert_close(row, full[depth], rtol=0, atol=1e-5)


@EACH_FAMILY
def test_hidden_states__text_alone_or_in_company__the_same(model_of, family):
    model, tokenizer = model_of(family)
    runner = make_runner(model)
    states, layout = run(runner, batch_of(SEVERAL, tokenizer), range(N_LAYERS + 1))
    together = [layout.pad(state) for state in states]
    for i in range(len(SEVERAL)):
        alone, _ = run(runner, batch_of(SEVERAL, tokenizer, [i]), range(N_LAYERS + 1))
        for state, all_states in zip(alone, together, strict=True):
            torch.testing.assert_close(state, all_states[i, : len(state)], rtol=0, atol=1e-5)


@EACH_FAMILY
def test_hidden_states__gradients__equal_transformers(model_of, family):
    ours, tokenizer = model_of(family, fresh=True)
    theirs, _ = model_of(family, fresh=True)
    texts = TextInput(SINGLES[:5])
    generator = torch.Generator().manual_seed(0)
    batch = batch_of(texts, tokenizer)
    states, layout = make_runner(ours).hidden_states(batch, [2, N_LAYERS])
    weights = [torch.randn((*layout.mask.shape, state.shape[1]), generator=generator) for state in states]
    sum((layout.pad(s) * w).sum() for s, w in zip(states, weights, strict=True)).backward()

    inputs = tokenizer(texts.first, padding=True, return_tensors="pt")
    if family in NO_TOKEN_TYPES:
        inputs.pop("token_type_ids")
    hidden = theirs(**inputs, output_hidden_states=True).hidden_states
    keep = inputs["attention_mask"][..., None]
    sum((hidden[d] * w * keep).sum() for d, w in zip([2, N_LAYERS], weights, strict=True)).backward()

    expected = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    got = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert got.keys() == expected.keys()
    assert sum(grad.abs().sum() > 0 for grad in expected.values()) > 10
    for name, grad in expected.items():
        scale = grad.abs().max().clamp(min=1)
        torch.testing.assert_close(got[name] / scale, grad / scale, rtol=0, atol=1e-4, msg=lambda t, n=name: f"{n} {t}")


_COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.2,
}


def from_config(config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModel.from_config(config).eval()


@pytest.mark.parametrize(
    ("family", "make", "options"),
    [
        pytest.param("bert", BertConfig, {"hidden_act": "relu"}, id="bert-other-activation"),
        pytest.param("bert", BertConfig, {"num_attention_heads": 1}, id="bert-one-head"),
        pytest.param("electra", ElectraConfig, {"embedding_size": 32}, id="electra-without-projection"),
        pytest.param("roberta", CamembertConfig, {"pad_token_id": 1, "type_vocab_size": 1}, id="camembert"),
        pytest.param("roberta", RobertaConfig, {"pad_token_id": 3, "type_vocab_size": 1}, id="roberta-other-pad"),
        pytest.param("deberta-v2", DebertaV2Config, {}, id="deberta-absolute-positions"),
        pytest.param(
            "deberta-v2",
            DebertaV2Config,
            {"relative_attention": True, "pos_att_type": "c2p", "position_biased_input": True, "type_vocab_size": 2},
            id="deberta-no-conv-types",
        ),
        pytest.param(
            "modernbert",
            ModernBertConfig,
            {"global_attn_every_n_layers": 1},
            id="modernbert-all-global",
            marks=pytest.mark.skipif(
                parse_version(transformers.__version__) < parse_version("5.18"),
                reason="transformers refuses such a config up to 5.15 at least",
            ),
        ),
        pytest.param(
            "modernbert",
            ModernBertConfig,
            {"local_attention": 2, "norm_bias": True, "attention_bias": True, "mlp_bias": True},
            id="modernbert-narrow-window",
        ),
        pytest.param("modernbert", ModernBertConfig, {"local_attention": 128}, id="modernbert-wide-window"),
    ],
)
@INPUTS
def test_hidden_states__other_configs_of_a_family__equal_transformers(model_of, family, make, options, texts):
    _, tokenizer = model_of(family)
    base = {**_COMMON, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if make is ModernBertConfig:
        base |= {"cls_token_id": 2, "sep_token_id": 3}
    model = from_config(make(**{**base, **options}))
    runner = make_runner(model)
    assert runner.owns_forward
    if options.get("pad_token_id", tokenizer.pad_token_id) != tokenizer.pad_token_id:
        # transformers finds the pads by the model's pad id, so its tokenizer must pad with that one.
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(options["pad_token_id"])
    expected, mask = reference(model, tokenizer, texts)
    states, layout = run(runner, batch_of(texts, tokenizer), range(4))
    assert_same_states(states, layout, expected, mask)


# ------------------------------------------------------------------ how far, and along which path


def count_layers(model):
    """Hooks that write down the name of each layer's feed-forward part when it runs; returns the list."""
    calls = []
    found = [(name, module) for name, module in model.named_modules() if FFN.search(name)]
    assert found
    for name, module in found:
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    return calls


@EACH_FAMILY
@pytest.mark.parametrize("cls_only", [False, True])
def test_hidden_states__deepest_wanted__layers_above_it_do_not_run(model_of, family, cls_only):
    model, tokenizer = model_of(family, fresh=True)
    calls = count_layers(model)
    batch = batch_of(SEVERAL, tokenizer)
    for wanted in ([0], [1], [2, 0], [1, 3], range(N_LAYERS + 1)):
        calls.clear()
        run(make_runner(model), batch, wanted, cls_only=cls_only)
        assert len(calls) == max(wanted)


@EACH_FAMILY
def test_hidden_states__path__runs_its_layers_in_its_order(model_of, family):
    model, tokenizer = model_of(family, fresh=True)
    calls = count_layers(model)
    batch = batch_of(SEVERAL, tokenizer)
    run(make_runner(model), batch, [N_LAYERS])
    names = list(calls)
    calls.clear()
    run(make_runner(model), batch, [3], path=[3, 0, 0, 1, 2])
    assert calls == [names[3], names[0], names[0]]


def with_path(model, path):
    """A copy of a transformers model whose layers are those of `path`, each a copy of its own."""
    model = copy.deepcopy(model)
    config = model.config

    def rebuilt(layers):
        return nn.ModuleList([copy.deepcopy(layers[i]) for i in path])

    if config.model_type == "modernbert":
        model.layers = rebuilt(model.layers)
    elif config.model_type == "distilbert":
        model.transformer.layer = rebuilt(model.transformer.layer)
    elif config.model_type == "albert":
        groups, per_group = model.encoder.albert_layer_groups, config.num_hidden_layers / config.num_hidden_groups
        # One group a layer, so that the layers of the path may be of any group.
        model.encoder.albert_layer_groups = rebuilt([groups[int(i / per_group)] for i in range(N_LAYERS)])
        config.num_hidden_groups = len(path)
    else:
        model.encoder.layer = rebuilt(model.encoder.layer)
    config.num_hidden_layers = len(path)
    return model


PATHS = [(1, 2, 3), (0, 1, 3), (3,), (2, 0, 3, 1), (0, 1, 1, 1, 2, 3, 3), (3, 2, 1, 0, 0)]
# Beside its first layer DeBERTa runs a convolution, which transformers ties to the place and we to the layer.
DEBERTA_PATHS = [(0, 1, 3), (0,), (0, 3, 2, 1), (0, 2, 2, 3, 1, 1), (0, 1, 2, 3)]


@pytest.mark.parametrize(
    ("family", "path"),
    [(family, path) for family in FAMILIES for path in (DEBERTA_PATHS if family == "deberta-v2" else PATHS)],
)
def test_hidden_states__path__equals_a_model_rebuilt_by_it(model_of, family, path):
    model, tokenizer = model_of(family)
    expected, mask = reference(with_path(model, path), tokenizer, SEVERAL)
    assert len(expected) == len(path) + 1
    batch = batch_of(SEVERAL, tokenizer)
    states, layout = run(make_runner(model), batch, range(len(path) + 1), path=path)
    assert_same_states(states, layout, expected, mask)
    rows, _ = run(make_runner(model), batch, [len(path)], path=list(path), cls_only=True)
    torch.testing.assert_close(rows[0], expected[-1][:, 0], rtol=0, atol=1e-5)


@EACH_FAMILY
def test_hidden_states__path_of_all_layers__as_without(model_of, family):
    model, tokenizer = model_of(family)
    batch = batch_of(SEVERAL, tokenizer)
    with_it, _ = run(make_runner(model), batch, range(N_LAYERS + 1), path=list(range(N_LAYERS)))
    without, _ = run(make_runner(model), batch, range(N_LAYERS + 1))
    for one, other in zip(with_it, without, strict=True):
        assert torch.equal(one, other)


def test_hidden_states__deberta_without_layer_0__leaves_its_convolution_out(model_of):
    model, tokenizer = model_of("deberta-v2", fresh=True)
    batch = batch_of(SEVERAL, tokenizer)
    before, layout = run(make_runner(model), batch, [1], path=[1])
    model.encoder.conv = None
    after, _ = run(make_runner(model), batch, [1], path=[1])
    assert torch.equal(before[0], after[0])
    expected, mask = reference(with_path(model, (1,)), tokenizer, SEVERAL)
    assert_same_states(before, layout, expected[1:], mask)


def test_hidden_states__deberta_layer_0_later_in_the_path__its_convolution_reads_the_embeddings(model_of):
    model, tokenizer = model_of("deberta-v2", fresh=True)
    batch = batch_of(SEVERAL, tokenizer)
    states, layout = run(make_runner(model), batch, [0, 1, 2], path=[2, 0])
    conv, model.encoder.conv = model.encoder.conv, None
    (embedded, first, second), mask = reference(with_path(model, (2, 0)), tokenizer, SEVERAL)
    with torch.no_grad():
        second = conv(embedded, second, mask.long())
    assert_same_states(states, layout, [embedded, first, second], mask)


# ------------------------------------------------------------------ nothing left behind


@EACH_FAMILY
def test_hidden_states__family_of_ours__model_stays_as_it_was_and_can_be_pickled(model_of, family):
    model, tokenizer = model_of(family, fresh=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = batch_of(SEVERAL, tokenizer)
    expected, _ = run(make_runner(model), batch, range(N_LAYERS + 1))
    run(make_runner(model), batch, [2], path=[3, 0], cls_only=True)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    again = pickle.loads(pickle.dumps(model))
    states, _ = run(make_runner(again), batch, range(N_LAYERS + 1))
    for state, wanted in zip(states, expected, strict=True):
        assert torch.equal(state, wanted)


@EACH_FAMILY
def test_make_runner__family_of_ours__knows_its_layers(model_of, family):
    model, _ = model_of(family)
    runner = make_runner(model)
    assert not isinstance(runner, TransformersRunner)
    assert runner.owns_forward
    assert runner.n_layers == N_LAYERS
    assert len(runner.layer_modules()) == N_LAYERS
    # ALBERT's two groups of weights serve two layers each.
    assert len({id(module) for module in runner.layer_modules()}) == (2 if family == "albert" else N_LAYERS)


# ------------------------------------------------------------------ a family that we do not know


@pytest.fixture(scope="module", params=["ernie", "mpnet"])
def stranger(request, model_of):
    """A model of a family that skbert does not run itself, and a tokenizer that fits it."""
    _, tokenizer = model_of("bert" if request.param == "ernie" else "roberta")
    config = ErnieConfig if request.param == "ernie" else MPNetConfig
    sizes = {**_COMMON, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    return from_config(config(**sizes)), tokenizer


@INPUTS
def test_make_runner__other_family__falls_back_to_transformers(stranger, texts):
    model, tokenizer = stranger
    runner = make_runner(model)
    assert type(runner) is TransformersRunner
    assert not runner.owns_forward
    assert runner.n_layers == 3
    expected, mask = reference(model, tokenizer, texts)
    shuffled = np.random.default_rng(1).permutation(len(texts))
    states, layout = run(runner, batch_of(texts, tokenizer, shuffled), [3, 0, 1])
    assert_same_states(states, layout, [expected[d][shuffled] for d in (3, 0, 1)], mask[shuffled])
    rows, _ = run(runner, batch_of(texts, tokenizer, shuffled), [2, 3], cls_only=True)
    for depth, row in zip((2, 3), rows, strict=True):
        torch.testing.assert_close(row, expected[depth][shuffled, 0], rtol=0, atol=1e-5)


def test_hidden_states__other_family_and_a_path__not_implemented(stranger):
    model, tokenizer = stranger
    runner, batch = make_runner(model), batch_of(SEVERAL, tokenizer)
    states, _ = run(runner, batch, [3], path=[0, 1, 2])
    assert torch.equal(states[0], run(runner, batch, [3])[0][0])
    with pytest.raises(NotImplementedError, match=model.config.model_type):
        run(runner, batch, [2], path=[0, 2])
    with pytest.raises(NotImplementedError, match=model.config.model_type):
        runner.layer_modules()
