"""Dropout that costs no more than the operation it is applied to.

On the CPU, torch draws a float for every element, which takes a tenth of a training
step of a small encoder. Sixteen random bits per element are enough. On a GPU, torch
draws and applies them in one kernel.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from skbert.encoder._way import few_launches

_LEVELS = 2**16


def dropout(x, p):
    """Set each element of `x` to 0 with probability `p` and scale the others so that the mean does not change.

    The random bits come from torch's generator of the device of `x`. On the CPU, `p` is rounded to a multiple of
    2**-16, and the scale belongs to the rounded value. There, the result for bf16 is fp32, which is faster to compute
    and has the exact scale.
    """
    if p == 0.0:
        return x
    if few_launches(x.device):
        return torch.native_dropout(x, p, True)[0]
    if x.device.type != "cpu":
        return F.dropout(x, p)
    (factors,) = dropout_factors([x.numel()], p, torch.promote_types(x.dtype, torch.float32))
    return x * factors.view(x.shape)


def dropout_factors(sizes, p, dtype):
    """What `dropout` multiplies tensors of these numbers of elements with, on the CPU, as flat tensors.

    Drawing for several tensors at once gives what drawing for one after the other would give.
    """
    n_dropped = round(p * _LEVELS)
    if n_dropped == _LEVELS:
        return [torch.zeros(size, dtype=dtype) for size in sizes]
    n_words = [-(-size // 4) for size in sizes]
    words = torch.empty(sum(n_words), dtype=torch.int64).random_(-(2**63), None)
    factors = (words.view(torch.int16) >= n_dropped - _LEVELS // 2).to(dtype)
    factors.mul_(_LEVELS / (_LEVELS - n_dropped))
    drawn = factors.split([4 * n for n in n_words])
    return [part[:size] for part, size in zip(drawn, sizes, strict=True)]


def apply_dropout(module, x):
    """The same as ``module(x)``, for a dropout module or an identity."""
    return dropout(x, module.p) if module.training and getattr(module, "p", 0.0) else x
