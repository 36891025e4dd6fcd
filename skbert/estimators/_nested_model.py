"""The encoder of an estimator: named, or trained on the texts of the fit by a model that stands in place of a name.

Such a model is known by its method ``to_transformers``: it writes a folder that can be loaded as an encoder.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import joblib
from sklearn.base import clone

from skbert._shared import is_int
from skbert.encoder import LoadedEncoder, load_encoder, read_encoder

# Trained encoders that are kept, so that candidates, folds and clones with the same texts share them.
_MOST_BYTES = 1024**3


def is_nested(model):
    """Whether `model` is a model that trains an encoder, not the name of one."""
    return hasattr(model, "to_transformers") and not isinstance(model, (str, os.PathLike))


def is_frozen(model):
    """Whether a nested model keeps what it learned when its estimator is cloned and fitted, as FrozenEstimator does."""
    return clone(model) is model


def encoder_for(estimator, texts, seed=None):
    """The encoder of a fit of `estimator`.

    Parameters
    ----------
    estimator : estimator
        Its parameter `model` is the name of an encoder, or a model that is trained here, on a clone.
    texts : TextInput
        The texts of the fit.
    seed : int, default=None
        Seed for a nested model whose `random_state` is None; with None, it trains with a random seed each time.

    Returns
    -------
    LoadedEncoder
        Each distinct nested model is trained once in this process, for the same texts and the same seed.
    """
    if not is_nested(estimator.model):
        return load_encoder(estimator.model, estimator.revision)
    model = clone(estimator.model)
    if model is estimator.model:
        return _trained.get(("frozen", *model.encoder_hashes()), lambda: _as_encoder(model))
    state = model.get_params(deep=False).get("random_state", 0)
    if hasattr(state, "randint"):  # that of a clone, so the user's own does not move
        seed = int(state.randint(2**31))
    if not is_int(state) and seed is not None:
        model.set_params(random_state=seed % 2**32)
    key, kept = _key(model, texts)
    return _trained.get(key, lambda: _as_encoder(model.fit(texts.rows())), kept)


def encoder_with(weights_sha256):
    """An encoder that was trained in this process, by the hash of its weights; None if it is not kept any more."""
    return _trained.find(weights_sha256)


def _as_encoder(model):
    """The encoder of a fitted model."""
    with TemporaryDirectory() as folder:
        model.to_transformers(folder)
        return read_encoder(folder, name=" ".join(repr(model).split()))


def _key(model, texts):
    """What a trained encoder depends on, and objects that must live as long as the key; the key may be None.

    Without a seed that is an int, no two fits are the same, so there is no key.
    """
    parameters = model.get_params(deep=False)
    if not is_int(parameters.get("random_state", 0)):
        return None, None
    functions = {name: value for name, value in parameters.items() if callable(value)}
    plain = {name: id(value) if name in functions else value for name, value in parameters.items()}
    return joblib.hash((type(model).__qualname__, plain, model.encoder_hashes(), texts.rows())), functions


@dataclass
class _Entry:
    """A trained encoder, or the promise of one: who holds the lock trains it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    encoder: LoadedEncoder | None = None
    kept: object = None

    @property
    def n_bytes(self):
        return 0 if self.encoder is None else self.encoder.n_bytes


class _Trained:
    """Encoders that were trained in this process, the last used ones last."""

    def __init__(self):
        self._entries: OrderedDict = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key, make, kept=None):
        """The encoder under `key`; `make` is called if there is none, and also each time if `key` is None."""
        if key is None:
            return make()
        with self._lock:
            entry = self._entries.setdefault(key, _Entry(kept=kept))
            self._entries.move_to_end(key)
        # Other keys are not held up; who asks for this one waits for whoever makes it.
        with entry.lock:
            if entry.encoder is None:
                entry.encoder = make()
        with self._lock:
            while len(self._entries) > 1 and sum(each.n_bytes for each in self._entries.values()) > _MOST_BYTES:
                self._entries.popitem(last=False)
        return entry.encoder

    def find(self, weights_sha256):
        """The encoder with these weights, or None."""
        with self._lock:
            encoders = [entry.encoder for entry in self._entries.values() if entry.encoder is not None]
        return next((encoder for encoder in encoders if encoder.weights_sha256 == weights_sha256), None)

    def clear(self):
        """Forget all."""
        with self._lock:
            self._entries.clear()


_trained = _Trained()


def clear_trained():
    """Forget all encoders that nested models have trained in this process."""
    _trained.clear()
