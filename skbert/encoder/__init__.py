"""Pretrained encoders: loading them, and running their layers ourselves."""

from skbert.encoder._layer_path import (
    check_boundary,
    check_own_family,
    parameter_depths,
    reinitialise,
    resolve_path,
    take_path,
    top_parts,
    trained_parts,
)
from skbert.encoder._layer_runner import LayerRunner, Prefix
from skbert.encoder._loading import CODE_KEYS, build_model, clear_cache, load_encoder, minilm_folder
from skbert.encoder._skipping import SkipPlan, skip_hidden_states
from skbert.encoder._tokenizers import check_copy, longest_input, tokenizer_from_files
from skbert.encoder.families import make_runner

__all__ = [
    "CODE_KEYS",
    "LayerRunner",
    "Prefix",
    "SkipPlan",
    "build_model",
    "check_boundary",
    "check_copy",
    "check_own_family",
    "clear_cache",
    "load_encoder",
    "longest_input",
    "make_runner",
    "minilm_folder",
    "parameter_depths",
    "reinitialise",
    "resolve_path",
    "skip_hidden_states",
    "take_path",
    "tokenizer_from_files",
    "top_parts",
    "trained_parts",
]
