"""Which `LayerRunner` runs which family, by ``config.model_type``."""

from __future__ import annotations

from skbert.encoder.families._any import TransformersRunner
from skbert.encoder.families._deberta import DebertaV2Runner
from skbert.encoder.families._modernbert import ModernBertRunner
from skbert.encoder.families._post_ln import AlbertRunner, BertRunner, DistilBertRunner, ElectraRunner, RobertaRunner

_RUNNERS = {
    "bert": BertRunner,
    "roberta": RobertaRunner,
    "xlm-roberta": RobertaRunner,
    "camembert": RobertaRunner,
    "electra": ElectraRunner,
    "distilbert": DistilBertRunner,
    "albert": AlbertRunner,
    "deberta-v2": DebertaV2Runner,
    "modernbert": ModernBertRunner,
}


def make_runner(model):
    """The `LayerRunner` for `model`; families that are not ours go through their own forward."""
    return _RUNNERS.get(model.config.model_type, TransformersRunner)(model)
