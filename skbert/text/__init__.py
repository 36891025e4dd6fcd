"""From what a user passes as ``X`` to token ids: checks, then tokenising once per distinct text."""

from ._input import TextInput, check_texts
from ._tokens import TokenBatch, TokenizedTexts, collate, tokenize, warn_of_cuts

__all__ = ["TextInput", "TokenBatch", "TokenizedTexts", "check_texts", "collate", "tokenize", "warn_of_cuts"]
