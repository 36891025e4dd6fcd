"""Linear layers in bf16 on a CPU, for a number of rows that is different in every batch.

There, torch makes a kernel for every number of rows that it meets, and keeps about a thousand. Each costs 0.3 ms and
0.7 MB. A packed batch has as many rows as tokens, so nearly every step of a training would need kernels of its own.
"""

from __future__ import annotations

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# The number of rows is rounded up to a multiple of this one.
_EVEN = 32


def linear(states, weight, bias=None):
    """``F.linear`` of `states` (n, width); on a CPU in bf16 with rows of zeros, so that few numbers of rows occur."""
    if weight.dtype != torch.bfloat16 or weight.device.type != "cpu" or states.dim() != 2:
        return F.linear(states, weight, bias)
    return _EvenLinear.apply(states, weight, bias)


class _EvenLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states, weight, bias):
        ctx.n_rows, ctx.dtype = len(states), states.dtype
        states = _even(states, weight.dtype)
        ctx.save_for_backward(states, weight)
        with torch.autocast("cpu", enabled=False):
            return F.linear(states, weight, bias)[: ctx.n_rows]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        states, weight = ctx.saved_tensors
        even, found = _even(gradient, weight.dtype), [None, None, None]
        if ctx.needs_input_grad[0]:
            found[0] = (even @ weight)[: ctx.n_rows].to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            found[1] = even.t() @ states
        if ctx.needs_input_grad[2]:
            found[2] = gradient.sum(0)
        return tuple(found)


def _even(rows, dtype):
    """The `rows` in `dtype`, and rows of zeros below them."""
    n_rows = len(rows)
    even = torch.empty(-(-n_rows // _EVEN) * _EVEN, rows.shape[1], dtype=dtype)
    even[:n_rows].copy_(rows)
    even[n_rows:].zero_()
    return even
