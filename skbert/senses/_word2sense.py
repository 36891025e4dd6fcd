"""Word2Sense: sparse word vectors whose dimensions are senses, and the senses of words in their contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from skbert._shared import reads_texts, warn
from skbert.senses._in_context import WordsInContext
from skbert.senses._learning import check_parameters, learn_senses
from skbert.senses._word_vectors import WordVectors, check_one_column
from skbert.text import check_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike
    from typing_extensions import Self


class Word2Sense(WordVectors, WordsInContext, BaseEstimator):
    """Sparse word vectors whose dimensions can be read: each is a sense, that is a distribution over words.

    Learned from plain texts, without labels and without an encoder (Panigrahi, Simhadri and Bhattacharyya 2019 [1]_).
    Each word becomes a document that contains the words around its occurrences. Topics of these documents are senses:
    the vector of a word says in which senses it is used, and the most frequent words of a sense say what the sense is.
    Given a context, `contextualize` says in which of them the word is used there.

    Parameters
    ----------
    n_topics : int, default=300
        Number of topics. On a few megabytes of text, 100 are enough.
    n_senses : int, default=None
        Number of senses: the topics are merged by their Jensen-Shannon distance until so many are left. None merges
        none. The authors use three quarters of `n_topics`.
    n_nonzero : int, default=None
        Number of topics that count for a word; its vector has at most ``n_senses_ * n_nonzero / n_topics`` entries (at
        least one). None: at most a tenth of the topics (but up to 10 in any case), without those that occur with the
        word less than half as often as with words in general. The authors use a thirtieth.
    window : int, default=5
        Two words are in the same context if they are at most so many words apart.
    min_count : int, default=20
        Words that occur less often are left out.
    subsample : float, default=1e-4
        Words with a larger share of all tokens are thinned out, as in word2vec. None or 0 uses every occurrence. Words
        that are rarer than the median word are never thinned out.
    doc_topic_prior : float, default=0.1
        Prior weight of the topics of a word, shared equally among the topics.
    topic_word_prior : float, default=0.001
        Prior weight of each word in a topic.
    max_iter : int, default=100
        Maximum number of passes over the counts. Learning stops earlier when the likelihood no longer rises
        (``backend="sklearn"``).
    tokenizer : callable or "mecab", default=None
        Gives the list of words of a text. None is runs of letters and digits, in lower case, which suits languages with
        spaces between words. ``"mecab"`` is for Japanese (``pip install 'skbert[ja]'``).
    backend : {"sklearn", "tomotopy"}, default="sklearn"
        What finds the topics: variational inference, or Gibbs sampling (``pip install tomotopy``), for which `max_iter`
        is the number of sweeps.
    n_jobs : int, default=None
        Number of processes for the topics of the words after learning. The result is the same for any number.
    random_state : int, RandomState instance or None, default=None
        Seed of the thinning and of the topics.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Row of each word in the matrices below, from the most frequent word to the rarest.
    embedding_ : CSR matrix (n_words, n_senses)
        Vectors of the words. Rows sum to 1.
    n_senses_ : int
        Number of senses.
    sense_distributions_ : float array (n_senses, n_words)
        Distribution over words of each sense.
    sense_shares_ : float array (n_senses,)
        Share of each sense in all contexts.
    topic_words_ : float array (n_topics, n_words)
        Distribution over words of each topic.
    word_topics_ : float array (n_words, n_topics)
        Distribution over topics of the contexts of each word.
    topic_senses_ : int array (n_topics,)
        Sense of each topic.
    word_counts_ : int array (n_words,)
        How often each word occurs.
    n_tokens_ : int
        Number of tokens of the corpus, with those that are not in the vocabulary.
    log_likelihoods_ : list of float
        Mean log-likelihood of a pair of words after each pass, in nats, for a sample of the words; with tomotopy every
        ten sweeps, as it reports it.
    n_iter_ : int
        Number of passes over the counts, or of sweeps.
    n_features_in_ : int
        1: a column of texts.

    See Also
    --------
    SenseVectorizer : Features of whole texts.
    skbert.plots.SensesDisplay : Pictures of the senses of a word.
    skbert.senses.intrusion_items : Questions that tell whether people can read the senses.

    Notes
    -----
    Differences from the authors' code: the topics come from another algorithm; the share p(w) of a word is that of its
    pairs, so that forward and backward topics have the same scale; `contextualize` does not divide by p(k) again at the
    end, so that its vectors can be compared with those of `transform`; and it goes on until a bound says that it is
    close to the maximum.

    On small corpora, these vectors do not pass those of a singular value decomposition for similarity. Use them because
    they are sparse, can be read, and know contexts.

    References
    ----------
    .. [1] Panigrahi, Simhadri, Bhattacharyya (2019). Word2Sense: Sparse Interpretable Word Embeddings. ACL 2019.

    Examples
    --------
    >>> from skbert import Word2Sense
    >>> money, water = ["bank loan money"] * 30, ["bank river fish"] * 30
    >>> model = Word2Sense(n_topics=2, random_state=0).fit(money + water)
    >>> model.embedding_.shape
    (5, 2)
    >>> contexts = model.contextualize([("a loan of the", "bank", ""), ("fish at the", "bank", "")])
    >>> loan, fish = contexts.toarray().argmax(axis=1).tolist()
    >>> "money" in model.sense_words(loan, 3), "river" in model.sense_words(fish, 3)
    (True, True)
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
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        return reads_texts(super().__sklearn_tags__())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "embedding_")

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn senses from texts.

        Parameters
        ----------
        X : list, array, Series or one-column DataFrame of str, (n,)
            Texts. Words of different texts are in no common context, so give paragraphs or documents instead of lines.
        y : object, default=None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, a parameter is out of its range, or no word is frequent enough.
        ImportError
            The tokenizer or the backend needs a package that is not installed.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> model = Word2Sense(n_topics=2, min_count=2, random_state=0)
        >>> model.fit(["red green blue", "green blue red", "one two three", "three two one"]).n_senses_
        2
        """
        check_parameters(self)
        texts = check_texts(X, type(self).__name__)
        check_one_column(texts, type(self).__name__)
        self._adopt(learn_senses(texts.first, self))
        self.n_features_in_ = 1
        if not self._converged:
            warn(
                f"The topics still changed after max_iter={self.max_iter} passes. Raise max_iter.",
                ConvergenceWarning,
            )
        return self

    def _adopt(self, senses):
        contexts = senses.contexts
        self.vocabulary_, self.word_counts_ = contexts.vocabulary, contexts.word_counts
        self.n_tokens_ = contexts.n_tokens
        self.topic_words_, self.word_topics_ = senses.topics.topic_words, senses.topics.word_topics
        self.n_iter_ = senses.topics.n_iter
        self.log_likelihoods_, self._converged = senses.topics.log_likelihoods, senses.topics.converged
        self.topic_senses_, self.sense_distributions_ = senses.topic_senses, senses.sense_distributions
        self.n_senses_ = len(senses.sense_distributions)
        self.sense_shares_ = np.bincount(senses.topic_senses, weights=senses.topic_shares)
        self._topic_shares, self._topic_weights = senses.topic_shares, senses.topic_weights
        self.embedding_ = senses.embedding
