"""The optimizer of the first BERT code, the schedule, and the parameter groups, against formulae and transformers."""

import numpy as np
import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from skbert import MaxPoolBERTClassifier
from skbert.encoder import load_encoder
from skbert.networks import PooledEncoder
from skbert.training import BertAdam, linear_schedule, parameter_groups
from tests.helpers.tiny import FAMILIES


@pytest.mark.parametrize(("n_steps", "ratio"), [(10, 0.0), (10, 0.1), (7, 0.3), (1, 0.1), (40, 1.0), (13, 0.5)])
def test_linear_schedule__equals_that_of_transformers(n_steps, ratio):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_linear_schedule_with_warmup(optimizer, int(np.ceil(ratio * n_steps)), n_steps)
    factor = linear_schedule(n_steps, ratio)
    for step in range(n_steps):
        assert factor(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_bert_adam__follows_its_formula_in_numpy(decay):
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=(3, 4)), rng.normal(size=(6, 3, 4))
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = BertAdam([parameter], lr=0.01, betas=(0.9, 0.99), eps=1e-6, weight_decay=decay)
    w, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for grad in grads:
        parameter.grad = torch.tensor(grad)
        optimizer.step()
        m = 0.9 * m + 0.1 * grad
        v = 0.99 * v + 0.01 * grad**2
        w = w - 0.01 * (m / (np.sqrt(v) + 1e-6) + decay * w)
        np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-12, atol=1e-12)


def test_bert_adam__first_step_is_larger_than_that_of_adamw_by_the_missing_correction():
    # (1 - beta1) / sqrt(1 - beta2), the factor of the first step, is 0.1 / sqrt(0.001).
    steps = {}
    for make in (BertAdam, torch.optim.AdamW):
        parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        parameter.grad = torch.full((1,), 0.7, dtype=torch.float64)
        make([parameter], lr=1.0, betas=(0.9, 0.999), eps=1e-12, weight_decay=0.0).step()
        steps[make] = -parameter.item()
    assert steps[BertAdam] / steps[torch.optim.AdamW] == pytest.approx(0.1 / np.sqrt(0.001), rel=1e-6)


def test_parameter_groups__hold_every_parameter_once_and_decay_matrices_only(tiny):
    module = PooledEncoder(load_encoder(tiny()).copy_model(), 3, layer_pooling="weighted")
    groups = parameter_groups(module, 1e-4, 1e-3, 0.01)
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in module.parameters())
    names = {id(p): name for name, p in module.named_parameters()}
    for group in groups:
        for parameter in group["params"]:
            in_encoder = names[id(parameter)].startswith("encoder.")
            assert group["lr"] == (1e-4 if in_encoder else 1e-3)
            assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0)


def _expected_exponent(family, name, n_layers=4):
    """Power of the decay for a parameter of an encoder, read off its name."""
    if "pooler" in name:
        return 0
    if name.startswith("final_norm"):
        return 1
    if family == "albert":
        # Group 0 is layers 0 and 1, group 1 is layers 2 and 3; the upper of the two counts.
        return {"0": 3, "1": 1}[name.split(".")[2]] if "albert_layer_groups" in name else n_layers + 1
    if name.startswith("encoder.conv."):
        return n_layers
    number = next((int(part) for part in name.split(".") if part.isdigit()), None)
    return n_layers + 1 if number is None else n_layers - number


@pytest.mark.parametrize("family", FAMILIES)
def test_parameter_groups__rates_fall_going_down(tiny, family):
    module = PooledEncoder(load_encoder(tiny(family)).copy_model(), 3, layer_pooling="weighted")
    groups = parameter_groups(module, 1e-4, 1e-3, 0.01, layer_decay=0.5)
    names = {id(p): name for name, p in module.named_parameters()}
    held = [names[id(p)] for group in groups for p in group["params"]]
    assert sorted(held) == sorted(names.values())
    for group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            if name.startswith("encoder."):
                expected = 1e-4 * 0.5 ** _expected_exponent(family, name[len("encoder.") :])
            else:
                expected = 1e-3
            assert group["lr"] == pytest.approx(expected, rel=1e-12), name
            assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0.0)


def test_parameter_groups__pooler_as_head_learns_at_the_full_rate(tiny):
    module = PooledEncoder(load_encoder(tiny()).copy_model(), 3, layers=1, token_pooling="cls", head="pooler")
    groups = parameter_groups(module, 1e-4, 1e-3, 0.0, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rates[id(module.encoder.pooler.dense.weight)] == 1e-4


def test_parameter_groups__frozen_layers_are_absent_and_do_not_move_the_count(tiny):
    module = PooledEncoder(load_encoder(tiny()).copy_model(), 3)
    module.freeze(3)
    groups = parameter_groups(module, 1e-4, 1e-3, 0.0, layer_decay=0.5)
    assert {group["lr"] for group in groups} == {0.5e-4, 1e-3}


def test_parameter_groups__without_layer_decay_there_are_four(tiny):
    module = PooledEncoder(load_encoder(tiny()).copy_model(), 3)
    assert len(parameter_groups(module, 1e-4, 1e-3, 0.01)) == 4


def test_parameter_groups__count_along_the_path(tiny):
    module = PooledEncoder(load_encoder(tiny()).copy_model(path=(3, 0)), 3, layers=1)
    groups = parameter_groups(module, 1e-4, 1e-3, 0.0, layer_decay=0.5)
    assert {group["lr"] for group in groups} == {0.5e-4, 0.25e-4, 0.125e-4, 1e-3}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_layer_decay__moves_each_layer_by_its_own_rate_in_the_first_step(tiny, texts, labels):
    # Adam's first step has the size of the learning rate, whatever the gradient.
    clf = MaxPoolBERTClassifier(
        tiny(),
        layers=1,
        token_pooling="cls",
        max_epochs=1,
        batch_size=24,
        learning_rate=1e-3,
        warmup_ratio=0.0,
        weight_decay=0.0,
        max_grad_norm=None,
        layer_decay=0.5,
        random_state=0,
        device="cpu",
    ).fit(texts, labels)
    before, after = load_encoder(tiny()).model.state_dict(), clf._fitted.tensors()
    for depth in range(4):
        name = f"encoder.layer.{depth}.output.dense.weight"
        step = np.abs(after[f"encoder.{name}"] - before[name].numpy()).max()
        assert step == pytest.approx(1e-3 * 0.5 ** (4 - depth), rel=1e-2)
    name = "embeddings.position_embeddings.weight"
    assert np.abs(after[f"encoder.{name}"] - before[name].numpy()).max() == pytest.approx(1e-3 * 0.5**5, rel=1e-2)
    assert clf.history_[0]["learning_rate"] == 1e-3


@pytest.mark.parametrize("bad", [0.0, -0.5, 1.5, None, True, "0.9", float("nan")])
def test_layer_decay__wrong_values_are_refused(tiny, texts, labels, bad):
    with pytest.raises(ValueError, match=r"layer_decay must be a float in \(0, 1\]"):
        MaxPoolBERTClassifier(tiny(), layer_decay=bad).fit(texts, labels)
