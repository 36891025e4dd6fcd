"""Keeping things: saved estimators, and hidden states of texts."""

from ._feature_store import MEMORY, FeatureStore, check_store
from ._folder import read_folder, write_folder
from ._json import as_list, from_json, to_json
from ._keys import encoder_key, text_keys

__all__ = [
    "MEMORY",
    "FeatureStore",
    "as_list",
    "check_store",
    "encoder_key",
    "from_json",
    "read_folder",
    "text_keys",
    "to_json",
    "write_folder",
]
