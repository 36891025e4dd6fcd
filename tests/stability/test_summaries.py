"""Summaries and the best of several, against numpy, scipy and plain enumeration."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from skbert.stability import expected_max, summarize


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"variant": ["b"] * 30 + ["a"] * 20, "draw": [*range(30), *range(20)], "f1": rng.random(50)})
    return frame.assign(size=32, status="ok")


def test_summary__equals_numpy(runs):
    table = summarize(runs, by="variant", score="f1")
    assert table["variant"].tolist() == ["b", "a"]
    for _, row in table.iterrows():
        v = runs[runs["variant"] == row["variant"]]["f1"].to_numpy()
        assert row["n"] == len(v)
        assert row["mean"] == pytest.approx(v.mean())
        assert row["std"] == pytest.approx(v.std(ddof=1))
        assert row["median"] == pytest.approx(np.median(v))
        assert row["iqr"] == pytest.approx(stats.iqr(v))
        assert (row["min"], row["max"]) == (v.min(), v.max())
        reference = stats.bootstrap((v,), np.mean, method="percentile", n_resamples=20_000, random_state=0)
        low, high = reference.confidence_interval
        assert row["low"] == pytest.approx(low, abs=0.06 * (high - low))
        assert row["high"] == pytest.approx(high, abs=0.06 * (high - low))


def test_summary__counts_failed_runs(runs):
    runs.loc[0, "f1"] = np.nan
    runs.loc[0:2, "status"] = "failed"
    table = summarize(runs, by=["variant", "size"], score="f1").set_index("variant")
    # The first has no score; the other two keep theirs.
    assert table.loc["b", "n"] == 29
    assert table.loc["b", "failed"] == pytest.approx(3 / 30)
    assert table.loc["a", "failed"] == 0
    others = runs.assign(status=["converged", "underfit", None] + [None] * 47)
    assert summarize(others, by="variant", score="f1")["failed"].tolist() == pytest.approx([2 / 30, 0])
    assert summarize(others, by="variant", score="f1", status=None)["failed"].tolist() == pytest.approx([1 / 30, 0])


def test_summary__of_runs_that_share_a_draw_resamples_draws():
    draws = np.repeat(np.arange(8), 25)
    # All runs of a draw are alike: 200 runs say no more than 8.
    scores = np.random.default_rng(0).random(8)[draws]
    frame = pd.DataFrame({"draw": draws, "score": scores, "one": 1})
    naive, paired = (summarize(frame, by="one", score="score", unit=unit).iloc[0] for unit in (None, "draw"))
    reference = stats.bootstrap((scores[::25],), np.mean, method="percentile", n_resamples=20_000, random_state=0)
    low, high = reference.confidence_interval
    assert paired["high"] - paired["low"] == pytest.approx(high - low, rel=0.1)
    assert naive["high"] - naive["low"] < 0.5 * (high - low)


def test_summary__of_crossed_factors_resamples_each():
    rng = np.random.default_rng(0)
    init, order = (axis.ravel() for axis in np.meshgrid(range(6), range(6), indexing="ij"))
    frame = pd.DataFrame({"init": init, "order": order, "one": 1, "score": rng.random(6)[init] + rng.random(6)[order]})
    widths = {}
    for unit in (None, "init", ("init", "order")):
        row = summarize(frame, by="one", score="score", unit=unit).iloc[0]
        widths[unit] = row["high"] - row["low"]
    assert widths[None] < widths["init"] < widths["init", "order"]


def test_summary__of_groups_differs_in_its_resamples():
    scores = np.random.default_rng(0).random(10).tolist()
    frame = pd.DataFrame({"v": ["a"] * 10 + ["b"] * 10, "score": scores * 2})
    first, second = (row for _, row in summarize(frame, by="v", score="score").iterrows())
    assert (first["low"], first["high"]) != (second["low"], second["high"])


def test_summary__of_few_runs_and_of_none():
    frame = pd.DataFrame({"v": ["one", "none"], "score": [0.5, np.nan]})
    table = summarize(frame, by="v", score="score").set_index("v")
    assert table.loc["one", "mean"] == 0.5
    assert np.isnan(table.loc["one", "std"])
    assert table.loc["none", "n"] == 0
    assert table.loc["none", "failed"] == 1


def test_summary__refuses_columns_that_are_not_there(runs):
    with pytest.raises(ValueError, match="no column 'accuracy' among the runs; there are variant, draw, f1"):
        summarize(runs, by="variant")
    with pytest.raises(ValueError, match="names a column as one of the statistics, 'n'"):
        summarize(runs.assign(n=1), by="n", score="f1")
    with pytest.raises(ValueError, match="level must be"):
        summarize(runs, by="variant", score="f1", level=95)
    with pytest.raises(ValueError, match="some runs have nothing in that column"):
        summarize(runs.assign(draw=None), by="variant", score="f1", unit="draw")
    with pytest.raises(ValueError, match="no column 'model'"):
        summarize(runs, by="model", score="f1")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_expected_max__is_the_mean_over_all_samples(n):
    scores = [0.3, 0.9, 0.5, 0.5, 0.7]
    every = [max(sample) for sample in itertools.product(scores, repeat=n)]
    assert expected_max(scores, n) == pytest.approx(np.mean(every))


def test_expected_max__rises_from_the_mean_to_the_maximum():
    scores = np.random.default_rng(0).random(40)
    curve = expected_max(scores, range(1, 200))
    assert curve[0] == pytest.approx(scores.mean())
    assert (np.diff(curve) > 0).all()
    assert curve[-1] <= scores.max()
    assert expected_max(scores, 10_000) == pytest.approx(scores.max())


def test_expected_max__leaves_out_missing_scores_and_refuses_no_runs():
    assert expected_max([0.5, np.nan, 0.7], 2) == pytest.approx(expected_max([0.5, 0.7], 2))
    assert np.isnan(expected_max([np.nan], 2))
    with pytest.raises(ValueError, match="n must be an int of at least 1"):
        expected_max([0.5], 0)


def test_summary__takes_polars(runs):
    pd.testing.assert_frame_equal(
        summarize(pl.DataFrame(runs.to_dict("list")), score="f1"), summarize(runs, score="f1")
    )
