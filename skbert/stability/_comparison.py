"""Comparing two variants on the same draws and seeds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skbert.stability import _planning as planning
from skbert.stability import _sentences as sentences
from skbert.stability._differences import Differences
from skbert.stability._intervals import FEWEST_RUNS
from skbert.stability._score_scale import difference_bounds
from skbert.stability._summaries import check_level


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two variants, with an answer to each of two questions.

    *These texts*: does the difference hold on draws from the texts of the study? Runs are the evidence, and more runs
    show smaller differences. *New texts*: would it hold on other texts of the same kind? Draws from one set of texts
    overlap, so more of them show little more.

    Attributes
    ----------
    a, b : str
        Names of the variants.
    score : str
        Name of the score.
    size : int
        Number of training texts.
    differences : float array (n,)
        Score of `a` minus score of `b`, one per pair.
    draws : int array (n,)
        Number of the draw of each pair.
    n : int
        Number of pairs.
    unit : {"runs", "cells"}
        What is paired: runs, each with its own draw; or the cells of a crossed design, which share draws and seeds.
    n_draws : int
        Number of draws that have a pair.
    n_texts : int or None
        Number of texts of the study.
    n_dropped : int
        Number of pairs that are left out because one of their runs failed and has no score.
    failed_a, failed_b : int
        Number of these pairs in which the run of `a`, or of `b`, failed.
    mean_a, mean_b : float
        Mean score over the pairs.
    difference : float
        ``mean_a`` minus ``mean_b``.
    pvalue, low, high : float
        New texts: two-sided p-value of the corrected resampled t-test of Nadeau and Bengio [1]_, and its interval, cut
        to the range of the score. The variance of the mean is (1 / n + `test_share`) times the variance of the
        differences. All are NaN with one draw; the interval is NaN with fewer than three pairs. If all differences
        are equal, their variance cannot be estimated: the p-value is then that of the sign flips, and the interval NaN.
    low_here, high_here : float
        These texts: t interval of the difference. If pairs share draws and seeds, it comes from mean squares, with
        Satterthwaite's degrees of freedom. With one draw it is valid only for this draw.
    level : float
        Level of both intervals.
    permutation_pvalue : float
        These texts: two-sided test of the mean by random flips of the signs, with all flips for up to 16 pairs. NaN
        if pairs share draws and seeds, because they are then not independent.
    wilcoxon_pvalue : float
        These texts: the same test with ranks, Wilcoxon's signed-rank test. Zeros are divided equally between the signs
        (Pratt).
    t_pvalue : float
        These texts: the t-test that belongs to `low_here` and `high_here`; it is the test for crossed designs.
    smallest_pvalue : float
        The smallest possible `permutation_pvalue` with this number of pairs, for differences without a zero.
    effect_size : float
        Mean of the differences over their standard deviation (Cohen's d_z).
    wins, ties, losses : int
        Number of pairs in which `a` is above, equal to, below `b`.
    failed_as : str
        The score of a failed run in the next two attributes, in words: the score of the worst null model on the same
        draw or, without null models, the lowest score of all runs.
    difference_with_failed, pvalue_with_failed : float
        Difference and `pvalue` if failed runs get this score (intention to treat, worst-rank scores [2]_).
    test_share : float
        Number of test texts divided by the number of all other texts of the study; NaN with one draw.

    References
    ----------
    .. [1] Nadeau, Bengio (2003). Inference for the Generalization Error. Machine Learning 52, 239-281.
    .. [2] Lachin (1999). Worst-Rank Score Analysis with Informatively Missing Observations in Clinical Trials.
       Controlled Clinical Trials 20, 408-422.

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
    >>> comparison = study.compare("sharp", "flat")
    >>> comparison.n, comparison.unit, comparison.differences.shape
    (6, 'runs', (6,))
    >>> comparison.wins + comparison.ties + comparison.losses
    6
    """

    a: str
    b: str
    score: str
    size: int
    differences: np.ndarray = field(repr=False)
    draws: np.ndarray = field(repr=False)
    n: int
    unit: str
    n_draws: int
    n_texts: int | None
    n_dropped: int
    failed_a: int
    failed_b: int
    mean_a: float
    mean_b: float
    difference: float
    pvalue: float
    low: float
    high: float
    low_here: float
    high_here: float
    level: float
    permutation_pvalue: float
    wilcoxon_pvalue: float
    t_pvalue: float
    smallest_pvalue: float
    effect_size: float
    wins: int
    ties: int
    losses: int
    failed_as: str
    difference_with_failed: float
    pvalue_with_failed: float
    test_share: float

    @property
    def pvalue_here(self) -> float:
        """The p-value for these texts: `permutation_pvalue`, or `t_pvalue` if pairs share draws and seeds.

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
        >>> comparison = study.compare("sharp", "flat")
        >>> comparison.pvalue_here == comparison.permutation_pvalue  # each pair has a draw of its own
        True
        """
        return self.t_pvalue if self.unit == "cells" else self.permutation_pvalue

    def seeds_needed(
        self, difference: float, *, texts: str = "new", power: float = 0.8, alpha: float = 0.05, confidence: float = 0.8
    ) -> float:
        """Compute the number of pairs of runs that are needed to show a difference, if differences vary as here.

        Parameters
        ----------
        difference : float
            The smallest difference that is important to you, in units of the score, such as 0.02. Do not give the
            observed difference: the result would be only the p-value in another unit (Hoenig and Heisey 2001).
        texts : {"new", "these"}, default="new"
            Whether to show it for other texts of the same kind, by the corrected resampled t-test, or for these texts,
            by the sign-flip test.
        power : float, default=0.8
            Probability to show the difference if it exists.
        alpha : float, default=0.05
            Level of the two-sided test.
        confidence : float, default=0.8
            The standard deviation of the differences is estimated from few pairs. Its upper confidence limit of this
            level is used, so that the number of pairs is enough with this probability (Browne 1995).

        Returns
        -------
        int or float
            ``inf`` if no number of runs is enough. For new texts this is true for any difference below
            `smallest_difference`, and only more labelled texts help. NaN with fewer than two pairs.

        Raises
        ------
        ValueError
            A parameter is out of its range, or pairs share draws and seeds.

        References
        ----------
        Hoenig, Heisey (2001). The Abuse of Power. The American Statistician 55, 19-24.

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
        >>> comparison = study.compare("sharp", "flat", size=4)
        >>> few, many = (comparison.seeds_needed(difference, texts="these") for difference in (0.5, 0.05))
        >>> few <= many  # a smaller difference takes more
        True
        """
        if texts not in ("new", "these"):
            raise ValueError(f"texts must be 'new' or 'these', got {texts!r}")
        spread = self._upper_spread(confidence)
        if texts == "these":
            return planning.flips_needed(difference, spread, power=power, alpha=alpha)
        if np.isnan(self.test_share):
            return float("nan")
        return planning.pairs_needed(difference, spread, share=self.test_share, power=power, alpha=alpha)

    def smallest_difference(self, *, power: float = 0.8, alpha: float = 0.05, confidence: float = 0.8) -> float:
        """Compute the smallest difference that any number of runs can show for new texts.

        A smaller difference can only be shown with more labelled texts.

        Parameters
        ----------
        power : float, default=0.8
            Probability to show the difference if it exists.
        alpha : float, default=0.05
            Level of the two-sided test.
        confidence : float, default=0.8
            Level of the upper confidence limit of the standard deviation, as in `seeds_needed`.

        Returns
        -------
        float
            In units of the score: (z_{alpha/2} + z_{1-power}) √`test_share` times the standard deviation of the
            differences. NaN with one draw or fewer than two pairs.

        Raises
        ------
        ValueError
            The same errors as in `seeds_needed`.

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
        >>> comparison = study.compare("sharp", "flat", size=4)
        >>> comparison.seeds_needed(0.9 * comparison.smallest_difference())
        inf
        """
        return planning.least_difference(self._upper_spread(confidence), self.test_share, power=power, alpha=alpha)

    def _upper_spread(self, confidence):
        if self.unit == "cells":
            raise ValueError(
                "Cells of a crossed design share draws and seeds, so they do not show how many runs are needed; give "
                "seeds as an int."
            )
        planning.check_chances(confidence=confidence)
        spread = self.differences.std(ddof=1) if self.n > 1 else float("nan")
        return planning.upper_spread(spread, self.n, confidence)

    def winner(
        self,
        alpha: float = 0.05,
        *,
        pvalue: float | None = None,
        pvalue_here: float | None = None,
        pvalue_with_failed: float | None = None,
    ) -> str | None:
        """Return the variant that beats the other, or None if neither does.

        This needs three pairs, and a p-value below `alpha` for new texts and for these texts. If the winner failed more
        often than the other variant, the conclusion must be the same when failed runs count as `failed_as`.

        Parameters
        ----------
        alpha : float, default=0.05
            A difference is reported if the p-value is below this level.
        pvalue, pvalue_here, pvalue_with_failed : float, default=None
            Adjusted p-values; None uses the p-values of this comparison alone.

        Returns
        -------
        str or None

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
        >>> comparison = study.compare("sharp", "flat")
        >>> comparison.winner() is None  # two dozen texts tell nothing of others
        True
        """
        new, here, failed = (
            own if given is None else given
            for given, own in (
                (pvalue, self.pvalue),
                (pvalue_here, self.pvalue_here),
                (pvalue_with_failed, self.pvalue_with_failed),
            )
        )
        if self.n < FEWEST_RUNS or not (new < alpha and here < alpha):
            return None
        sign = 1 if self.difference > 0 else -1
        more_often = sign * (self.failed_a - self.failed_b) > 0
        if more_often and not (failed < alpha and sign * self.difference_with_failed > 0):
            return None
        return self.a if sign > 0 else self.b

    def sentence(
        self,
        alpha: float = 0.05,
        *,
        pvalue: float | None = None,
        pvalue_here: float | None = None,
        pvalue_with_failed: float | None = None,
        n_comparisons: int = 1,
    ) -> str:
        """Return the conclusion in sentences that you can quote.

        Parameters
        ----------
        alpha : float, default=0.05
            A difference is reported if the p-value is below this level.
        pvalue, pvalue_here, pvalue_with_failed : float, default=None
            Adjusted p-values; None uses the p-values of this comparison alone.
        n_comparisons : int, default=1
            Number of comparisons for which the p-values are adjusted.

        Returns
        -------
        str

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
        >>> sentence = study.compare("sharp", "flat").sentence(alpha=0.01)
        >>> "flat" in sentence and "sharp" in sentence
        True
        """
        return sentences.of_comparison(
            self,
            self.winner(alpha, pvalue=pvalue, pvalue_here=pvalue_here, pvalue_with_failed=pvalue_with_failed),
            alpha,
            self.pvalue if pvalue is None else pvalue,
            self.pvalue_here if pvalue_here is None else pvalue_here,
            n_comparisons,
        )

    def __str__(self):
        return self.sentence()


@dataclass(frozen=True)
class StandIn:
    """The scores that failed runs get.

    Attributes
    ----------
    name : str
        Description in words.
    scores : float array (n,)
        Score for each pair.
    """

    name: str
    scores: np.ndarray

    def fill(self, scores):
        """Return `scores` with missing scores replaced."""
        return np.where(np.isnan(scores), self.scores, scores)


def compare_pairs(
    scores_a,
    scores_b,
    a,
    b,
    score,
    size,
    *,
    factors=(),
    test_share=None,
    n_texts=None,
    stand_in=None,
    level=0.95,
    rng=None,
):
    """Make the `Comparison` of paired scores.

    Parameters
    ----------
    scores_a, scores_b : float arrays (n,)
        Paired scores; NaN if a run has no score.
    a, b, score, size
        Names of the variants and of the score, and training size.
    factors : sequence of arrays (n,), default=()
        The draw of each pair, and in a crossed design its initialisation and its order. Without factors, each pair has
        its own draw.
    test_share : float, default=None
        Number of test texts divided by the number of all others, for draws from the same texts. With None, nothing is
        concluded about new texts.
    n_texts : int, default=None
        Number of texts of the study.
    stand_in : StandIn, default=None
        Scores of failed runs; None leaves failed runs out everywhere.
    level : float
        Level of the intervals.
    rng : numpy Generator
        Source of random flips.

    Returns
    -------
    Comparison
    """
    check_level(level)
    rng = np.random.default_rng(0) if rng is None else rng
    both = ~(np.isnan(scores_a) | np.isnan(scores_b))
    first, second = scores_a[both], scores_b[both]
    own = Differences.of(scores_a, scores_b, factors, test_share)
    counted = own
    if stand_in is not None and not both.all():
        counted = Differences.of(stand_in.fill(scores_a), stand_in.fill(scores_b), factors, test_share)
    bounds = difference_bounds(score, np.concatenate([first, second]))
    return Comparison(
        a=a,
        b=b,
        score=score,
        size=int(size),
        n_texts=n_texts,
        n_dropped=int((~both).sum()),
        failed_a=int(np.isnan(scores_a).sum()),
        failed_b=int(np.isnan(scores_b).sum()),
        mean_a=float(first.mean()) if len(first) else float("nan"),
        mean_b=float(second.mean()) if len(second) else float("nan"),
        level=level,
        **own.statistics(level, bounds, rng),
        failed_as="" if stand_in is None else stand_in.name,
        difference_with_failed=counted.mean,
        pvalue_with_failed=counted.pvalue_new(rng),
    )
