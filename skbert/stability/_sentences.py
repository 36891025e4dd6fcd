"""What can be concluded from a comparison or a correlation, in sentences to quote; they are the same everywhere."""

from __future__ import annotations

import numpy as np

from skbert.stability._intervals import FEWEST_RUNS
from skbert.stability._score_scale import printed_unit


def of_comparison(found, winner, alpha, pvalue, pvalue_here, n_comparisons):
    """Write the sentences of a `Comparison`.

    Parameters
    ----------
    found : Comparison
        The comparison.
    winner : str or None
        The variant that beats the other; None if neither does.
    alpha, pvalue, pvalue_here, n_comparisons
        Level, p-values for new texts and for these texts, and the number of comparisons for which they are adjusted.

    Returns
    -------
    str
        The sentences.
    """
    if found.n < FEWEST_RUNS:
        said = [_too_few(found)]
    elif winner is not None:
        said = [_beats(found, pvalue, pvalue_here)]
    elif pvalue_here < alpha:
        said = [_only_here(found, pvalue, pvalue_here, withheld=pvalue < alpha)]
    else:
        said = [_nothing(found, pvalue, pvalue_here)]
    said += _failures(found)
    if found.unit == "runs" and found.n >= FEWEST_RUNS and found.smallest_pvalue >= alpha:
        said.append(f"With so few pairs ({found.n}), the sign-flip test cannot show any difference.")
    if n_comparisons > 1 and found.n >= FEWEST_RUNS:
        said.append(
            f"The p-values are adjusted for {n_comparisons} comparisons; the intervals are for this comparison alone."
        )
    return " ".join(said)


# Cohen's correlation of medium size; one whose interval is below it is weak.
_WEAK = 0.3


def of_correlation(found, alpha):
    """Write the sentences of a `Correlation`; a relation is reported if its p-value is below `alpha`."""
    numbers, among = _numbers_of(found), _among(found)
    if not found.n_runs:
        said = [f"Whether {found.a} goes with {found.b} cannot be judged: {_why_no_runs(found)}."]
    elif found.permutation_pvalue < alpha and (found.low > 0 or found.high < 0):
        way = "higher" if found.rho > 0 else "lower"
        said = [f"Among {among}, a higher {found.a} goes with a {way} {found.b} ({numbers})."]
    elif found.low > -_WEAK and found.high < _WEAK:
        said = [f"Among {among}, {found.a} and {found.b} are at most weakly related ({numbers})."]
    else:
        said = [f"Whether {found.a} goes with {found.b} cannot be judged from {among}: {numbers}."]
    if found.n_dropped:
        said.append(f"{found.n_dropped} runs are left out because they lack one of the two.")
    idle = found.by_variant[found.by_variant["rho"].isna() & (found.by_variant["n"] > 0)]
    if found.n_runs and len(idle):
        names = ", ".join(dict.fromkeys(idle["variant"]))
        said.append(f"{idle['n'].sum()} runs of {names} are not used, because {_constant(idle)} does not vary there.")
    if found.n_failed:
        said.append(f"{found.n_failed} of the runs failed but have both scores, and count.")
    return " ".join(said)


def _numbers_of(found):
    """The correlation with its interval and test, as far as there are any."""
    text = f"Spearman's rho {_rho(found.rho)}"
    if found.unit == "cells":
        return f"{text}; cells share draws and seeds, so there is no test and no interval: give seeds as an int"
    test = f"permutation p = {found.permutation_pvalue:.2g}"
    if np.isnan(found.low):
        return f"{text}, {test}; an interval needs more runs"
    return f"{text}, {found.level:.0%} interval {_rho(found.low)} to {_rho(found.high)}, {test}"


def _rho(value):
    return f"{value:+.2f}".replace("-0.00", "+0.00")


def _among(found):
    """Which runs a correlation is about."""
    used = found.by_variant[found.by_variant["rho"].notna()]
    names, sizes = (list(dict.fromkeys(used[column])) for column in ("variant", "size"))
    whose = names[0] if len(names) == 1 else f"{len(names)} variants"
    within = [word for word, values in (("variant", names), ("training size", sizes)) if len(values) > 1]
    text = (
        f"{found.n_runs} {found.unit} of {whose} with {' and '.join(map(str, sizes))} training texts on {_texts(found)}"
    )
    return f"{text}, compared within {' and '.join(within)}" if within else text


def _why_no_runs(found):
    several = found.by_variant[found.by_variant["n"] > 1]
    if several.empty:
        return "no variant has two runs with both scores"
    return f"{_constant(several)} does not vary from run to run of a variant"


def _constant(table):
    """What does not vary, in variants without a correlation."""
    kinds = list(dict.fromkeys(table["constant"]))
    return kinds[0].replace(" and ", " or ") if len(kinds) == 1 else "one of the two"


def _too_few(found):
    text = f"No difference between {found.a} and {found.b} can be told: "
    if not found.n:
        return f"{text}there is no pair of runs that both have a score."
    return (
        f"{text}{_amount(found, 1, '+')} with {found.size} training texts, from {found.n} paired {found.unit}; a test "
        f"and an interval need {FEWEST_RUNS}."
    )


def _beats(found, pvalue, pvalue_here):
    sign, first, second = _leader(found)
    new = _range(found, sign * found.low, sign * found.high)
    return (
        f"{first} beats {second} by {_amount(found, sign)} with {found.size} training texts ({found.level:.0%} "
        f"interval for other texts of this kind {new}, p = {pvalue:.2g}; on {_texts(found)} {_here(found, sign)}, "
        f"{_evidence(found, pvalue_here)})."
    )


def _only_here(found, pvalue, pvalue_here, withheld):
    sign, first, second = _leader(found)
    text = (
        f"On {_texts(found)} {first} scores {_amount(found, sign)} higher than {second} with {found.size} training "
        f"texts ({found.level:.0%} interval {_here(found, sign)}, {_evidence(found, pvalue_here)})"
    )
    if np.isnan(pvalue):
        return f"{text}; this says nothing about other draws and other texts."
    new = f"{_range(found, sign * found.low, sign * found.high)}, p = {pvalue:.2g}"
    if withheld:  # because of the failed runs, about which another sentence follows
        return f"{text}; for other texts of this kind: {new}, among runs that did not fail."
    return f"{text}; for other texts of this kind this cannot be told: {new}."


def _nothing(found, pvalue, pvalue_here):
    text = (
        f"No difference between {found.a} and {found.b} can be told: {_amount(found, 1, '+')} with {found.size} "
        f"training texts ({found.level:.0%} interval on {_texts(found)} {_here(found, 1, '+')}, "
        f"{_evidence(found, pvalue_here)}"
    )
    if np.isnan(pvalue):
        return f"{text})."
    return f"{text}; for other texts of this kind {_range(found, found.low, found.high, '+')}, p = {pvalue:.2g})."


def _failures(found):
    """Which variants failed, and the result if failed runs are counted."""
    if not found.n_dropped:
        return []
    failed = [f"{name} failed in {k} runs" for name, k in ((found.a, found.failed_a), (found.b, found.failed_b)) if k]
    pairs = found.n + found.n_dropped
    said = [f"{found.n_dropped} of {pairs} pairs are left out: {' and '.join(failed)}."]
    if found.failed_as:
        text = f"If failed runs get {found.failed_as}, the difference {found.a} minus {found.b} is "
        text += _number(found, found.difference_with_failed, "+")
        if not np.isnan(found.pvalue_with_failed):
            text += f", for other texts of this kind p = {found.pvalue_with_failed:.2g}"
        said.append(f"{text}.")
    return said


def _leader(found):
    """1 or -1, the variant with the higher score, and the other."""
    return (1, found.a, found.b) if found.difference > 0 else (-1, found.b, found.a)


def _texts(found):
    texts = "these texts" if found.n_texts is None else f"these {found.n_texts} texts"
    return texts if found.n_draws > 1 else f"one draw of {texts}"


def _evidence(found, pvalue_here):
    """The number of pairs, and the test on these texts."""
    test = "p" if found.unit == "cells" else "sign-flip p"
    return f"n = {found.n} paired {found.unit}, {test} = {pvalue_here:.2g}"


def _here(found, sign, plus=""):
    return _range(found, sign * found.low_here, sign * found.high_here, plus)


def _amount(found, sign, plus=""):
    return f"{_number(found, sign * found.difference, plus)} {_scale(found)[0]}"


def _range(found, first, second, plus=""):
    """An interval; in words if there is none because all differences are equal."""
    low, high = sorted((first, second))
    if np.isnan(low):
        return "unknown, because all differences are equal"
    return f"{_number(found, low, plus)} to {_number(found, high, plus)}"


def _number(found, value, plus=""):
    _, factor, digits = _scale(found)
    text = f"{factor * value:{plus}.{digits}f}"
    # A small negative number must not be printed as minus zero.
    return text.replace("-", "+" if plus else "") if float(text) == 0 else text


def _scale(found):
    return printed_unit(found.score, np.array([found.mean_a, found.mean_b]))
