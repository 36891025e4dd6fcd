"""From what a user passes as ``X`` to token ids: checks, then tokenising once per distinct text."""

from skbert.text._input import TextInput, check_texts, is_missing
from skbert.text._tokens import TokenBatch, TokenizedTexts, collate, packed_order, tokenize, warn_of_cuts

__all__ = [
    "TextInput",
    "TokenBatch",
    "TokenizedTexts",
    "check_texts",
    "collate",
    "is_missing",
    "packed_order",
    "tokenize",
    "warn_of_cuts",
]
