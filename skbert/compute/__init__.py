"""Where and how numbers are computed, during training and prediction."""

from skbert.compute._device import autocast, resolve_device, resolve_precision
from skbert.compute._freed_memory import give_back_freed_memory, keep_freed_memory
from skbert.compute._out_of_memory import MemoryNotice, free_cached_memory, giving_up, in_parts, is_out_of_memory
from skbert.compute._random_streams import TorchStream, isolated
from skbert.compute._run_batches import run_batches, token_budget
from skbert.compute._threads import n_compute_threads

__all__ = [
    "MemoryNotice",
    "TorchStream",
    "autocast",
    "free_cached_memory",
    "give_back_freed_memory",
    "giving_up",
    "in_parts",
    "is_out_of_memory",
    "isolated",
    "keep_freed_memory",
    "n_compute_threads",
    "resolve_device",
    "resolve_precision",
    "run_batches",
    "token_budget",
]
