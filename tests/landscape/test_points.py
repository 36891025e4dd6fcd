"""Points, planes and bands, against models that exist and against formulas."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbert.landscape._loss_meter import LossMeter
from skbert.landscape._points import as_bunch, band, barrier, grid, measure_line, measure_surface
from skbert.landscape._weights import difference

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Silent:
    """A progress bar that nobody sees."""

    def update(self):
        pass


def surface(meter, start, end, second, alphas, betas):
    """Training losses (n_betas, n_alphas) of a plane."""
    names = list(end)
    rows = measure_surface(meter, start, end, second, alphas, betas, names, Silent())
    return as_bunch([point for row in rows for point in row], (len(betas), len(alphas))).train_loss


@pytest.fixture(scope="module")
def three(clf, texts, labels):
    """A start, and the ends of two fits from it."""
    start = {}
    one = clone(clf).fit_watched(
        texts, labels, lambda phase, weights: start.update(weights) if phase == "start" else None
    )
    other = clone(clf).fit_watched(texts, labels, start=start, other_order=7)
    return {name: torch.as_tensor(array) for name, array in start.items()}, one, other


def loss_of(model, texts, labels):
    """Mean cross-entropy, from the probabilities that the estimator returns."""
    codes = np.searchsorted(model.classes_, labels)
    return -model.predict_log_proba(texts)[np.arange(len(texts)), codes].mean()


def test_plane__through_three_models_has_their_three_losses(three, clf, texts, labels):
    start, one, other = three
    second = difference(other.weights(), start)
    with LossMeter(one, [(texts, labels, "X")]) as meter:
        found = surface(meter, start, one.weights(), second, [0.0, 1.0], [0.0, 1.0])
    begun = clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels)
    assert found[0, 0] == pytest.approx(loss_of(begun, texts, labels), rel=1e-6)
    assert found[0, 1] == pytest.approx(loss_of(one, texts, labels), rel=1e-6)
    assert found[1, 0] == pytest.approx(loss_of(other, texts, labels), rel=1e-5)
    assert not np.isclose(found[0, 1], found[1, 0])


def test_plane__is_transposed_if_its_directions_are_swapped(three, texts, labels):
    start, one, other = three
    first, second = difference(one.weights(), start), difference(other.weights(), start)
    axis = [-0.5, 0.0, 0.4, 1.0]
    with LossMeter(one, [(texts, labels, "X")]) as meter:
        found = surface(meter, start, one.weights(), second, axis, axis)
        swapped = surface(meter, start, other.weights(), first, axis, axis)
    np.testing.assert_allclose(found, swapped.T, rtol=1e-4)
    assert not np.allclose(found, found.T, rtol=1e-3)


def test_meter__keeps_layers_below_what_moves_and_finds_the_same_losses(three, texts, labels):
    start, one, _ = three
    top = [name for name in start if name.startswith("head.") or "layer.3." in name]
    with LossMeter(one, [(texts, labels, "X")]) as meter:
        meter.keep_below(list(start))
        meter.set(meter.of_texts({name: start[name] for name in top}))
        whole = meter.measure()[0].losses
        meter.set(meter.of_texts(one.weights()))
        meter.keep_below(top)
        assert meter._prefixes is not None
        meter.set(meter.of_texts({name: start[name] for name in top}))
        np.testing.assert_allclose(meter.measure()[0].losses, whole, rtol=1e-5)


def test_band__shrinks_with_the_root_of_the_number_of_texts():
    losses = np.random.default_rng(0).gamma(2.0, size=(3, 6400))
    widths = [np.subtract(*band(losses[:, :n], 0)[::-1]).mean() for n in (400, 6400)]
    assert widths[0] / widths[1] == pytest.approx(4.0, rel=0.15)
    # Four standard errors wide, as a 95 % interval of a mean is.
    assert widths[1] == pytest.approx(2 * 1.96 * np.sqrt(2.0 / 6400), rel=0.1)


def test_barrier__of_a_parabola_is_its_height_above_the_chord():
    places = np.linspace(0.0, 1.0, 11)
    assert barrier(1.0 + 2.0 * places + 3.0 * places * (1 - places), places) == pytest.approx(0.75)
    assert barrier(1.0 + 2.0 * places, places) == pytest.approx(0.0)


@pytest.mark.parametrize(("span", "n_points"), [((-0.5, 1.5), 21), ((-0.5, 1.5), 20), ((0.0, 1.0), 2), ((-3, 4), 9)])
def test_grid__contains_zero_and_one_exactly(span, n_points):
    values = grid(span, n_points)
    assert len(values) == n_points
    assert (np.diff(values) > 0).all()
    assert 0.0 in values
    assert 1.0 in values


@pytest.mark.parametrize(("span", "n_points"), [((-10.0, 1.0), 3), ((-100.0, 100.0), 21)])
def test_grid__with_too_few_points_for_both_is_refused(span, n_points):
    with pytest.raises(ValueError, match="too few for span"):
        grid(span, n_points)


def test_plane__of_a_second_direction_that_moves_other_weights_does_not_pile_up(three, texts, labels):
    start, one, _ = three
    name = "head.classifier.bias"
    second = {name: torch.ones_like(start[name]) * torch.tensor([1.0, 0.0, -1.0])}
    with LossMeter(one, [(texts, labels, "X")]) as meter:
        first = [name for name in start if name.startswith("head.classifier.weight")]
        rows = measure_surface(meter, start, one.weights(), second, [0.0, 0.0, 0.0], [1.0], first, Silent())
    losses = [point[0].losses.mean() for point in rows[0]]
    assert losses[0] == losses[1] == losses[2]


def test_line__does_not_depend_on_where_an_earlier_one_ended(three, texts, labels):
    start, one, _ = three
    head = [name for name in start if name.startswith("head.")]
    with LossMeter(one, [(texts, labels, "X")]) as meter:
        fresh = measure_line(meter, start, one.weights(), [0.0, 0.5], head, Silent())
        measure_line(meter, start, one.weights(), [1.5], list(start), Silent())
        again = measure_line(meter, start, one.weights(), [0.0, 0.5], head, Silent())
    for before, after in zip(fresh, again, strict=True):
        np.testing.assert_array_equal(before[0].losses, after[0].losses)
