"""Fine-tuning: a skorch net around a `PooledEncoder`, its optimizer, schedule, guards and inference."""

from ._data import TextDataset, batches_by_length
from ._device import resolve_device, resolve_precision
from ._inference import run_batches, token_budget
from ._memory import MemoryNotice, giving_up
from ._net import FineTuneSettings, fine_tune
from ._pretrained import Mixout
from ._threads import n_compute_threads
from .guards import ADVICE, training_status
from .objectives import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from .optim import BertAdam, linear_schedule, parameter_groups

__all__ = [
    "ADVICE",
    "BertAdam",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "FineTuneSettings",
    "MeanSquaredError",
    "MemoryNotice",
    "Mixout",
    "TextDataset",
    "batches_by_length",
    "fine_tune",
    "giving_up",
    "linear_schedule",
    "n_compute_threads",
    "parameter_groups",
    "resolve_device",
    "resolve_precision",
    "run_batches",
    "token_budget",
    "training_status",
]
