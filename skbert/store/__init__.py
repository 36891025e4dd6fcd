"""Stored hidden states of texts, so that they are not computed twice."""

from skbert.store._feature_store import FeatureStore, check_store
from skbert.store._keys import encoder_key, text_keys

__all__ = ["FeatureStore", "check_store", "encoder_key", "text_keys"]
