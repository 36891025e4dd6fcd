"""Running a module over many texts: sorted by length, without gradients, surviving a lack of memory."""

from __future__ import annotations

import torch

from skbert.errors import OutOfMemoryError
from skbert.text import collate

from ._data import batches_by_length
from ._device import MemoryNotice, autocast, free_cached_memory, is_out_of_memory

_TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768, "mps": 8192}


def token_budget(device):
    """Tokens in one batch of inference on `device`."""
    return _TOKEN_BUDGET.get(device.type, 8192)


def run_batches(function, tokens, device, precision, notice=None):
    """Call `function` on batches that cover all texts.

    Parameters
    ----------
    function : callable
        Takes a `TokenBatch` on `device`.
    tokens : TokenizedTexts
    device : torch.device
    precision : {"fp32", "bf16"}
    notice : MemoryNotice, default=None
        Warns when memory runs out; None warns once in this call.

    Yields
    ------
    indices : int array
        Rows of the batch.
    result
        What `function` returned for them.

    Raises
    ------
    OutOfMemoryError
        A batch of one text does not fit into memory. Larger batches are halved, with one warning.
    """
    budget = token_budget(device)
    queue = batches_by_length(tokens.lengths, budget)[::-1]
    notice = MemoryNotice() if notice is None else notice
    while queue:
        indices = queue.pop()
        failed = False
        try:
            with torch.inference_mode(), autocast(device, precision):
                result = function(collate(tokens, indices).to(device))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(indices) == 1:
                raise OutOfMemoryError(
                    f"Out of memory on {device} with a single text of {len(tokens.input_ids[indices[0]])} tokens. "
                    "Lower max_length, use a smaller encoder, or free memory on the device."
                ) from error
            failed = True
        # Outside the except block: there, the traceback would keep the batch's tensors alive.
        if failed:
            free_cached_memory(device)
            notice(
                f"Out of memory on {device}: batches are halved and tried again; the results do not change.",
                stacklevel=4,
            )
            half = len(indices) // 2
            queue += [indices[half:], indices[:half]]
            continue
        yield indices, result
