"""The tables of masking strategies, on runs made up by hand."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.pretraining_strategies import REFERENCE, help_table, interval, loss_table


def run(strategy, seed, after, part="adapt"):
    sizes = {"steps": 100, "batch": 24, "n_texts": 2000, "cpu_seconds": 30.0}
    losses = {"before": 11.0, "after": after, "unigram": 7.0}
    return {"part": part, "set": "subj", "strategy": strategy, "seed": seed, **sizes, **losses}


def test_interval__is_that_of_the_paired_t_test():
    differences = [0.1, 0.3, 0.2, 0.4]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    assert interval(differences) == f"{np.mean(differences):+.3f} ± {(high - low) / 2:.3f}"
    assert interval([0.25]) == "+0.250"


def test_loss_table__differences__are_those_of_equal_seeds():
    runs = [
        run(REFERENCE, 0, 5.0),
        run(REFERENCE, 1, 6.0),
        run("spans", 0, 5.5),
        run("spans", 1, 6.5),
        run("spans", 2, 9),
    ]
    row = next(line for line in loss_table(runs, "adapt").splitlines() if "spans" in line)
    # The third seed has no reference, so it is left out of both columns.
    assert row == "| subj | 100 | spans | 2 | 6.000 | +0.500 ± 0.000 | 30 |"
    assert "subj" not in loss_table(runs, "scratch")


def test_help_table__draws_of_a_seed__are_one_unit():
    runs = []
    for seed, gain in enumerate((1.0, 3.0)):
        for state, shift in (("before", 0.0), ("after", gain)):
            scores = {"frozen": [50 + shift, 60 + shift], "tuned": [70 + shift]}
            runs.append({"part": "help", "set": "subj", "state": state, "seed": seed, **scores})
    half = stats.t.ppf(0.975, 1) * np.std([1, 3], ddof=1) / np.sqrt(2)
    assert f"| subj | frozen | 4 | 55.0 | 57.0 | +2.000 ± {half:.3f} |" in help_table(runs)
    assert "| subj | tuned | 2 | 70.0 | 72.0 |" in help_table(runs)


def test_help_table__before_without_after__is_left_out():
    runs = [{"part": "help", "set": "subj", "state": "before", "seed": 0, "frozen": [50.0], "tuned": [60.0]}]
    assert "subj" not in help_table(runs)


@pytest.mark.parametrize("part", ["adapt", "scratch"])
def test_loss_table__without_runs__is_a_header(part):
    assert len(loss_table([], part).splitlines()) == 2
