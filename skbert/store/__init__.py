"""Hidden states of texts that are kept, so that none is computed twice."""

from skbert.store._feature_store import FeatureStore, check_store
from skbert.store._keys import encoder_key, text_keys
from skbert.store._run_store import RunStore, read_store

__all__ = ["FeatureStore", "RunStore", "check_store", "encoder_key", "read_store", "text_keys"]
