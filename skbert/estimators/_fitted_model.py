"""The content of a fitted estimator: a trained module and its tokenizer, as torch modules or as plain arrays."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from skbert.compute import giving_up, run_batches
from skbert.encoder import check_copy, lay_side_by_side, tokenizer_from_files
from skbert.estimators._blueprint import Blueprint
from skbert.estimators._through_store import run_through_store
from skbert.store import encoder_key
from skbert.text import tokenize, warn_of_cuts, windows


class FittedModel:
    """A trained `PooledEncoder` with its tokenizer.

    The module is built from arrays only when it is first needed. It is turned into
    arrays only when the estimator is pickled or saved, because arrays can be pickled
    reliably and a transformers model cannot.

    Parameters
    ----------
    module : PooledEncoder
        The trained module.
    tokenizer : transformers tokenizer
        Its tokenizer.
    blueprint : Blueprint
        Everything that is needed to build the module again, except its weights.
    tokenizer_files : dict of str to bytes
        The files from which the tokenizer can be built again.
    shared : bool, default=False
        Whether other modules use the same weights; then the module stays on the CPU and must not be moved.

    A subclass for another kind of module names its blueprint, which has ``to_json``, ``from_json`` and ``build``.
    """

    _blueprint_kind: Any = Blueprint

    def __init__(self, module, tokenizer, blueprint, tokenizer_files, shared=False):
        self._module = module
        self._shared = shared
        # The device on which the whole module is, in eval mode; None while it is built or moved.
        self._ready_on = torch.device("cpu") if shared else None
        self._tokenizer = tokenizer
        self._tensors = None
        # Several threads may share an estimator that was just unpickled.
        self._lock = threading.Lock()
        self.blueprint = blueprint
        self.tokenizer_files = tokenizer_files

    @classmethod
    def from_state(cls, state):
        """The inverse of `state`."""
        return cls.from_tensors(
            state["tensors"],
            cls._blueprint_kind.from_json(json.loads(state["blueprint"])),
            dict(state["tokenizer_files"]),
        )

    @classmethod
    def from_saved(cls, tensors, blueprint, tokenizer_files):
        """The fitted model that was saved as arrays, a blueprint in JSON types, and files."""
        return cls.from_tensors(tensors, cls._blueprint_kind.from_json(blueprint), tokenizer_files)

    def copy(self, texts):
        """A copy with its own weights, for training on `texts`; the tokenizer is shared."""
        blueprint = self.blueprint.for_columns(texts)
        return FittedModel.from_tensors(self.tensors(), blueprint, self.tokenizer_files, self._tokenizer)

    def with_weights(self, tensors):
        """The same model with these weights, a dict of name to numpy array; the tokenizer is shared."""
        return FittedModel.from_tensors(tensors, self.blueprint, self.tokenizer_files, self._tokenizer)

    @classmethod
    def from_tensors(cls, tensors, blueprint, tokenizer_files, tokenizer=None):
        """A fitted model whose module is built from arrays when it is first needed."""
        fitted = cls(None, tokenizer, blueprint, tokenizer_files)
        fitted._tensors = tensors
        return fitted

    def check_copy(self):
        """Refuse to be copied where the copy would tokenise otherwise; SavedEstimatorError."""
        # One that was never built is a copy itself.
        if self._tokenizer is not None:
            check_copy(self._tokenizer, self.tokenizer_files)

    def state(self):
        """Everything as str, bytes and numpy arrays; the module itself does not change."""
        self.check_copy()
        return {
            "blueprint": json.dumps(self.blueprint.to_json()),
            "tensors": self.tensors(),
            "tokenizer_files": dict(self.tokenizer_files),
        }

    def tensors(self):
        """All weights as a dict of name to numpy array, copied from the module."""
        with self._lock:
            module = self._module
            if module is None:
                return self._tensors
        return self._arrays_of(module)

    @staticmethod
    def _arrays_of(module):
        return as_arrays(module.state_dict())

    @property
    def max_length(self):
        """Maximum number of tokens of a text."""
        return self.blueprint.max_length

    @property
    def width(self):
        """Width of the pooled vectors."""
        return self.blueprint.width

    @property
    def tokenizer(self):
        """The tokenizer, built on first use."""
        if self._tokenizer is None:
            self._tokenizer = tokenizer_from_files(self.tokenizer_files)
        return self._tokenizer

    def module(self, device):
        """The module in eval mode on `device`, built on first use."""
        with self._lock:
            if self._shared and device.type != "cpu":
                self._tensors, self._module, self._shared = self._arrays_of(self._module), None, False
                self._ready_on = None
            if self._module is None:
                # Weights that are built inside the inference mode of a caller could not be trained later.
                with torch.inference_mode(False):
                    self._module = self.blueprint.build(self._tensors)
                self._tensors = None
            # A loop over all modules takes longer than pooling states from a feature store.
            if self._module.training or self._ready_on != device:
                self._ready_on = None
                with giving_up(lambda: f"Out of memory on {device}: the encoder does not fit. Use a smaller encoder."):
                    self._module.to(device).eval()
                    lay_side_by_side(self._module.runner, device)
                self._ready_on = device
            return self._module

    def encoder_key(self, precision):
        """Key of the hidden states of this encoder in a store; valid only while its weights are the loaded ones."""
        blueprint = self.blueprint
        return encoder_key(blueprint.weights_sha256, blueprint.config, blueprint.path, precision)

    def run(self, texts, what, device, precision, progress=False, store=None):
        """Compute outputs or pooled vectors of texts; each distinct text of a window is computed once.

        Besides the texts and the result, memory is used only for one window at a time: see `skbert.text.windows`.

        Parameters
        ----------
        texts : TextInput
            The texts.
        what : {"output", "pooled"}
            What to compute.
        device : torch.device
            The device to compute on.
        precision : {"fp32", "bf16"}
            Number format of matrix products.
        progress : bool, default=False
            Whether to show a progress bar.
        store : FeatureStore, default=None
            Where hidden states are read and kept; only for pooled vectors of an encoder that was not trained.

        Returns
        -------
        float32 array (n, width)
        """
        module = self.module(device)
        function = {"output": module.forward, "pooled": module.pool}[what]

        def batches_of(tokens):
            if store is None:
                return run_batches(function, tokens, device, precision)
            return run_through_store(store, self.encoder_key(precision), module, tokens, device, precision)

        result, n_cut = None, 0
        with tqdm(total=len(texts), unit="text", leave=False, disable=not progress) as bar:
            for start, stop in windows(texts):
                tokens, index, cut = self._distinct_tokens(texts.between(start, stop))
                n_cut += cut
                found = None
                for indices, values in batches_of(tokens):
                    values = values.float().cpu().numpy()
                    if result is None:
                        result = np.empty((len(texts), values.shape[1]), dtype=np.float32)
                    if found is None:
                        # Without duplicates, no second array is needed.
                        found = result[start:stop] if index is None else result[start : start + len(tokens)]
                    found[indices] = values
                    bar.update(len(indices))
                if index is not None:
                    result[start:stop] = found[index]
                bar.update(stop - start - len(tokens))
        warn_of_cuts(n_cut, len(texts), self.max_length)
        return result

    def distinct_tokens(self, texts):
        """Tokenise the distinct texts, with one warning that counts all texts that were cut.

        Parameters
        ----------
        texts : TextInput
            The texts.

        Returns
        -------
        tokens : TokenizedTexts
            Token ids of the distinct texts.
        index : int array (n,) or None
            Index of each text among the distinct texts; None if all are distinct.
        """
        tokens, index, n_cut = self._distinct_tokens(texts)
        warn_of_cuts(n_cut, len(texts), self.max_length)
        return tokens, index

    def _distinct_tokens(self, texts):
        rows = texts.rows()
        tokens = tokenize(texts, self.tokenizer, self.max_length)
        place = {row: i for i, row in enumerate(dict.fromkeys(rows))}
        if len(place) == len(rows):
            return tokens, None, tokens.n_cut
        index = np.array([place[row] for row in rows])
        _, firsts = np.unique(index, return_index=True)
        return tokens.take(firsts), index, tokens.n_cut


def as_arrays(tensors):
    """Tensors by name as numpy arrays, which are copies."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}
