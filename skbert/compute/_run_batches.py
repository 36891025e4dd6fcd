"""Runs a module on many texts: in batches of similar length, without gradients, with smaller batches if needed."""

from __future__ import annotations

import torch

from skbert.compute._device import autocast
from skbert.compute._out_of_memory import MemoryNotice, in_parts
from skbert.compute._threads import n_compute_threads
from skbert.text import batches_by_length, collate

_TOKEN_BUDGET = {"cpu": 2048, "cuda": 32768, "mps": 8192}
# Smaller batches are not worth a thread.
_LEAST_TOKENS = 256


def token_budget(device):
    """Number of tokens per batch for inference on `device`."""
    return _TOKEN_BUDGET.get(device.type, 8192)


def run_batches(function, tokens, device, precision, notice=None, prefixes=None, budget=None):
    """Call `function` on batches that cover all texts.

    Parameters
    ----------
    function : callable
        Takes a `TokenBatch` on `device`, and its `Prefix` if there are `prefixes`.
    tokens : TokenizedTexts
        Token ids of all texts.
    device : torch.device
        The device to compute on.
    precision : {"fp32", "bf16"}
        Number format of matrix products.
    notice : MemoryNotice, default=None
        Warns when memory runs out; with None, there is one warning per call.
    prefixes : PrefixCache, default=None
        Hidden states of frozen layers, from which `function` continues.
    budget : int, default=None
        Number of tokens per batch; None means `token_budget`.

    Yields
    ------
    indices : int array
        Rows of the batch.
    result
        The result of `function` for them.

    Raises
    ------
    OutOfMemoryError
        There is not enough memory for a batch of one text. Larger batches are halved, with one warning.
    """

    def compute(rows):
        batch = collate(tokens, rows).to(device)
        prefix = () if prefixes is None else (prefixes.of(tokens, rows, device),)
        with torch.inference_mode(), autocast(device, precision):
            return function(batch, *prefix)

    def give_up(row):
        return (
            f"Out of memory on {device} with a single text of {len(tokens.input_ids[row])} tokens. "
            "Lower max_length, use a smaller encoder, or free memory on the device."
        )

    n_threads = n_compute_threads(device)
    budget = token_budget(device) if budget is None else budget
    batches = batches_by_length(tokens.lengths, _even_budget(int(tokens.lengths.sum()), budget, n_threads))
    notice = MemoryNotice() if notice is None else notice
    if len(batches) < n_threads:
        n_threads = 1  # so few batches that some cores would have none
    yield from in_parts(batches, compute, device, notice, give_up, n_threads=n_threads)


def _even_budget(n_tokens, budget, n_threads):
    """A budget of at most `budget` tokens that gives all threads the same number of batches."""
    if n_threads == 1:
        return budget
    rounds = max(1, -(-n_tokens // (budget * n_threads)))
    return min(budget, max(_LEAST_TOKENS, -(-n_tokens // (rounds * n_threads))))
