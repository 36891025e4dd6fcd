"""Results from the runs of a study: summaries, comparisons, conclusions, and sources of variance."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbert._shared import pandas
from skbert.stability._checks import check_size
from skbert.stability._comparison import compare_pairs
from skbert.stability._correlation import correlate_runs
from skbert.stability._expected_max import chance_all_fail, expected_max
from skbert.stability._intervals import FEWEST_RUNS
from skbert.stability._multiple_testing import adjusted_here, check_correction, correct_pvalues
from skbert.stability._pairing import FACTORS, means_with_failed, paired_runs, stand_in_for_failed
from skbert.stability._run import train_name
from skbert.stability._summaries import summarize
from skbert.stability._variance_results import VarianceResults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    from skbert.stability._comparison import Comparison
    from skbert.stability._correlation import Correlation


class StudyResults(VarianceResults):
    """The statistics of a `StabilityStudy` that has run.

    Uses ``results_``, ``variants_``, ``baselines_``, ``train_sizes_``, ``scores_``, ``train_scores_``,
    ``splits_`` and ``crossed_``.
    """

    def summary(self, score: str | None = None) -> DataFrame:
        """Compute summary statistics of every variant and size.

        Parameters
        ----------
        score : str, default=None
            One of ``scores_``; None is the first.

        Returns
        -------
        pandas.DataFrame
            See `summarize`. The intervals are for the mean on these texts. In a crossed design they come from the mean
            squares of draws, initialisations and orders; with one draw they are valid only for this draw.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=6, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> table = study.summary("accuracy")
        >>> table[["variant", "size", "n"]].values.tolist()
        [['flat', 4, 6], ['sharp', 4, 6], ['flat', 8, 6], ['sharp', 8, 6]]
        >>> list(table.columns[3:])
        ['mean', 'std', 'median', 'iqr', 'min', 'max', 'low', 'high', 'failed']
        """
        units: str | list[str] = "draw"
        score, frame = self._score(score), self.results_
        if self.crossed_:
            # Variants without own seeds have one run per draw, and one level of the other factors.
            frame, units = frame.fillna({"init_seed": -1, "order_seed": -1}), list(FACTORS.values())
        return summarize(frame, by=["variant", "size"], score=score, unit=units)

    def expected_max(
        self,
        n: int | Sequence[int] | None = None,
        score: str | None = None,
        *,
        by: str | None = None,
        method: str = "dodge",
    ) -> DataFrame:
        """Compute the expected best score of n runs (Dodge et al. 2019).

        Parameters
        ----------
        n : int or sequence of int, default=None
            None is 1 up to the number of runs.
        score : str, default=None
            One of ``scores_``; None is the first.
        by : str, default=None
            The score in ``scores_`` by which the best run is chosen, such as a score on validation data. None chooses
            by `score` itself, in hindsight.
        method : {"dodge", "unbiased"}, default="dodge"
            See `skbert.stability.expected_max`.

        Returns
        -------
        pandas.DataFrame
            ``variant``, ``size``, ``n``, ``expected_max`` (given that one of the n runs has a score) and ``all_fail``
            (probability that none has a score).

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=6, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> best = study.expected_max([1, 4])
        >>> best[["variant", "size", "n", "all_fail"]].values.tolist()[:2]
        [['flat', 4, 1, 0.0], ['flat', 4, 4, 0.0]]
        """
        score, rows = self._score(score), []
        by = score if by is None else self._score(by)
        for (variant, size), group in self.results_.groupby(["variant", "size"], sort=False):
            values, chosen_by = (group[name].to_numpy(dtype=float) for name in (score, by))
            counts = np.atleast_1d(np.arange(1, len(values) + 1) if n is None else n).tolist()
            best = expected_max(values, counts, by=chosen_by, method=method)
            none = chance_all_fail(values, counts, method=method)
            rows += [(variant, size, *row) for row in zip(counts, best, none, strict=True)]
        return pandas().DataFrame(rows, columns=["variant", "size", "n", "expected_max", "all_fail"])

    # ---------------------------------------------------------------- comparisons

    def compare(
        self, a: str, b: str, *, size: int | None = None, score: str | None = None, level: float = 0.95
    ) -> Comparison:
        """Compare two variants by pairs of runs.

        Parameters
        ----------
        a, b : str
            Variants, or null models.
        size : int, default=None
            Training size; None is the largest.
        score : str, default=None
            One of ``scores_``; None is the first.
        level : float, default=0.95
            Level of the intervals.

        Returns
        -------
        Comparison
            If you print it, it gives the conclusion in sentences.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=6, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> comparison = study.compare("sharp", "flat", size=8)
        >>> comparison.n, comparison.size, comparison.score
        (6, 8, 'accuracy')
        >>> print(comparison.a, "against", comparison.b)
        sharp against flat
        """
        score = self._score(score)
        size = check_size(size, self.train_sizes_)
        for name in (a, b):
            if name not in self.variants_:
                raise ValueError(f"There is no variant {name!r}; the variants are {list(self.variants_)}.")
        runs = self._runs_of(size)
        pairs = paired_runs(runs, a, b, score)
        first, second = (pairs[f"{score}_{side}"].to_numpy(float) for side in "ab")
        return compare_pairs(
            first,
            second,
            a,
            b,
            score,
            size,
            factors=[pairs[name].to_numpy() for name in FACTORS.values() if name in pairs],
            test_share=self._n_test / (self._n_texts - self._n_test),
            n_texts=self._n_texts,
            stand_in=stand_in_for_failed(runs, score, self.baselines_, pairs["draw"].to_numpy()),
            level=level,
            rng=self._rng(1),
        )

    def comparisons(
        self,
        *,
        size: int | None = None,
        score: str | None = None,
        reference: str | None = None,
        correction: str | None = "max_t",
        level: float = 0.95,
    ) -> DataFrame:
        """Compute all paired comparisons of one training size, with p-values adjusted for their number.

        Parameters
        ----------
        size : int, default=None
            Training size; None is the largest.
        score : str, default=None
            One of ``scores_``; None is the first.
        reference : str, default=None
            Compare every other variant only with this one; None compares all pairs, except pairs of null models.
        correction : {"max_t", "holm", "bh", None}, default="max_t"
            ``"max_t"``: for these texts the step-down method of Westfall and Young, which flips the signs of a run in
            all comparisons at once; for new texts Holm's method. ``"holm"`` and ``"bh"`` (Benjamini and Hochberg) are
            used for both, and need more runs to show a difference on these texts.
        level : float, default=0.95
            Level of the intervals.

        Returns
        -------
        pandas.DataFrame
            ``a``, ``b``, ``n``, ``n_dropped``, ``difference``; for new texts ``low``, ``high``, ``pvalue``,
            ``adjusted_pvalue``; for these texts ``low_here``, ``high_here``, ``permutation_pvalue``,
            ``wilcoxon_pvalue``, ``t_pvalue``, ``adjusted_pvalue_here`` (from `permutation_pvalue`; if pairs share
            draws and seeds, from `t_pvalue` by Holm's method); ``effect_size``; ``adjusted_pvalue_with_failed``; and
            ``smallest_difference``, below which no number of runs can show a difference for new texts.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=6, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> table = study.comparisons(size=8, correction="holm")
        >>> table[["a", "b", "n"]].values.tolist()
        [['flat', 'sharp', 6]]
        """
        found = self._all_compared(size, score, reference, level)
        check_correction(correction)
        columns = ["a", "b", "n", "n_dropped", "difference", "low", "high", "pvalue", "low_here", "high_here"]
        columns += ["permutation_pvalue", "wilcoxon_pvalue", "t_pvalue", "effect_size"]
        frame = pandas().DataFrame([[getattr(c, name) for name in columns] for c in found], columns=columns)
        of_new = "holm" if correction == "max_t" else correction
        adjusted = {
            "adjusted_pvalue": correct_pvalues(frame["pvalue"].to_numpy(float), of_new),
            "adjusted_pvalue_here": adjusted_here(found, correction, self._rng(2)),
            "adjusted_pvalue_with_failed": correct_pvalues([c.pvalue_with_failed for c in found], of_new),
        }
        least = [np.nan if c.unit == "cells" else c.smallest_difference() for c in found]
        return frame.assign(**adjusted, smallest_difference=least)

    def correlate(self, a: str, b: str, size: int | None = None, *, level: float = 0.95) -> Correlation:
        """Ask whether two scores of a run go together, within variants.

        Differences between variants play no part: a variant that is flatter *and* better than another shows nothing
        about flatness, because it differs in other things too.

        Parameters
        ----------
        a, b : str
            Two of ``scores_`` and ``train_scores_``, or "n_iter". The ``train_`` of a training score can be left out
            if no score has this name.
        size : int, default=None
            Training size. None pools all sizes, and compares runs only with runs of the same size.
        level : float, default=0.95
            Level of the interval.

        Returns
        -------
        Correlation
            If you print it, it gives the conclusion in words. Null models are left out.

        Raises
        ------
        ValueError
            There is no such score or size, or `a` and `b` are the same.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from skbert.datasets import load_helpdesk
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> X, y = load_helpdesk(return_X_y=True)
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> study = StabilityStudy(model, seeds=8, train_sizes=[15, 30], train_scoring="neg_log_loss", random_state=0)
        >>> found = study.fit(X[:80], y[:80]).correlate("train_neg_log_loss", "accuracy")
        >>> found.n_runs  # eight of each size
        16
        >>> found.by_variant[["variant", "size", "n"]].values.tolist()
        [['Pipeline', 15, 8], ['Pipeline', 30, 8]]
        """
        a, b = self._any_score(a), self._any_score(b)
        if a == b:
            raise ValueError(f"a and b are both {a!r}; name two scores.")
        runs = self.results_ if size is None else self._runs_of(check_size(size, self.train_sizes_))
        of_variants = runs[~runs["variant"].isin(self.baselines_)]
        return correlate_runs(of_variants, a, b, n_texts=self._n_texts, level=level, rng=self._rng(3))

    def _any_score(self, name):
        """The column of a score, of a training score, or of the number of epochs."""
        check_is_fitted(self)
        known = [*self.scores_, *self.train_scores_, "n_iter"]
        found = [column for column in (name, train_name(str(name))) if column in known]
        if not found:
            raise ValueError(
                f"There is no score {name!r}; the scores are {self.scores_}, the training scores {self.train_scores_}, "
                "and 'n_iter' is the number of epochs."
            )
        return found[0]

    def _all_compared(self, size, score, reference, level):
        check_is_fitted(self)
        names = list(self.variants_)
        if reference is not None and reference not in names:
            raise ValueError(f"There is no variant {reference!r}; the variants are {names}.")
        if reference is None:
            # Pairs of null models are not of interest, and would reduce the power of the other comparisons.
            pairs = [pair for pair in itertools.combinations(names, 2) if not set(pair) <= set(self.baselines_)]
        else:
            pairs = [(name, reference) for name in names if name != reference]
        return [self.compare(a, b, size=size, score=score, level=level) for a, b in pairs]

    def conclusions(self, *, size: int | None = None, score: str | None = None) -> list[str]:
        """Return the conclusions of the study in sentences that you can quote.

        The variant with the best mean is compared with each of the others and with the best null model. A single
        variant is only described. In these means, failed runs count with the score of the worst null model on the same
        draw. The best variant was chosen with the same runs, so p-values are adjusted for all comparisons that could
        have been made.

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
        >>> study = StabilityStudy(model, variants, seeds=6, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> sentences = study.conclusions(size=8)
        >>> len(sentences)  # the best variant against the other one
        1
        """
        score = self._score(score)
        size = check_size(size, self.train_sizes_)
        means = means_with_failed(self._runs_of(size), score, self.baselines_)
        sentences = [f"{name} has no run with a score." for name in self._names_at(size) if name not in means.index]
        ranked = [name for name in means.index if name not in self.baselines_]
        null = [name for name in means.index if name in self.baselines_][:1]
        if not ranked:
            return sentences
        if len(means) == 1:
            return [*sentences, self._described(ranked[0], size, score)]
        table = self.comparisons(size=size, score=score)
        n_comparisons = int(table[["pvalue", "adjusted_pvalue_here"]].notna().any(axis=1).sum())
        rows = {frozenset((row.a, row.b)): row for row in table.itertuples()}
        for other in [*ranked[1:], *null]:
            row = rows[frozenset((ranked[0], other))]
            sentences.append(
                self.compare(ranked[0], other, size=size, score=score).sentence(
                    pvalue=row.adjusted_pvalue,
                    pvalue_here=row.adjusted_pvalue_here,
                    pvalue_with_failed=row.adjusted_pvalue_with_failed,
                    n_comparisons=n_comparisons,
                )
            )
        return sentences

    def _described(self, name, size, score):
        """A sentence about a single variant."""
        summary = self.summary(score)
        (row,) = summary[(summary["size"] == size) & (summary["variant"] == name)].itertuples()
        text = f"{name}: mean {score} {row.mean:.3f} with {size} training texts"
        if row.n >= FEWEST_RUNS:
            text += f" (95% interval of the mean on these texts {row.low:.3f} to {row.high:.3f}, n = {row.n} runs)"
        else:
            text += " (one run)" if row.n == 1 else f" (n = {row.n} runs, too few for an interval)"
        return text + ". There is nothing to compare it with."

    # ---------------------------------------------------------------- shared

    def _score(self, score):
        check_is_fitted(self)
        if score is None:
            return self.scores_[0]
        if score in self.train_scores_:
            raise ValueError(
                f"score={score!r} is a training score, by which variants are not judged; the scores on test texts are "
                f"{self.scores_}. `correlate` relates the two."
            )
        if score not in self.scores_:
            raise ValueError(f"score={score!r} is not one of the scores of the study {self.scores_}.")
        return score

    @property
    def _n_test(self):
        """Number of test texts, on average over draws."""
        return np.mean([len(split.test) for split in self.splits_])

    @property
    def _n_texts(self):
        return len(self.splits_[0].test) + len(self.splits_[0].order)

    def _runs_of(self, size):
        return self.results_[self.results_["size"] == size]

    def _names_at(self, size):
        """Variants that have runs of this size, in their order."""
        there = set(self._runs_of(size)["variant"])
        return [name for name in self.variants_ if name in there]

    def _rng(self, purpose):
        """A separate random stream for each purpose, so that the same question has the same answer."""
        return np.random.default_rng([self._root_seed % 2**32, purpose])
