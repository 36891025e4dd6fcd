"""One fine-tuning run: a skorch net, its optimizer, schedule and objective, and the judgement of its result."""

from skbert.training._dataset import TextDataset
from skbert.training._fine_tune import fine_tune
from skbert.training._frozen_prefix import prefix_cache_limit
from skbert.training._objectives import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from skbert.training._optimizers import BertAdam, linear_schedule, parameter_groups
from skbert.training._pretrained import Mixout
from skbert.training._settings import FineTuneSettings
from skbert.training._verdict import judge

__all__ = [
    "BertAdam",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "FineTuneSettings",
    "MeanSquaredError",
    "Mixout",
    "TextDataset",
    "fine_tune",
    "judge",
    "linear_schedule",
    "parameter_groups",
    "prefix_cache_limit",
]
