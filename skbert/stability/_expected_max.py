"""The expected score of the best of several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from skbert._shared import check_int, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

METHODS = ("dodge", "unbiased")


@overload
def expected_max(scores: ArrayLike, n: int, *, by: ArrayLike | None = None, method: str = "dodge") -> float: ...


@overload
def expected_max(
    scores: ArrayLike, n: Sequence[int], *, by: ArrayLike | None = None, method: str = "dodge"
) -> np.ndarray: ...


def expected_max(
    scores: ArrayLike, n: int | Sequence[int], *, by: ArrayLike | None = None, method: str = "dodge"
) -> float | np.ndarray:
    """Compute the expected best score of `n` runs (Dodge et al. 2019 [1]_).

    Parameters
    ----------
    scores : array-like (N,)
        Scores of single runs. NaN is a failed run: it counts as one of the `n` runs and is never the best.
    n : int or sequence of int
        Number of runs, of which the best is kept.
    by : array-like (N,), default=None
        Scores by which the best run is chosen, such as scores on validation data. The result is then the expected score
        of the chosen run. None chooses by `scores`, in hindsight: these are not known at the time of the choice.
    method : {"dodge", "unbiased"}, default="dodge"
        ``"dodge"``: the mean over all samples of `n` runs with replacement, Σ_i v_(i) [(i/N)^n − ((i−1)/N)^n] with
        v_(1) ≤ … ≤ v_(N). It is too low if n is near N, but varies less (Dodge et al. 2021 [3]_).
        ``"unbiased"``: the mean over samples without replacement (Tang et al. 2020 [2]_).

    Returns
    -------
    float, or float array (len(n),)
        The expectation, given that one of the `n` runs has a score; `chance_all_fail` is the probability that none has
        a score. NaN without scores.

    Raises
    ------
    ValueError
        `n` is above N and the method is "unbiased"; or `by` has another length, or is missing for a run with a score.

    Warns
    -----
    UserWarning
        `n` is above N: the result cannot be larger than the largest observed score.

    References
    ----------
    .. [1] Dodge, Gururangan, Card, Schwartz, Smith (2019). Show Your Work: Improved Reporting of Experimental Results.
       EMNLP 2019. arXiv:1909.03004.
    .. [2] Tang, Lee, Xin, Liu, Yu, Lin (2020). Showing Your Work Doesn't Always Work. ACL 2020. arXiv:2004.13705.
    .. [3] Dodge, Gururangan, Card, Schwartz, Smith (2021). Expected Validation Performance and Estimation of a Random
       Variable's Maximum. Findings of EMNLP 2021. arXiv:2110.00613.

    Examples
    --------
    >>> from skbert.stability import expected_max
    >>> expected_max([0.5, 0.75], 2)  # of the four pairs, three contain the 0.75
    0.6875
    >>> expected_max([0.5, 0.75], 2, method="unbiased")  # there is one pair
    0.75
    """
    checked, counts = _check(scores, n, method)
    _warn_of_too_many(counts, checked)
    chosen_by = checked if by is None else _check_by(by, checked)
    scored = ~np.isnan(checked)
    values = _by_rank(checked[scored], chosen_by[scored])
    best = np.full(len(counts), np.nan)
    for place, count in enumerate(counts):
        # The probability that the best is one of the failed runs and the lowest i of the others.
        below = _all_among(np.arange((~scored).sum(), len(checked) + 1), len(checked), count, method)
        if below[0] < 1:
            best[place] = values @ np.diff(below) / (1 - below[0])
    return best if np.ndim(n) > 0 else float(best[0])


@overload
def chance_all_fail(scores: ArrayLike, n: int, *, method: str = "dodge") -> float: ...


@overload
def chance_all_fail(scores: ArrayLike, n: Sequence[int], *, method: str = "dodge") -> np.ndarray: ...


def chance_all_fail(scores: ArrayLike, n: int | Sequence[int], *, method: str = "dodge") -> float | np.ndarray:
    """Compute the probability that all of `n` runs fail.

    Parameters
    ----------
    scores : array-like (N,)
        Scores of single runs; NaN is a run that failed.
    n : int or sequence of int
        Number of runs.
    method : {"dodge", "unbiased"}, default="dodge"
        Whether the `n` are drawn with or without replacement, as in `expected_max`.

    Returns
    -------
    float, or float array (len(n),)
        NaN without runs.

    Examples
    --------
    >>> from skbert.stability import chance_all_fail
    >>> chance_all_fail([0.5, float("nan")], 3)
    0.125
    """
    checked, counts = _check(scores, n, method)
    failed = np.isnan(checked).sum()
    chances = np.array([_all_among(np.array([failed]), len(checked), count, method)[0] for count in counts])
    return chances if np.ndim(n) > 0 else float(chances[0])


def _check(scores, n, method):
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    scores = np.asarray(scores, dtype=float)
    counts = [check_int("n", item, 1) for item in (n if np.ndim(n) > 0 else [n])]
    most = max(counts, default=0)
    if most > len(scores) and method == "unbiased":
        raise ValueError(f"n={most} is more than the {len(scores)} runs; the best of so many cannot be estimated.")
    return scores, counts


def _warn_of_too_many(counts, scores):
    most = max(counts, default=0)
    if most > len(scores) > 0:
        warn(
            f"n={most} is more than the {len(scores)} observed runs. The result cannot be above their largest score, "
            "so it is too low."
        )


def _check_by(by, scores):
    by = np.asarray(by, dtype=float)
    if by.shape != scores.shape:
        raise ValueError(f"by must have one number for each of the {len(scores)} runs, got shape {by.shape}.")
    if np.isnan(by[~np.isnan(scores)]).any():
        raise ValueError("by is missing for a run that has a score, so it is not known whether this run is chosen.")
    return by


def _by_rank(scores, chosen_by):
    """Scores from the run that is chosen last to the run that is chosen first; tied runs get their mean."""
    _, ranks = np.unique(chosen_by, return_inverse=True)
    means = np.bincount(ranks, weights=scores) / np.bincount(ranks) if len(scores) else scores
    return means[np.sort(ranks)]


def _all_among(k, n_runs, n, method):
    """Probability that all of `n` drawn runs are among `k` given runs of `n_runs`; float array like `k`."""
    if not n_runs:
        return np.full(len(k), np.nan)
    if method == "dodge":
        return (k / n_runs) ** n
    # C(k, n) / C(n_runs, n), factor by factor.
    drawn = np.arange(n)
    return np.clip((k[:, None] - drawn) / (n_runs - drawn), 0, None).prod(axis=1)
