"""The methods of `Word2Sense` that are about words without a context."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_choice, check_int, warn
from skbert.senses._divergences import MEASURES, js_divergence
from skbert.senses._tokenizers import checked, resolve_tokenizer
from skbert.text import check_texts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_OOV = ("uniform", "error")
_PAIRS_AT_ONCE = 8192


class WordVectors:
    """Vectors of words, what their dimensions mean, and how pairs of them compare."""

    def transform(self, words: ArrayLike, *, oov: str = "uniform") -> sparse.csr_matrix:
        """Vectors of words.

        Parameters
        ----------
        words : list, array or Series of str, (n,)
            Words, not texts. The tokenizer brings them to the form of the vocabulary.
        oov : {"uniform", "error"}, default="uniform"
            What to do about words that are not in the vocabulary: a vector with the same weight for all senses, with a
            warning that counts these words, or an error.

        Returns
        -------
        CSR matrix of float64 (n, n_senses_)
            Rows sum to 1.

        Raises
        ------
        ValueError
            A word is not in the vocabulary and ``oov="error"``, or the input is wrong.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> texts = ["red green blue", "green blue red", "one two three", "three two one"]
        >>> model = Word2Sense(n_topics=2, min_count=2, random_state=0).fit(texts)
        >>> model.transform(["red", "two"]).toarray().sum(axis=1)
        array([1., 1.])
        """
        check_is_fitted(self)
        words = check_texts(words, type(self).__name__)
        check_one_column(words, "transform of words")
        return self._vectors_of(self._indices(words.first, oov))

    def sense_words(self, k: int, n: int = 10) -> list[str]:
        """The most frequent words of a sense.

        Parameters
        ----------
        k : int
            A sense, from 0 to ``n_senses_ - 1``.
        n : int, default=10
            Number of words.

        Returns
        -------
        list of str
            From the most frequent one on.

        Raises
        ------
        ValueError
            There is no such sense.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> texts = ["red green blue", "green blue red", "one two three", "three two one"]
        >>> model = Word2Sense(n_topics=2, min_count=2, random_state=0).fit(texts)
        >>> sorted(model.sense_words(0, 3)) in (["blue", "green", "red"], ["one", "three", "two"])
        True
        """
        check_is_fitted(self)
        check_int("n", n, 1)
        if check_int("k", k, 0) >= self.n_senses_:
            raise ValueError(f"There are {self.n_senses_} senses, numbered from 0; there is no sense {k}.")
        words = list(self.vocabulary_)
        return [words[i] for i in np.argsort(-self.sense_distributions_[k], kind="stable")[:n]]

    def senses_of(self, word: str, n: int = 10) -> list[tuple[int, float, list[str]]]:
        """The senses of a word.

        Parameters
        ----------
        word : str
            A word of the vocabulary.
        n : int, default=10
            Number of words that describe each sense.

        Returns
        -------
        list of (int, float, list of str)
            Sense, weight in the vector of the word, and the most frequent words of the sense; largest weight first.

        Raises
        ------
        ValueError
            The word is not in the vocabulary.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> texts = ["red green blue", "green blue red", "one two three", "three two one"]
        >>> model = Word2Sense(n_topics=2, min_count=2, random_state=0).fit(texts)
        >>> [(sense, weight, words)] = model.senses_of("red", n=3)
        >>> weight, sorted(words)
        (1.0, ['blue', 'green', 'red'])
        """
        check_is_fitted(self)
        (index,) = self._indices([word], "error")
        row = self.embedding_[index]
        order = np.argsort(-row.data, kind="stable")
        return [(int(row.indices[i]), float(row.data[i]), self.sense_words(int(row.indices[i]), n)) for i in order]

    def similarity(self, pairs: ArrayLike, *, oov: str = "uniform") -> np.ndarray:
        """Similarity of the words of each pair: minus the Jensen-Shannon divergence of their vectors.

        Parameters
        ----------
        pairs : list of (str, str), or two columns, (n,)
            Pairs of words.
        oov : {"uniform", "error"}, default="uniform"
            What to do about words that are not in the vocabulary; see `transform`.

        Returns
        -------
        float array (n,)
            In nats, from −ln 2 for words without a common sense to 0 for equal vectors.

        Raises
        ------
        ValueError
            A word is not in the vocabulary and ``oov="error"``, or the input is wrong.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> texts = ["red green blue", "green blue red", "one two three", "three two one"]
        >>> model = Word2Sense(n_topics=2, min_count=2, random_state=0).fit(texts)
        >>> model.similarity([("red", "blue"), ("red", "two")]).round(3) + 0.0
        array([ 0.   , -0.693])
        """
        return self._compare(pairs, oov, lambda first, second: -js_divergence(first, second))

    def entailment(self, pairs: ArrayLike, measure: str = "clarke", *, oov: str = "uniform") -> np.ndarray:
        """How far the first word of each pair entails the second, as *cat* entails *animal*.

        A word entails another if the other word has all its senses. The weights of a word are divided by its largest
        one here, except for ``"kl"``: vectors that sum to 1 cannot contain one another, but the senses of a word that
        has many can contain those of a word that has few.

        Parameters
        ----------
        pairs : list of (str, str), or two columns, (n,)
            Pairs of words (u, v).
        measure : {"clarke", "invcl", "kl"}, default="clarke"
            Σ min(u, v) / Σ u (Clarke 2009); √(clarke(u, v) · (1 − clarke(v, u))) (Lenci and Benotto 2012); or minus the
            Kullback-Leibler divergence of u from v, in nats, with a thousandth of the uniform distribution in v.
        oov : {"uniform", "error"}, default="uniform"
            What to do about words that are not in the vocabulary; see `transform`.

        Returns
        -------
        float array (n,)
            Larger values say that u rather entails v.

        Raises
        ------
        ValueError
            The measure is unknown, a word is not in the vocabulary and ``oov="error"``, or the input is wrong.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> texts = ["red thing", "red thing", "one thing", "one thing"]
        >>> model = Word2Sense(n_topics=2, min_count=2, random_state=0).fit(texts)
        >>> model.entailment([("red", "red")])
        array([1.])
        """
        check_choice("measure", measure, tuple(MEASURES))

        def included(first, second):
            if measure != "kl":
                first, second = (rows / rows.max(axis=1, keepdims=True) for rows in (first, second))
            return MEASURES[measure](first, second)

        return self._compare(pairs, oov, included)

    # ------------------------------------------------------------- shared

    @property
    def _tokenize(self):
        return checked(resolve_tokenizer(self.tokenizer))

    def _indices(self, words, oov):
        """Row of each word in the vocabulary; -1 for a word that is not in it."""
        check_choice("oov", oov, _OOV)
        tokenize = self._tokenize
        indices = np.array([self._index(word, tokenize) for word in words])
        unknown = list(dict.fromkeys(words[i] for i in np.flatnonzero(indices < 0)))
        if unknown:
            shown = ", ".join(map(repr, unknown[:3])) + (", …" if len(unknown) > 3 else "")
            if oov == "error":
                raise ValueError(
                    f"Not in the vocabulary: {shown}. It has the {len(self.vocabulary_)} words that occur at least "
                    f"min_count={self.min_count} times in the texts of the fit."
                )
            warn(
                f"{int((indices < 0).sum())} of {len(words)} words are not in the vocabulary, so nothing is known of "
                f"their senses: {shown}. All senses have the same weight in their vectors."
            )
        return indices

    def _index(self, word, tokenize):
        if word in self.vocabulary_:
            return self.vocabulary_[word]
        tokens = tokenize(word)
        return self.vocabulary_.get(tokens[0], -1) if len(tokens) == 1 else -1

    def _vectors_of(self, indices):
        return rows_or(self.embedding_, indices, np.full(self.n_senses_, 1 / self.n_senses_))

    def _compare(self, pairs, oov, function):
        """Values of a function of the vectors of the first words and of the second words; float array (n,)."""
        check_is_fitted(self)
        pairs = check_texts(pairs, type(self).__name__)
        if pairs.second is None:
            raise ValueError("pairs must be a list of (word, word), got single words.")
        indices = self._indices(pairs.first + pairs.second, oov)
        values = np.empty(len(pairs))
        # In portions, because dense vectors of many pairs need much memory.
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            portion = np.arange(start, min(start + _PAIRS_AT_ONCE, len(pairs)))
            first, second = (self._vectors_of(indices[rows]).toarray() for rows in (portion, portion + len(pairs)))
            values[portion] = function(first, second)
        return values


def check_one_column(texts, who):
    if texts.second is not None:
        raise ValueError(f"{who} needs one column of texts, got pairs of texts.")


def rows_or(matrix, indices, otherwise):
    """Rows of a CSR matrix; the row `otherwise` where the index is -1."""
    if (indices >= 0).all():
        return matrix[indices]
    return sparse.vstack([matrix, sparse.csr_matrix(otherwise)], format="csr")[indices]
