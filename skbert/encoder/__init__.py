"""Pretrained encoders: loading, running their layers ourselves, pooling, and a head on top."""

from skbert.encoder._families import make_runner
from skbert.encoder._load import CODE_KEYS, build_model, clear_cache, load_encoder
from skbert.encoder._model import PooledEncoder
from skbert.encoder._tokenizer import longest_input, tokenizer_from_files
from skbert.encoder.running import LayerRunner, Prefix
from skbert.encoder.spans import SkipPlan, skip_hidden_states
from skbert.encoder.surgery import check_boundary, check_own_family, resolve_path, take_path

__all__ = [
    "CODE_KEYS",
    "LayerRunner",
    "PooledEncoder",
    "Prefix",
    "SkipPlan",
    "build_model",
    "check_boundary",
    "check_own_family",
    "clear_cache",
    "load_encoder",
    "longest_input",
    "make_runner",
    "resolve_path",
    "skip_hidden_states",
    "take_path",
    "tokenizer_from_files",
]
