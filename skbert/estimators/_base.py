"""What all estimators over an encoder share: reading texts, running the fitted module, and its width."""

from __future__ import annotations

import json

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skbert._shared import as_list, reads_texts
from skbert.compute import resolve_device, resolve_precision
from skbert.encoder import longest_input
from skbert.estimators._blueprint import Blueprint
from skbert.estimators._encoder_access import EncoderAccessMixin
from skbert.estimators._fitted_model import FittedModel
from skbert.estimators._parameters import checked_parameters
from skbert.estimators._persistence import PersistenceMixin
from skbert.text import check_texts


class TextEstimator(
    EncoderAccessMixin, PersistenceMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Base class of the estimators; the fitted model is in ``_fitted``, a `FittedModel`."""

    def __sklearn_tags__(self):
        return reads_texts(super().__sklearn_tags__())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def _longest_input(self, loaded):
        """The maximum number of tokens that `max_length` and the encoder allow."""
        longest = longest_input(loaded.model, loaded.tokenizer)
        if self.max_length is None:
            return longest
        if self.max_length > longest:
            raise ValueError(f"max_length={self.max_length}, but {self.model!r} accepts at most {longest} tokens.")
        return int(self.max_length)

    def _check_encoder_parameters(self):
        """Check the encoder parameters that all estimators have; return the device and the precision."""
        checked_parameters(self, ("revision", "max_length", "verbose"))
        device = resolve_device(self.device)
        return device, resolve_precision(self.precision, device)

    def _fitted_model(self, loaded, module, arguments, texts, *, asked=None, shared=False, own_path=None):
        """The `FittedModel` of `module`, with the blueprint that can build it again.

        Parameters
        ----------
        loaded : LoadedEncoder
            The source of the weights and the tokenizer.
        module : PooledEncoder
            The module.
        arguments : dict
            The arguments with which `module` was made.
        texts : TextInput
            The texts of the fit.
        asked : dict or None
            The parameters that determined the module, in JSON types.
        shared : bool
            Whether other modules use the same weights.
        own_path : tuple of int or None
            The pretrained layers that the encoder of `module` has; None means all.
        """
        blueprint = Blueprint(
            # Converted to JSON and back, so that it is the same before and after a save: JSON has no int keys.
            config=json.loads(json.dumps(module.encoder.config.to_dict())),
            module={**arguments, "layers": list(module.layers), "path": as_list(module.path)},
            own_path=as_list(own_path),
            width=module.width,
            max_length=self._longest_input(loaded),
            weights_sha256=loaded.weights_sha256,
            tokenizer_sha256=loaded.tokenizer_sha256,
            n_columns=texts.n_columns,
            column_names=texts.column_names,
            asked=asked,
        )
        return FittedModel(module, loaded.tokenizer, blueprint, loaded.tokenizer_files, shared)

    def _run(self, X, what, progress=False, store=None):
        check_is_fitted(self)
        texts = check_texts(X, type(self).__name__)
        self._check_same_columns_as_fitted(texts)
        device = resolve_device(self.device)
        return self._fitted.run(texts, what, device, resolve_precision(self.precision, device), progress, store)

    def _check_same_columns_as_fitted(self, texts):
        blueprint = self._fitted.blueprint
        self._check_same_columns(texts, blueprint.n_columns, blueprint.column_names, "X")

    def _check_same_columns(self, texts, expected, names, what):
        """Raise ValueError if `texts` are single texts instead of pairs, or the reverse, or have other names."""
        if texts.n_columns != expected:
            forms = {1: "single texts", 2: "pairs of texts"}
            raise ValueError(
                f"{what} has {texts.n_columns} features, but {type(self).__name__} is expecting {expected} "
                f"features as input: it was fitted on {forms[expected]} and got {forms[texts.n_columns]}."
            )
        if names is not None and texts.column_names is not None and names != texts.column_names:
            raise ValueError(
                "The feature names should match those that were passed during fit: "
                f"fitted on {names}, {what} has {texts.column_names}."
            )

    def _set_fitted(self, fitted, texts):
        """Store a fitted model, and the attributes about the input that scikit-learn requires."""
        self._fitted = fitted
        self.n_features_in_ = texts.n_columns
        if texts.column_names is not None:
            self.feature_names_in_ = np.array(texts.column_names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    @property
    def _n_features_out(self):
        return self._fitted.width
