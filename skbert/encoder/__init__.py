"""Pretrained encoders: loading them, and running their layers ourselves."""

from skbert.encoder._even_rows import even_linear
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
from skbert.encoder._loading import (
    LoadedEncoder,
    build_model,
    clear_cache,
    is_sentence_encoder,
    load_encoder,
    make_config,
    minilm_folder,
    read_encoder,
    share_encoder,
)
from skbert.encoder._masked_lm import (
    build_masked_lm,
    load_masked_lm,
    masked_lm_weights,
    new_masked_lm,
    output_layer,
    runner_of,
    save_masked_lm,
    start_as_identity,
)
from skbert.encoder._shared_copy import SharedCopy, use_shared_copies
from skbert.encoder._side_by_side import lay_side_by_side
from skbert.encoder._skipping import SkipPlan, skip_hidden_states
from skbert.encoder._tokenizers import check_copy, longest_input, tokenizer_files, tokenizer_from_files
from skbert.encoder._way import few_launches
from skbert.encoder.families import MIXERS, make_runner, register_models

__all__ = [
    "MIXERS",
    "LayerRunner",
    "LoadedEncoder",
    "Prefix",
    "SharedCopy",
    "SkipPlan",
    "build_masked_lm",
    "build_model",
    "check_boundary",
    "check_copy",
    "check_own_family",
    "clear_cache",
    "even_linear",
    "few_launches",
    "is_sentence_encoder",
    "lay_side_by_side",
    "load_encoder",
    "load_masked_lm",
    "longest_input",
    "make_config",
    "make_runner",
    "masked_lm_weights",
    "minilm_folder",
    "new_masked_lm",
    "output_layer",
    "parameter_depths",
    "read_encoder",
    "register_models",
    "reinitialise",
    "resolve_path",
    "runner_of",
    "save_masked_lm",
    "share_encoder",
    "skip_hidden_states",
    "start_as_identity",
    "take_path",
    "tokenizer_files",
    "tokenizer_from_files",
    "top_parts",
    "trained_parts",
    "use_shared_copies",
]
