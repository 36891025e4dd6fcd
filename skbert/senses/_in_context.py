"""The methods of `Word2Sense` that are about words in their contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_int, check_real, warn
from skbert.senses._contexts import bags_of_words, read_contexts
from skbert.senses._embedding import unit_sums
from skbert.senses._induction import cluster_senses
from skbert.senses._inference import infer_weights
from skbert.senses._word_vectors import rows_or

if TYPE_CHECKING:
    from collections.abc import Sequence

# Weights of senses under this share are noise of the computation.
_NEGLIGIBLE = 1e-6


class WordsInContext:
    """Senses of words where they stand, and groups of occurrences with the same sense."""

    def contextualize(
        self,
        contexts: Sequence[Any],
        *,
        strength: float = 0.1,
        max_iter: int = 500,
        tol: float = 1e-4,
        oov: str = "uniform",
        return_report: bool = False,
    ) -> Any:
        """Senses of words where they stand (WordCtx2Sense).

        The weights of the topics maximise the log-likelihood of the words around the target, in nats per word, minus
        `strength` times the Kullback-Leibler divergence from the weights that the target has without a context. Only
        senses that the target has without a context can get weight.

        Parameters
        ----------
        contexts : list of (text, start, end) or (left, word, right), (n,)
            A text and the place of the target in it (positions of characters, `end` excluded), or the target and the
            texts to its left and right. All words around the target count, however far they are.
        strength : float, default=0.1
            How strongly the senses without a context hold, λ. With ``inf`` they are the result. The authors use 0.01.
        max_iter : int, default=500
            Maximum number of multiplicative steps.
        tol : float, default=1e-4
            A context is finished when the maximum is at most this much higher, in nats per word.
        oov : {"uniform", "error"}, default="uniform"
            What to do about targets that are not in the vocabulary: all senses are allowed, with a warning that counts
            these targets, or an error. It is the same for a context without a word of the vocabulary: the result is
            the vector of the target, or an error.
        return_report : bool, default=False
            Whether to return how the maximum was reached too.

        Returns
        -------
        vectors : CSR matrix of float64 (n, n_senses_)
            Rows sum to 1.
        report : Bunch
            If `return_report`: ``objective``, ``gap`` (by how much the maximum can be higher, in nats per word),
            ``n_iter`` and ``converged``, each (n,).

        Raises
        ------
        ValueError
            A target is outside its text, a context is empty, or a parameter is out of its range.
        TypeError
            A context has another form.

        Warns
        -----
        ConvergenceWarning
            Some contexts did not reach `tol` in `max_iter` steps.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> money, water = ["bank loan money"] * 30, ["bank river fish"] * 30
        >>> model = Word2Sense(n_topics=2, random_state=0).fit(money + water)
        >>> vectors, report = model.contextualize([("fish at the bank", 12, 16)], return_report=True)
        >>> "river" in model.sense_words(vectors.argmax(), 3), bool(report.converged.all())
        (True, True)
        """
        check_is_fitted(self)
        contexts = read_contexts(contexts)
        targets = self._indices([context.word for context in contexts], oov)
        return self._contextualize(contexts, targets, strength, max_iter, tol, oov, return_report)

    def induce_senses(
        self, word: str, contexts: Sequence[Any], n_clusters: int | None = None, *, strength: float = 0.1
    ) -> np.ndarray:
        """Group the occurrences of a word by sense (word sense induction).

        Parameters
        ----------
        word : str
            A word of the vocabulary.
        contexts : list of str, (text, start, end) or (left, word, right), (n,)
            Where the word stands. A text must contain the word; its first place counts. In the other forms the target
            can be another form of the word, such as a plural.
        n_clusters : int, default=None
            Largest number of groups. Senses with similar words are joined (complete linkage of their Jensen-Shannon
            divergence). None joins no senses.
        strength : float, default=0.1
            As in `contextualize`.

        Returns
        -------
        int array (n,)
            For each occurrence a sense, whose words `sense_words` gives. For a group of joined senses it is the one
            that is most often the largest.

        Raises
        ------
        ValueError
            The word is not in the vocabulary or not in a text, or the input is wrong.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> money, water = ["bank loan money"] * 30, ["bank river fish"] * 30
        >>> model = Word2Sense(n_topics=2, random_state=0).fit(money + water)
        >>> first, second, third = model.induce_senses("bank", ["a bank loan", "river bank", "money in the bank"])
        >>> bool(first == third), bool(first == second)
        (True, False)
        """
        check_is_fitted(self)
        if n_clusters is not None:
            check_int("n_clusters", n_clusters, 1)
        (index,) = self._indices([word], "error")
        contexts = read_contexts(contexts, word)
        targets = np.full(len(contexts), index)
        vectors = self._contextualize(contexts, targets, strength, 500, 1e-4, "uniform", False)
        return cluster_senses(vectors, self.sense_distributions_, n_clusters)

    def _contextualize(self, contexts, targets, strength, max_iter, tol, oov, return_report):
        check_real("strength", 0.0 if strength == np.inf else strength, 0)
        check_int("max_iter", max_iter, 1)
        check_real("tol", tol, 0, open_low=True)
        bags = bags_of_words(contexts, self._tokenize, self.vocabulary_, self.word_counts_ / self.n_tokens_)
        self._check_known(np.flatnonzero(np.diff(bags.indptr) == 0), len(contexts), oov)
        if strength == np.inf:
            bags = sparse.csr_matrix(bags.shape)
        # Of an unknown target, all senses have the same weight.
        unknown = self._topic_shares / self.sense_shares_[self.topic_senses_] / self.n_senses_
        starts = rows_or(self._topic_weights, targets, unknown)
        found = infer_weights(self.topic_words_, bags, starts, float(strength), max_iter, tol)
        if not found.converged.all():
            warn(
                f"{int((~found.converged).sum())} of {len(contexts)} contexts did not converge in max_iter={max_iter} "
                f"steps; the maximum can be up to {found.gap.max():.2g} nats higher. Raise max_iter or tol.",
                ConvergenceWarning,
            )
        vectors = self._senses_of_topics(found.weights)
        if not return_report:
            return vectors
        return vectors, Bunch(objective=found.objective, gap=found.gap, n_iter=found.n_iter, converged=found.converged)

    def _senses_of_topics(self, weights):
        """Vectors of senses from weights of topics, which are added up by sense."""
        places = (np.arange(len(self.topic_senses_)), self.topic_senses_)
        vectors = (weights @ sparse.csr_matrix((np.ones(len(places[0])), places))).tocsr()
        vectors.data[vectors.data < _NEGLIGIBLE] = 0
        vectors.eliminate_zeros()
        vectors.sort_indices()
        return unit_sums(vectors)

    def _check_known(self, empty, n, oov):
        """Raise or warn about contexts (by row) in which no word is known."""
        if not len(empty):
            return
        if oov == "error":
            raise ValueError(f"No word around the target is in the vocabulary, in row {empty[0]} of contexts.")
        warn(
            f"{len(empty)} of {n} contexts have no word of the vocabulary beside the target, the first in row "
            f"{empty[0]}; the vectors of these words are those without a context."
        )
