"""Where the variance of a crossed design comes from: random effects, by restricted maximum likelihood."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import linalg, optimize

# Upper limit of the search for variances relative to the residual variance.
_LARGEST_RATIO = 1e8
# Number of random draws for an interval; the error of its ends is then about a hundredth of its width.
_N_PIVOTS = 20_000


def with_two_way_terms(factors):
    """`factors`, and after them each pair of them as a factor of its own where the design tells it from the rest.

    That is so where both vary, and a third does within their combinations.

    Parameters
    ----------
    factors : dict of str to int array (n,)

    Returns
    -------
    dict of str to int array (n,)
        Pairs are named as "draw:init".
    """
    terms = dict(factors)
    for (first, one), (second, other) in itertools.combinations(factors.items(), 2):
        codes = np.unique(np.column_stack([one, other]), axis=0, return_inverse=True)[1].ravel()
        if min(len(np.unique(one)), len(np.unique(other))) > 1 and codes.max() + 1 < len(codes):
            terms[f"{first}:{second}"] = codes
    return terms


def variance_components(scores, factors):
    """Variances of additive random effects and of what is left.

    The model is score = mean + Σ_k effect_k + residual, all effects independent and normal
    with mean 0; their variances maximise the restricted likelihood (REML). In a balanced
    design they are those of the analysis of variance, where none of these is negative.

    Parameters
    ----------
    scores : float array (n,)
    factors : dict of str to array (n,)
        Level of each factor in each run. A factor with one level gets NaN: it was not varied.

    Returns
    -------
    dict of str to float
        The variance of each factor, and of ``"interaction"``: the rest that the factors do not explain.

    Raises
    ------
    ValueError
        A factor has another level in every run, or two factors always change together, so that they cannot be
        separated from the rest or from each other.
    """
    scores = np.asarray(scores, dtype=float)
    n = len(scores)
    codes = {name: np.unique(levels, return_inverse=True)[1] for name, levels in factors.items()}
    varied = {name: code for name, code in codes.items() if n and code.max() > 0}
    _check_told_apart(varied, n)
    found = dict.fromkeys(factors, float("nan"))
    spread = scores.std() if n else float("nan")
    if not varied or spread <= 1e-12 * max(1.0, np.abs(scores).max()):
        return {**found, **dict.fromkeys(varied, 0.0), "interaction": 0.0 if n > 1 else float("nan")}
    # In units of the spread, so that the search does not depend on the scale of the score.
    variances = _reml((scores - scores.mean()) / spread, list(varied.values())) * spread**2
    return {**found, **dict(zip([*varied, "interaction"], map(float, variances), strict=True))}


def _check_told_apart(varied, n):
    partitions = {}
    for name, code in varied.items():
        if code.max() + 1 == n:
            raise ValueError(
                f"{name!r} has another level in each of the {n} runs, so its effect cannot be separated from the rest. "
                "Cross it with a second factor, as in seeds={'init': 5, 'order': 5}."
            )
        # np.unique numbers levels by value; numbered by first appearance, equal partitions are equal arrays.
        _, first = np.unique(code, return_index=True)
        key = np.argsort(np.argsort(first))[code].tobytes()
        if key in partitions:
            raise ValueError(f"{partitions[key]!r} and {name!r} always change together and cannot be separated.")
        partitions[key] = name


def _reml(y, codes):
    """Variances (n_factors + 1,), the residual last, of the model with an unknown mean; `y` is centred."""
    n = len(y)
    design = np.concatenate([np.eye(code.max() + 1)[code] for code in codes], axis=1)
    owner = np.repeat(np.arange(len(codes)), [code.max() + 1 for code in codes])
    products, ones, with_y = design.T @ design, design.sum(axis=0), design.T @ y
    square = y @ y

    def profile(ratios):
        """-2 log restricted likelihood at the best residual variance, its gradient, and that variance."""
        scale = np.sqrt(ratios)[owner]
        # V = I + Z diag(ratios) Z' is inverted by Woodbury's identity: as many rows as levels, not as runs.
        factor = linalg.cho_factor(np.eye(len(owner)) + scale[:, None] * products * scale, lower=True)
        through = linalg.cho_solve(factor, scale[:, None] * np.column_stack([ones, with_y, products]))
        z_v_one, z_v_y, *z_v_z = (np.column_stack([ones, with_y, products]) - products @ (scale[:, None] * through)).T
        one_v_one, one_v_y = n - scale * ones @ through[:, 0], -(scale * ones @ through[:, 1])
        mean = one_v_y / one_v_one
        rest = max(square - scale * with_y @ through[:, 1] - one_v_y * mean, 1e-14 * square)
        value = 2 * np.log(np.diag(factor[0])).sum() + np.log(one_v_one) + (n - 1) * np.log(rest)
        slope = np.diag(z_v_z) - z_v_one**2 / one_v_one - (n - 1) * (z_v_y - z_v_one * mean) ** 2 / rest
        return value, np.bincount(owner, weights=slope), rest / (n - 1)

    best = None
    # Not the square roots of the ratios: at 0 their slope is 0, and the search would stay there for good.
    for start in (0.0, 0.1, 1.0, 10.0):
        result = optimize.minimize(
            lambda ratios: profile(ratios)[:2],
            np.full(len(codes), start),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, _LARGEST_RATIO)] * len(codes),
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
        )
        if best is None or result.fun < best.fun:
            best = result
    if best.x.max() > 0.99 * _LARGEST_RATIO:
        # Nothing is left over, and the residual would take its degrees of freedom from the factors. A trace of noise
        # gives it its own.
        noisy = y + 1e-3 * np.random.default_rng(0).normal(size=n)
        return np.append(_reml(noisy - noisy.mean(), codes)[:-1], 0.0)
    residual = profile(best.x)[2]
    return np.append(best.x * residual, residual)


def component_intervals(scores, factors, level=0.95):
    """Intervals of the variances of a crossed design without missing cells.

    A mean square over its expectation is χ² over its degrees of freedom, and each variance is a sum of mean squares
    with known signs (those of the analysis of variance). Random χ² in the place of the unknown ones give the
    distribution of which the interval holds the middle part, cut at 0: a generalized confidence interval [1]_, [2]_.

    Parameters
    ----------
    scores : float array (n,)
    factors : dict of str to array (n,)
        Main factors. Two-way terms are taken in as in `with_two_way_terms`.
    level : float, default=0.95

    Returns
    -------
    dict of str to (float, float)
        For each term of `with_two_way_terms` and for ``"interaction"``; NaN for a factor that was not varied. Empty
        where cells are missing, or hold several runs.

    References
    ----------
    .. [1] Weerahandi (1993). Generalized Confidence Intervals. Journal of the American Statistical Association 88,
       899-905.
    .. [2] Burdick, Graybill (1992). Confidence Intervals on Variance Components. Marcel Dekker.
    """
    varied = {name: np.unique(levels, return_inverse=True)[1] for name, levels in factors.items()}
    varied = {name: code for name, code in varied.items() if len(code) and code.max() > 0}
    shape = tuple(int(code.max()) + 1 for code in varied.values())
    table = np.full(shape, np.nan)
    table[tuple(varied.values())] = scores
    if len(varied) < 2 or table.size != len(scores) or np.isnan(table).any():
        return {}
    rng, pivots = np.random.default_rng(0), {}
    axes = range(len(shape))
    for effect in (set(chosen) for k in axes for chosen in itertools.combinations(axes, k + 1)):
        freedom = int(np.prod([shape[axis] - 1 for axis in effect]))
        pivots[frozenset(effect)] = _sum_of_squares(table, effect) / rng.chisquare(freedom, _N_PIVOTS)
    names, tails = list(varied), [(1 - level) / 2, (1 + level) / 2]
    intervals = {name: (float("nan"), float("nan")) for name in factors}
    for effect in pivots:
        size = np.prod([shape[axis] for axis in effect])
        parts = [(-1) ** len(other - effect) * pivot for other, pivot in pivots.items() if other >= effect]
        name = ":".join(names[axis] for axis in sorted(effect)) if len(effect) < len(shape) else "interaction"
        low, high = np.quantile(np.maximum(sum(parts) * size / table.size, 0), tails)
        intervals[name] = float(low), float(high)
    return intervals


def _sum_of_squares(table, effect):
    """Sum of squares of one effect, a set of axes, over all cells of a balanced table."""
    for axis in range(table.ndim):
        mean = table.mean(axis=axis, keepdims=True)
        table = table - mean if axis in effect else np.broadcast_to(mean, table.shape)
    return (table**2).sum()
