"""Linear layers in bf16 for any number of rows: the same numbers, and products of few shapes."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from skbert.encoder import linear

N_ROWS = pytest.mark.parametrize("n_rows", [0, 1, 31, 32, 33, 370])


def leaves(n_rows, dtype, with_bias=True):
    generator = torch.Generator().manual_seed(0)
    shapes = [(n_rows, 24), (40, 24), (40,)] if with_bias else [(n_rows, 24), (40, 24)]
    types = [torch.float32, dtype, dtype]
    drawn = [torch.randn(shape, generator=generator) for shape in shapes]
    return [tensor.to(own).requires_grad_() for tensor, own in zip(drawn, types, strict=False)]


@N_ROWS
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear__bf16__values_and_gradients_of_the_product_in_fp64(n_rows, with_bias):
    ours = leaves(n_rows, torch.bfloat16, with_bias)
    # The states are cast to bf16 too, as autocast does.
    theirs = [tensor.detach().bfloat16().double().requires_grad_() for tensor in ours]
    out, expected = linear(*ours), F.linear(*theirs)
    assert (out.dtype, out.shape) == (torch.bfloat16, expected.shape)
    torch.testing.assert_close(out.double(), expected, rtol=0.01, atol=0.05)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    found = torch.autograd.grad(out, ours, weights)
    for leaf, one, other in zip(ours, found, torch.autograd.grad(expected, theirs, weights.double()), strict=True):
        assert (one.dtype, one.shape) == (leaf.dtype, leaf.shape)
        torch.testing.assert_close(one.double(), other, rtol=0.01, atol=0.2)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_linear__bf16__a_leaf_that_is_not_trained__the_others_are(frozen):
    tensors = leaves(5, torch.bfloat16)
    tensors[frozen].requires_grad_(False)
    linear(*tensors).sum().backward()
    assert [tensor.grad is None for tensor in tensors] == [place == frozen for place in range(3)]


@N_ROWS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_linear__other_types__plain_linear(n_rows, dtype):
    states, weight, bias = (tensor.detach().to(dtype) for tensor in leaves(n_rows, dtype))
    assert torch.equal(linear(states, weight, bias), F.linear(states, weight, bias))


class Shapes(TorchDispatchMode):
    """Collects the shapes of all matrix products."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.found.add(tuple(tuple(arg.shape) for arg in args if isinstance(arg, torch.Tensor)))
        return func(*args, **(kwargs or {}))


def test_linear__bf16__numbers_of_rows_that_are_close__the_same_products():
    with Shapes() as shapes:
        linear(*leaves(33, torch.bfloat16)).sum().backward()
        n_products = len(shapes.found)
        for n_rows in (40, 50, 64):
            linear(*leaves(n_rows, torch.bfloat16)).sum().backward()
    assert n_products == len(shapes.found) == 3
