"""SenseVectorizer: the senses of the words of a text as features that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skbert._shared import reads_texts
from skbert.senses._contexts import count_known
from skbert.senses._embedding import unit_sums
from skbert.senses._tokenizers import checked, resolve_tokenizer
from skbert.senses._word2sense import Word2Sense
from skbert.senses._word_vectors import check_one_column
from skbert.text import check_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike
    from scipy import sparse
    from typing_extensions import Self

# Words that name a feature.
_WORDS_OF_NAME = 3


class SenseVectorizer(TransformerMixin, BaseEstimator):
    """Transformer that turns texts into their senses: the mean of the vectors of their words.

    Features are senses, so that a linear model over them can be explained in words: `get_feature_names_out` names each
    by its most frequent words. They can stand beside TF-IDF or the features of an encoder in a FeatureUnion.

    Senses need many texts. Labelled texts are often too few: learn from all texts of the domain, and give the
    fitted model as `word2sense`.

    Parameters
    ----------
    n_topics : int, default=300
        Number of topics. This and the next parameters are those of `Word2Sense`.
    n_senses : int, default=None
        Number of senses after merging; None merges none.
    n_nonzero : int, default=None
        Number of topics that count for a word.
    window : int, default=5
        Largest distance of two words in the same context.
    min_count : int, default=20
        Words that occur less often are left out.
    subsample : float, default=1e-4
        Words with a larger share of all tokens are thinned out. None or 0 uses every occurrence.
    doc_topic_prior : float, default=0.1
        Prior weight of the topics of a word, shared equally among the topics.
    topic_word_prior : float, default=0.001
        Prior weight of each word in a topic.
    max_iter : int, default=100
        Maximum number of passes over the counts.
    tokenizer : callable or "mecab", default=None
        Gives the list of words of a text. None is runs of letters and digits, in lower case.
    backend : {"sklearn", "tomotopy"}, default="sklearn"
        What finds the topics.
    word2sense : estimator, default=None
        A `Word2Sense`, which is fitted on the texts, or a fitted one in a `FrozenEstimator`, which stays as it is. The
        parameters above then have no effect. None makes a `Word2Sense` of them.
    n_jobs : int, default=None
        Number of processes for the topics of the words after learning.
    random_state : int, RandomState instance or None, default=None
        Seed of the thinning and of the topics.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    word2sense_ : Word2Sense
        The fitted model.
    n_iter_ : int
        Its number of passes over the counts.
    n_features_in_ : int
        1: a column of texts.

    See Also
    --------
    Word2Sense : Vectors of words, and their senses in contexts.
    LayerPoolFeaturizer : Features from the hidden states of an encoder.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skbert import SenseVectorizer, Word2Sense
    >>> unlabelled = ["a loan and money"] * 30 + ["water and fish"] * 30
    >>> model = Word2Sense(n_topics=2, random_state=0).fit(unlabelled)
    >>> texts, labels = ["a loan", "the fish"], ["finance", "nature"]
    >>> pipeline = make_pipeline(SenseVectorizer(word2sense=FrozenEstimator(model)), LogisticRegression())
    >>> pipeline.fit(texts, labels).predict(["money", "some water"])
    array(['finance', 'nature'], dtype='<U7')
    """

    def __init__(
        self,
        n_topics: int = 300,
        *,
        n_senses: int | None = None,
        n_nonzero: int | None = None,
        window: int = 5,
        min_count: int = 20,
        subsample: float | None = 1e-4,
        doc_topic_prior: float = 0.1,
        topic_word_prior: float = 0.001,
        max_iter: int = 100,
        tokenizer: Callable[[str], list[str]] | str | None = None,
        backend: str = "sklearn",
        word2sense: Any = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_topics = n_topics
        self.n_senses = n_senses
        self.n_nonzero = n_nonzero
        self.window = window
        self.min_count = min_count
        self.subsample = subsample
        self.doc_topic_prior = doc_topic_prior
        self.topic_word_prior = topic_word_prior
        self.max_iter = max_iter
        self.tokenizer = tokenizer
        self.backend = backend
        self.word2sense = word2sense
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        return reads_texts(super().__sklearn_tags__())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "word2sense_")

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn senses from texts, or take those of a fitted `word2sense`.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,)
            Texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, a parameter is out of its range, or no word is frequent enough.

        Examples
        --------
        >>> from skbert import SenseVectorizer
        >>> texts = ["red green blue", "green blue red", "one two three", "three two one"]
        >>> len(SenseVectorizer(n_topics=2, min_count=2, random_state=0).fit(texts).get_feature_names_out())
        2
        """
        texts = self._texts(X)
        if self.word2sense is None:
            parameters = {name: getattr(self, name) for name in Word2Sense().get_params()}
            model = Word2Sense(**parameters).fit(texts)
        else:
            model = _model_of(clone(self.word2sense).fit(texts, None))
        self.word2sense_ = model
        self.n_iter_ = model.n_iter_
        self.n_features_in_ = 1
        return self

    def transform(self, X: ArrayLike) -> sparse.csr_matrix:
        """Mean of the vectors of the words of each text.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,)
            Texts.

        Returns
        -------
        CSR matrix of float64 (n, n_senses)
            Rows sum to 1; the row of a text without a word of the vocabulary is 0.

        Examples
        --------
        >>> from skbert import SenseVectorizer
        >>> texts = ["red green blue", "green blue red", "one two three", "three two one"]
        >>> vectorizer = SenseVectorizer(n_topics=2, min_count=2, random_state=0).fit(texts)
        >>> sorted(vectorizer.transform(["red one", "nothing known"]).toarray().ravel().tolist())
        [0.0, 0.0, 0.5, 0.5]
        """
        check_is_fitted(self)
        texts, model = self._texts(X), self.word2sense_
        tokenize = checked(resolve_tokenizer(model.tokenizer))
        counts = unit_sums(count_known(map(tokenize, texts), model.vocabulary_))
        return (counts @ model.embedding_).tocsr()

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Names of the senses: their number and their most frequent words.

        Parameters
        ----------
        input_features : object, default=None
            Ignored; it is there for scikit-learn.

        Returns
        -------
        object array of str (n_senses,)

        Examples
        --------
        >>> from skbert import SenseVectorizer
        >>> texts = ["red green blue", "green blue red"]
        >>> SenseVectorizer(n_topics=1, min_count=2, random_state=0).fit(texts).get_feature_names_out()
        array(['sense0: blue green red'], dtype=object)
        """
        check_is_fitted(self)
        model = self.word2sense_
        names = [f"sense{k}: {' '.join(model.sense_words(k, _WORDS_OF_NAME))}" for k in range(model.n_senses_)]
        return np.array(names, dtype=object)

    def _texts(self, X):
        texts = check_texts(X, type(self).__name__)
        check_one_column(texts, type(self).__name__)
        return texts.first


def _model_of(estimator):
    """The `Word2Sense` itself, without the `FrozenEstimator` around it."""
    model = getattr(estimator, "estimator", estimator)
    if not isinstance(model, Word2Sense):
        raise TypeError(f"word2sense must be a Word2Sense, or a fitted one in a FrozenEstimator, got {model!r:.80}")
    check_is_fitted(model)
    return model
