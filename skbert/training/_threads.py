"""Computing several batches at once on a CPU, each on one core.

One core a batch beats all cores on one batch: matrix products of this size do not
fill the cores evenly, and nothing between them is parallel at all.
"""

from __future__ import annotations

import re
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
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield lambda function, *arguments: pool.submit(function, *arguments).result
    finally:
        pool.shutdown(cancel_futures=True)
        # The initializer also set what threads that start later would begin with.
        torch.set_num_threads(n_threads)
