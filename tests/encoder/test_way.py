"""Which way is taken on which device, and that every family gives the same in both."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from skbert.encoder import SkipPlan, load_encoder, make_runner, new_masked_lm, runner_of, skip_hidden_states
from skbert.encoder._way import few_launches, forced_way
from skbert.text import TextInput, collate, tokenize
from tests.helpers.tiny import FAMILIES

N_LAYERS = 4
TEXTS = ["money", "the lamp is late", "where is my parcel now please", "the code is bad", "why"]
INPUTS = pytest.mark.parametrize("texts", [TextInput(TEXTS), TextInput(TEXTS, TEXTS[::-1])], ids=["single", "pair"])
EACH_FAMILY = pytest.mark.parametrize("family", [*FAMILIES, "hybridbert"])
# transformers computes the attention of DeBERTa, on padded batches: nothing of it depends on the way.
HAS_ONE_WAY = ("deberta-v2",)


@pytest.fixture(scope="module")
def runner_of_family(tiny):
    """A runner of a small encoder of a family, in eval mode, and its tokenizer; the model is a copy for each call."""
    made = {}

    def get(family):
        if family not in made:
            folder = tiny("bert" if family == "hybridbert" else family, n_layers=N_LAYERS)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            made[family] = _hybrid(len(tokenizer)) if family == "hybridbert" else AutoModel.from_pretrained(folder)
            made[family] = made[family].eval(), tokenizer
        model, tokenizer = made[family]
        return make_runner(copy.deepcopy(model)), tokenizer

    return get


def _hybrid(vocab_size):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64}
    sizes |= {"vocab_size": vocab_size, "num_hidden_layers": N_LAYERS, "initializer_range": 0.2}
    mixers = ["pooling", "attention", "pooling", "attention"]
    return runner_of(new_masked_lm({"model_type": "hybridbert", **sizes, "mixers": mixers}, 0)).model


def batch_of(texts, tokenizer, drops=False):
    batch = collate(tokenize(texts, tokenizer, 64), range(len(texts)))
    if drops:
        # Not the first of a text, so that each text has a token that is attended.
        batch = replace(batch, attended=(torch.arange(len(batch.input_ids)) % 3 != 1) | (batch.position_ids == 0))
    return batch


def outcome(way, runner, batch, wanted, **options):
    """Hidden states in one way, and the gradients of a weighted sum of them by parameter name."""
    runner.model.zero_grad(set_to_none=True)
    # A layout keeps what depends on the way.
    batch = replace(batch)
    with forced_way(way):
        states, _ = runner.hidden_states(batch, wanted, **options)
        generator = torch.Generator().manual_seed(0)
        sum((state * torch.randn(state.shape, generator=generator)).sum() for state in states).backward()
    gradients = {name: p.grad for name, p in runner.model.named_parameters() if p.grad is not None}
    return [state.detach() for state in states], gradients


def assert_same(ours, theirs):
    """Equal to 1e-5; gradients as shares of the largest of their tensor, if that is above 1."""
    (states, gradients), (expected, expected_gradients) = ours, theirs
    for state, other in zip(states, expected, strict=True):
        torch.testing.assert_close(state, other, rtol=0, atol=1e-5)
    for name in gradients.keys() | expected_gradients.keys():
        # One way may compute a gradient that is always 0, that of the biases of keys, and the other leave it out.
        either = gradients.get(name, expected_gradients.get(name))
        ours, theirs = (found.get(name, torch.zeros_like(either)) for found in (gradients, expected_gradients))
        scale = theirs.abs().max().clamp(min=1)
        torch.testing.assert_close(
            ours / scale, theirs / scale, rtol=0, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


# ------------------------------------------------------------------ the rule


@pytest.mark.parametrize(("device", "few"), [("cpu", False), ("mps", False), ("cuda", True), ("cuda:1", True)])
def test_few_launches__device__only_on_cuda(device, few):
    assert few_launches(torch.device(device)) is few


def test_forced_way__any_device__until_the_end_of_the_block():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    with forced_way("padded"):
        assert few_launches(cpu)
        with forced_way("groups"):
            assert not few_launches(cuda)
        assert few_launches(cpu)
    assert not few_launches(cpu)
    with pytest.raises(RuntimeError, match="inside"), forced_way("padded"):
        raise RuntimeError("inside")
    assert not few_launches(cpu)
    with pytest.raises(ValueError, match=r"'groups', 'padded'.*got 'fast'"), forced_way("fast"):
        pass


# ------------------------------------------------------------------ the families


@EACH_FAMILY
@INPUTS
@pytest.mark.parametrize("cls_only", [False, True])
def test_hidden_states__both_ways__the_same_with_gradients(runner_of_family, family, texts, cls_only):
    runner, tokenizer = runner_of_family(family)
    batch = batch_of(texts, tokenizer)
    both = [outcome(way, runner, batch, (0, 2, N_LAYERS), cls_only=cls_only) for way in ("padded", "groups")]
    assert len(both[0][1]) > 10
    assert_same(*both)


@EACH_FAMILY
@INPUTS
@pytest.mark.parametrize("cls_only", [False, True])
def test_hidden_states__dropped_keys__both_ways_the_same(runner_of_family, family, texts, cls_only):
    runner, tokenizer = runner_of_family(family)
    if not runner.drops_keys:
        assert family in HAS_ONE_WAY
        return
    batch = batch_of(texts, tokenizer, drops=True)
    both = [outcome(way, runner, batch, (2, N_LAYERS), cls_only=cls_only) for way in ("padded", "groups")]
    assert_same(*both)
    plain, _ = outcome("padded", runner, batch_of(texts, tokenizer), (2, N_LAYERS), cls_only=cls_only)
    assert (plain[-1] - both[0][0][-1]).abs().max() > 1e-2


@EACH_FAMILY
def test_hidden_states__dropped_keys_and_first_tokens_only__rows_of_all_tokens(runner_of_family, family):
    runner, tokenizer = runner_of_family(family)
    batch = batch_of(TextInput(TEXTS), tokenizer, drops=True)
    with torch.no_grad():
        (whole,), layout = runner.hidden_states(batch, [N_LAYERS])
        (first,), _ = runner.hidden_states(batch, [N_LAYERS], cls_only=True)
    torch.testing.assert_close(first, layout.restore(whole[layout.cls_index]), rtol=0, atol=1e-5)


@EACH_FAMILY
def test_hidden_states__path__both_ways_the_same(runner_of_family, family):
    runner, tokenizer = runner_of_family(family)
    batch = batch_of(TextInput(TEXTS), tokenizer)
    both = [outcome(way, runner, batch, (1, 3), path=(0, 3, 1, 1)) for way in ("padded", "groups")]
    assert_same(*both)


@EACH_FAMILY
@pytest.mark.parametrize("cls_only", [False, True])
def test_skip_hidden_states__both_ways__the_same(runner_of_family, family, cls_only):
    runner, tokenizer = runner_of_family(family)
    batch = batch_of(TextInput(TEXTS), tokenizer)
    plan = SkipPlan([(), (1,), (0, 1), (2, 3)], (3, 4), N_LAYERS)
    found = []
    for way in ("padded", "groups"):
        with torch.no_grad(), forced_way(way):
            parts = skip_hidden_states(runner, replace(batch), plan, cls_only=cls_only, max_tokens=64)
            found.append([state for _, states, _ in parts for state in states])
    assert len(found[0]) >= 4
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@EACH_FAMILY
def test_hidden_states__padded__one_call_of_attention_per_layer(runner_of_family, family, monkeypatch):
    runner, tokenizer = runner_of_family(family)
    calls, kernel = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or kernel(*a, **k))
    batch, n_calls = batch_of(TextInput(TEXTS), tokenizer), {}
    n_lengths = len(set(batch.lengths))
    assert n_lengths > 2
    for way in ("padded", "groups"):
        calls.clear()
        with torch.no_grad(), forced_way(way):
            runner.hidden_states(replace(batch), [N_LAYERS])
        n_calls[way] = len(calls)
    if family in HAS_ONE_WAY:
        assert n_calls["padded"] == n_calls["groups"]
        return
    n_attending = N_LAYERS // 2 if family == "hybridbert" else N_LAYERS
    assert n_calls == {"padded": n_attending, "groups": n_attending * n_lengths}


def test_hidden_states__bf16__both_ways_are_close(minilm):
    loaded = load_encoder(minilm)
    runner, batch = make_runner(copy.deepcopy(loaded.model).eval()), batch_of(TextInput(TEXTS), loaded.tokenizer)
    found = []
    for way in ("padded", "groups"):
        with torch.no_grad(), forced_way(way), torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(runner.hidden_states(replace(batch), [6])[0][0].float())
    assert torch.nn.functional.cosine_similarity(*found).min() > 0.999
