"""What can be concluded from a comparison, in sentences for quotation; they are the same everywhere."""

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
