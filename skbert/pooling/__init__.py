"""Pooling on two axes: first over layers, token by token, then over tokens.

Hidden states are H_0 (output of the embeddings) and H_1 … H_L (after each
transformer layer). Every method of the literature that skbert knows is a point
on the plane of these two axes: BERT's baseline is (last layer, first token),
MaxPoolBERT (Behrendt et al. 2025) is (max over the last three layers, one
attention over all tokens).

The modules stand alone: they take plain tensors and masks and know nothing of
encoders.
"""

from skbert.pooling._from_stored import parts_for, pool_records, records_of
from skbert.pooling._over_layers import LAYER_POOLINGS, LayerPooling, make_layer_pooling, resolve_layers
from skbert.pooling._over_tokens import TOKEN_POOLINGS, TokenPooling, make_token_pooling

__all__ = [
    "LAYER_POOLINGS",
    "TOKEN_POOLINGS",
    "LayerPooling",
    "TokenPooling",
    "make_layer_pooling",
    "make_token_pooling",
    "parts_for",
    "pool_records",
    "records_of",
    "resolve_layers",
]
