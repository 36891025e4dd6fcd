"""Two ways to compute the same: on a CPU as little arithmetic as possible, on a GPU as few launches as possible.

On few data, the time of a step on a GPU is that of launching its kernels. On a CPU, it is that of the arithmetic.
"""

from __future__ import annotations

from contextlib import contextmanager

# "groups": attention once per group of texts of equal length, dropout from 16 random bits per element.
# "padded": attention once per layer on padded texts, torch's own dropout.
WAYS = ("groups", "padded")

_forced = None


def few_launches(device):
    """Whether to compute on `device` in the way "padded": on CUDA, if no other way is forced."""
    return (_forced or ("padded" if device.type == "cuda" else "groups")) == "padded"


@contextmanager
def forced_way(way):
    """Compute in this one of `WAYS` inside the block, on any device and in any thread; for tests and measurements."""
    global _forced
    if way not in WAYS:
        raise ValueError(f"way must be one of {WAYS}, got {way!r}")
    before, _forced = _forced, way
    try:
        yield
    finally:
        _forced = before
