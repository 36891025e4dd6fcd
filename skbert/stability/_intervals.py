"""Standard errors and intervals of a mean over runs, also if runs share draws or seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

# Two runs are too few to estimate a standard deviation for an interval.
FEWEST_RUNS = 3


@dataclass(frozen=True)
class ErrorOfMean:
    """Standard error of a mean, and its degrees of freedom.

    Attributes
    ----------
    error : float
        Standard error. 0 if all values are equal; NaN for fewer than two values.
    freedom : float
        Degrees of freedom of Student's t.
    """

    error: float
    freedom: float

    def interval(self, mean, level, bounds=(-np.inf, np.inf)):
        """The t interval around `mean`, cut to `bounds`; (low, high)."""
        reach = stats.t.isf((1 - level) / 2, self.freedom) * self.error
        return float(max(mean - reach, bounds[0])), float(min(mean + reach, bounds[1]))

    def pvalue(self, mean):
        """Two-sided p-value of "the true mean is zero"; NaN if all values are equal."""
        return float(2 * stats.t.sf(abs(mean) / self.error, self.freedom)) if self.error > 0 else float("nan")


def error_of_mean(values, factors=(), overlap=None):
    """Compute the standard error of the mean of values that share levels of random factors.

    All levels are crossed with each other. For each factor, the variance of the means of its levels is divided by their
    number; the variance of the mean is the sum of this over factors. In a balanced design, it is the sum of the mean
    squares, divided by the number of values. If factors have no effect, or interact, the error is too large but never
    too small. The degrees of freedom are Satterthwaite's [1]_.

    Parameters
    ----------
    values : float array (n,)
        The values.
    factors : sequence of arrays (n,), default=()
        The level of each factor for each value. Factors with one level are left out. If no factor varies, the values
        count as independent.
    overlap : float, default=None
        For values whose first factor is a draw of training and test texts from one set: the number that is added to
        1 / draws because the draws overlap, so that the error is valid for other sets. Nadeau and Bengio [2]_ use the
        number of test texts divided by the number of training texts.

    Returns
    -------
    ErrorOfMean

    References
    ----------
    .. [1] Satterthwaite (1946). An Approximate Distribution of Estimates of Variance Components. Biometrics
       Bulletin 2, 110-114.
    .. [2] Nadeau, Bengio (2003). Inference for the Generalization Error. Machine Learning 52, 239-281.
    """
    n = len(values)
    if n < 2:
        return ErrorOfMean(float("nan"), float("nan"))
    added = [overlap or 0.0, *[0.0] * (len(factors) - 1)] if len(factors) else [overlap or 0.0]
    means = [_level_means(values, levels) for levels in factors] or [values]
    varied = [(each, more) for each, more in zip(means, added, strict=True) if len(each) > 1] or [(values, 0.0)]
    terms = [_variance(each, values) * (1 / len(each) + more) for each, more in varied]
    freedoms = [len(each) - 1 for each, _ in varied]
    total = sum(terms)
    if not total:
        return ErrorOfMean(0.0, float(min(freedoms)))
    shares = np.array(terms) / total
    return ErrorOfMean(float(np.sqrt(total)), float(1 / (shares**2 / freedoms).sum()))


def _level_means(values, levels):
    codes = np.unique(levels, return_inverse=True)[1]
    return np.bincount(codes, weights=values) / np.bincount(codes)


def _variance(means, values):
    """Variance of `means`; a variance that is only rounding of the values counts as 0."""
    return 0.0 if np.ptp(means) <= 1e-12 * np.abs(values).max() else means.var(ddof=1)


def mean_interval(values, factors, level, bounds=(-np.inf, np.inf)):
    """The t interval of the mean, cut to `bounds`; NaN for fewer than three values. See `error_of_mean`."""
    if len(values) < FEWEST_RUNS:
        return float("nan"), float("nan")
    return error_of_mean(values, factors).interval(values.mean(), level, bounds)
