"""From the ``X`` of a user to token ids: checks, and then tokenising once per distinct text."""

from skbert.text._batches import (
    Layout,
    TokenBatch,
    batches_by_length,
    collate,
    cut_at_budget,
    packed_order,
    padded_inputs,
)
from skbert.text._texts import TextInput, check_texts, is_missing
from skbert.text._tokens import TextsCutWarning, TokenizedTexts, tokenize, warn_of_cuts
from skbert.text._windows import windows
from skbert.text._words import is_japanese, japanese_words, mecab_dictionary, word_numbers

__all__ = [
    "Layout",
    "TextInput",
    "TextsCutWarning",
    "TokenBatch",
    "TokenizedTexts",
    "batches_by_length",
    "check_texts",
    "collate",
    "cut_at_budget",
    "is_japanese",
    "is_missing",
    "japanese_words",
    "mecab_dictionary",
    "packed_order",
    "padded_inputs",
    "tokenize",
    "warn_of_cuts",
    "windows",
    "word_numbers",
]
