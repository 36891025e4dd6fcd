"""Computing several batches at once on a CPU, each on one core.

One core per batch is faster than all cores on one batch: matrix products of this size do
not use the cores evenly, and the work between them is not parallel at all.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import torch


def n_compute_threads(device):
    """Number of batches to compute at once on `device`."""
    # Only with OpenMP does each thread have its own number of threads inside torch.
    openmp = re.search(r"parallel backend: OpenMP", torch.__config__.parallel_info())
    return torch.get_num_threads() if device.type == "cpu" and openmp else 1


@contextmanager
def one_core_each(n_threads):
    """Yield a function that starts calls; up to `n_threads` of them run at once.

    Parameters
    ----------
    n_threads : int
        Number of calls at once: as many threads as torch uses. With 1, each call runs when its result is requested,
        on all cores.

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
    # The setting of a thread also becomes the initial setting of threads that start later, so it is restored at once.
    torch.set_num_threads(n_threads)
    try:
        yield lambda function, *arguments: pool.submit(function, *arguments).result
    finally:
        pool.shutdown(cancel_futures=True)


def _take_one_core(begun):
    # Read first, because otherwise torch would initialise this thread later, with the value that is then restored.
    torch.get_num_threads()
    torch.set_num_threads(1)
    begun.wait()
