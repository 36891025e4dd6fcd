"""Dropout by random bits is dropout."""

import pytest
import torch
from torch import nn

from skbert.encoder._dropout import apply_dropout, dropout, dropout_factors
from skbert.encoder._way import forced_way
from tests.helpers.operations import CountOperations


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_dropout__share_scale_and_gradient(p):
    torch.manual_seed(0)
    x = torch.ones(1000, 300, requires_grad=True)
    y = dropout(x, p)
    n = x.numel()
    # Within five standard deviations of a binomial share.
    assert abs((y == 0).double().mean() - p) < 5 * (p * (1 - p) / n) ** 0.5
    assert abs(y.double().mean() - 1) < 5 * (p / (1 - p) / n) ** 0.5
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / (1 - p)]), atol=1e-3 / (1 - p), rtol=0)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_dropout__elements_are_independent():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(4000, 64), 0.3) > 0).double() - 0.7
    # Neighbours share a random word; their correlation is that of chance.
    correlation = (kept.T @ kept) / len(kept) / 0.21
    correlation.fill_diagonal_(0)
    assert correlation.abs().max() < 6 / len(kept) ** 0.5


def test_dropout__same_generator_state__same_mask():
    x = torch.randn(7, 13)
    torch.manual_seed(3)
    first = dropout(x, 0.2)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.2), first)
    assert not torch.equal(dropout(x, 0.2), first)


def test_dropout_factors__several_tensors__as_drawn_one_after_the_other():
    sizes = [3, 8, 21, 1]
    torch.manual_seed(5)
    expected = [dropout(torch.ones(size), 0.3) for size in sizes]
    torch.manual_seed(5)
    for one, other in zip(dropout_factors(sizes, 0.3, torch.float32), expected, strict=True):
        assert torch.equal(one, other)


def test_dropout__bf16__the_exact_scale():
    y = dropout(torch.ones(1000).bfloat16(), 0.1)
    assert y.dtype == torch.float32
    assert y.max().item() == pytest.approx(1 / 0.9, rel=1e-4)


def test_dropout__nothing_to_drop():
    x = torch.randn(3, 5)
    state = torch.get_rng_state()
    assert dropout(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(dropout(x, 1.0), torch.zeros(3, 5))
    assert torch.equal(dropout_factors([2, 5], 1.0, torch.float32)[1], torch.zeros(5))


@pytest.mark.parametrize("module", [nn.Dropout(0.4).eval(), nn.Dropout(0.0), nn.Identity()])
def test_apply_dropout__module_that_does_nothing(module):
    x = torch.randn(3, 5)
    assert apply_dropout(module, x) is x


def test_apply_dropout__training_module__drops():
    torch.manual_seed(0)
    assert (apply_dropout(nn.Dropout(0.4), torch.ones(1000)) == 0).any()


def test_dropout__few_launches__is_one_operation_in_each_direction():
    torch.manual_seed(0)
    x = torch.ones(1000, 300, requires_grad=True)
    with forced_way("padded"):
        with CountOperations() as forward:
            y = dropout(x, 0.3)
        with CountOperations() as backward:
            y.backward(torch.ones_like(x))
        assert dropout(x, 0.0) is x
    assert forward.total == 1
    assert backward.found["native_dropout_backward"] == 1
    share = (y == 0).double().mean()
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / x.numel()) ** 0.5
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.7]))
    assert torch.equal(x.grad, y.detach())
