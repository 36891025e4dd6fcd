"""Summary statistics of the runs of one variant: mean, spread, worst run, and share of failed runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skbert._shared import check_real, pandas
from skbert.stability._intervals import mean_interval
from skbert.stability._score_scale import score_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

# Statuses of successful runs; any other status counts as failed.
_GOOD = ("ok", "converged")


def summarize(
    frame: Any,
    *,
    by: str | Sequence[str] = ("variant", "size"),
    score: str = "accuracy",
    unit: str | Sequence[str] | None = None,
    status: str | None = "status",
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> DataFrame:
    """Compute summary statistics of runs, one row per group.

    Parameters
    ----------
    frame : DataFrame of pandas or polars
        One row per run, from a study or from another source.
    by : str or sequence of str, default=("variant", "size")
        Columns that define the groups.
    score : str, default="accuracy"
        Column of the scores. Runs without a score (NaN) count as failed, and are not used otherwise.
    unit : str or sequence of str, default=None
        Column of independent units, such as datasets: the interval is then over these units, each with the mean of its
        runs. Several columns are the crossed factors of a design, such as initialisation and order: the interval then
        comes from their mean squares, with Satterthwaite's degrees of freedom [1]_. If a factor has one level, the
        interval is valid only for this level. None means that runs are independent.
    status : str or None, default="status"
        Column of statuses. A run is successful if its status is "ok", "converged" or missing. A failed run that has a
        score still counts in the statistics. With None, or if there is no such column, only runs without a score count
        as failed.
    level : float, default=0.95
        Level of the interval.
    bounds : (float, float), default=None
        Smallest and largest possible score, to which intervals are cut. None uses the bounds of the scikit-learn scorer
        of this name, such as 0 and 1 for "accuracy", unless the scores show another scale.

    Returns
    -------
    pandas.DataFrame
        The columns of `by`, then ``n`` (runs with a score), ``mean``, ``std`` (ddof = 1), ``median``, ``iqr``
        (upper minus lower quartile), ``min``, ``max``, ``low`` and ``high`` (t interval of the mean; NaN for fewer
        than three runs) and ``failed`` (share of all runs). Groups are in the order of their first rows.

    Raises
    ------
    ValueError
        A column is missing.

    Notes
    -----
    The interval is for the mean over very many runs of the same kind. For runs on draws from one set of texts, this is
    the mean on these texts, and not on other texts.

    References
    ----------
    .. [1] Satterthwaite (1946). An Approximate Distribution of Estimates of Variance Components. Biometrics
       Bulletin 2, 110-114.

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
    bounds = score_bounds(score, frame[score].to_numpy(dtype=float)) if bounds is None else bounds
    rows = []
    for key, group in frame.groupby(by, sort=False, dropna=False, observed=True):
        failed = failed_runs(group, score, status)
        factors = [group[name].to_numpy() for name in units]
        found = _describe(group[score].to_numpy(dtype=float), factors, failed, level, bounds)
        rows.append({**dict(zip(by, key, strict=True)), **found})
    return pd.DataFrame(rows, columns=[*by, *_STATISTICS])


_STATISTICS = ("n", "mean", "std", "median", "iqr", "min", "max", "low", "high", "failed")


def check_level(level):
    """Return the level of an interval, a share between 0 and 1."""
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


def _describe(values, factors, failed, level, bounds):
    scored = ~np.isnan(values)
    v = values[scored]
    found = {**dict.fromkeys(_STATISTICS, np.nan), "n": len(v), "failed": float(failed.mean())}
    if len(v):
        lower, median, upper = np.quantile(v, [0.25, 0.5, 0.75])
        found |= {"mean": v.mean(), "median": median, "iqr": upper - lower, "min": v.min(), "max": v.max()}
    if len(v) > 1:
        found["std"] = v.std(ddof=1)
        found["low"], found["high"] = mean_interval(v, [each[scored] for each in factors], level, bounds)
    return found
