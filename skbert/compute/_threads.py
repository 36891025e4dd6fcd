"""Computing several batches at once on a CPU, each on one core.

One core a batch beats all cores on one batch: matrix products of this size do not
fill the cores evenly, and nothing between them is parallel at all.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch


def n_compute_threads(device):
    """How many batches to compute at once on `device`."""
    # Only under OpenMP is the number of threads inside torch each thread's own.
    openmp = re.search(r"parallel backend: OpenMP", torch.__config__.parallel_info())
    return torch.get_num_threads() if device.type == "cpu" and openmp else 1


@contextmanager
def one_core_each(n_threads):
    """Give a function that starts calls, `n_threads` of them at once.

    Parameters
    ----------
    n_threads : int
        As many as torch uses. 1 makes each call only when its result is asked for, on all cores.

    Yields
    ------
    start : callable
        Takes a function and its arguments, and returns a callable that waits for the result.
    """
    if n_threads == 1:
        yield partial
        return
    pool, begun = ThreadPoolExecutor(n_threads), threading.Barrier(n_threads + 1)
    for _ in range(n_threads):
        pool.submit(_take_one_core, begun)
    begun.wait()
    # What a thread sets for itself is also what threads that start later begin with; that is put back at once.
    torch.set_num_threads(n_threads)
    try:
        yield lambda function, *arguments: pool.submit(function, *arguments).result
    finally:
        pool.shutdown(cancel_futures=True)


def _take_one_core(begun):
    # Asked first, or else torch would begin this thread later, with what is then put back.
    torch.get_num_threads()
    torch.set_num_threads(1)
    begun.wait()
