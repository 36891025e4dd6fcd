"""Torch modules that are trained: an encoder, its poolings and a head."""

from skbert.networks._pooled_encoder import PooledEncoder
from skbert.networks._text_heads import TEXT_HEADS

__all__ = ["TEXT_HEADS", "PooledEncoder"]
