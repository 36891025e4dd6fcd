"""Methods of an estimator for the probe and the study, which then need not know how the estimator works inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skbert.compute import n_compute_threads, resolve_device, resolve_precision, run_batches, token_budget
from skbert.encoder import load_encoder, make_runner
from skbert.estimators._nested_model import is_nested
from skbert.text import check_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import torch
    from numpy.typing import ArrayLike

# Maximum number of hidden states of all tokens that are in memory at once, in batches of inference.
_ALIVE = 16


class EncoderAccessMixin:
    """Layers, device and files of the encoder, and the outputs of the estimator when layers are left out."""

    def compute_device(self) -> torch.device:
        """Return the device that the parameter `device` means on this machine.

        Returns
        -------
        torch.device

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer
        >>> featurizer = LayerPoolFeaturizer("minilm", device="cpu")
        >>> featurizer.compute_device()
        device(type='cpu')
        """
        return resolve_device(self.device)

    def encoder_hashes(self) -> tuple[str, str]:
        """Return hashes that identify the encoder, because another encoder may get the same name later.

        With a model that is trained in each fit, they are those of the encoder from which it starts.

        Returns
        -------
        tuple of str
            SHA-256 of the pretrained weights, and of the tokenizer.

        Raises
        ------
        ModelNotFoundError
            The encoder is unknown, not available or damaged.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer
        >>> featurizer = LayerPoolFeaturizer("minilm", device="cpu")
        >>> weights, tokenizer = featurizer.encoder_hashes()
        >>> len(weights), len(tokenizer)  # in hexadecimal digits
        (64, 64)
        """
        if is_nested(self.model):
            return clone(self.model).encoder_hashes()
        loaded = load_encoder(self.model, self.revision)
        return loaded.weights_sha256, loaded.tokenizer_sha256

    def count_layers(self) -> int:
        """Return L, the number of transformer layers that run along the layer path.

        Returns
        -------
        int
            The number for the fitted model; before a fit, for the model that a fit would make.

        Raises
        ------
        NotImplementedError
            skbert does not run this family layer by layer, so no layer can be left out.
        ModelNotFoundError
            Before a fit: the encoder is unknown, not available or damaged.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer
        >>> featurizer = LayerPoolFeaturizer("minilm", device="cpu")
        >>> featurizer.count_layers()
        6
        >>> featurizer.set_params(layer_path=(0, 1, 2, 2)).count_layers()
        4
        """
        if self.__sklearn_is_fitted__():
            module = self._fitted.module(self.compute_device())
            runner, n_layers = module.runner, module.n_layers
        elif is_nested(self.model):
            n_layers = clone(self.model).count_layers()
            return n_layers if self.layer_path is None else len(self.layer_path)
        else:
            runner = make_runner(load_encoder(self.model, self.revision).model)
            n_layers = runner.n_layers if self.layer_path is None else len(self.layer_path)
        if not runner.owns_forward:
            raise NotImplementedError(
                f"Layers can be skipped only in families that skbert runs layer by layer, not in {self.model!r}."
            )
        return n_layers

    def outputs_without_layers(
        self,
        X: ArrayLike,
        skips: Sequence[Collection[int]],
        function: Callable[[np.ndarray], tuple[np.ndarray, ...]],
        *,
        progress: bool = False,
    ) -> tuple[np.ndarray, ...]:
        """Compute the outputs of the fitted estimator for texts when layers of its encoder are left out.

        A layer that is left out is the identity. Nothing is trained again. Even if there are many sets of
        layers, a layer runs only once on each distinct state below it.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str, (n,)
            Texts, or pairs of texts if the estimator was fitted on pairs.
        skips : sequence of collections of int, (n_skips,)
            Layers to leave out, 0-based, along the layer path; an empty collection is the full model.
        function : callable
            Computes from the outputs what to keep. It takes a float32 array (k, n_skips, width) for some of the
            texts: logits of a classifier, values of a regressor, or features of a featurizer. It returns a tuple of
            arrays (k, ...).
        progress : bool, default=False
            Whether to show a progress bar.

        Returns
        -------
        tuple of arrays (n, ...)
            The results of `function`, for all texts.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer
        >>> featurizer = LayerPoolFeaturizer("minilm", device="cpu")
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp"]
        >>> skips = [(), (5,), (4, 5)]
        >>> (features,) = featurizer.fit(texts).outputs_without_layers(texts, skips, lambda values: (values,))
        >>> features.shape  # texts, sets of layers, width
        (3, 3, 384)
        >>> bool(abs(features[:, 0] - featurizer.transform(texts)).max() < 1e-5)  # without any, as always
        True
        """
        check_is_fitted(self)
        texts = check_texts(X, type(self).__name__)
        self._check_same_columns_as_fitted(texts)
        tokens, index = self._fitted.distinct_tokens(texts)
        kept: Any = None
        with tqdm(total=len(tokens), unit="text", leave=False, disable=not progress) as bar:
            for rows, values in self._batches_without_layers(tokens, skips):
                found = function(self._given_out(values.float().cpu().numpy()))
                if kept is None:
                    kept = tuple(np.empty((len(tokens), *part.shape[1:]), dtype=part.dtype) for part in found)
                for whole, part in zip(kept, found, strict=True):
                    whole[rows] = part
                bar.update(len(rows))
        return kept if index is None else tuple(part[index] for part in kept)

    def _given_out(self, values):
        """Outputs or pooled vectors (..., width) in the form that the estimator returns; may change them in place."""
        return values

    def _batches_without_layers(self, tokens, skips):
        """Rows of each batch, and outputs or pooled vectors (n_rows, n_skips, width)."""
        device = self.compute_device()
        module = self._fitted.module(device)
        plan, at_once = module.skip_plan(skips), token_budget(device)

        def compute(batch):
            pooled = module.pool_skipping(batch, plan, at_once)
            if module.head is None:
                return pooled
            return module.head(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])

        # The limit is for the states of all batches that run at once.
        budget = max(1, _ALIVE * at_once // module.skip_states(plan) // n_compute_threads(device))
        return run_batches(compute, tokens, device, resolve_precision(self.precision, device), budget=budget)
