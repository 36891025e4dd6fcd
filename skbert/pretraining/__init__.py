"""Pretraining: a masked language model that goes on learning from unlabelled texts, or starts from scratch."""

from skbert.pretraining._masked_language_model import MaskedLanguageModel

__all__ = ["MaskedLanguageModel"]
