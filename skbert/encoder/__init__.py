"""Pretrained encoders: loading, running their layers ourselves, pooling, and a head on top."""

from ._load import LoadedEncoder, clear_cache, load_encoder
from ._model import PooledEncoder
from .pooling import (
    ClsPooling,
    LayerPooling,
    MaxPooling,
    MeanPooling,
    MultiHeadAttentionPooling,
    make_token_pooling,
    resolve_layers,
)
from .running import LayerRunner, Layout, make_runner

__all__ = [
    "ClsPooling",
    "LayerPooling",
    "LayerRunner",
    "Layout",
    "LoadedEncoder",
    "MaxPooling",
    "MeanPooling",
    "MultiHeadAttentionPooling",
    "PooledEncoder",
    "clear_cache",
    "load_encoder",
    "make_runner",
    "make_token_pooling",
    "resolve_layers",
]
