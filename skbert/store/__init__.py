"""Keeping things: saved estimators, hidden states of texts, and finished runs of studies."""

from skbert.store._feature_store import FeatureStore, check_store
from skbert.store._folder import read_folder, saved_class, write_folder
from skbert.store._keys import encoder_key, text_keys
from skbert.store._run_store import RunStore, read_store

__all__ = [
    "FeatureStore",
    "RunStore",
    "check_store",
    "encoder_key",
    "read_folder",
    "read_store",
    "saved_class",
    "text_keys",
    "write_folder",
]
