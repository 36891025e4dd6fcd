"""Timing of candidates in turns, and the ratio of two timings as a line of the table."""

import time

import numpy as np

from benchmarks._table import Line


def alternate(candidates, repeats):
    """Seconds of each candidate by name; the first round is not counted.

    In every round each candidate runs once, so that changes in the speed of the machine affect all of them equally.
    """
    seconds = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio_line(benchmark, against, ours, reference, target=None, n_examples=None, note=""):
    """How many times faster `ours` is than `reference`: the ratio within a round, and its median over rounds.

    Parameters
    ----------
    benchmark, against : str
        What was measured, and the reference.
    ours, reference : lists of seconds, one per round
        The timings.
    target : float or None
        The ratio that should be reached.
    n_examples : int or None
        Number of examples per round; if given, the detail contains examples per second.
    note : str
        Text at the end of the detail.

    """
    ratios = np.divide(reference, ours)
    mine, theirs = np.median(ours), np.median(reference)
    detail = f"{mine:.2f} s and {theirs:.2f} s"
    if n_examples is not None:
        detail += f" ({n_examples / mine:.1f} and {n_examples / theirs:.1f} examples/s)"
    detail += f", ratios {ratios.min():.2f} to {ratios.max():.2f} in {len(ratios)} rounds"
    if note:
        detail += f"; {note}"
    return Line(benchmark, against, "x", target, float(np.median(ratios)), detail)
