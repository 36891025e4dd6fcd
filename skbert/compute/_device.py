"""Devices and number formats."""

from __future__ import annotations

import contextlib

import torch


def resolve_device(device):
    """Return the torch device for the parameter `device`.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "cuda:0", "mps", ...} or torch.device
        ``"auto"`` chooses CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        `device` is not a device, or this machine does not have it.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'auto' or a torch device such as 'cpu' or 'cuda', got {device!r}") from error
    if resolved.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'mps', got {device!r}")
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but torch sees no CUDA GPU on this machine; use device='auto'.")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device={device!r}, but torch sees no MPS GPU on this machine; use device='auto'.")
    return resolved


def resolve_precision(precision, device):
    """Return ``"fp32"`` or ``"bf16"`` for the parameter `precision`; ``"auto"`` is bf16 on CUDA, fp32 elsewhere."""
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision must be 'auto', 'fp32' or 'bf16', got {precision!r}")
    if precision == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return precision


def autocast(device, precision):
    """A context in which matrix products run in `precision`; weights stay fp32."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
