"""Fine-tuning: a skorch net around a `PooledEncoder`, its optimizer, schedule, guards and inference."""

from skbert.training._data import OrderedBatches, Rows, ShuffledBatches, TextDataset
from skbert.training._device import resolve_device, resolve_precision
from skbert.training._inference import run_batches, token_budget
from skbert.training._memory import MemoryNotice, giving_up
from skbert.training._net import FineTuneSettings, fine_tune
from skbert.training._pretrained import Mixout
from skbert.training._threads import n_compute_threads
from skbert.training.guards import ADVICE, training_status
from skbert.training.objectives import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from skbert.training.optim import BertAdam, linear_schedule, parameter_groups

__all__ = [
    "ADVICE",
    "BertAdam",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "FineTuneSettings",
    "MeanSquaredError",
    "MemoryNotice",
    "Mixout",
    "OrderedBatches",
    "Rows",
    "ShuffledBatches",
    "TextDataset",
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
