"""All spans at once give what one forward a span gives, on models whose skipped layers are the identity."""

import copy
import weakref
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, MPNetConfig

from skbert.encoder import SkipPlan, make_runner, skip_hidden_states
from skbert.networks import PooledEncoder
from skbert.text import TextInput, collate, tokenize
from tests.helpers.tiny import FAMILIES, WORDS

N_LAYERS = 4
CONTIGUOUS = [()] + [tuple(range(a, b)) for a in range(N_LAYERS) for b in range(a + 1, N_LAYERS + 1)]
ALL_SUBSETS = [skip for size in range(N_LAYERS + 1) for skip in combinations(range(N_LAYERS), size)]
EACH_FAMILY = pytest.mark.parametrize("family", FAMILIES)


def words(n, seed):
    return " ".join(np.random.default_rng(seed).choice(WORDS, size=n))


TEXTS = [words(n, seed) for seed, n in enumerate([3, 20, 5, 5, 12, 1, 25, 12, 0, 5])]


@pytest.fixture(scope="module")
def model_of(tiny):
    made = {}

    def get(family):
        if family not in made:
            folder = tiny(family, n_layers=N_LAYERS)
            made[family] = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
        return made[family]

    return get


def batch_of(tokenizer, texts=TEXTS, indices=None):
    tokens = tokenize(TextInput(texts), tokenizer, 64)
    return collate(tokens, range(len(texts)) if indices is None else indices)


class _Identity(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.attention_type = getattr(layer, "attention_type", None)  # ModernBERT looks it up

    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states


class _IdentityWithAttention(_Identity):
    """DeBERTa's layers give out their attention too."""

    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states, None


def _without(model, skip):
    """A copy of a transformers model whose skipped layers are the identity; (model, list of its layers)."""
    model = copy.deepcopy(model)
    kind = model.config.model_type
    if kind == "albert":
        # One group a layer, so that one use of shared weights can be taken out.
        groups, config = model.encoder.albert_layer_groups, model.config
        per_group = config.num_hidden_layers // config.num_hidden_groups
        layers = nn.ModuleList(copy.deepcopy(groups[i // per_group]) for i in range(config.num_hidden_layers))
        model.encoder.albert_layer_groups = layers
        config.num_hidden_groups = config.num_hidden_layers
    elif kind == "distilbert":
        layers = model.transformer.layer
    elif kind == "modernbert":
        layers = model.layers
    else:
        layers = model.encoder.layer
    for index in skip:
        layers[index] = (_IdentityWithAttention if kind == "deberta-v2" else _Identity)(layers[index])
        if kind == "deberta-v2" and index == 0:
            model.encoder.conv = None
    return model, layers


_seen = {}


def naive(model, tokenizer, skip):
    """Hidden states 0..L (n_texts, longest, width) of TEXTS in one padded forward, and the mask; computed once."""
    key = (model.config.model_type, tuple(skip))
    if key not in _seen:
        _seen[key] = _forward(model, tokenizer, skip, TEXTS)
    return _seen[key]


@torch.no_grad()
def _forward(model, tokenizer, skip, texts):
    cut, layers = _without(model, skip)
    below = []

    def note(module, args, kwargs):
        below.append(args[0] if args else kwargs["hidden_states"])

    for layer in layers:
        layer.register_forward_pre_hook(note, with_kwargs=True)
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    if model.config.model_type in ("distilbert", "modernbert"):
        inputs.pop("token_type_ids", None)
    last = cut(**inputs).last_hidden_state
    assert len(below) == N_LAYERS
    return [*below, last], inputs["attention_mask"].bool()


@torch.no_grad()
def all_variants(runner, batch, plan, **options):
    """By variant: its wanted states, (n_texts, longest, width), or (n_texts, width) of [CLS]."""
    found = []
    for variants, states, layout in skip_hidden_states(runner, batch, plan, **options):
        if not options.get("cls_only"):
            states = [layout.pad(state) for state in states]
        for j, variant in enumerate(variants):
            assert variant == len(found)
            found.append([state[j :: len(variants)] for state in states])
    return found


# ------------------------------------------------------------------ equal to one forward a span


@EACH_FAMILY
def test_states__every_skip_set_and_depth__equal_identity_layers(model_of, family):
    model, tokenizer = model_of(family)
    plan = SkipPlan(ALL_SUBSETS, range(N_LAYERS + 1), N_LAYERS)
    found = all_variants(make_runner(model), batch_of(tokenizer), plan, max_tokens=400)
    for skip, states in zip(ALL_SUBSETS, found, strict=True):
        expected, mask = naive(model, tokenizer, skip)
        for depth, (state, wanted) in enumerate(zip(states, expected, strict=True)):
            difference = (state[mask] - wanted[mask]).abs().max()
            assert difference < 1e-5, f"skip {skip}, state {depth}: {difference}"
    # Variants differ, or else giving out the wrong one would go unnoticed. ALBERT's layers share weights by twos.
    for one, other in combinations(found, 2) if family != "albert" else ():
        assert (one[-1] - other[-1]).abs().max() > 0.01


@EACH_FAMILY
def test_cls_only__every_skip_set__first_token_of_identity_layers(model_of, family):
    model, tokenizer = model_of(family)
    for wanted in [(4,), (4, 2, 3), (0, 3)]:
        plan = SkipPlan(ALL_SUBSETS, wanted, N_LAYERS)
        found = all_variants(make_runner(model), batch_of(tokenizer), plan, cls_only=True, max_tokens=400)
        for skip, states in zip(ALL_SUBSETS, found, strict=True):
            expected, _ = naive(model, tokenizer, skip)
            for depth, state in zip(wanted, states, strict=True):
                assert (state - expected[depth][:, 0]).abs().max() < 1e-5, (skip, depth)


@pytest.mark.parametrize("cut", [(1,), (0, 1), (2, 3)])
def test_last_state__of_a_model_whose_layer_list_is_cut(model_of, cut):
    model, tokenizer = model_of("bert")
    shorter = copy.deepcopy(model)
    shorter.encoder.layer = nn.ModuleList(m for i, m in enumerate(shorter.encoder.layer) if i not in cut)
    shorter.config.num_hidden_layers = len(shorter.encoder.layer)
    with torch.no_grad():
        expected = shorter(**tokenizer(TEXTS, padding=True, return_tensors="pt")).last_hidden_state[:, 0]
    ((state,),) = all_variants(
        make_runner(model), batch_of(tokenizer), SkipPlan([cut], [N_LAYERS], N_LAYERS), cls_only=True
    )
    torch.testing.assert_close(state, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("max_tokens", [1, 250, 100_000])
def test_states__however_few_tokens_at_once__and_in_any_order(model_of, max_tokens):
    model, tokenizer = model_of("bert")
    shuffled = np.random.default_rng(0).permutation(len(TEXTS))
    plan = SkipPlan(CONTIGUOUS, [2, 4], N_LAYERS)
    runner = make_runner(model)
    found = all_variants(runner, batch_of(tokenizer, indices=shuffled), plan, max_tokens=max_tokens)
    for skip, states in zip(CONTIGUOUS, found, strict=True):
        expected, mask = naive(model, tokenizer, skip)
        for depth, state in zip((2, 4), states, strict=True):
            assert (state[mask[shuffled]] - expected[depth][shuffled][mask[shuffled]]).abs().max() < 1e-5


def test_pairs_and_single_text(model_of):
    model, tokenizer = model_of("bert")
    pairs = TextInput(["red lamp"], ["my blue app"])
    batch = collate(tokenize(pairs, tokenizer, 64), [0])
    (states,) = all_variants(make_runner(model), batch, SkipPlan([(1,)], [4], N_LAYERS))
    cut, _ = _without(model, [1])
    with torch.no_grad():
        expected = cut(**tokenizer(["red lamp"], ["my blue app"], return_tensors="pt")).last_hidden_state
    torch.testing.assert_close(states[0], expected, rtol=0, atol=1e-5)


# ------------------------------------------------------------------ no more work than needed


@pytest.fixture
def counted(model_of, monkeypatch):
    """A BERT runner and a list of (layer, tokens, cls_only) for each run of a layer."""
    model, tokenizer = model_of("bert")
    runner, calls = make_runner(model), []
    original = runner.layer

    def layer(index, state, context, cls_only=False):
        calls.append((index, len(state), cls_only))
        return original(index, state, context, cls_only)

    monkeypatch.setattr(runner, "layer", layer)
    return runner, batch_of(tokenizer), calls


def test_work__contiguous_spans__each_layer_once_a_distinct_state(counted):
    runner, batch, calls = counted
    all_variants(runner, batch, SkipPlan(CONTIGUOUS, [4], N_LAYERS), max_tokens=10**9)
    n = len(batch.input_ids)
    # On layer e: the full model, and the spans (start, stop) with stop <= e.
    assert calls == [(e, (1 + e * (e + 1) // 2) * n, False) for e in range(N_LAYERS)]


def test_work__cls_only__no_state_above_makes_other_tokens(counted):
    runner, batch, calls = counted
    all_variants(runner, batch, SkipPlan(CONTIGUOUS, [4], N_LAYERS), cls_only=True, max_tokens=10**9)
    assert [cls_only for _, _, cls_only in calls] == [False, False, False, True]


def test_work__stops_at_the_deepest_state_that_is_read(counted):
    runner, batch, calls = counted
    all_variants(runner, batch, SkipPlan(CONTIGUOUS, [0, 2], N_LAYERS))
    assert {index for index, _, _ in calls} == {0, 1}


def test_work__tokens_at_once__are_bounded(counted):
    runner, batch, calls = counted
    n = len(batch.input_ids)
    all_variants(runner, batch, SkipPlan(ALL_SUBSETS, [4], N_LAYERS), max_tokens=3 * n + 1)
    assert max(tokens for _, tokens, _ in calls) == 3 * n


def test_memory__states_that_nobody_needs_any_more_are_let_go(model_of, monkeypatch):
    model, tokenizer = model_of("bert")
    runner, made, most = make_runner(model), [], 0
    original = runner.layer

    def layer(index, state, context, cls_only=False):
        nonlocal most
        output = original(index, state, context, cls_only)
        made.append(weakref.ref(output))
        if not cls_only:
            # The embeddings are one more state.
            most = max(most, 1 + sum(ref() is not None for ref in made))
        return output

    monkeypatch.setattr(runner, "layer", layer)
    plan = SkipPlan([(), (3,)], [N_LAYERS], N_LAYERS)
    all_variants(runner, batch_of(tokenizer), plan, max_tokens=1)
    assert plan.most_states(cls_only=False) == 2
    assert most == 3


def test_most_states__is_what_is_alive_at_most():
    # Three layers, all spans, last state of all tokens: at the end all 1 + 6 variants' states lie there.
    spans = [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)]
    assert SkipPlan(spans, [3], 3).most_states(cls_only=False) == 4 + 4
    # Of [CLS] alone: before the last layer, the states on which it runs.
    assert SkipPlan(spans, [3], 3).most_states(cls_only=True) == 2 + 2
    assert SkipPlan([()], [3], 3).most_states(cls_only=True) == 2


# ------------------------------------------------------------------ pooling


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
@pytest.mark.parametrize(
    ("layers", "layer_pooling", "token_pooling"),
    [
        (1, "max", "cls"),
        (3, "max", "cls"),
        (3, "max", "mha"),
        ((0, 2, 4), "mean", "mean"),
        (2, "concat", "max"),
        (3, "weighted", "mha"),
    ],
)
def test_pooling_over_skipped_layers__a_skipped_layer_repeats_the_state_below(
    model_of, family, layers, layer_pooling, token_pooling
):
    model, tokenizer = model_of(family)
    torch.manual_seed(0)
    module = PooledEncoder(
        copy.deepcopy(model), 3, layers=layers, layer_pooling=layer_pooling, token_pooling=token_pooling
    ).eval()
    with torch.no_grad():
        pooled = module.pool_skipping(batch_of(tokenizer), module.skip_plan(CONTIGUOUS), max_tokens=500)
    assert pooled.shape == (len(TEXTS), len(CONTIGUOUS), module.width)
    for j, skip in enumerate(CONTIGUOUS):
        states, mask = naive(model, tokenizer, skip)
        with torch.no_grad():
            expected = module.token_pooling(module.layer_pooling([states[d] for d in module.layers]), mask)
        assert (pooled[:, j] - expected).abs().max() < 1e-5, skip


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("path", [(0, 2, 3), (3, 1, 1, 0, 2)])
def test_along_a_layer_path__places_of_the_path_are_skipped(model_of, family, path):
    model, tokenizer = model_of(family)
    options = {"layers": 1, "layer_pooling": "mean", "token_pooling": "mean"}
    module = PooledEncoder(model, None, path=path, **options).eval()
    skips = [(), (0,), (1, 2), (len(path) - 1,)]
    with torch.no_grad():
        pooled = module.pool_skipping(batch_of(tokenizer), module.skip_plan(skips))
        for j, skip in enumerate(skips):
            rest = [index for place, index in enumerate(path) if place not in skip]
            expected = PooledEncoder(model, None, path=rest, **options).eval().pool(batch_of(tokenizer))
            assert (pooled[:, j] - expected).abs().max() < 1e-5, skip


def test_family_that_only_transformers_runs__says_so():
    config = MPNetConfig(
        vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    runner = make_runner(AutoModel.from_config(config))
    with pytest.raises(NotImplementedError, match="mpnet"):
        next(skip_hidden_states(runner, None, SkipPlan([(0,)], [2], 2)))
