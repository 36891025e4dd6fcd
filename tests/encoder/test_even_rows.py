"""Linear layers in bf16 for any number of rows: the same numbers, and products of few shapes."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from skbert.encoder import even_linear

N_ROWS = pytest.mark.parametrize("n_rows", [0, 1, 32, 64, 65, 370])


def leaves(n_rows, dtype, with_bias=True):
    generator = torch.Generator().manual_seed(0)
    shapes = [(n_rows, 24), (40, 24), (40,)] if with_bias else [(n_rows, 24), (40, 24)]
    types = [torch.float32, dtype, dtype]
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    return [tensor.to(own).requires_grad_() for tensor, own in zip(drawn, types, strict=False)]


@N_ROWS
@pytest.mark.parametrize("with_bias", [True, False])
def test_even_linear__bf16__values_and_gradients_of_the_product_in_fp64(n_rows, with_bias):
    ours = leaves(n_rows, torch.bfloat16, with_bias)
    # The states are cast to bf16 too, as autocast does.
    theirs = [tensor.detach().bfloat16().double().requires_grad_() for tensor in ours]
    out, expected = even_linear(*ours), F.linear(*theirs)
    assert (out.dtype, out.shape) == (torch.bfloat16, expected.shape)
    torch.testing.assert_close(out.double(), expected, rtol=0.01, atol=0.05)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = torch.autograd.grad(out, ours, weights)
    for leaf, one, other in zip(ours, found, torch.autograd.grad(expected, theirs, weights.double()), strict=True):
        assert (one.dtype, one.shape) == (leaf.dtype, leaf.shape)
        torch.testing.assert_close(one.double(), other, rtol=0.01, atol=0.2)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_even_linear__bf16__a_leaf_that_is_not_trained__the_others_are(frozen):
    tensors = leaves(5, torch.bfloat16)
    tensors[frozen].requires_grad_(False)
    even_linear(*tensors).sum().backward()
    assert [tensor.grad is None for tensor in tensors] == [place == frozen for place in range(3)]


@N_ROWS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_even_linear__other_types__plain_linear(n_rows, dtype):
    states, weight, bias = (tensor.detach().to(dtype) for tensor in leaves(n_rows, dtype))
    assert torch.equal(even_linear(states, weight, bias), F.linear(states, weight, bias))


class Shapes(TorchDispatchMode):
    """Collects the shapes of all matrix products."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.found.add(tuple(tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)))
        return func(*args, **(kwargs or {}))


def test_even_linear__bf16__numbers_of_rows_that_are_close__the_same_products():
    with Shapes() as shapes:
        even_linear(*leaves(65, torch.bfloat16)).sum().backward()
        n_products = len(shapes.found)
        for n_rows in (70, 90, 96):
            even_linear(*leaves(n_rows, torch.bfloat16)).sum().backward()
    assert n_products == len(shapes.found) == 3


def test_even_linear__bf16__texts_by_tokens__as_their_rows():
    rows, weight, bias = leaves(6 * 20, torch.bfloat16)
    flat = even_linear(rows, weight, bias)
    texts = even_linear(rows.view(6, 20, 24), weight, bias)
    assert texts.shape == (6, 20, 40)
    assert torch.equal(texts.flatten(0, 1), flat)


def test_even_linear__bf16__a_bias_in_fp32__its_gradient_too():
    states, weight, bias = leaves(100, torch.bfloat16)
    wide = bias.detach().float().requires_grad_()
    out = even_linear(states, weight, wide)
    assert torch.equal(out, even_linear(states, weight, bias))
    # It can be changed in place, like any other result.
    out.relu_().sum().backward()
    assert wide.grad.dtype == torch.float32
