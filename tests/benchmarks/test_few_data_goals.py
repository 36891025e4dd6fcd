"""Tables of a method against its rivals, on made-up runs whose figures follow by hand."""

import numpy as np
import pytest

from benchmarks._few_data_goals import _resample, comparison
from benchmarks._runs import pack


def run(method, right, number=0, **other):
    """A run on four test rows, of which those marked 1 in `right` were right."""
    right = [mark == "1" for mark in right]
    return {
        "set": "mr", "size": 8, "method": method, "draw": number, "seed": 0, "accuracy": np.mean(right),
        "right": pack(right), "n_rows": len(right), "cpu_seconds": 2.0, "status": None, "model": "m", "device": "cpu",
        "test_rows": 4, "max_epochs": None, "threads": 1, "parameters": "{}", **other,
    }  # fmt: skip


def row(table, name, size=8):
    """The columns of one row."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} | {size} |")]
    return [column.strip() for column in line.strip("|").split("|")]


def test_comparison__means_wins_spreads_and_costs_are_those_of_the_draws_in_common():
    runs = [run("ours", "1111", 0, cpu_seconds=1.0), run("ours", "1100", 1, cpu_seconds=2.0), run("ours", "0000", 7)]
    # The two seeds of the first draw are averaged: 0.5 of row 0, 1 of row 1.
    runs += [run("rival", "1100", 0, cpu_seconds=5.0), run("rival", "0100", 0, seed=1, cpu_seconds=7.0)]
    runs += [run("rival", "1110", 1, cpu_seconds=6.0)]
    columns = row(comparison(runs, "ours", ["rival"], ["mr"]), "mr")
    assert columns[2] == "rival"
    # Draws: 1 and 0.5 against 0.375 and 0.75; the draw that only one of them has does not count.
    assert columns[3] == "75.0 / 56.2"
    assert columns[4].startswith("+18.8 (")
    assert columns[5] == "1 of 2"
    assert columns[6] == "50.0 / 37.5"
    assert columns[7] == f"{100 * np.std([1, 0.5], ddof=1):.1f} / {100 * np.std([0.375, 0.75], ddof=1):.1f}"
    assert columns[8:] == ["1.5 / 6.0", "0.25"]


def test_comparison__mean_over_sets_counts_each_set_once_and_sums_seconds_and_draws():
    runs = [run("ours", "1111", number) for number in range(3)] + [run("rival", "1100", number) for number in range(3)]
    runs += [run("ours", "1110", set="rte", cpu_seconds=1.0), run("rival", "1111", set="rte", cpu_seconds=4.0)]
    runs += [run("ours", "1111", set="banking77"), run("rival", "0000", set="banking77")]
    table = comparison(runs, "ours", ["rival"], ["mr", "rte"])
    columns = row(table, "mean of 2 sets")
    assert columns[3] == "87.5 / 75.0"
    assert columns[4].startswith("+12.5 (")
    assert columns[5] == "3 of 4"
    # A single draw has no standard deviation.
    assert columns[7] == "- / -"
    assert columns[8:] == ["3.0 / 6.0", "0.50"]
    assert "Lowest of 2 differences at 8 per class: -25.0, rte." in table
    assert row(table, "banking77")[4] == "+100.0 (+100.0 to +100.0)"


def test_comparison__the_better_rival_is_taken_for_each_set_and_size():
    runs = []
    for name, size, first, second in (
        ("mr", 8, "1000", "1100"),
        ("mr", 16, "1110", "1100"),
        ("rte", 8, "1110", "1000"),
    ):
        where = {"set": name, "size": size}
        runs += [run("ours", "1110", **where), run("setfit", first, **where), run("setfit:20", second, **where)]
    # Where one rival has no runs, the other might not be the better one.
    runs += [run("ours", "1111", set="cola"), run("setfit", "0000", set="cola")]
    against_first, against_second, against_better = comparison(
        runs, "ours", ["setfit", "setfit:20"], ["mr", "rte", "cola"]
    ).split("ours against ")[1:]
    assert against_better.startswith("the better of setfit and setfit:20: ")
    chosen = {key: row(against_better, *key)[2:5:2] for key in (("mr", 8), ("mr", 16), ("rte", 8))}
    assert [rival for rival, _ in chosen.values()] == ["setfit:20", "setfit", "setfit"]
    assert [gain.split()[0] for _, gain in chosen.values()] == ["+25.0", "+0.0", "+0.0"]
    assert row(against_better, "mean of 2 sets")[2] == "setfit:20, setfit"
    assert "runs are missing: cola at 8." in against_better
    assert row(against_first, "mean of 3 sets")[4].startswith("+50.0")
    assert "runs are missing: cola at 8." in against_second


def test_comparison__old_runs_and_old_parameters_do_not_count():
    runs = [run("ours", "1111"), run("rival", "1110"), run("ours", "0000", parameters="old")]
    old = {key: value for key, value in run("rival", "0000").items() if key not in ("right", "n_rows", "cpu_seconds")}
    # The last parameters of a method are its present ones.
    assert row(comparison([old, *runs[::-1]], "ours", ["rival"], ["mr"]), "mr")[3] == "100.0 / 75.0"
    assert comparison([old], "ours", ["rival"], ["mr"]).startswith("no runs yet in which ours and rival")
    # Runs with other numbers of threads are never compared.
    apart = [run("ours", "1111"), run("rival", "1110", threads=2)]
    assert comparison(apart, "ours", ["rival"], ["mr"]).startswith("no runs yet")


def test_resample__spread_is_that_of_drawing_draws_and_rows_with_replacement():
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(6, 1)) + rng.normal(size=(1, 40)) + rng.normal(size=(6, 40))
    # Shares of a bootstrap sample have mean 1 / n and covariance (I / n - 1 / n²) / n.
    moments = [np.eye(n) / n**2 + (1 - 1 / n) / n**2 for n in differences.shape]
    variance = np.trace(moments[0] @ differences @ moments[1] @ differences.T) - differences.mean() ** 2
    resamples = _resample(differences, "mr")
    assert resamples.mean() == pytest.approx(differences.mean(), abs=4 * np.sqrt(variance / len(resamples)))
    assert resamples.std() == pytest.approx(np.sqrt(variance), rel=0.05)


def test_resample__is_the_same_each_time_and_independent_between_sets():
    differences = np.random.default_rng(1).normal(size=(5, 30))
    first, again, other = (_resample(differences, name) for name in ("mr", "mr", "rte"))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.06
