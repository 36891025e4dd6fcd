"""Pooling on two axes: first over layers, token by token, then over tokens.

Hidden states are H_0 (output of the embeddings) and H_1 … H_L (after each
transformer layer). These two axes form a plane, and every pooling method that
skbert offers is a point on it. The BERT baseline is (last layer, first token).
MaxPoolBERT (Behrendt et al. 2025) is (maximum over the last three layers, one
attention over all tokens).

The modules do not depend on encoders: they take plain tensors and masks.
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
