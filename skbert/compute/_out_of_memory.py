"""Running out of memory: detect it on any device, continue with smaller batches, and report the sizes at the end."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager

import torch

from skbert._shared import warn
from skbert.compute._freed_memory import keep_freed_memory
from skbert.compute._threads import one_core_each
from skbert.errors import OutOfMemoryError


def is_out_of_memory(error):
    """Whether `error` means that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The CPU allocator and MPS raise a plain RuntimeError.
    message = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in message or "can't allocate memory" in message or "not enough memory" in message
    )


def free_cached_memory(device):
    """Return unused memory of the caching allocator to `device`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class MemoryNotice:
    """Warns only once, even if memory runs out several times in one fit or prediction."""

    def __init__(self):
        self._given = False

    def __call__(self, message):
        """Warn with `message`, but only the first time."""
        if not self._given:
            self._given = True
            warn(message, RuntimeWarning)


@contextmanager
def giving_up(message):
    """Raise an `OutOfMemoryError` with `message()` if memory runs out inside the block."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(message()) from error


def in_parts(batches, compute, device, notice, give_up, n_threads=1):
    """Call `compute` on batches of rows; halve a batch if there is not enough memory for it.

    Parameters
    ----------
    batches : list of int arrays
        Rows of each batch.
    compute : callable
        Takes the rows of a batch.
    device : torch.device
        The device on which `compute` runs.
    notice : MemoryNotice
        Warns when memory runs out.
    give_up : callable
        Takes a row for which there is not enough memory, and returns the message of the error.
    n_threads : int, default=1
        Number of batches that are computed at once, until memory runs out.

    Yields
    ------
    rows : int array
        Rows of the batch.
    result
        The result of `compute` for them.

    Raises
    ------
    OutOfMemoryError
        There is not enough memory for a single row.
    """
    keep_freed_memory(device)
    queue, started = deque(batches), deque()
    # One more than the number of threads, so that no thread waits until the caller has used a result.
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
            # Outside the except block, because inside it the traceback would keep the tensors of the batch in memory.
            if failed:
                del finish
                free_cached_memory(device)
                notice(f"Out of memory on {device}: batches are halved and computed again; the results do not change.")
                # Other batches may have used the memory, so from here on each batch runs alone.
                ahead = 1
                half = len(rows) // 2
                queue.extendleft(part for part in (rows[half:], rows[:half]) if len(part))
                continue
            yield rows, result
