"""SkipLayerDisplay draws what the probe found."""

import sys

import matplotlib.figure
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import LayerPoolFeaturizer, SkipLayerProbe
from skbert.plots import SkipLayerDisplay


def display_of(n_classes, n_layers):
    rng = np.random.default_rng(0)
    triangles = np.full((n_classes, n_layers, n_layers + 1), np.nan)
    rows, columns = np.triu_indices(n_layers)
    triangles[:, rows, columns + 1] = rng.uniform(-1, 0.2, size=(n_classes, len(rows)))
    labels = [f"label {i}" for i in range(n_classes)]
    return SkipLayerDisplay(triangles, rng.random((n_classes, n_layers)), labels, counts=range(5, 5 + n_classes))


def images(ax):
    return [image.get_array() for image in ax.images]


@pytest.mark.parametrize(("n_classes", "n_layers"), [(2, 4), (6, 6), (20, 24)])
def test_triangles__one_a_label_on_one_scale(n_classes, n_layers):
    display = display_of(n_classes, n_layers)
    display.plot(title="all")
    assert len(display.ax_) == n_classes
    scales = set()
    for i, ax in enumerate(display.ax_):
        (drawn,) = images(ax)
        np.testing.assert_array_equal(drawn.filled(np.nan), display.triangles[i][:, 1:])
        assert ax.get_title() == f"label {i} (n = {5 + i})"
        scales.add(ax.images[0].get_clim())
        # Cells stand at their start and stop.
        assert list(ax.images[0].get_extent()) == [0.5, n_layers + 0.5, n_layers - 0.5, -0.5]
    limit = np.nanmax(np.abs(display.triangles))
    assert scales == {(-limit, limit)}
    assert [ax.get_ylabel() for ax in display.figure_.axes if ax not in display.ax_][-1] == "change of recall"
    assert "stop" in display.figure_.get_supxlabel()
    assert display.figure_.get_suptitle() == "all"


def test_difference__of_two_labels():
    display = display_of(3, 4).plot_difference("label 2", "label 0")
    (drawn,) = images(display.ax_)
    np.testing.assert_array_equal(drawn.filled(np.nan), (display.triangles[2] - display.triangles[0])[:, 1:])
    assert display.ax_.get_title() == "label 2 minus label 0"
    assert display.ax_.get_xlabel()
    assert display.ax_.get_ylabel() == "first skipped layer"


@pytest.mark.parametrize("own", [True, False])
def test_spans_that_predict_one_class__are_crossed_out(own):
    display = display_of(2, 4)
    display.constant = np.zeros((4, 5), dtype=bool)
    display.constant[[0, 1], [4, 3]] = True
    figure = matplotlib.figure.Figure()
    display.plot(ax=None if own else figure.subplots(1, 2))
    for ax in display.ax_:
        crossed = [set(map(tuple, line.get_xydata())) for line in ax.get_lines()]
        # Where the cells of start 0, stop 4 and start 1, stop 3 stand.
        assert crossed
        assert all(points == {(4, 0), (3, 1)} for points in crossed)
    (legend,) = display.figure_.legends if own else [display.ax_[0].get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == ["one class is predicted for all"]
    display.constant[:] = False
    assert not display.plot().figure_.legends


def test_importance__lines_of_their_own_colour():
    display = display_of(8, 6).plot_importance()
    lines = [line for line in display.ax_.get_lines() if line.get_label().startswith("label")]
    np.testing.assert_array_equal([line.get_ydata() for line in lines], display.importance)
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 8
    assert "nats" in display.ax_.get_ylabel()


def test_importance__many_labels__axes_of_their_own():
    display = display_of(20, 12).plot_importance()
    assert len(display.ax_) == 20
    for i, ax in enumerate(display.ax_):
        (own,) = [line for line in ax.get_lines() if line.get_label() == f"label {i} (n = {5 + i})"]
        np.testing.assert_array_equal(own.get_ydata(), display.importance[i])
    assert "nats" in display.figure_.get_supylabel()


def test_axes_of_the_user__and_some_labels():
    figure = matplotlib.figure.Figure()
    axes = figure.subplots(1, 2)
    display = display_of(4, 4).plot(ax=axes, labels=["label 3", "label 1"])
    assert display.figure_ is figure
    assert [ax.get_title() for ax in axes] == ["label 3 (n = 8)", "label 1 (n = 6)"]
    np.testing.assert_array_equal(images(axes[0])[0].filled(np.nan), display.triangles[3][:, 1:])
    single = figure.add_subplot()
    assert display.plot_importance(ax=single, labels=["label 0"]).ax_ is single
    with pytest.raises(ValueError, match="4 axes are needed, got 2"):
        display.plot(ax=axes)
    with pytest.raises(ValueError, match="'spam' is not among the labels"):
        display.plot(labels=["spam"])


def test_leaves_pyplot_alone():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    display_of(2, 4).plot().plot_importance().plot_difference("label 0", "label 1")
    assert plt.get_fignums() == before


def test_nothing_changes__still_a_scale():
    triangles = np.zeros((1, 2, 3))
    display = SkipLayerDisplay(triangles, np.full((1, 2), np.nan), ["a"]).plot().plot_importance()
    assert display.ax_.get_ylim()[0] < 0 < display.ax_.get_ylim()[1]


def test_from_estimator(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression()).fit(texts, labels)
    probe = SkipLayerProbe(pipeline, cv="prefit", n_permutations=0).fit(texts, labels)
    display = SkipLayerDisplay.from_estimator(probe)
    changes = probe.label_recall_ - probe.label_baseline_[:, None]
    for label, triangle, change in zip(probe.classes_, display.triangles, changes, strict=True):
        np.testing.assert_array_equal(triangle, probe.triangle(change))
        assert label in display.classes
    assert display.counts == [8, 8, 8]
    assert display.recalls == probe.label_baseline_.tolist()
    assert len(display.ax_) == 3
    first, recall = probe.classes_[0], probe.label_baseline_[0]
    assert display.ax_[0].get_title() == f"{first}\n(n = 8, recall {recall:.2f})"
    figure = matplotlib.figure.Figure()
    two = SkipLayerDisplay.from_estimator(probe, ax=figure.subplots(1, 2), labels=probe.classes_[:2])
    assert two.figure_ is figure
    np.testing.assert_array_equal(display.constant, probe.triangle(probe.constant_) == 1)
    falls = SkipLayerDisplay.from_estimator(probe, value="log_proba")
    np.testing.assert_allclose(falls.triangles[0][0, 1], -probe.proba_drop_[0][labels == probe.classes_[0]].mean())
    assert "nats" in falls.value_name
    with pytest.raises(ValueError, match="value must be one of"):
        SkipLayerDisplay.from_estimator(probe, value="loss")
    with pytest.raises(NotFittedError):
        SkipLayerDisplay.from_estimator(SkipLayerProbe())


def test_without_matplotlib__says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"skbert\[plots\]"):
        display_of(2, 4).plot()


def test_one_axes__is_divided_among_the_labels(tiny):
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    display = display_of(3, 4).plot(left, title="Mine")
    assert len(display.ax_) == 3
    for ax, triangle in zip(display.ax_, display.triangles, strict=True):
        np.testing.assert_array_equal(images(ax)[0].filled(np.nan), triangle[:, 1:])
        assert ax.get_position().x1 < right.get_position().x0
    assert left.get_title() == "Mine"
    assert [ax.get_title() for ax in display.ax_] == [f"label {i} (n = {5 + i})" for i in range(3)]
    assert "stop" in "".join(ax.get_xlabel() for ax in display.ax_)
    display.constant = np.zeros((4, 5), dtype=bool)
    display.constant[0, 4] = True
    display.plot(right)
    assert "× one class is predicted for all" in "".join(ax.get_xlabel() for ax in display.ax_)
    many = display_of(9, 4).plot_importance(figure.add_subplot())
    assert len(many.ax_) == 9
    assert "nats" in "".join(ax.get_ylabel() for ax in many.ax_)
