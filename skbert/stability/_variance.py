"""Where the variance of a crossed design comes from: random effects, by restricted maximum likelihood."""

from __future__ import annotations

import numpy as np
from scipy import linalg, optimize

# Variances relative to the residual are looked for up to this.
_LARGEST_RATIO = 1e8


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
        The variance of each factor, and of ``"interaction"``: all that the factors do not add up to.

    Raises
    ------
    ValueError
        A factor has another level in every run, or two factors always change together, so that they cannot be
        told from the rest or from each other.
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
                f"{name!r} has another level in each of the {n} runs, so its effect cannot be told from the rest. "
                "Cross it with a second factor, as in seeds={'init': 5, 'order': 5}."
            )
        # np.unique numbers levels by value; numbered by first appearance, equal partitions are equal arrays.
        _, first = np.unique(code, return_index=True)
        key = np.argsort(np.argsort(first))[code].tobytes()
        if key in partitions:
            raise ValueError(f"{partitions[key]!r} and {name!r} always change together and cannot be told apart.")
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
    residual = profile(best.x)[2]
    return np.append(best.x * residual, residual)
