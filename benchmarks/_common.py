"""Texts to measure on, alternated timing, and tables."""

import argparse
import csv
import os
import platform
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch

from skbert.datasets import load_helpdesk


def parse(description):
    """The options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="TSV file with a column `text`; default: the helpdesk set")
    parser.add_argument("--texts", type=int, default=500, help="how many texts")
    parser.add_argument("--repeats", type=int, default=5, help="counted rounds, in which all candidates take turns")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder for the table")
    return parser.parse_args()


def texts_and_labels(options):
    """The texts to measure on, and labels for those benchmarks that train."""
    if options.data is None:
        X, y = load_helpdesk(return_X_y=True)
        return list(X[: options.texts]), y[: options.texts]
    lines = options.data.read_text(encoding="utf-8").splitlines()
    column = lines[0].split("\t").index("text")
    texts = [line.split("\t")[column] for line in lines[1 : options.texts + 1]]
    return texts, np.arange(len(texts)) % 2


def alternate(candidates, repeats):
    """Seconds of each candidate, one uncounted round first; all take turns, so that drift of the machine is shared."""
    seconds = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def report(title, seconds, reference, output, note=""):
    """Print the medians, and the ratio of the reference's seconds to each candidate's; save them as CSV."""
    print(f"{title}  ({date.today()}, {os.cpu_count()} CPUs, {platform.machine()}, torch {torch.__version__}){note}")
    width = max(map(len, seconds))
    base = np.array(seconds[reference])
    rows = []
    for name, values in seconds.items():
        ratios = base / np.array(values)
        rows.append([name, np.median(values), min(values), max(values), np.median(ratios)])
        print(
            f"  {name:{width}}  median {np.median(values):7.3f} s  ({min(values):.3f} to {max(values):.3f})"
            f"  {np.median(ratios):5.2f} x"
        )
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{title.split(':')[0].replace(' ', '_')}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["candidate", "median_seconds", "min_seconds", "max_seconds", f"ratio_to_{reference}"])
        writer.writerows(rows)
