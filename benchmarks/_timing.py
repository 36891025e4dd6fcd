"""Timing in turns, and the ratio of what was timed as a line of the table."""

import time

import numpy as np

from benchmarks._table import Line


def alternate(candidates, repeats):
    """Seconds of each candidate by name, one uncounted round first.

    All candidates take turns in every round, so that drift of the machine hits them alike.
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
    """How many times faster `ours` is than `reference`: the median over rounds of the ratio within a round.

    Parameters
    ----------
    benchmark, against : str
    ours, reference : lists of seconds, one a round
    target : float or None
        The ratio to reach.
    n_examples : int or None
        How many examples a round runs over; the detail then says examples a second.
    note : str
        Put at the end of the detail.
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
