"""The content of a fitted masked language model: a trained module and its tokenizer, as torch modules or as arrays."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from skbert.encoder import (
    build_masked_lm,
    make_config,
    masked_lm_weights,
    save_masked_lm,
)
from skbert.estimators import FittedModel, as_arrays
from skbert.pretraining._net import MaskedNet

# Written by transformers, so not copied from the folder of the tokenizer.
_OF_THE_MODEL = ("config.json",)


@dataclass(frozen=True)
class Blueprint:
    """All parts of a fitted masked language model except its weights and its tokenizer, in JSON types.

    Attributes
    ----------
    config : dict
        Config of the transformers model.
    max_length : int
        Maximum number of tokens of a text.
    drop_mask : bool
        Whether no token attends to a mask token.
    n_columns : int
        1 for texts, 2 for pairs.
    """

    config: dict
    max_length: int
    drop_mask: bool
    n_columns: int

    def to_json(self):
        """The blueprint as a dict of JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content):
        """The inverse of `to_json`."""
        return cls(**content)

    def build(self, arrays):
        """The `MaskedNet` with the weights `arrays`, a dict of name to numpy array."""
        # The arrays are copied, because they may be read-only memory maps from another process.
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        return MaskedNet(build_masked_lm(make_config(self.config), tensors))


class FittedMaskedLM(FittedModel):
    """A trained `MaskedNet` with its tokenizer."""

    _blueprint_kind = Blueprint

    @staticmethod
    def _arrays_of(module):
        # Tied weights once.
        return as_arrays(masked_lm_weights(module.model))

    def hashes(self):
        """SHA-256 of the weights, and of the files of the tokenizer."""
        weights, files = hashlib.sha256(), hashlib.sha256()
        for name, array in sorted(self.tensors().items()):
            weights.update(name.encode() + b"\0")
            weights.update(np.ascontiguousarray(array).tobytes())
        for name, content in sorted(self.tokenizer_files.items()):
            files.update(name.encode() + b"\0" + content + b"\0")
        return weights.hexdigest(), files.hexdigest()

    def write(self, folder):
        """Write config, weights and tokenizer to `folder`, as transformers reads them."""
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"Cannot write to {folder}: it is a file. Give the path of a folder.")
        self.check_copy()
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.tokenizer_files.items():
            if Path(name).name not in _OF_THE_MODEL:
                (folder / Path(name).name).write_bytes(content)
        # On the CPU, and without moving the module that may be in use.
        weights = {name: torch.from_numpy(array) for name, array in self.tensors().items()}
        save_masked_lm(build_masked_lm(make_config(self.blueprint.config), weights), folder)
