"""Linear layers in bf16 on a CPU, for a number of rows that is different in every batch.

There, torch makes a kernel for every number of rows that it meets, and keeps about a thousand. Each costs 0.3 ms and
0.7 MB. A packed batch has as many rows as tokens, so nearly every step of a training would need kernels of its own.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# Numbers of rows are rounded up to multiples of this one,
_STEP = 32
# but not small ones, such as one row per text: they occur again anyway, and more rows would cost more.
_FEW_ROWS = 2 * _STEP


def even_linear(states, weight, bias=None):
    """``F.linear``; with a weight in bf16 on a CPU, with rows of zeros, so that few numbers of rows occur.

    It can be differentiated once.

    Parameters
    ----------
    states : tensor (..., width)
        What the layer reads, of any type.
    weight : tensor (n_out, width)
        The weight.
    bias : tensor (n_out,), default=None
        The bias.

    Returns
    -------
    tensor (..., n_out)
    """
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or states.dim() < 2:
        return F.linear(states, weight, bias)
    rows = states.flatten(0, -2)
    out = _EvenLinear.apply(rows, weight, bias)
    return out[: len(rows)].unflatten(0, states.shape[:-1])


class _EvenLinear(torch.autograd.Function):
    """The product with zeros below the rows; the gradient has as many rows as the result, zeros there too."""

    @staticmethod
    def forward(ctx, rows, weight, bias):
        ctx.n_rows, ctx.dtype, ctx.bias_dtype = len(rows), rows.dtype, None if bias is None else bias.dtype
        rows, bias = _even(rows, weight.dtype), None if bias is None else bias.to(weight.dtype)
        ctx.save_for_backward(rows, weight)
        with torch.autocast("cpu", enabled=False):
            return F.linear(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        rows, weight = ctx.saved_tensors
        found = [None, None, None]
        if ctx.needs_input_grad[0]:
            found[0] = (gradient @ weight)[: ctx.n_rows].to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            found[1] = gradient.t() @ rows
        if ctx.needs_input_grad[2]:
            found[2] = gradient.sum(0).to(ctx.bias_dtype)
        return tuple(found)


def _even(rows, dtype):
    """The `rows` in `dtype`, with rows of zeros below them unless they are few."""
    n_rows = len(rows)
    n_even = n_rows if n_rows < _FEW_ROWS else -(-n_rows // _STEP) * _STEP
    if n_even == n_rows:
        return rows.to(dtype)
    even = rows.new_empty(n_even, rows.shape[1], dtype=dtype)
    even[:n_rows].copy_(rows)
    even[n_rows:].zero_()
    return even
