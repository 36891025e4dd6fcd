"""Comparing two variants on the same draws and seeds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from skbert._shared import check_int, check_real, count_as_large, permutation_pvalue
from skbert.stability._summaries import check_level, mean_interval

# Up to this many pairs all sign flips are made; beyond, as many random ones as scipy takes by default.
_MOST_EXACT, _N_FLIPS = 16, 9999


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two variants.

    Attributes
    ----------
    a, b : str
        The variants.
    score : str
    size : int
        Training texts.
    differences : float array (n,)
        Score of `a` less that of `b`, one a pair.
    n : int
        Pairs.
    unit : {"runs", "cells"}
        What is paired: runs of the same draw and seed; in a crossed design, its cells.
    n_dropped : int
        Pairs left out because a run of them has no score.
    mean_a, mean_b : float
        Over the pairs.
    difference : float
        Their difference.
    low, high : float
        Percentile bootstrap interval of the difference; in a crossed design draws, initialisations and orders are
        resampled, each by itself.
    level : float
        Of that interval.
    effect_size : float
        Mean of the differences over their standard deviation (Cohen's d_z).
    wins, ties, losses : int
        Pairs in which `a` is above, level with, below `b`.
    wilcoxon_pvalue : float
        Wilcoxon's signed-rank test, two-sided; differences of zero are split evenly between the signs (Pratt).
    permutation_pvalue : float
        Two-sided test of the mean under random flips of the signs, all of them for up to 16 pairs. All p-values are
        NaN in a crossed design, whose cells share draws and seeds and are no independent pairs.
    corrected_pvalue : float
        t-test with the variance of Nadeau and Bengio (2003), which allows for draws that overlap: asks about
        new data from the same source, where the other two ask about these texts. NaN with one draw.
    smallest_pvalue : float
        What `permutation_pvalue` is at the least with so many pairs, for differences without a zero.

    Notes
    -----
    The p-values and the interval take pairs for independent. Draws from one set of texts overlap, so
    more draws narrow the interval around what is true of *these* texts only.

    References
    ----------
    Nadeau, Bengio (2003). Inference for the Generalization Error. Machine Learning 52, 239-281.

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
    >>> comparison = study.compare("sharp", "flat")
    >>> comparison.n, comparison.unit, comparison.differences.shape
    (4, 'runs', (4,))
    >>> comparison.wins + comparison.ties + comparison.losses
    4
    """

    a: str
    b: str
    score: str
    size: int
    differences: np.ndarray = field(repr=False)
    n: int
    unit: str
    n_dropped: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    level: float
    effect_size: float
    wins: int
    ties: int
    losses: int
    wilcoxon_pvalue: float
    permutation_pvalue: float
    corrected_pvalue: float
    smallest_pvalue: float

    def seeds_needed(self, difference: float | None = None, *, power: float = 0.8, alpha: float = 0.05) -> float:
        """Pairs of runs needed to see a difference, if differences vary as much as these do.

        Parameters
        ----------
        difference : float, default=None
            In units of the score, such as 0.01; None is the difference that was seen, which is
            itself a guess.
        power : float, default=0.8
            Chance to see it.
        alpha : float, default=0.05
            Level of the two-sided paired t-test.

        Returns
        -------
        int or float
            ``inf`` for a difference of zero; NaN where fewer than two pairs leave the spread unknown.

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
        >>> comparison = study.compare("sharp", "flat", size=4)
        >>> comparison.seeds_needed(0.01) >= comparison.seeds_needed(0.1) >= 2  # a smaller difference takes more
        True
        """
        difference = self.difference if difference is None else difference
        spread = self.differences.std(ddof=1) if self.n > 1 else float("nan")
        return pairs_needed(difference, spread, power=power, alpha=alpha)

    def sentence(self, alpha: float = 0.05, *, pvalue: float | None = None, n_comparisons: int = 1) -> str:
        """What may be said, in one sentence that can be quoted.

        Parameters
        ----------
        alpha : float, default=0.05
            A difference is told where the p-value is below.
        pvalue : float, default=None
            An adjusted p-value; None is `permutation_pvalue`.
        n_comparisons : int, default=1
            For how many comparisons `pvalue` was adjusted.

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
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> sentence = study.compare("sharp", "flat").sentence(alpha=0.01)
        >>> "flat" in sentence and "sharp" in sentence
        True
        """
        p = self.permutation_pvalue if pvalue is None else pvalue
        if self.n < 2:
            return f"No difference between {self.a} and {self.b} can be told from {self.n} pair(s)."
        if np.isnan(p):
            return (
                f"{self.a} less {self.b}: {self._amounts(1, '+')}, n = {self.n} {self.unit}). The cells of a crossed "
                "design are no independent pairs and are not tested; for a test, give seeds as an int."
            )
        seen = f"n = {self.n} paired {self.unit}, sign-flip p = {p:.2g}"
        if n_comparisons > 1:
            seen += f" after adjusting for {n_comparisons} comparisons"
        if p < alpha:
            sign = 1 if self.difference > 0 else -1
            first, second = (self.a, self.b)[::sign]
            return f"{first} beats {second} by {self._amounts(sign)}, {seen})."
        text = f"No difference between {self.a} and {self.b} can be told: {self._amounts(1, '+')}, {seen})."
        if self.smallest_pvalue * n_comparisons >= alpha:
            text += f" With so few pairs ({self.n}) this test cannot tell any."
        return text

    def _amounts(self, sign, plus=""):
        """Difference and interval, times `sign`; the bracket stays open."""
        in_points = not self.score.startswith("neg_") and max(abs(self.mean_a), abs(self.mean_b)) <= 1
        unit, factor, digits = ("points of ", 100, 1) if in_points else ("", 1, 3)
        low, high = sorted((sign * self.low, sign * self.high))
        amount, low, high = (f"{factor * value:{plus}.{digits}f}" for value in (sign * self.difference, low, high))
        return f"{amount} {unit}{self.score} with {self.size} training texts ({self.level:.0%} interval {low} to {high}"

    def __str__(self):
        return self.sentence()


def compare_pairs(scores_a, scores_b, a, b, score, size, *, levels=(), test_share=None, level=0.95, rng=None):
    """The `Comparison` of paired scores.

    Parameters
    ----------
    scores_a, scores_b : float arrays (n,)
        Paired; NaN where a run has no score.
    a, b, score, size
        Names and training size.
    levels : list of arrays (n,), default=()
        Of each factor of a crossed design, its level in each pair. None for pairs that are independent.
    test_share : float, default=None
        Test texts over training texts, for pairs that are random draws of the same texts.
    level : float
    rng : numpy Generator

    Returns
    -------
    Comparison
    """
    check_level(level)
    rng = np.random.default_rng(0) if rng is None else rng
    both = ~(np.isnan(scores_a) | np.isnan(scores_b))
    n, first, second = int(both.sum()), scores_a[both], scores_b[both]
    # Differences that are nothing but rounding of the scores are none.
    scale = max(np.abs(first).max(initial=0), np.abs(second).max(initial=0))
    d = first - second
    d[np.abs(d) <= 1e-12 * scale] = 0
    low = high = effect = wilcoxon = flips = corrected = float("nan")
    if n > 1:
        low, high = mean_interval(d, [each[both] for each in levels], level, rng)
        effect = _effect_size(d, scale)
        if not len(levels):
            wilcoxon, flips = _wilcoxon(d, scale, rng), sign_flip_pvalue(d, rng)
            corrected = float("nan") if test_share is None else _resampled_t(d, scale, test_share)
    return Comparison(
        a=a,
        b=b,
        score=score,
        size=int(size),
        differences=d,
        n=n,
        unit="cells" if len(levels) else "runs",
        n_dropped=len(both) - n,
        mean_a=float(first.mean()) if n else float("nan"),
        mean_b=float(second.mean()) if n else float("nan"),
        difference=float(d.mean()) if n else float("nan"),
        low=low,
        high=high,
        level=level,
        effect_size=effect,
        wins=int((d > 0).sum()),
        ties=int((d == 0).sum()),
        losses=int((d < 0).sum()),
        wilcoxon_pvalue=wilcoxon,
        permutation_pvalue=flips,
        corrected_pvalue=corrected,
        smallest_pvalue=2.0 ** (1 - n) if n <= _MOST_EXACT else 1 / (1 + _N_FLIPS),
    )


def _is_constant(d, scale):
    return np.ptp(d) <= 1e-12 * scale


def _effect_size(d, scale):
    if _is_constant(d, scale):
        return float(np.copysign(np.inf, d.mean())) if d.any() else 0.0
    return float(d.mean() / d.std(ddof=1))


def _wilcoxon(d, scale, rng):
    if not d.any():
        return 1.0
    # Rounded, for 0.75 - 0.7 and 0.65 - 0.6 are one rank.
    d = np.round(d / scale, 12)
    if len(d) <= _MOST_EXACT:
        # The test is one of sign flips, of signed ranks. Ties, which scores of few texts often have, stay exact.
        return sign_flip_pvalue(np.sign(d) * stats.rankdata(abs(d)), rng)
    return float(stats.wilcoxon(d, zero_method="pratt").pvalue)


def sign_flip_pvalue(differences, rng):
    """Two-sided p-value of the mean under random flips of the signs of paired differences.

    Parameters
    ----------
    differences : float array (n,)
    rng : numpy Generator
        For more than 16 pairs, of which 9,999 random flips are made.

    Returns
    -------
    float
    """
    n = len(differences)
    observed = abs(differences.sum())
    if n <= _MOST_EXACT:
        # Flipping all signs changes nothing, so the first sign can stay.
        signs = np.array(list(itertools.product((1, -1), repeat=n - 1))).reshape(-1, n - 1)
        sums = abs(differences[0] + signs @ differences[1:])
        return count_as_large(observed, sums) / len(sums)
    signs = rng.integers(0, 2, (_N_FLIPS, n)) * 2 - 1
    return permutation_pvalue(observed, abs(signs @ differences))


def _resampled_t(d, scale, test_share):
    if _is_constant(d, scale):
        return 0.0 if d.any() else 1.0
    t = d.mean() / np.sqrt((1 / len(d) + test_share) * d.var(ddof=1))
    return float(2 * stats.t.sf(abs(t), len(d) - 1))


def pairs_needed(difference, spread, *, power=0.8, alpha=0.05):
    """Pairs that a two-sided paired t-test needs to see a difference.

    Parameters
    ----------
    difference : float
    spread : float
        Standard deviation of the paired differences.
    power, alpha : float

    Returns
    -------
    int or float
        The smallest number, 2 or more, at which the power is reached; ``inf`` for a difference of zero.
    """
    check_real("power", power, 0, 1, open_low=True, open_high=True)
    check_real("alpha", alpha, 0, 1, open_low=True, open_high=True)
    if np.isnan(difference) or np.isnan(spread):
        return float("nan")
    if difference == 0:
        return float("inf")
    effect = abs(difference) / spread if spread else np.inf
    low, high = 1, 2
    while _power(effect, high, alpha) < power:
        if high > 1e9:
            return float("inf")
        low, high = high, 2 * high
    while high - low > 1:  # the power rises with n
        middle = (low + high) // 2
        low, high = (middle, high) if _power(effect, middle, alpha) < power else (low, middle)
    return high


def _power(effect, n, alpha):
    """Power of a two-sided paired t-test of `n` pairs."""
    if np.isinf(effect):
        return 1.0
    shift, critical = effect * np.sqrt(n), stats.t.isf(alpha / 2, n - 1)
    if n > 10_000:  # where the noncentral t is at its limits, and the normal as good
        return stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift)
    return stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)


CORRECTIONS = ("holm", "bh", None)


def correct_pvalues(pvalues, method):
    """p-values of several comparisons, corrected.

    Parameters
    ----------
    pvalues : float array (m,)
        NaN stays NaN, and is not counted.
    method : {"holm", "bh", None}
        Holm's step-down method bounds the chance of any false claim; Benjamini and Hochberg's the
        expected share of false ones among the claims.

    Returns
    -------
    float array (m,)
    """
    if method not in CORRECTIONS:
        raise ValueError(f"correction must be one of {CORRECTIONS}, got {method!r}")
    pvalues = np.asarray(pvalues, dtype=float)
    corrected, there = pvalues.copy(), np.flatnonzero(~np.isnan(pvalues))
    if method is None or not len(there):
        return corrected
    order = there[np.argsort(pvalues[there], kind="stable")]
    m, ranks = len(order), np.arange(1, len(order) + 1)
    if method == "holm":
        adjusted = np.maximum.accumulate(pvalues[order] * (m - ranks + 1))
    else:
        adjusted = np.minimum.accumulate((pvalues[order] * m / ranks)[::-1])[::-1]
    corrected[order] = np.minimum(adjusted, 1.0)
    return corrected


def check_size(size, sizes):
    """A training size of the study; None is the largest."""
    if size is None:
        return max(sizes)
    if check_int("size", size, 1) not in sizes:
        raise ValueError(f"size={size!r} is none of the study's training sizes {sorted(sizes)}.")
    return int(size)
