"""Keeping things on disk: saved estimators."""

from ._folder import read_folder, write_folder
from ._json import from_json, to_json

__all__ = ["from_json", "read_folder", "to_json", "write_folder"]
