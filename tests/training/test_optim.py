"""The optimizer of the first BERT code, the schedule, and the parameter groups, against formulae and transformers."""

import numpy as np
import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from skbert.encoder import PooledEncoder, load_encoder
from skbert.training import BertAdam, linear_schedule, parameter_groups


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
