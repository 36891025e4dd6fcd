"""Do two scores of a run go together: Spearman's rank correlation over runs, within variants."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from skbert._shared import pandas, permutation_pvalue, permutations_within
from skbert.stability import _sentences as sentences
from skbert.stability._pairing import FACTORS
from skbert.stability._summaries import check_level

if TYPE_CHECKING:
    from pandas import DataFrame

# As many as scipy's tests take by default.
N_PERMUTATIONS = 9999


@dataclass(frozen=True)
class Correlation:
    """Rank correlation of two scores over runs, compared only within variants and training sizes.

    Attributes
    ----------
    a, b : str
        Names of the two, as they are called in ``results_``.
    size : int or None
        Number of training texts; None if runs of several sizes are pooled.
    rho : float
        The pooled correlation, between -1 and 1; see Notes. NaN if in no variant both vary.
    low, high : float
        Interval of `rho` on draws from these texts; NaN if `n_effective` is 3 or less, and for `unit` "cells".
    level : float
        Level of the interval.
    permutation_pvalue : float
        Two-sided p-value of "the two are not related within variants, on draws from these texts", from 9,999 random
        permutations within variants; at least 0.0001. NaN if there is no `rho`, and for `unit` "cells".
    n_runs : int
        Number of runs that are used.
    n_effective : float
        Number of independent runs that would give the same standard error. It is smaller than `n_runs` if variants
        agree in which draws are easy.
    unit : {"runs", "cells"}
        "runs" if each run of a variant has its own draw, or its own seed on the only draw. "cells" of a crossed design
        share draws and seeds; they have no test and no interval.
    n_draws : int
        Number of draws of the runs that are used.
    n_texts : int or None
        Number of texts of the study.
    n_dropped : int
        Number of runs that are left out because they lack one of the two.
    n_failed : int
        Number of runs that are used although they failed: their training diverged, stayed constant or underfitted, or
        they lack another score.
    by_variant : pandas.DataFrame
        ``variant``, ``size``, ``n`` (runs with both scores), ``rho`` of these runs alone, and ``constant``: which of
        the two has one value only, so that there is no `rho`. The pooled `rho` is their mean, weighted by n - 1.

    Notes
    -----
    *Estimate.* In variant (and training size) g with n_g runs, rho_g is Spearman's correlation of its runs, with mean
    ranks for ties. Then rho = sum_g (n_g - 1) rho_g / sum_g (n_g - 1). If the two are not related, the variance of
    rho_g is 1 / (n_g - 1), so these are the weights of the smallest variance. Differences between variants play no
    part. For one variant, rho is that of ``scipy.stats.spearmanr``.

    *Test.* All variants share their draws: if a draw is easy for one, it is often easy for the others, and their
    correlations are not independent. So one permutation moves all runs of a draw together, each within its own variant.
    Draws in which some variants lack a run are permuted among those that lack the same ones.

    *Interval.* tanh(atanh(rho) ± z √((1 + rho² / 2) / (n - 3))), the interval of Bonett and Wright [1]_, where n is
    `n_effective`: 1 plus the inverse of the variance of rho over permutations of draws, and no more than for
    independent variants. For one variant, n is its number of runs. Where rho is 1, it is taken as 1 - 6 / (n³ - n),
    half a step less.

    *What it does not say.* Two scores may go together because both follow from something else, such as an easy draw.
    And of twenty pairs of unrelated scores, one has a p-value below 0.05.

    References
    ----------
    .. [1] Bonett, Wright (2000). Sample Size Requirements for Estimating Pearson, Kendall and Spearman Correlations.
       Psychometrika 65, 23-28.

    Examples
    --------
    >>> from skbert import StabilityStudy
    >>> from skbert.datasets import load_helpdesk
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.naive_bayes import MultinomialNB
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y = load_helpdesk(return_X_y=True)
    >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
    >>> study = StabilityStudy(model, seeds=8, train_sizes=[30], train_scoring="neg_log_loss", random_state=0)
    >>> found = study.fit(X[:80], y[:80]).correlate("train_neg_log_loss", "accuracy")
    >>> found.a, found.b, found.n_runs
    ('train_neg_log_loss', 'accuracy', 8)
    >>> -1 <= found.low <= found.rho <= found.high <= 1
    True
    """

    a: str
    b: str
    size: int | None
    rho: float
    low: float
    high: float
    level: float
    permutation_pvalue: float
    n_runs: int
    n_effective: float
    unit: str
    n_draws: int
    n_texts: int | None
    n_dropped: int
    n_failed: int
    by_variant: DataFrame = field(repr=False, compare=False)

    def sentence(self, alpha: float = 0.05) -> str:
        """Return the conclusion in words that you can quote.

        The two are said to go together only if the p-value is below `alpha` and the interval leaves out 0. If the whole
        interval is between -0.3 and 0.3, the relation is said to be weak at most. In all other cases the sentence says
        that it cannot be judged.

        Parameters
        ----------
        alpha : float, default=0.05
            A relation is reported if the p-value is below this level.

        Returns
        -------
        str

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from skbert.datasets import load_helpdesk
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> X, y = load_helpdesk(return_X_y=True)
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> study = StabilityStudy(model, seeds=3, train_sizes=[30], train_scoring="neg_log_loss", random_state=0)
        >>> found = study.fit(X[:80], y[:80]).correlate("train_neg_log_loss", "accuracy")
        >>> "cannot be judged" in found.sentence()  # three runs show nothing
        True
        """
        return sentences.of_correlation(self, alpha)

    def __str__(self):
        return self.sentence()


def correlate_runs(runs, a, b, *, n_texts=None, level=0.95, rng=None, n_permutations=N_PERMUTATIONS):
    """Make the `Correlation` of two columns of a table of runs.

    Parameters
    ----------
    runs : DataFrame
        One row per run: ``variant``, ``size``, the columns `a` and `b`, those of `FACTORS`, and ``status``.
    a, b : str
        Names of the two columns.
    n_texts : int, default=None
        Number of texts of the study.
    level : float
        Level of the interval.
    rng : numpy Generator
        Source of the permutations.
    n_permutations : int
        Number of permutations of the test.

    Returns
    -------
    Correlation
    """
    check_level(level)
    rng = np.random.default_rng(0) if rng is None else rng
    scored = runs[a].notna() & runs[b].notna()
    table, parts, ranked = [], [], []
    for (variant, size), group in runs.groupby(["variant", "size"], sort=False):
        own = group[scored[group.index]]
        x, y = (unit_ranks(own[name].to_numpy(dtype=float)) for name in (a, b))
        constant = [name for name, ranks in ((a, x), (b, y)) if not ranks.any()]
        table.append((variant, size, len(own), np.nan if constant else float(x @ y), " and ".join(constant)))
        if not constant:
            parts.append(own)
            ranked.append((x, y))
    used = pandas().concat(parts) if parts else runs[:0]
    varied = [name for name in FACTORS.values() if used[name].nunique() > 1]
    units = [part[varied[0]].to_numpy() for part in parts] if len(varied) == 1 else None
    sizes = runs["size"].unique()
    return Correlation(
        a=a,
        b=b,
        size=int(sizes[0]) if len(sizes) == 1 else None,
        **_statistics(ranked, units, level, rng, n_permutations),
        level=level,
        n_runs=len(used),
        unit="cells" if len(varied) > 1 else "runs",
        n_draws=int(used["draw"].nunique()),
        n_texts=n_texts,
        n_dropped=int((~scored).sum()),
        n_failed=int((used["status"] != "ok").sum()),
        by_variant=pandas().DataFrame(table, columns=["variant", "size", "n", "rho", "constant"]),
    )


def unit_ranks(values):
    """Ranks with mean 0 and length 1, whose products are rank correlations; zeros if all values are equal."""
    ranks = stats.rankdata(values) - (len(values) + 1) / 2
    length = np.sqrt(ranks @ ranks)
    return ranks / length if length > 0 else ranks


def _statistics(ranked, units, level, rng, n_permutations):
    """Estimate, interval and p-value by the names of `Correlation`.

    Parameters
    ----------
    ranked : list of pairs of float arrays (n_g,)
        `unit_ranks` of both scores, of each variant and size.
    units : list of arrays (n_g,), or None
        The draw, or the seed, of each run; None if runs are not independent even within a variant.
    level, rng, n_permutations
        See `correlate_runs`.
    """
    found = dict.fromkeys(("rho", "low", "high", "permutation_pvalue", "n_effective"), float("nan"))
    if not ranked:
        return found
    weights = np.array([len(x) - 1.0 for x, _ in ranked])
    rho = weights @ [x @ y for x, y in ranked] / weights.sum()
    found["rho"] = float(np.clip(rho, -1, 1))
    if units is None:
        return found
    x, y, present = _by_unit(ranked, units)
    found["n_effective"] = _effective_runs(x, y, weights)
    found["low"], found["high"] = _interval(found["rho"], found["n_effective"], level)
    # What a permutation pairs: row i of x, in all variants at once, with row j of y.
    paired = (x * weights) @ y.T / weights.sum()
    lacking = np.unique(present, axis=0, return_inverse=True)[1].ravel()
    columns = np.arange(len(paired))
    null = [abs(paired[order, columns].sum()) for order in permutations_within(lacking, n_permutations, rng)]
    found["permutation_pvalue"] = permutation_pvalue(abs(rho), np.array(null))
    return found


def _by_unit(ranked, units):
    """Ranks as arrays (n_units, n_variants), 0 for a run that is not there, and which runs are there."""
    names = np.unique(np.concatenate(units))
    x, y = (np.zeros((len(names), len(ranked))) for _ in "xy")
    present = np.zeros(x.shape, dtype=bool)
    for column, (own, pair) in enumerate(zip(units, ranked, strict=True)):
        rows = np.searchsorted(names, own)
        x[rows, column], y[rows, column] = pair
        present[rows, column] = True
    return x, y, present


def _effective_runs(x, y, weights):
    """Number of independent runs of one variant whose correlation would vary as much as the pooled one."""
    # Under permutations of draws, the covariance of the correlations of two variants is the product of the agreement of
    # the variants in x and in y.
    agreement = (x.T @ x) * (y.T @ y)
    variance = np.sqrt(weights) @ agreement @ np.sqrt(weights) / weights.sum() ** 2
    return float(1 + 1 / max(variance, 1 / weights.sum()))


def _interval(rho, n, level):
    """Interval of Bonett and Wright for the correlation of `n` runs."""
    if n <= 3:
        return float("nan"), float("nan")
    # The largest correlation below 1 is 12 / (n³ - n) less; without this, a perfect order of few runs had no error.
    most = 1 - 6 / (n**3 - n)
    z = np.arctanh(np.clip(rho, -most, most))
    reach = stats.norm.isf((1 - level) / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    return float(min(np.tanh(z - reach), rho)), float(max(np.tanh(z + reach), rho))
