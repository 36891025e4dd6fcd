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
    2**-16, and the scale belongs to the rounded value.
    """
    if p == 0.0:
        return x
    if few_launches(x.device):
        return torch.native_dropout(x, p, True)[0]
    if x.device.type != "cpu":
        return F.dropout(x, p)
    n_dropped = round(p * _LEVELS)
    if n_dropped == _LEVELS:
        return x * 0.0
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)
    keep = (bits >= n_dropped - _LEVELS // 2).to(x.dtype)
    return x * keep.mul_(_LEVELS / (_LEVELS - n_dropped))


def apply_dropout(module, x):
    """The same as ``module(x)``, for a dropout module or an identity."""
    return dropout(x, module.p) if module.training and getattr(module, "p", 0.0) else x
