"""Summaries of runs, against numpy and scipy."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from skbert.stability import summarize


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
        assert (row["low"], row["high"]) == pytest.approx(stats.ttest_1samp(v, 0).confidence_interval())


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


def test_summary__of_runs_that_share_a_draw_is_over_draws():
    draws = np.repeat(np.arange(8), 25)
    # All runs of a draw are alike: 200 runs say no more than 8.
    scores = np.random.default_rng(0).random(8)[draws]
    frame = pd.DataFrame({"draw": draws, "score": scores, "one": 1})
    naive, paired = (summarize(frame, by="one", score="score", unit=unit).iloc[0] for unit in (None, "draw"))
    low, high = stats.ttest_1samp(scores[::25], 0).confidence_interval()
    assert (paired["low"], paired["high"]) == pytest.approx((low, high))
    assert naive["high"] - naive["low"] < 0.5 * (high - low)


def test_summary__of_crossed_factors_counts_each():
    rng = np.random.default_rng(0)
    init, order = (axis.ravel() for axis in np.meshgrid(range(6), range(6), indexing="ij"))
    frame = pd.DataFrame({"init": init, "order": order, "one": 1, "score": rng.random(6)[init] + rng.random(6)[order]})
    widths = {}
    for unit in (None, "init", ("init", "order")):
        row = summarize(frame, by="one", score="score", unit=unit).iloc[0]
        widths[unit] = row["high"] - row["low"]
    assert widths[None] < widths["init"] < widths["init", "order"]


def test_summary__cuts_intervals_to_the_range_of_the_score():
    frame = pd.DataFrame({"v": "a", "accuracy": [1.0, 0.9, 1.0, 0.95], "mine": [1.0, 0.9, 1.0, 0.95]})
    assert summarize(frame, by="v")["high"].item() == 1
    assert summarize(frame, by="v", score="mine")["high"].item() > 1
    assert summarize(frame, by="v", score="mine", bounds=(0, 1))["high"].item() == 1
    in_percent = frame.assign(accuracy=100 * frame["accuracy"])
    assert summarize(in_percent, by="v")["high"].item() > 100


def test_summary__of_few_runs_and_of_none():
    frame = pd.DataFrame({"v": ["one", "none", "two", "two"], "score": [0.5, np.nan, 0.5, 0.6]})
    table = summarize(frame, by="v", score="score").set_index("v")
    assert table.loc["one", "mean"] == 0.5
    assert np.isnan(table.loc["one", "std"])
    assert table.loc["none", "n"] == 0
    assert table.loc["none", "failed"] == 1
    # Two runs say too little of their spread for an interval.
    assert table.loc["two", "std"] == pytest.approx(0.1 / np.sqrt(2))
    assert table["low"].isna().all()


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


def test_summary__takes_polars(runs):
    pd.testing.assert_frame_equal(
        summarize(pl.DataFrame(runs.to_dict("list")), score="f1"), summarize(runs, score="f1")
    )
