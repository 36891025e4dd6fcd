"""Encoder families: how each computes its embeddings, and what one of its layers does.

A family is one file, and one line in this file.
"""

from skbert.encoder.families._any import TransformersRunner as TransformersRunner
from skbert.encoder.families._deberta import DebertaV2Runner as DebertaV2Runner
from skbert.encoder.families._hybrid import MIXERS as MIXERS
from skbert.encoder.families._hybrid import HybridBertRunner as HybridBertRunner
from skbert.encoder.families._modernbert import ModernBertRunner as ModernBertRunner
from skbert.encoder.families._post_ln import BertRunner as BertRunner
from skbert.encoder.families._registry import make_runner as make_runner
from skbert.encoder.families._registry import register_models as register_models
