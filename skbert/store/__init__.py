"""Keeping things: saved estimators, hidden states of texts, and finished runs of studies."""

from ._feature_store import MEMORY, FeatureStore, check_store
from ._folder import read_folder, saved_class, write_folder
from ._json import as_list, from_json, to_json
from ._keys import encoder_key, text_keys
from ._run_store import RunStore, read_store

__all__ = [
    "MEMORY",
    "FeatureStore",
    "RunStore",
    "as_list",
    "check_store",
    "encoder_key",
    "from_json",
    "read_folder",
    "read_store",
    "saved_class",
    "text_keys",
    "to_json",
    "write_folder",
]
