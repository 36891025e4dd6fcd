"""Memory that one batch frees and the next one needs again, and that nobody needs after the last one."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache

import numpy as np

# The largest block from which glibc learns has 32 MiB, with its own few bytes.
_BLOCK = 32 * 2**20 - 64 * 2**10


def keep_freed_memory(device):
    """Let this process keep the memory that a batch on a CPU frees, for the next batch.

    The tensors of a batch have some MiB. At first, glibc takes each such block from the system and gives it back when
    it is freed. The system clears it, page by page, and this takes a twentieth of the time. But glibc learns: once a
    block was freed, smaller ones come from memory that the process keeps ("dynamic mmap threshold" in mallopt(3)). So
    one block is taken and freed here; nothing is written to it. What is free at the end of that memory still goes back,
    if it is more than twice the block; what is free below memory in use does not, until `give_back_freed_memory`.
    Where a user has set these thresholds, or with another allocator, nothing changes.
    """
    if device.type == "cpu":
        _free_one_block()


@cache
def _free_one_block():
    # To be faster is not worth an error.
    with suppress(MemoryError):
        np.empty(_BLOCK, dtype=np.uint8)


def give_back_freed_memory():
    """Give memory that is free but kept back to the system, where the allocator can do so (glibc's)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
