"""One training run: contrastive steps, a skorch net with its optimizer and objective, and the judgement of it all."""

from skbert.training._contrastive_losses import CONTRASTIVE_LOSSES
from skbert.training._dataset import TextDataset
from skbert.training._fine_tune import fine_tune
from skbert.training._frozen_prefix import cache_prefixes, prefix_cache_limit
from skbert.training._micro_batches import MicroBatches
from skbert.training._objectives import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from skbert.training._occurring_rows import occurring_rows
from skbert.training._optimizers import BertAdam, linear_schedule, parameter_groups
from skbert.training._pretrained import Mixout
from skbert.training._settings import FineTuneSettings
from skbert.training._verdict import judge

__all__ = [
    "CONTRASTIVE_LOSSES",
    "BertAdam",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "FineTuneSettings",
    "MeanSquaredError",
    "MicroBatches",
    "Mixout",
    "TextDataset",
    "cache_prefixes",
    "fine_tune",
    "judge",
    "linear_schedule",
    "occurring_rows",
    "parameter_groups",
    "prefix_cache_limit",
]
