"""StabilityDisplay draws what the study found."""

import sys

import matplotlib.figure
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from sklearn.exceptions import NotFittedError

from skbert import StabilityStudy
from skbert.plots import StabilityDisplay
from tests.helpers.study_models import Constant, Guesser, labelled_texts


@pytest.fixture(scope="module")
def study():
    variants = {
        "poor": {"luck": 0.2},
        "good": {"luck": 0.9},
        "stuck": Constant(luck=0.1),
        "broken": {"fails_on": range(4)},
    }
    with pytest.warns(RuntimeWarning, match="24 of 60 runs failed"):
        return StabilityStudy(
            Guesser(), variants, seeds=6, train_sizes=[8, 16], baselines="majority", random_state=0
        ).fit(*labelled_texts(80))


@pytest.fixture
def display(study):
    return StabilityDisplay.from_estimator(study)


def points(ax):
    """Of every scatter, its values and its rows."""
    scatters = [part for part in ax.collections if isinstance(part, PathCollection) and len(part.get_offsets())]
    return [tuple(np.asarray(part.get_offsets()).T) for part in scatters]


def test_runs__are_drawn_one_by_one_in_rows_of_their_variants(study, display):
    ax = display.plot(size=8, title="all runs").ax_
    assert [label.get_text() for label in ax.get_yticklabels()] == ["poor", "good", "stuck", "broken", "majority"]
    runs = study.results_[study.results_["size"] == 8]
    for row, name in ((0, "poor"), (1, "good"), (2, "stuck"), (4, "majority")):
        (drawn,) = [x for x, y in points(ax) if set(np.round(y)) == {row}]
        assert sorted(drawn) == pytest.approx(sorted(runs[runs["variant"] == name]["accuracy"]))
    texts = [text.get_text() for text in ax.texts]
    mean = study.summary().set_index(["variant", "size"]).loc[("good", 8), "mean"]
    assert f"{mean:.3f}" in texts
    assert "no run has a score" in texts
    legend = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert legend == ["one run", "one run that failed"]
    assert "8 training texts" in ax.get_xlabel()
    assert display.figure_.get_suptitle() == "all runs"


def test_learning_curve__has_a_line_a_variant_and_a_band(study, display):
    ax = display.plot_learning_curve().ax_
    table = study.summary().set_index(["variant", "size"])
    lines = {line.get_label(): line for line in ax.get_lines()}
    for name in ("poor", "good"):
        assert lines[name].get_xdata().tolist() == [8, 16]
        assert lines[name].get_ydata() == pytest.approx(table.loc[name, "mean"].to_numpy())
    assert len({(line.get_color(), line.get_linestyle()) for line in lines.values()}) == 5
    bands = [band.get_paths()[0].vertices[:, 1] for band in ax.collections if band.get_paths()]
    assert bands[1].min() == pytest.approx(table.loc["good", "low"].min())
    assert bands[1].max() == pytest.approx(table.loc["good", "high"].max())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["8", "16"]


def test_expected_max__is_the_curve_of_the_study(study, display):
    ax = display.plot_expected_max().ax_
    expected = study.expected_max()
    expected = expected[(expected["variant"] == "good") & (expected["size"] == 16)]
    (line,) = [line for line in ax.get_lines() if line.get_label() == "good"]
    assert line.get_ydata() == pytest.approx(expected["expected_max"].to_numpy())
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]


def test_differences__are_paired_and_to_the_reference(study):
    display = StabilityDisplay.from_estimator(study, reference="good", score="f1_macro").plot_differences()
    ax = display.ax_
    assert [label.get_text() for label in ax.get_yticklabels()] == ["poor", "stuck", "broken", "majority"]
    found = study.compare("poor", "good", score="f1_macro")
    (drawn,) = [x for x, y in points(ax) if set(np.round(y)) == {0}]
    assert sorted(drawn) == pytest.approx(sorted(found.differences))
    assert f"{found.difference:+.3f}" in [text.get_text() for text in ax.texts]
    assert "minus that of good, same draw and seed" in ax.get_xlabel()


def test_axes_of_the_user__are_drawn_on(display):
    figure = matplotlib.figure.Figure()
    for ax, draw in zip(
        figure.subplots(2, 2).ravel(),
        (display.plot, display.plot_learning_curve, display.plot_expected_max, display.plot_differences),
        strict=True,
    ):
        assert draw(ax=ax, title="mine").ax_ is ax
        assert ax.get_title() == "mine"
        assert ax.get_legend() is not None
    assert not figure.legends


def test_names__are_shown_to_the_letter():
    variants = {"a$x_$": {}, "_hidden": {"luck": 0.9}}
    study = StabilityStudy(Guesser(), variants, seeds=3, train_sizes=[8, 16], baselines=(), random_state=0)
    display = StabilityDisplay.from_estimator(study.fit(*labelled_texts(40))).plot_learning_curve()
    assert display._repr_png_()
    legend = [text.get_text().strip("\u200b") for text in display.figure_.legends[0].get_texts()]
    assert legend == [r"a\$x_\$", "_hidden"]


def test_notebooks__show_what_was_drawn_last(display):
    parts = (display.runs, display.summary, display.expected_max, display.comparisons)
    assert StabilityDisplay(*parts, score=display.score)._repr_png_() is None
    assert display.plot()._repr_png_().startswith(b"\x89PNG")
    assert display.plot_learning_curve()._repr_png_() != display.plot()._repr_png_()


def test_what_is_not_there__is_refused(study, display):
    with pytest.raises(ValueError, match="size=9 is not one of the training sizes"):
        display.plot(size=9)
    with pytest.raises(ValueError, match="score='f1' is not one of"):
        StabilityDisplay.from_estimator(study, score="f1")
    with pytest.raises(ValueError, match="no variant 'best'"):
        StabilityDisplay.from_estimator(study, reference="best")
    with pytest.raises(NotFittedError):
        StabilityDisplay.from_estimator(StabilityStudy())
    single = StabilityStudy(Guesser(), seeds=2, baselines=(), random_state=0).fit(*labelled_texts(40))
    with pytest.raises(ValueError, match="only one variant"):
        StabilityDisplay.from_estimator(single).plot_differences()


def test_without_matplotlib__says_what_to_install(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"skbert\[plots\]"):
        display.plot()


def test_from_estimator__draws_the_runs(study):
    figure = matplotlib.figure.Figure()
    ax = figure.subplots()
    display = StabilityDisplay.from_estimator(study, ax=ax, size=min(study.train_sizes_), title="Mine")
    assert display.ax_ is ax
    assert ax.get_title() == "Mine"
    assert f"{min(study.train_sizes_)} training texts" in ax.get_xlabel()
