"""How a fitted estimator is saved: as a folder of JSON and safetensors, replaced in one step."""

from skbert.saving._folder import is_saved, lock_on, read_folder, saved_class, sha256_of_saved, write_folder

__all__ = ["is_saved", "lock_on", "read_folder", "saved_class", "sha256_of_saved", "write_folder"]
