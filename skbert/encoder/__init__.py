"""Pretrained encoders: loading, running their layers ourselves, pooling, and a head on top."""

from ._families import make_runner
from ._load import CODE_KEYS, LoadedEncoder, build_model, clear_cache, load_encoder
from ._model import PooledEncoder
from ._tokenizer import longest_input, tokenizer_from_files
from .pooling import (
    ClsPooling,
    LayerPooling,
    MaxPooling,
    MeanPooling,
    MultiHeadAttentionPooling,
    make_token_pooling,
    resolve_layers,
)
from .running import LayerRunner, Layout, Prefix
from .spans import SkipPlan, skip_hidden_states
from .stored import parts_for, pool_records, records_of
from .surgery import check_boundary, check_own_family, resolve_path, take_path

__all__ = [
    "CODE_KEYS",
    "ClsPooling",
    "LayerPooling",
    "LayerRunner",
    "Layout",
    "LoadedEncoder",
    "MaxPooling",
    "MeanPooling",
    "MultiHeadAttentionPooling",
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
    "make_token_pooling",
    "parts_for",
    "pool_records",
    "records_of",
    "resolve_layers",
    "resolve_path",
    "skip_hidden_states",
    "take_path",
    "tokenizer_from_files",
]
