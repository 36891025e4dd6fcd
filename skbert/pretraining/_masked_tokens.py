"""What a fitted masked language model tells about texts, and the folder that it leaves to transformers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_int
from skbert.compute import resolve_device, resolve_precision
from skbert.encoder import load_encoder, make_runner
from skbert.pretraining._corpus import make_corpus
from skbert.pretraining._from_scratch import check_architecture
from skbert.pretraining._held_out import mean_loss
from skbert.pretraining._masking import fixed_masks
from skbert.pretraining._reading import fill, read_layers
from skbert.pretraining._vocabulary import Vocabulary
from skbert.text import check_texts, tokenize, warn_of_cuts

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike


class MaskedTokensMixin:
    """The methods of `MaskedLanguageModel` that use the fitted model, a `FittedMaskedLM` in ``_fitted``."""

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean log-likelihood of masked tokens.

        Of each text, 15 % of the tokens (at least one) become the mask token. They depend on the text only, not on the
        parameters of the model. So scores of differently trained models with the same tokenizer can be compared.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the model was fitted on pairs.
        y : object, default=None
            Ignored.

        Returns
        -------
        float
            In nats per masked token; higher is better.

        Raises
        ------
        ValueError
            No text has a token that can be masked.

        Examples
        --------
        >>> import warnings
        >>> from skbert import MaskedLanguageModel
        >>> texts = ["where is my parcel", "my parcel is late", "where is my lamp", "the lamp is broken"]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     mlm = MaskedLanguageModel("minilm", max_steps=2, random_state=0).fit(texts)
        >>> mlm.score(["where is the parcel"]) < 0
        True
        """
        check_is_fitted(self)
        corpus, vocabulary = self._corpus(X)
        masked = fixed_masks(corpus, vocabulary, self._fitted.blueprint.drop_mask)
        device, precision = self._place()
        return -mean_loss(self._fitted.module(device), masked, device, precision)

    def perplexity(self, X: ArrayLike) -> float:
        """Return the perplexity of masked tokens, exp(-score).

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the model was fitted on pairs.

        Returns
        -------
        float
            At least 1; lower is better. It belongs to the tokens of this tokenizer: perplexities of models with
            different tokenizers cannot be compared.

        Examples
        --------
        >>> import warnings
        >>> from skbert import MaskedLanguageModel
        >>> texts = ["where is my parcel", "my parcel is late", "where is my lamp", "the lamp is broken"]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     mlm = MaskedLanguageModel("minilm", max_steps=2, random_state=0).fit(texts)
        >>> mlm.perplexity(["where is the parcel"]) > 1
        True
        """
        return math.exp(-self.score(X))

    def fill_mask(self, X: ArrayLike, k: int = 5) -> list[list[list[tuple[str, float]]]]:
        """Predict the tokens that are hidden in texts.

        With `drop_mask`, no token attends to a mask token, as in training. transformers does not know this.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts with the mask token of the tokenizer, such as ``[MASK]``.
        k : int, default=5
            Number of tokens for each mask token.

        Returns
        -------
        list of lists of lists of tuple (str, float)
            For each text and each of its mask tokens: the `k` most probable tokens with their probabilities, the most
            probable one first.

        Raises
        ------
        ValueError
            A text has no mask token.

        Examples
        --------
        >>> import warnings
        >>> from skbert import MaskedLanguageModel
        >>> texts = ["where is my parcel", "my parcel is late", "where is my lamp", "the lamp is broken"]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     mlm = MaskedLanguageModel("minilm", max_steps=2, random_state=0).fit(texts)
        >>> ((tokens,),) = mlm.fill_mask(["where is my [MASK]"], k=3)  # one text with one mask token
        >>> len(tokens), type(tokens[0][0]).__name__, 0 <= tokens[0][1] <= 1
        (3, 'str', True)
        """
        check_is_fitted(self)
        check_int("k", k, 1)
        texts, tokens = self._tokens(X)
        tokenizer = self._fitted.tokenizer
        without = [row for row, ids in enumerate(tokens.input_ids) if tokenizer.mask_token_id not in ids]
        if without:
            raise ValueError(
                f"Each text must hold the mask token {tokenizer.mask_token!r} at least once; row {without[0]} does not "
                f"({len(without)} of {len(texts)} rows)."
            )
        device, precision = self._place()
        drop = self._fitted.blueprint.drop_mask
        return fill(self._fitted.module(device), tokens, int(k), tokenizer, drop, device, precision)

    def read_layers(self, X: ArrayLike) -> Bunch:
        """Read every hidden state with the output layer, which was trained on the last one only.

        No token is masked: the question is whether a token can be found in its own hidden state [1]_.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            Texts, or pairs of texts if the model was fitted on pairs.

        Returns
        -------
        Bunch
            ``accuracy`` and ``loss``, float arrays (L + 1,): for each hidden state H_0 … H_L, the share of the tokens
            that the output layer finds, and its mean cross-entropy in nats. Special tokens do not count.

        References
        ----------
        .. [1] Kao, Wu, Chi, Hsieh, Lee (2020). BERT's output layer recognizes all hidden layers? Some Intriguing
           Phenomena and a simple way to boost BERT. arXiv:2001.09309.

        Examples
        --------
        >>> import warnings
        >>> from skbert import MaskedLanguageModel
        >>> texts = ["where is my parcel", "my parcel is late", "where is my lamp", "the lamp is broken"]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     mlm = MaskedLanguageModel("minilm", max_steps=2, random_state=0).fit(texts)
        >>> reading = mlm.read_layers(texts)
        >>> reading.accuracy.shape, float(reading.accuracy[0])  # six layers and the embeddings
        ((7,), 1.0)
        """
        check_is_fitted(self)
        corpus, _ = self._corpus(X)
        device, precision = self._place()
        accuracy, loss = read_layers(self._fitted.module(device), corpus, device, precision)
        return Bunch(accuracy=accuracy, loss=loss)

    def to_transformers(self, folder: str | os.PathLike[str]) -> None:
        """Write the model as a folder that transformers reads.

        ``AutoModelForMaskedLM`` and ``AutoTokenizer`` of transformers load it, and every estimator of skbert takes it
        as its `model`.

        Parameters
        ----------
        folder : str or path
            Created if it does not exist; files of an earlier model in it are replaced.

        Raises
        ------
        NotADirectoryError
            `folder` is a file.
        SavedEstimatorError
            The tokenizer, built again from its files, would give other ids.

        Examples
        --------
        >>> import warnings
        >>> from skbert import MaskedLanguageModel
        >>> texts = ["where is my parcel", "my parcel is late", "where is my lamp", "the lamp is broken"]
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     mlm = MaskedLanguageModel("minilm", max_steps=2, random_state=0).fit(texts)
        >>> from tempfile import TemporaryDirectory
        >>> from skbert import LayerPoolFeaturizer
        >>> with TemporaryDirectory() as folder:
        ...     mlm.to_transformers(folder)
        ...     LayerPoolFeaturizer(folder).fit_transform(texts).shape
        (4, 384)
        """
        check_is_fitted(self)
        self._fitted.write(folder)

    def encoder_hashes(self) -> tuple[str, str]:
        """Return hashes that identify the fitted model, or before a fit the encoder from which it starts.

        Returns
        -------
        tuple of str
            SHA-256 of the weights, and of the tokenizer.

        Raises
        ------
        ModelNotFoundError
            Before a fit: the encoder is unknown, not available or damaged.

        Examples
        --------
        >>> from skbert import MaskedLanguageModel
        >>> weights, tokenizer = MaskedLanguageModel("minilm").encoder_hashes()
        >>> len(weights), len(tokenizer)  # in hexadecimal digits
        (64, 64)
        """
        if self.__sklearn_is_fitted__():
            return self._fitted.hashes()
        if self.architecture is not None and self.vocabulary is not None:
            return "random weights", "learned from the texts"
        loaded = load_encoder(self.model, self.revision)
        return loaded.weights_sha256, loaded.tokenizer_sha256

    def count_layers(self) -> int:
        """Return L, the number of layers of the encoder.

        Returns
        -------
        int

        Raises
        ------
        ModelNotFoundError
            Before a fit: the encoder is unknown, not available or damaged.

        Examples
        --------
        >>> from skbert import MaskedLanguageModel
        >>> MaskedLanguageModel("minilm").count_layers()
        6
        """
        if self.__sklearn_is_fitted__():
            return self._fitted.module(resolve_device(self.device)).runner.n_layers
        if self.architecture is not None:
            return check_architecture(self.architecture).n_layers
        return make_runner(load_encoder(self.model, self.revision).model).n_layers

    def _place(self):
        device = resolve_device(self.device)
        return device, resolve_precision(self.precision, device)

    def _tokens(self, X):
        """Checked texts, and their token ids."""
        texts = check_texts(X, type(self).__name__)
        blueprint = self._fitted.blueprint
        check_columns(texts, blueprint.n_columns, "X")
        tokens = tokenize(texts, self._fitted.tokenizer, blueprint.max_length)
        warn_of_cuts(tokens.n_cut, len(texts), blueprint.max_length)
        return texts, tokens

    def _corpus(self, X):
        """The texts of `X` as a `Corpus`, and the `Vocabulary`."""
        _, tokens = self._tokens(X)
        vocabulary = Vocabulary.of(self._fitted.tokenizer, self._fitted.blueprint.config["vocab_size"])
        corpus = make_corpus(tokens, vocabulary.special)
        if corpus is None:
            raise ValueError(nothing_to_mask(len(tokens)))
        return corpus, vocabulary


def check_columns(texts, expected, what):
    """Raise ValueError if `texts` are single texts instead of pairs, or the reverse."""
    if texts.n_columns != expected:
        forms = {1: "single texts", 2: "pairs of texts"}
        raise ValueError(f"{what} holds {forms[texts.n_columns]}, but the model learns from {forms[expected]}.")


def nothing_to_mask(n):
    """Message if none of `n` texts has a token that can be masked."""
    return (
        f"None of the {n} texts has a token that can be masked: each is empty or made of special tokens (a text needs "
        "at least 3 tokens, with its two special ones)."
    )
