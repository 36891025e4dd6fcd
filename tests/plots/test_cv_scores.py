"""CVScoresDisplay draws what it is given."""

import sys

import matplotlib
import numpy as np
import pytest

from skbert.plots import CVScoresDisplay

SCORES = {"null": np.array([0.2, 0.3, 0.25]), "a": np.array([0.5, 0.7, 0.6])}


def test_display__shows_every_fold_and_the_means():
    display = CVScoresDisplay(SCORES, score_name="accuracy", reference="null").plot(title="two")
    ax = display.ax_
    folds = np.concatenate(
        [collection.get_offsets()[:, 0] for collection in ax.collections if len(collection.get_offsets()) == 3]
    )
    np.testing.assert_allclose(np.sort(folds), np.sort(np.concatenate(list(SCORES.values()))))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["null", "a"]
    assert ax.get_xlabel() == "accuracy"
    assert {text.get_text() for text in ax.texts} >= {"0.250", "0.600"}
    lines = [line for line in ax.get_lines() if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert any(line.get_xdata()[0] == pytest.approx(0.25) for line in lines)


def test_display__draws_into_axes_of_the_user_and_leaves_pyplot_alone():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    CVScoresDisplay(SCORES).plot()
    assert plt.get_fignums() == before
    figure = matplotlib.figure.Figure()
    ax = figure.subplots()
    display = CVScoresDisplay(SCORES).plot(ax=ax, title="mine")
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_title() == "mine"


def test_display__without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"skbert\[plots\]"):
        CVScoresDisplay(SCORES).plot()
