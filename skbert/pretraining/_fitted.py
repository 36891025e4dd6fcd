"""The content of a fitted masked language model: a trained module and its tokenizer, as torch modules or as arrays."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from skbert.compute import giving_up
from skbert.encoder import (
    build_masked_lm,
    check_copy,
    make_config,
    masked_lm_weights,
    save_masked_lm,
    tokenizer_from_files,
)
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


class FittedMaskedLM:
    """A trained `MaskedNet` with its tokenizer.

    As in the other estimators, the module is built from arrays when it is first needed, and turned into arrays when
    the estimator is pickled or saved.

    Parameters
    ----------
    net : MaskedNet or None
        The trained module.
    tokenizer : transformers tokenizer or None
        Its tokenizer.
    blueprint : Blueprint
        Everything that is needed to build the module again, except its weights.
    tokenizer_files : dict of str to bytes
        The files from which the tokenizer can be built again.
    tensors : dict of str to numpy array, default=None
        The weights, if there is no module yet.
    """

    def __init__(self, net, tokenizer, blueprint, tokenizer_files, tensors=None):
        self._net, self._tokenizer, self._tensors = net, tokenizer, tensors
        # Several threads may share an estimator that was just unpickled.
        self._lock = threading.Lock()
        self.blueprint = blueprint
        self.tokenizer_files = tokenizer_files

    @classmethod
    def from_saved(cls, tensors, blueprint, tokenizer_files):
        """The fitted model that was saved as arrays, a blueprint in JSON types, and files."""
        return cls(None, None, Blueprint(**blueprint), tokenizer_files, tensors)

    @classmethod
    def from_state(cls, state):
        """The inverse of `state`."""
        return cls.from_saved(state["tensors"], json.loads(state["blueprint"]), dict(state["tokenizer_files"]))

    def state(self):
        """Everything as str, bytes and numpy arrays; the module itself does not change."""
        self.check_copy()
        return {
            "blueprint": json.dumps(self.blueprint.to_json()),
            "tensors": self.tensors(),
            "tokenizer_files": dict(self.tokenizer_files),
        }

    def check_copy(self):
        """Refuse to be copied where the copy would tokenise otherwise; SavedEstimatorError."""
        if self._tokenizer is not None:
            check_copy(self._tokenizer, self.tokenizer_files)

    def tensors(self):
        """All weights as a dict of name to numpy array, copied from the module; tied weights once."""
        with self._lock:
            if self._net is None:
                return self._tensors
            weights = masked_lm_weights(self._net.model)
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in weights.items()}

    @property
    def tokenizer(self):
        """The tokenizer, built on first use."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer_from_files(self.tokenizer_files)
        return self._tokenizer

    def net(self, device):
        """The module in eval mode on `device`, built on first use."""
        with self._lock:
            if self._net is None:
                # The arrays are copied, because they may be read-only memory maps from another process.
                tensors = {name: torch.from_numpy(np.array(array)) for name, array in self._tensors.items()}
                # Weights that are built inside the inference mode of a caller could not be trained later.
                with torch.inference_mode(False):
                    self._net = MaskedNet(build_masked_lm(make_config(self.blueprint.config), tensors))
                self._tensors = None
            with giving_up(lambda: f"Out of memory on {device}: the encoder does not fit. Use a smaller encoder."):
                return self._net.to(device).eval()

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
