"""The table of precisions, on runs made up by hand."""

import numpy as np
from scipy import stats

from benchmarks.precision import table


def run(seed, precision, accuracy, loss=0.5, name="subj"):
    measured = {"accuracy": accuracy, "loss": loss, "cpu_seconds": 9.0 if precision == "fp32" else 3.0}
    return {"set": name, "reading": "mean", "seed": seed, "precision": precision, **measured}


def test_table__differences__are_those_of_equal_seeds():
    runs = [run(0, "fp32", 80.0), run(0, "bf16", 81.0), run(1, "bf16", 83.0, loss=0.6), run(1, "fp32", 84.0)]
    # A seed without its pair is left out of all columns.
    row = table([*runs, run(2, "fp32", 10.0)]).splitlines()[-1]
    half = stats.t.ppf(0.975, 1) * np.std([1.0, -1.0], ddof=1) / np.sqrt(2)
    assert row.startswith(f"| subj | mean | 2 | 82.00 | 82.00 | +0.000 ± {half:.3f} | 0.500 | +0.050 ± ")
    assert row.endswith("| 9.0 | 3.0 |")


def test_table__several_sets__all_pairs_together():
    both = [(name, precision) for name in ("subj", "mr") for precision in ("fp32", "bf16")]
    gains = {("subj", "bf16"): 1.0, ("mr", "bf16"): 3.0}
    rows = table([run(0, precision, 70.0 + gains.get((name, precision), 0.0), name=name) for name, precision in both])
    half = stats.t.ppf(0.975, 1) * np.std([1.0, 3.0], ddof=1) / np.sqrt(2)
    assert rows.splitlines()[-1].startswith(f"| all | mean | 2 | 70.00 | 72.00 | +2.000 ± {half:.3f} |")


def test_table__without_pairs__is_a_header():
    assert len(table([run(0, "fp32", 80.0)]).splitlines()) == 2
