"""Variance components of the runs of one variant as a table, and in words."""

from __future__ import annotations

import itertools

import numpy as np

from skbert._shared import pandas
from skbert.stability._expected_max import expected_max
from skbert.stability._pairing import FACTORS
from skbert.stability._score_scale import printed_unit
from skbert.stability._variance import component_intervals, variance_components, with_two_way_terms

_IN_WORDS = {
    "draw": "the draw of texts",
    "init": "initialisation",
    "order": "the order of texts",
    "interaction": "their interaction, which includes dropout",
}
# A usual number of restarts.
_RESTARTS = 5


def score_and_factors(runs, score):
    """Scores (n,) of runs that have one, and the levels of draw, initialisation and order of each."""
    runs = runs[runs[score].notna()]
    return runs[score].to_numpy(float), {name: runs[column].to_numpy(np.int64) for name, column in FACTORS.items()}


def components_table(scores, factors):
    """Compute the variance components of one variant and size.

    Parameters
    ----------
    scores : float array (n,)
        Scores of the runs.
    factors : dict of str to int array (n,)
        Level of each factor in each run.

    Returns
    -------
    DataFrame
        ``source``, ``levels``, ``variance``, ``low``, ``high``, ``std``, ``share``; the same sources for any design.
    """
    terms = with_two_way_terms(factors) if len(scores) else factors
    found = variance_components(scores, terms)
    intervals = component_intervals(scores, factors) if len(scores) else {}
    total = np.nansum(list(found.values()))
    rows = []
    for source in [*factors, *map(":".join, itertools.combinations(factors, 2)), "interaction"]:
        variance = found.get(source, float("nan"))
        levels = len(np.unique(terms[source])) if source in terms else len(scores) if source == "interaction" else 0
        share = variance / total if total > 0 else float("nan")
        low, high = intervals.get(source, (float("nan"), float("nan")))
        rows.append((source, levels, variance, low, high, float(np.sqrt(variance)), share))
    return pandas().DataFrame(rows, columns=["source", "levels", "variance", "low", "high", "std", "share"])


def of_components(table, runs, score, by):
    """Explain the components of one variant and size in sentences.

    Parameters
    ----------
    table : DataFrame
        Rows of one variant and size of `StabilityStudy.variance_components`.
    runs : DataFrame
        Its runs.
    score : str
    by : str or None
        Score by which one of several restarts would be chosen.

    Returns
    -------
    str
    """
    name, size = table["variant"].iloc[0], table["size"].iloc[0]
    shares = table.set_index("source")["share"].dropna().sort_values(ascending=False)
    if shares.empty:
        return f"{name} with {size} training texts: where the variance of {score} comes from cannot be shown."
    largest = shares.index[0]
    said = [
        f"{name} with {size} training texts: of the variance of {score}, {shares.iloc[0]:.0%} is due to "
        f"{' by '.join(_IN_WORDS[part] for part in largest.split(':'))}."
    ]
    by_chance = table.set_index("source")["test_sampling"].get("draw")
    if by_chance > 0:
        said.append(
            f"Of the part of the draw, {by_chance:.0%} is only because the test sets are small; more training texts do "
            "not change this."
        )
    if table.set_index("source")["levels"]["draw"] < 2:
        said.append("One draw cannot separate effects of initialisation and order on this draw from those on any draw.")
    return " ".join([*said, *_restarts(runs, score, by)])


def _restarts(runs, score, by):
    """The gain of several restarts on one draw over a single one, on average over draws."""
    hindsight, chosen = [], []
    for _, group in runs.dropna(subset=[score]).groupby("draw"):
        values = group[score].to_numpy(float)
        if len(values) < _RESTARTS:
            continue
        hindsight.append(expected_max(values, _RESTARTS, method="unbiased") - values.mean())
        if by is not None:
            chosen_by = group[by].to_numpy(float)
            chosen.append(expected_max(values, _RESTARTS, by=chosen_by, method="unbiased") - values.mean())
    if not hindsight:
        return []
    unit, factor, digits = printed_unit(score, runs[score].dropna().to_numpy(float))
    text = (
        f"The best of {_RESTARTS} restarts is {factor * np.mean(hindsight):.{digits}f} {unit} above their mean, in "
        "hindsight: "
    )
    if by is None:
        return [text + "a choice by validation data gains less, often nothing."]
    return [text + f"chosen by {by}, they gain {factor * np.mean(chosen):+.{digits}f}."]
