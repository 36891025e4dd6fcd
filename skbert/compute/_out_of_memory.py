"""Running out of memory: recognising it on any device, going on in smaller parts, and giving up with sizes."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager

import torch

from skbert._shared import warn
from skbert.compute._threads import one_core_each
from skbert.errors import OutOfMemoryError


def is_out_of_memory(error):
    """Whether `error` says that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The CPU allocator and MPS raise a plain RuntimeError.
    message = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message or "not enough memory" in message
    )


def free_cached_memory(device):
    """Give unused blocks of the caching allocator back to `device`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class MemoryNotice:
    """Says once, however often memory runs out in one fit or prediction."""

    def __init__(self):
        self._given = False

    def __call__(self, message):
        """Warn with `message`, the first time only."""
        if not self._given:
            self._given = True
            warn(message, RuntimeWarning)


@contextmanager
def giving_up(message):
    """Turn a lack of memory inside the block into an `OutOfMemoryError` with `message()`."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(message()) from error


def in_parts(batches, compute, device, notice, give_up, n_threads=1):
    """Call `compute` on batches of rows, halving those for which memory does not suffice.

    Parameters
    ----------
    batches : list of int arrays
        Rows of each batch.
    compute : callable
        Takes the rows of a batch.
    device : torch.device
    notice : MemoryNotice
    give_up : callable
        Message of the error, given the one row for which memory does not suffice.
    n_threads : int, default=1
        How many batches to compute at once, until memory does not suffice.

    Yields
    ------
    rows : int array
    result
        What `compute` returned for them.

    Raises
    ------
    OutOfMemoryError
        A single row does not fit.
    """
    queue, started = deque(batches), deque()
    # One more than there are threads, so that none waits for us to use a result.
    ahead = 1 if n_threads == 1 else n_threads + 1
    with one_core_each(n_threads) as start:
        while queue or started:
            while queue and len(started) < ahead:
                rows = queue.popleft()
                started.append((rows, start(compute, rows), ahead == 1))
            rows, finish, alone = started.popleft()
            failed = False
            try:
                result = finish()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if alone and len(rows) == 1:
                    raise OutOfMemoryError(give_up(rows[0])) from error
                failed = True
            # Outside the except block: there, the traceback would keep the batch's tensors alive.
            if failed:
                del finish
                free_cached_memory(device)
                notice(f"Out of memory on {device}: batches are halved and tried again; the results do not change.")
                # Others may have held the memory: from here on each runs by itself.
                ahead = 1
                half = len(rows) // 2
                queue.extendleft(part for part in (rows[half:], rows[:half]) if len(part))
                continue
            yield rows, result
