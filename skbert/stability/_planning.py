"""How many runs are needed to show a difference, and which differences no number of runs can show."""

from __future__ import annotations

import numpy as np
from scipy import stats

from skbert._shared import check_real
from skbert.stability._paired_tests import pairs_that_can_tell, sign_flips

# From this many pairs on, the sign-flip test has the power of the t-test; below, its power is simulated, with this
# many datasets.
_AS_GOOD_AS_T, _N_SIMULATED = 12, 4000


def upper_spread(spread, n, confidence):
    """Compute the upper confidence limit of a standard deviation that was estimated from `n` normal values.

    A pilot of few runs often gives a standard deviation that is too small, and then the study is too small. With the
    upper limit, the study is large enough with probability `confidence` (Browne 1995).

    References
    ----------
    Browne (1995). On the use of a pilot sample for sample size determination. Statistics in Medicine 14, 1933-1940.
    """
    if n < 2:
        return float("nan")
    return float(spread * np.sqrt((n - 1) / stats.chi2.ppf(1 - confidence, n - 1)))


def least_difference(spread, share, *, power=0.8, alpha=0.05):
    """Compute the smallest difference that any number of runs on these texts can show for other texts of this kind.

    With more and more runs, the variance of Nadeau and Bengio approaches `share` times the variance of a single
    difference. The difference that is then shown with this power is (z_{alpha/2} + z_{1-power}) √share · spread.
    """
    check_chances(power=power, alpha=alpha)
    return float((stats.norm.isf(alpha / 2) + stats.norm.ppf(power)) * np.sqrt(share) * spread)


def pairs_needed(difference, spread, *, share=0.0, power=0.8, alpha=0.05):
    """Compute the number of pairs that a two-sided paired t-test needs to show a difference.

    Parameters
    ----------
    difference : float
        The difference to show.
    spread : float
        Standard deviation of the paired differences.
    share : float, default=0.0
        Number that the variance of Nadeau and Bengio adds to 1 / pairs for draws that overlap; 0 for independent pairs.
    power, alpha : float
        Power and level of the test.

    Returns
    -------
    int or float
        The smallest number, 2 or more, with which the power is reached; ``inf`` if no number reaches it.
    """
    check_chances(power=power, alpha=alpha)
    if np.isnan(difference) or np.isnan(spread):
        return float("nan")
    effect = abs(difference) / spread if spread else np.inf
    if difference == 0 or (spread and abs(difference) <= least_difference(spread, share, power=power, alpha=alpha)):
        return float("inf")
    low, high = 1, 2
    while t_power(effect, high, share, alpha) < power:
        if high > 1e9:
            return float("inf")
        low, high = high, 2 * high
    while high - low > 1:  # the power increases with n
        middle = (low + high) // 2
        low, high = (middle, high) if t_power(effect, middle, share, alpha) < power else (low, middle)
    return high


def check_chances(**chances):
    """Raise ValueError for a power, a level or a confidence that is not a number between 0 and 1."""
    for name, value in chances.items():
        check_real(name, value, 0, 1, open_low=True, open_high=True)


def t_power(effect, n, share, alpha):
    """Power of a two-sided paired t-test of `n` pairs with the variance spread² (1 / n + share)."""
    if np.isinf(effect):
        return 1.0
    shift, critical = effect / np.sqrt(1 / n + share), stats.t.isf(alpha / 2, n - 1)
    if n > 10_000:  # the noncentral t is at its limits here, and the normal distribution is equally good
        return stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift)
    # scipy has no answer for some of the chances of the wrong sign that are next to nothing.
    return np.nan_to_num(stats.nct.sf(critical, n - 1, shift), nan=1.0) + np.nan_to_num(
        stats.nct.cdf(-critical, n - 1, shift)
    )


def flips_needed(difference, spread, *, power=0.8, alpha=0.05):
    """Compute the number of pairs that the sign-flip test needs, for normal differences; see `pairs_needed`.

    Few pairs have few flips. So the test has less power than the t-test, and below a certain number of pairs none.
    There its power is simulated, always with the same random numbers.
    """
    wanted = pairs_needed(difference, spread, power=power, alpha=alpha)
    least = max(wanted, pairs_that_can_tell(alpha))
    if not least < _AS_GOOD_AS_T:
        return least
    effect = abs(difference) / spread if spread else np.inf
    enough = (n for n in range(least, _AS_GOOD_AS_T) if np.isinf(effect) or _flip_power(effect, n, alpha) >= power)
    return next(enough, _AS_GOOD_AS_T)


def _flip_power(effect, n, alpha):
    sets = np.random.default_rng(0).normal(effect, 1, (n, _N_SIMULATED))
    signs, _ = sign_flips(n, None)
    pvalues = (abs(signs @ sets) >= abs(sets.sum(axis=0)) * (1 - 1e-9)).mean(axis=0)
    return (pvalues < alpha).mean()


def what_seeds_can_tell(n_seeds, n_compared):
    """Warn before any run if the number of seeds is too small to show anything; None if it is large enough.

    Parameters
    ----------
    n_seeds : int
        Number of runs of each variant and size, each with its own draw.
    n_compared : int
        Number of variants and null models.
    """
    enough = pairs_that_can_tell()
    if n_compared < 2 or n_seeds >= enough:
        return None
    return (
        f"With seeds={n_seeds}, no comparison can show a difference, even a large one: the p-value of the sign-flip "
        f"test cannot be below {2.0 ** (1 - n_seeds):.3g}. At least seeds={enough} are needed; more seeds show smaller "
        "differences."
    )
