"""Torch modules that are trained: an encoder, its poolings and a head."""

from skbert.networks._pooled_encoder import PooledEncoder

__all__ = ["PooledEncoder"]
