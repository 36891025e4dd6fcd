"""What the runs of one variant look like: mean, spread, worst, failed, and the best of several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from skbert._shared import N_BOOTSTRAP, check_int, check_real, pandas, percentile_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from pandas import DataFrame

# Of runs that did what they should; anything else in a column of statuses counts as failed.
_GOOD = ("ok", "converged")


def summarize(
    frame: Any,
    *,
    by: str | Sequence[str] = ("variant", "size"),
    score: str = "accuracy",
    unit: str | Sequence[str] | None = None,
    status: str | None = "status",
    level: float = 0.95,
    random_state: int = 0,
) -> DataFrame:
    """Summary statistics of runs, one row a group.

    Parameters
    ----------
    frame : DataFrame of pandas or polars
        One row a run, of a study or of anything else.
    by : str or sequence of str, default=("variant", "size")
        Columns that make the groups.
    score : str, default="accuracy"
        Column of the scores. Runs without one (NaN) count as failed and in nothing else.
    unit : str or sequence of str, default=None
        Column of what was drawn independently, such as data sets: the bootstrap then resamples these with all their
        runs. Several columns are the crossed factors of a design, such as initialisation and order; each is resampled
        by itself, and a run counts as often as its levels were drawn together (the pigeonhole bootstrap of Owen [1]_,
        which errs on the wide side). None resamples single runs.
    status : str or None, default="status"
        Column of statuses. A run failed if it is neither missing, "ok" nor "converged"; such runs still count in the
        statistics where they have a score. None, or a column that is not there: only missing scores are failures.
    level : float, default=0.95
        Of the bootstrap interval.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, then ``n`` (runs with a score), ``mean``, ``std`` (ddof = 1), ``median``, ``iqr``
        (upper less lower quartile), ``min``, ``max``, ``low`` and ``high`` (percentile bootstrap of the mean,
        2,000 resamples) and ``failed`` (share of all runs). Groups in the order of their first rows.

    Raises
    ------
    ValueError
        A column is missing.

    Notes
    -----
    Percentile intervals are too narrow for few runs: with five of them, think of nine cases in ten
    where it says nineteen in twenty.

    References
    ----------
    .. [1] Owen (2007). The pigeonhole bootstrap. Annals of Applied Statistics 1, 386-411.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbert.stability import summarize
    >>> runs = pd.DataFrame({"model": ["a", "a", "b", "b"], "f1": [0.5, 0.7, 0.8, 0.8]})
    >>> summarize(runs, by="model", score="f1")[["model", "n", "mean", "failed"]].values.tolist()
    [['a', 2, 0.6, 0.0], ['b', 2, 0.8, 0.0]]
    """
    pd = pandas()
    frame = pd.DataFrame(frame.to_dict(as_series=False)) if hasattr(frame, "to_dicts") else frame  # polars
    by = [by] if isinstance(by, str) else list(by)
    units = [unit] if isinstance(unit, str) else list(unit or ())
    check_columns(frame, [*by, score, *units])
    taken = sorted(set(by) & set(_STATISTICS))
    if taken:
        raise ValueError(f"by={by!r} names a column as one of the statistics, {taken[0]!r}; rename it.")
    if units and frame[units].isna().any(axis=None):
        raise ValueError(f"unit={unit!r}: some runs have nothing in that column.")
    check_level(level)
    check_int("random_state", random_state, 0)
    rows = []
    for number, (key, group) in enumerate(frame.groupby(by, sort=False, dropna=False, observed=True)):
        failed = failed_runs(group, score, status)
        levels = [group[name].to_numpy() for name in units]
        found = _describe(
            group[score].astype(float), levels, failed, level, np.random.default_rng([random_state, number])
        )
        rows.append({**dict(zip(by, key, strict=True)), **found})
    return pd.DataFrame(rows, columns=[*by, *_STATISTICS])


_STATISTICS = ("n", "mean", "std", "median", "iqr", "min", "max", "low", "high", "failed")


def check_level(level):
    """A share between 0 and 1, of an interval."""
    return check_real("level", level, 0, 1, open_low=True, open_high=True)


def check_columns(frame, names):
    """Raise ValueError if `frame` lacks one of the columns."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        there = ", ".join(map(str, frame.columns))
        raise ValueError(f"There is no column {missing[0]!r} among the runs; there are {there}.")


def failed_runs(frame, score, status="status"):
    """Which runs failed; bool array (n_runs,)."""
    failed = frame[score].isna().to_numpy(copy=True)
    if status is not None and status in frame.columns:
        failed |= ~(frame[status].isna() | frame[status].isin(_GOOD)).to_numpy(dtype=bool)
    return failed


def _describe(values, levels, failed, level, rng):
    scored = values.notna().to_numpy()
    v = values.to_numpy()[scored]
    found = {**dict.fromkeys(_STATISTICS, np.nan), "n": len(v), "failed": float(failed.mean())}
    if len(v):
        lower, median, upper = np.quantile(v, [0.25, 0.5, 0.75])
        found |= {"mean": v.mean(), "median": median, "iqr": upper - lower, "min": v.min(), "max": v.max()}
    if len(v) > 1:
        found["std"] = v.std(ddof=1)
        found["low"], found["high"] = mean_interval(v, [each[scored] for each in levels], level, rng)
    return found


def mean_interval(values, levels, level, rng):
    """Percentile bootstrap interval of the mean.

    Parameters
    ----------
    values : float array (n,)
    levels : list of arrays (n,)
        Of each factor that was drawn, its level in each value. Levels are drawn with replacement, each factor by
        itself, and a value counts as often as the product says. Without factors the values themselves are drawn.
    level : float
    rng : numpy Generator

    Returns
    -------
    low, high : float
    """
    codes = [np.unique(each, return_inverse=True)[1] for each in levels]
    # A factor that was not varied says nothing of how much the mean would.
    codes = [code for code in codes if code.max() > 0] or [np.arange(len(values))]
    weights = np.ones((N_BOOTSTRAP, len(values)))
    for code in codes:
        k = code.max() + 1
        weights *= rng.multinomial(k, np.full(k, 1 / k), size=N_BOOTSTRAP)[:, code]
    totals = weights.sum(axis=1)
    # With cells missing, the levels drawn may have none in common.
    there = totals > 0
    low, high = percentile_interval(weights[there] @ values / totals[there], level)
    return float(low), float(high)


@overload
def expected_max(scores: ArrayLike, n: int) -> float: ...


@overload
def expected_max(scores: ArrayLike, n: Sequence[int]) -> np.ndarray: ...


def expected_max(scores: ArrayLike, n: int | Sequence[int]) -> float | np.ndarray:
    """Expected best score of `n` runs (Dodge et al. 2020).

    Parameters
    ----------
    scores : array-like (N,)
        Scores of single runs; NaN (a run without a score) can never be the best of several and is left out.
    n : int or sequence of int
        Runs of which the best is kept.

    Returns
    -------
    float, or float array (len(n),)
        The mean, over all samples of `n` runs with replacement, of their maximum:
        Σ_i v_(i) [(i/N)^n − ((i−1)/N)^n], with v_(1) ≤ … ≤ v_(N). NaN without scores.

    Notes
    -----
    "Best" is known only where scores to choose by are there, such as those of validation data.
    For `n` near N it says little: the largest score that was seen bounds it.

    Examples
    --------
    >>> from skbert.stability import expected_max
    >>> expected_max([0.5, 0.75], 2)  # of the four pairs, three contain the 0.75
    0.6875
    """
    values = np.sort(np.asarray(scores, dtype=float))
    values = values[~np.isnan(values)]
    many = np.ndim(n) > 0
    items: Any = n if many else [n]
    counts = [check_int("n", item, 1) for item in items]
    if not len(values):
        return np.full(len(counts), np.nan) if many else float("nan")
    shares = np.arange(len(values) + 1) / len(values)
    best = np.array([values @ np.diff(shares**count) for count in counts])
    return best if many else float(best[0])
