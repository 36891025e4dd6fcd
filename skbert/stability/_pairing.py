"""Pairs of runs of two variants: with the same draw, and in a crossed design with the same seeds."""

from __future__ import annotations

import numpy as np

from skbert.stability._comparison import StandIn

# Columns of the factors of a crossed design, by the name of the source of variance.
FACTORS = {"draw": "draw", "init": "init_seed", "order": "order_seed"}


def paired_runs(runs, a, b, score):
    """Pair the scores of two variants on the same draw and seeds.

    Parameters
    ----------
    runs : DataFrame
        Runs of one training size.
    a, b : str
        Names of the variants.
    score : str
        Name of the score.

    Returns
    -------
    DataFrame
        The columns of `FACTORS` that identify pairs, and the scores with the suffixes _a and _b.
    """
    first, second = (runs[runs["variant"] == name] for name in (a, b))
    on = list(FACTORS.values())
    lacking = [part["init_seed"].isna().all() for part in (first, second)]
    if any(lacking):
        # A variant without own seeds runs once per draw, and is paired with all runs of the other variant.
        first, second = (
            part[["draw", score]] if lacks else part[[*on, score]]
            for part, lacks in zip((first, second), lacking, strict=True)
        )
        on = ["draw"]
    return first.merge(second, on=on, suffixes=("_a", "_b"))


def stand_in_for_failed(runs, score, baselines, draws):
    """Find the scores that failed runs get: the score of the worst null model on the same draw.

    Parameters
    ----------
    runs : DataFrame
        Runs of one training size.
    score : str
        Name of the score.
    baselines : sequence of str
        Names of the null models.
    draws : int array (n,)
        Draw of each run, or pair of runs.

    Returns
    -------
    StandIn
        Without null models, the lowest score of any run.
    """
    null = runs[runs["variant"].isin(list(baselines))].dropna(subset=[score])
    if null.empty:
        return StandIn("the lowest score of all runs", np.full(len(draws), runs[score].min()))
    means = null.groupby("variant", sort=False)[score].mean()
    worst = null[null["variant"] == means.idxmin()]
    by_draw = worst.groupby("draw")[score].mean()
    scores = by_draw.reindex(draws).fillna(means.min()).to_numpy(dtype=float)
    return StandIn(f"the score of {means.idxmin()} on the same draw", scores)


def means_with_failed(runs, score, baselines):
    """Compute the mean score of every variant, with failed runs as in `stand_in_for_failed`.

    Successful runs alone are not a fair sample: if a variant fails on hard texts, its mean would be that of easy texts.

    Parameters
    ----------
    runs : DataFrame
        Runs of one training size.
    score : str
        Name of the score.
    baselines : sequence of str
        Names of the null models.

    Returns
    -------
    Series
        Mean by variant, best first; variants without any score are left out.
    """
    stand_in = stand_in_for_failed(runs, score, baselines, runs["draw"].to_numpy())
    filled = stand_in.fill(runs[score].to_numpy(dtype=float))
    by_variant = runs.assign(**{score: filled}).groupby("variant", sort=False)[score].mean()
    scored = runs[runs[score].notna()]["variant"].unique()
    return by_variant[by_variant.index.isin(scored)].sort_values(ascending=False, kind="stable")
