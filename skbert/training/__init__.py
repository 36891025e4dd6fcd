"""Fine-tuning: a skorch net around a `PooledEncoder`, its optimizer, schedule, guards and inference."""

from skbert.training._data import TextDataset
from skbert.training._net import FineTuneSettings, fine_tune
from skbert.training._pretrained import Mixout
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
    "Mixout",
    "TextDataset",
    "fine_tune",
    "linear_schedule",
    "parameter_groups",
    "training_status",
]
