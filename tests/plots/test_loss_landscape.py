"""LossLandscapeDisplay draws what the landscape found."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch

from skbert import LossLandscape, MaxPoolBERTClassifier
from skbert.plots import LossLandscapeDisplay

ALPHAS = np.linspace(-0.5, 1.5, 5)
NAMES = ("embeddings, layers 1–2", "layers 3–4")


class Found(BaseEstimator):
    """What a landscape of two groups and three labels has found, with values that can be told apart."""

    second = "seed"

    def __init__(self, val=True, plane=True):
        rng = np.random.default_rng(0)
        parts = ("train", "val") if val else ("train",)
        self.alphas_ = ALPHAS
        self.classes_ = np.array(["_odd", "$price", "plain"])
        self.line_, self.surface_, self.betas_ = Bunch(), None, None
        self.group_lines_ = Bunch(names=NAMES)
        self.rollback_ = Bunch(names=NAMES)
        for part in ("train", "val"):
            there = part in parts
            loss = rng.uniform(1, 2, 5) if there else None
            self.line_[f"{part}_loss"] = loss
            self.line_[f"{part}_error"] = rng.random(5) if there else None
            self.line_[f"{part}_low"], self.line_[f"{part}_high"] = (loss - 0.1, loss + 0.2) if there else (None, None)
            self.group_lines_[f"{part}_loss"] = rng.random((2, 5)) if there else None
            self.rollback_[f"{part}_recall"] = rng.random((2, 3)) if there else None
            self.rollback_[f"whole_{part}_recall"] = rng.random(3) if there else None
            self.rollback_[f"{part}_error"] = rng.random(2) if there else None
            self.rollback_[f"whole_{part}_error"] = 0.5
        if plane:
            self.betas_ = ALPHAS + 0.25
            self.surface_ = Bunch(train_loss=rng.uniform(1, 3, (5, 5)), val_loss=None, second_beta=0.9)
            if val:
                self.surface_.val_loss = rng.uniform(2, 4, (5, 5))
        self.trajectory_ = np.array([[0.0, 0.0], [0.4, 0.1], [1.0, 0.0]])
        self.curvature_ = None

    def fit(self):
        """So that scikit-learn takes it for an estimator."""

    def __sklearn_is_fitted__(self):
        return True

    def curvature(self, n_probes):
        assert n_probes == 0
        weights = np.array([0.7, 0.2, 0.1])
        return Bunch(kind="hessian", density_nodes=np.array([-1.0, 0.0, 4.0]), density_weights=weights)


def test_line__shows_losses_with_bands_and_errors_of_both_sets():
    found = Found()
    loss, error = LossLandscapeDisplay(found).plot(kind="line", title="two").ax_
    drawn = {line.get_label(): line.get_ydata() for line in loss.lines}
    np.testing.assert_array_equal(drawn["training texts"], found.line_.train_loss)
    np.testing.assert_array_equal(drawn["held-out texts"], found.line_.val_loss)
    heights = loss.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(found.line_.train_low.min())
    assert heights.max() == pytest.approx(found.line_.train_high.max())
    np.testing.assert_array_equal(error.lines[0].get_ydata(), found.line_.train_error)
    assert "start" in error.get_xlabel()
    assert loss.figure.get_suptitle() == "two"


def test_surface__shows_both_sets_on_one_scale_with_the_way_of_the_training():
    found = Found()
    display = LossLandscapeDisplay(found).plot(kind="surface")
    train, val = display.ax_
    assert [ax.get_title() for ax in (train, val)] == ["training texts", "held-out texts"]
    contours = [ax.collections[0] for ax in (train, val)]
    np.testing.assert_array_equal(contours[0].levels, contours[1].levels)
    assert contours[0].levels.min() == pytest.approx(found.surface_.train_loss.min())
    assert contours[0].levels.max() == pytest.approx(found.surface_.val_loss.max())
    for ax in (train, val):
        lines = {line.get_label(): line.get_xydata() for line in ax.lines}
        np.testing.assert_array_equal(lines["training, by epoch"], found.trajectory_)
        np.testing.assert_array_equal(lines["end of the other fit"], [[0.0, 0.9]])
        assert ax.get_ylim() == (found.betas_[0], found.betas_[-1])
    assert "another seed" in train.get_ylabel()


def test_surface__of_losses_over_many_sizes_has_levels_by_the_logarithm():
    found = Found(val=False)
    found.surface_.train_loss = np.geomspace(1e-6, 10.0, 25).reshape(5, 5)
    levels = LossLandscapeDisplay(found).plot(kind="surface").ax_.collections[0].levels
    steps = levels[1:] / levels[:-1]
    np.testing.assert_allclose(steps, steps[0])
    assert levels[0] == pytest.approx(1e-2)
    found.surface_.train_loss = np.ones((5, 5))
    assert len(LossLandscapeDisplay(found).plot(kind="surface").ax_.collections) > 0


def test_groups__show_a_line_for_each_group_and_one_for_all_weights():
    found = Found()
    ax = LossLandscapeDisplay(found).plot(kind="groups").ax_
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(drawn["all weights"], found.line_.val_loss)
    for name, values in zip(NAMES, found.group_lines_.val_loss, strict=True):
        np.testing.assert_array_equal(drawn[name], values)
    assert ax.get_ylabel() == "loss of the held-out texts (nats)"


def test_rollback__shows_each_label_and_group_beside_the_whole_model():
    found = Found()
    ax = LossLandscapeDisplay(found).plot(kind="rollback").ax_
    drawn = {line.get_label(): line.get_xdata() for line in ax.lines}
    for name, values in zip(NAMES, found.rollback_.val_recall, strict=True):
        np.testing.assert_array_equal(drawn[name], values)
    # A dollar starts no formula, and a leading underscore hides no name.
    assert [label.get_text() for label in ax.get_yticklabels()] == ["\u200b_odd", r"\$price", "plain"]


def test_rollback__of_numbers_shows_squared_errors():
    found = Found()
    del found.classes_
    ax = LossLandscapeDisplay(found).plot(kind="rollback").ax_
    assert "squared error" in ax.get_xlabel()
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), found.rollback_.val_error[:1])


def test_density__shows_nodes_and_weights_of_the_last_curvature_or_of_a_new_one():
    found = Found()
    ax = LossLandscapeDisplay(found).plot(kind="density").ax_
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[-1.0, 0.7], [0.0, 0.2], [4.0, 0.1]])
    assert ax.get_xlabel() == "eigenvalue of the Hessian"
    found.curvature_ = Bunch(kind="ggn", density_nodes=np.array([1.0]), density_weights=np.array([1.0]))
    ax = LossLandscapeDisplay(found).plot(kind="density").ax_
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1.0, 1.0]])


@pytest.mark.parametrize("kind", ["line", "surface", "groups", "rollback", "density"])
def test_axes__of_the_user_are_used_and_pictures_can_be_saved(kind, tmp_path):
    display = LossLandscapeDisplay(Found())
    figure = Figure()
    ax = figure.subplots()
    display.plot(kind=kind, ax=ax, title="mine")
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert ax.get_title() == "mine"
    own = display.plot(kind=kind)
    assert own.figure_ is not figure
    own.figure_.savefig(tmp_path / "picture.png")
    assert own._repr_png_().startswith(b"\x89PNG")


def test_display__without_what_it_shows_says_what_to_do():
    found = Found(plane=False)
    with pytest.raises(ValueError, match='has no surface; fit it with second="seed"'):
        LossLandscapeDisplay(found).plot(kind="surface")
    found.group_lines_ = found.rollback_ = None
    for kind in ("groups", "rollback"):
        with pytest.raises(ValueError, match="fit it with n_groups of at least 1"):
            LossLandscapeDisplay(found).plot(kind=kind)
    with pytest.raises(ValueError, match="kind must be one of"):
        LossLandscapeDisplay(found).plot(kind="cake")
    with pytest.raises(ValueError, match="At most 2 axes"):
        LossLandscapeDisplay(found).plot(kind="line", ax=Figure().subplots(3))
    with pytest.raises(NotFittedError):
        LossLandscapeDisplay(LossLandscape()).plot()


def test_display__without_held_out_texts_shows_the_training_texts_only():
    display = LossLandscapeDisplay(Found(val=False))
    assert display.plot(kind="surface").ax_.get_title() == "training texts"
    assert display.plot(kind="groups").ax_.get_ylabel() == "loss of the training texts (nats)"


def test_display__of_a_real_landscape(tiny, texts, labels, quick):
    land = LossLandscape(MaxPoolBERTClassifier(tiny(), **quick), n_points=3, n_groups=2, random_state=0)
    land.fit(texts, labels, X_val=texts[:6], y_val=labels[:6])
    for kind in ("line", "surface", "groups", "rollback", "density"):
        assert LossLandscapeDisplay(land).plot(kind=kind).figure_ is not None
