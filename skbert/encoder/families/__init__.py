"""Encoder families: how the embeddings of each are made, and what one of its layers does."""

from skbert.encoder.families._registry import make_runner

__all__ = ["make_runner"]
