"""Weights that lie next to each other are joined without a copy, and are the same parameters as before."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoTokenizer

from skbert import MaxPoolBERTClassifier
from skbert.encoder import lay_side_by_side, make_runner, new_masked_lm, runner_of
from skbert.encoder._side_by_side import join
from skbert.encoder._way import WAYS, forced_way
from skbert.text import TextInput, collate, tokenize
from tests.helpers.operations import CountOperations

CPU = torch.device("cpu")


def _tensors(in_a_row):
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(9, 4, generator=generator)
    parts = [part if in_a_row else part.clone() for part in whole.split([2, 3, 4])]
    return whole, [nn.Parameter(part) for part in parts]


@pytest.mark.parametrize("in_a_row", [False, True])
def test_join__equals_cat_with_its_gradients(in_a_row):
    whole, parts = _tensors(in_a_row)
    with CountOperations() as operations:
        joined = join(parts)
    assert operations.total == (0 if in_a_row else 1)
    assert torch.equal(joined, whole)
    assert (joined.untyped_storage().data_ptr() == parts[0].untyped_storage().data_ptr()) is in_a_row
    weights = torch.arange(36.0).view(9, 4)
    (joined**2 * weights).sum().backward()
    assert torch.equal(torch.cat([part.grad for part in parts]), 2 * whole * weights)


def test_join__second_derivative__is_that_of_cat():
    found = []
    for in_a_row in (True, False):
        _, parts = _tensors(in_a_row)
        gradients = torch.autograd.grad((join(parts) ** 3).sum(), parts, create_graph=True)
        found.append(torch.autograd.grad(sum((gradient**2).sum() for gradient in gradients), parts))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_join__in_another_order_or_with_a_gap__is_not_taken_for_a_row():
    whole, parts = _tensors(True)
    assert torch.equal(join(parts[::-1]), torch.cat([whole[5:], whole[2:5], whole[:2]]))
    assert torch.equal(join([parts[0], parts[2]]), torch.cat([whole[:2], whole[5:]]))
    assert torch.equal(join([whole.T[:2], whole.T[2:]]), whole.T)


def _runner(tiny, family):
    if family == "hybridbert":
        sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 2}
        content = {"model_type": family, "vocab_size": 99, "mixers": ["pooling", "attention"], **sizes}
        return runner_of(new_masked_lm(content, 0))
    return make_runner(AutoModel.from_pretrained(tiny(family)))


@pytest.mark.parametrize(
    ("family", "n_sets"),
    [("bert", 8), ("distilbert", 8), ("albert", 4), ("hybridbert", 4), ("modernbert", 0), ("deberta-v2", 0)],
)
def test_lay_side_by_side__parameters__are_the_same_and_can_be_stored(tiny, family, n_sets, tmp_path):
    runner = _runner(tiny, family)
    before = {name: (id(p), p.detach().clone()) for name, p in runner.model.named_parameters()}

    def storages():
        return {p.untyped_storage().data_ptr() for p in runner.model.parameters()}

    n_apart = len(storages())
    linears = {id(set_[0]): len(set_) for set_ in map(runner.joined_linears, range(runner.n_layers)) if set_}
    assert 2 * len(linears) == n_sets
    with forced_way("padded"):
        for _ in range(2):
            lay_side_by_side(runner, CPU)
            # A set of k weights is one piece of memory, and so are its k biases.
            assert len(storages()) == n_apart - 2 * sum(n - 1 for n in linears.values())
    after = dict(runner.model.named_parameters())
    assert after.keys() == before.keys()
    for name, (identity, value) in before.items():
        assert id(after[name]) == identity
        assert torch.equal(after[name], value)
    save_file(runner.model.state_dict(), tmp_path / "weights.safetensors")
    for name, value in load_file(tmp_path / "weights.safetensors").items():
        assert torch.equal(value, runner.model.state_dict()[name])
    runner.model.load_state_dict({name: tensor + 1.0 for name, tensor in runner.model.state_dict().items()})
    for name, (_, value) in before.items():
        assert torch.equal(after[name], value + 1.0)


def test_lay_side_by_side__in_inference_mode__can_be_trained_later(tiny):
    runner = _runner(tiny, "bert")
    with forced_way("padded"), torch.inference_mode():
        lay_side_by_side(runner, CPU)
    weights = [linear.weight for linear in runner.joined_linears(0)]
    assert not any(weight.is_inference() for weight in weights)
    join(weights).sum().backward()
    assert all(torch.equal(weight.grad, torch.ones_like(weight)) for weight in weights)


def test_lay_side_by_side__cheap_launches__changes_nothing(tiny):
    runner = _runner(tiny, "bert")
    before = [p.data_ptr() for p in runner.model.parameters()]
    lay_side_by_side(runner, CPU)
    assert [p.data_ptr() for p in runner.model.parameters()] == before


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_lay_side_by_side__an_optimizer__trains_as_without(tiny, family):
    folder, found = tiny(family), []
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = collate(tokenize(TextInput(["the lamp is late", "why", "money back"]), tokenizer, 16), range(3))
    for way in ("padded", "groups"):
        runner = make_runner(AutoModel.from_pretrained(folder).eval())
        with forced_way(way):
            lay_side_by_side(runner, CPU)
            optimizer = torch.optim.SGD(runner.model.parameters(), lr=0.01)
            for _ in range(3):
                optimizer.zero_grad()
                runner.hidden_states(batch, [runner.n_layers])[0][0].pow(2).mean(dim=0).sum().backward()
                optimizer.step()
        found.append(runner.model.state_dict())
    start = AutoModel.from_pretrained(folder).state_dict()
    moved = [name for name in start if not torch.equal(start[name], found[0][name])]
    assert any("query.weight" in name for name in moved)
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=0, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


# ------------------------------------------------------------------ whole fits


SETTINGS = pytest.mark.parametrize(
    "settings",
    [
        {},
        {"token_pooling": "cls"},
        {"freeze_layers": 2},
        {"early_stopping": True, "validation_fraction": 0.25},
        {"pretrained_decay": 0.1},
        {"contrastive_steps": 2, "token_pooling": "mean", "layers": 1},
    ],
    ids=lambda settings: next(iter(settings), "defaults"),
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@SETTINGS
def test_fit__both_ways_without_dropout__train_the_same(tiny, texts, labels, quick, settings, tmp_path):
    folder, found = _without_dropout(tiny("bert"), tmp_path), []
    for way in WAYS:
        with forced_way(way):
            clf = MaxPoolBERTClassifier(folder, **{**quick, "learning_rate": 1e-4, "dropout": 0.0, **settings})
            found.append(clf.fit(texts, labels).predict_proba(texts))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-4)


def _without_dropout(folder, tmp_path):
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.mark.parametrize("settings", [{}, {"mixout": 0.3}, {"precision": "bf16"}], ids=["plain", "mixout", "bf16"])
def test_fit__padded_with_dropout__learns_and_repeats(tiny, texts, labels, quick, settings):
    found = []
    for _ in range(2):
        with forced_way("padded"):
            clf = MaxPoolBERTClassifier(tiny("bert"), **{**quick, "max_epochs": 12, **settings}).fit(texts, labels)
            found.append(clf.predict_proba(texts))
    assert np.array_equal(*found)
    assert clf.score(texts, labels) > 0.8
