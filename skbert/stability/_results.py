"""What the runs of a study say: summaries, comparisons, conclusions, and where the variance comes from."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbert._shared import pandas
from skbert.stability._comparison import check_size, compare_pairs, correct_pvalues
from skbert.stability._summaries import expected_max, summarize
from skbert.stability._variance import variance_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    from skbert.stability._comparison import Comparison

# Columns of the factors of a crossed design, by the name of the source of variance.
_FACTORS = {"draw": "draw", "init": "init_seed", "order": "order_seed"}


class StudyResults:
    """The statistics of a `StabilityStudy` that has run.

    Uses ``results_``, ``variants_``, ``baselines_``, ``train_sizes_``, ``scores_``, ``splits_`` and ``crossed_``.
    """

    def summary(self, score: str | None = None) -> DataFrame:
        """Summary statistics of every variant and size.

        Parameters
        ----------
        score : str, default=None
            One of ``scores_``; None is the first.

        Returns
        -------
        pandas.DataFrame
            See `summarize`. In a crossed design the bootstrap resamples draws, initialisations and orders.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> table = study.summary("accuracy")
        >>> table[["variant", "size", "n"]].values.tolist()
        [['flat', 4, 4], ['sharp', 4, 4], ['flat', 8, 4], ['sharp', 8, 4]]
        >>> list(table.columns[3:])
        ['mean', 'std', 'median', 'iqr', 'min', 'max', 'low', 'high', 'failed']
        """
        score, frame, units = self._score(score), self.results_, ["draw"]
        if self.crossed_:
            # Variants without seeds of their own have one run a draw, and one level of the other factors.
            frame, units = frame.fillna({"init_seed": -1, "order_seed": -1}), list(_FACTORS.values())
        return summarize(frame, by=["variant", "size"], score=score, unit=units, random_state=self._seed32)

    def expected_max(self, n: int | Sequence[int] | None = None, score: str | None = None) -> DataFrame:
        """Expected best score of n runs (Dodge et al. 2020).

        Parameters
        ----------
        n : int or sequence of int, default=None
            None is 1 up to the number of runs.
        score : str, default=None
            One of ``scores_``; None is the first.

        Returns
        -------
        pandas.DataFrame
            ``variant``, ``size``, ``n``, ``expected_max``.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> best = study.expected_max([1, 4])
        >>> best[["variant", "size", "n"]].values.tolist()[:2]
        [['flat', 4, 1], ['flat', 4, 4]]
        """
        score, rows = self._score(score), []
        for (variant, size), group in self.results_.groupby(["variant", "size"], sort=False):
            values = group[score].to_numpy(dtype=float)
            counts = np.atleast_1d(np.arange(1, len(values) + 1) if n is None else n).tolist()
            best = expected_max(values, counts)
            rows += [(variant, size, count, value) for count, value in zip(counts, best, strict=True)]
        return pandas().DataFrame(rows, columns=["variant", "size", "n", "expected_max"])

    # ---------------------------------------------------------------- comparisons

    def compare(
        self, a: str, b: str, *, size: int | None = None, score: str | None = None, level: float = 0.95
    ) -> Comparison:
        """Paired comparison of two variants.

        Parameters
        ----------
        a, b : str
            Variants, or null models.
        size : int, default=None
            Training size; None is the largest.
        score : str, default=None
            One of ``scores_``; None is the first.
        level : float, default=0.95
            Of the bootstrap interval.

        Returns
        -------
        Comparison
            Printed, it is a sentence that can be quoted.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> comparison = study.compare("sharp", "flat", size=8)
        >>> comparison.n, comparison.size, comparison.score
        (4, 8, 'accuracy')
        >>> print(comparison.a, "against", comparison.b)
        sharp against flat
        """
        score = self._score(score)
        size = check_size(size, self.train_sizes_)
        for name in (a, b):
            if name not in self.variants_:
                raise ValueError(f"There is no variant {name!r}; there are {list(self.variants_)}.")
        pairs = self._pairs(a, b, size, score)
        first, second = (pairs[f"{score}_{side}"].to_numpy(float) for side in "ab")
        levels = [pairs[name].to_numpy() for name in _FACTORS.values() if name in pairs] if self.crossed_ else []
        n_test = np.mean([len(split.test) for split in self.splits_])
        share = n_test / size if len(self.splits_) > 1 else None
        rng = np.random.default_rng([self._seed32, 1])
        return compare_pairs(first, second, a, b, score, size, levels=levels, test_share=share, level=level, rng=rng)

    def _pairs(self, a, b, size, score):
        """Scores of both on the same draw and seeds, as columns with the endings _a and _b."""
        chosen = self.results_[self.results_["size"] == size]
        first, second = (chosen[chosen["variant"] == name] for name in (a, b))
        on = list(_FACTORS.values())
        lacking = [part["init_seed"].isna().all() for part in (first, second)]
        if any(lacking):
            # A variant without seeds of its own runs once a draw, and meets all runs of the other.
            first, second = (
                part[["draw", score]] if lacks else part[[*on, score]]
                for part, lacks in zip((first, second), lacking, strict=True)
            )
            on = ["draw"]
        return first.merge(second, on=on, suffixes=("_a", "_b"))

    def comparisons(
        self,
        *,
        size: int | None = None,
        score: str | None = None,
        reference: str | None = None,
        correction: str | None = "holm",
        level: float = 0.95,
    ) -> DataFrame:
        """All paired comparisons of one training size, with p-values adjusted for their number.

        Parameters
        ----------
        size : int, default=None
            Training size; None is the largest.
        score : str, default=None
            One of ``scores_``; None is the first.
        reference : str, default=None
            Compare every other variant with this one only; None compares all pairs, except those of two null models.
        correction : {"holm", "bh", None}, default="holm"
            Holm's method, or that of Benjamini and Hochberg.
        level : float, default=0.95
            Of the bootstrap intervals.

        Returns
        -------
        pandas.DataFrame
            ``a``, ``b``, ``n``, ``difference``, ``low``, ``high``, ``effect_size``, ``wilcoxon_pvalue``,
            ``permutation_pvalue``, ``adjusted_pvalue`` (of `permutation_pvalue`), ``corrected_pvalue`` (for new data),
            ``seeds_needed`` (to see this difference).

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> table = study.comparisons(size=8, correction="holm")
        >>> table[["a", "b", "n"]].values.tolist()
        [['flat', 'sharp', 4]]
        """
        check_is_fitted(self)
        names = list(self.variants_)
        if reference is not None and reference not in names:
            raise ValueError(f"There is no variant {reference!r}; there are {names}.")
        if reference is None:
            # What null models differ in is nobody's question, and would cost the other comparisons power.
            pairs = [pair for pair in itertools.combinations(names, 2) if not set(pair) <= set(self.baselines_)]
        else:
            pairs = [(name, reference) for name in names if name != reference]
        found = [self.compare(a, b, size=size, score=score, level=level) for a, b in pairs]
        columns = ["a", "b", "n", "difference", "low", "high", "effect_size", "wilcoxon_pvalue", "permutation_pvalue"]
        frame = pandas().DataFrame([[getattr(c, name) for name in columns] for c in found], columns=columns)
        frame["adjusted_pvalue"] = correct_pvalues(frame["permutation_pvalue"].to_numpy(float), correction)
        frame["corrected_pvalue"] = [c.corrected_pvalue for c in found]
        frame["seeds_needed"] = [c.seeds_needed() for c in found]
        return frame

    def conclusions(self, *, size: int | None = None, score: str | None = None) -> list[str]:
        """What may be said, in sentences that can be quoted.

        The variant with the best mean is held against each of the others and against the best null model. One
        that is alone is described.
        As it was chosen by the same runs, p-values are adjusted for all comparisons that could have been made.

        Parameters
        ----------
        size : int, default=None
            Training size; None is the largest.
        score : str, default=None
            One of ``scores_``; None is the first.

        Returns
        -------
        list of str

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> sentences = study.conclusions(size=8)
        >>> len(sentences)  # the best variant against the other one
        1
        """
        score = self._score(score)
        size = check_size(size, self.train_sizes_)
        summary = self.summary(score)
        means = summary[summary["size"] == size].set_index("variant")["mean"]
        sentences = [f"{name} has no run with a score." for name in means.index[means.isna()]]
        means = means.dropna().sort_values(ascending=False, kind="stable")
        ranked = [name for name in means.index if name not in self.baselines_]
        null = [name for name in means.index if name in self.baselines_][:1]
        if not ranked:
            return sentences
        if len(means) == 1:
            (row,) = summary[(summary["size"] == size) & (summary["variant"] == ranked[0])].itertuples()
            alone = f"{ranked[0]}: mean {score} {row.mean:.3f} with {size} training texts"
            spread = f" (95% interval {row.low:.3f} to {row.high:.3f}, n = {row.n} runs)" if row.n > 1 else " (one run)"
            return [*sentences, alone + spread + ". There is nothing to compare it with."]
        table = self.comparisons(size=size, score=score)
        adjusted = {frozenset(row[:2]): row[2] for row in table[["a", "b", "adjusted_pvalue"]].itertuples(index=False)}
        n_comparisons = int(table["adjusted_pvalue"].notna().sum())
        for other in [*ranked[1:], *null]:
            found, p = self.compare(ranked[0], other, size=size, score=score), adjusted[frozenset((ranked[0], other))]
            sentences.append(found.sentence(pvalue=p, n_comparisons=n_comparisons))
        return sentences

    # ---------------------------------------------------------------- variance

    def variance_components(self, score: str | None = None) -> DataFrame:
        """Where the variance of a crossed design comes from.

        Parameters
        ----------
        score : str, default=None
            One of ``scores_``; None is the first.

        Returns
        -------
        pandas.DataFrame
            For every variant with both seeds and every size: ``source`` ("draw", "init", "order", and "interaction" for
            all that these do not add up to, dropout included), ``levels``, ``variance``, ``std`` (in units of the
            score) and ``share`` of the total. Restricted maximum likelihood in a model of random effects; NaN for
            a source that was not varied, and where too few runs have a score. Those without one are left out.

        Raises
        ------
        ValueError
            The design is not crossed, or too small to tell the sources apart.

        Notes
        -----
        A variance from five levels is known to a factor of two or three only.

        Examples
        --------
        >>> import numpy as np
        >>> from skbert import StabilityStudy
        >>> from sklearn.base import BaseEstimator, ClassifierMixin
        >>> class Lucky(ClassifierMixin, BaseEstimator):
        ...     def __init__(self, init_seed=None, order_seed=None):
        ...         self.init_seed, self.order_seed = init_seed, order_seed
        ...     def fit(self, X, y):
        ...         self.classes_ = np.unique(y)
        ...         return self
        ...     def predict(self, X):
        ...         rng = np.random.default_rng([self.init_seed, self.order_seed])
        ...         return rng.choice(self.classes_, len(X))
        >>> seeds = {"init": 3, "order": 3, "draw": 2}
        >>> study = StabilityStudy(Lucky(), seeds=seeds, baselines=(), random_state=0)
        >>> study = study.fit([f"text {i}" for i in range(40)], ["a", "b"] * 20)
        >>> table = study.variance_components()
        >>> table[["source", "levels"]].values.tolist()
        [['draw', 2], ['init', 3], ['order', 3], ['interaction', 18]]
        >>> float(round(table["share"].sum(), 6))
        1.0
        """
        score = self._score(score)
        if not self.crossed_:
            raise ValueError(
                "Variance components need a crossed design; with an int for seeds everything varies at once. Use "
                "seeds={'init': 5, 'order': 5, 'draw': 3}."
            )
        crossed = self.results_[self.results_["init_seed"].notna()]
        parts, errors = [], []
        for (variant, size), group in crossed.groupby(["variant", "size"], sort=False):
            try:
                parts.append((variant, size, *self._components_of(group, score)))
            except ValueError as error:
                errors.append(error)
                sources = [*_FACTORS, "interaction"]
                parts.append((variant, size, dict.fromkeys(sources, float("nan")), dict.fromkeys(sources, 0)))
        if errors and len(errors) == len(parts):
            raise errors[0]
        rows = []
        for variant, size, found, levels in parts:
            total = np.nansum(list(found.values()))
            for source, variance in found.items():
                share = variance / total if total > 0 else float("nan")
                rows.append((variant, size, source, levels[source], variance, float(np.sqrt(variance)), share))
        return pandas().DataFrame(rows, columns=["variant", "size", "source", "levels", "variance", "std", "share"])

    @staticmethod
    def _components_of(group, score):
        """Variances and numbers of levels, by source."""
        group = group[group[score].notna()]
        factors = {source: group[column].to_numpy(dtype=np.int64) for source, column in _FACTORS.items()}
        levels = {source: len(np.unique(codes)) for source, codes in factors.items()}
        return variance_components(group[score].to_numpy(float), factors), {**levels, "interaction": len(group)}

    # ---------------------------------------------------------------- shared

    def _score(self, score):
        check_is_fitted(self)
        if score is None:
            return self.scores_[0]
        if score not in self.scores_:
            raise ValueError(f"score={score!r} is none of the study's scores {self.scores_}.")
        return score

    @property
    def _seed32(self):
        return self._root_seed % 2**32
