"""Curvature and sharpness at a fit, against closed forms and exact symmetries."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbert import LayerPoolFeaturizer, LossLandscape, MaxPoolBERTClassifier
from skbert.landscape._curvature import curvature_of, sharpness_of
from skbert.landscape._text_loss import TextLoss
from tests.landscape.test_text_loss import logistic_matrix

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def linear(tiny, texts, labels):
    """The landscape of a model that trains its linear head only, and the closed form of its curvature."""
    model = MaxPoolBERTClassifier(
        tiny(), layers=1, token_pooling="mean", freeze_layers=4, max_epochs=3, learning_rate=0.05, random_state=0
    ).set_params(device="cpu")
    land = LossLandscape(model, second=None, n_points=3, n_groups=0, random_state=0).fit(texts, labels)
    read = LayerPoolFeaturizer(tiny(), device="cpu").fit_transform(texts).astype(np.float64)
    read = np.hstack([read, np.ones((len(texts), 1))])
    return land, logistic_matrix(read, land.estimator_.predict_proba(texts).astype(np.float64))


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_curvature__of_a_linear_head_is_that_of_logistic_regression(linear, kind):
    land, matrix = linear
    found = land.curvature(n_eigenvalues=3, n_probes=64, kind=kind)
    values = np.linalg.eigvalsh(matrix)[::-1]
    np.testing.assert_allclose(found.eigenvalues, values[:3], rtol=2e-3)
    assert (found.residuals < 0.02 * values[0]).all()
    assert abs(found.trace - matrix.trace()) < 4 * found.trace_error
    # Only the head is trained: all other depths have no curvature.
    np.testing.assert_array_equal(found.trace_by_layer[:-1], 0.0)
    assert found.trace_by_layer.sum() == pytest.approx(found.trace)
    assert found.density_weights.sum() == pytest.approx(1.0)
    assert (np.diff(found.density_nodes) >= 0).all()


def test_curvature__at_the_start_is_that_of_the_start(linear, texts, labels):
    land, _ = linear
    model = clone(land.estimator_).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels)
    expected = curvature_of(TextLoss(model, texts, labels), "ggn", 1, 0, seed=0).eigenvalues
    assert land.curvature(1, 0, at="start").eigenvalues == pytest.approx(expected, rel=1e-2)
    assert land.curvature(1, 0, at="start").trace is None


def test_curvature__repeats_and_leaves_out_what_is_not_asked(linear):
    land, _ = linear
    one, same = land.curvature(0, 3), land.curvature(0, 3)
    assert one.eigenvalues is None
    assert one.density_nodes is None
    assert one.trace == same.trace
    assert np.isnan(land.curvature(0, 1).trace_error)


@pytest.mark.parametrize("wrong", [{"kind": "fisher"}, {"at": "middle"}, {"n_probes": -1}, {"n_eigenvalues": 1.5}])
def test_curvature__of_what_does_not_exist_is_refused(linear, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        linear[0].curvature(**wrong)


# ----------------------------------------------------------------- sharpness


def test_sharpness__is_the_rise_of_the_loss_after_one_step(land, texts, labels):
    loss = TextLoss(land.estimator_, texts, labels)
    gradient = loss.gradient()
    step = 0.05 * gradient / gradient.norm()
    assert land.sharpness(adaptive=False) == pytest.approx(loss.loss(step) - loss.loss(), rel=1e-5)
    size = loss.weights.abs()
    step = 0.05 * size**2 * gradient / (size * gradient).norm()
    assert land.sharpness() == pytest.approx(loss.loss(step) - loss.loss(), rel=1e-5)
    assert land.sharpness() > 0


def test_sharpness__needs_a_positive_rho(land):
    with pytest.raises(ValueError, match="rho"):
        land.sharpness(rho=0.0)


@pytest.fixture(scope="module")
def rescaled(clf, texts, labels):
    """A fitted model, and the same function with queries times 3 and keys divided by 3."""
    model, other = (clone(clf).fit(texts, labels) for _ in range(2))
    with torch.no_grad():
        for name, tensor in other.weights().items():
            if "attention.self.query." in name:
                tensor.mul_(3.0)
            elif "attention.self.key." in name:
                tensor.div_(3.0)
    return model, other


def test_rescaling__of_queries_and_keys_changes_no_output_and_not_asam_but_sam(rescaled, texts, labels):
    one, other = (TextLoss(model, texts, labels) for model in rescaled)
    assert other.loss() == pytest.approx(one.loss(), rel=1e-5)
    assert sharpness_of(other, 0.5, True) == pytest.approx(sharpness_of(one, 0.5, True), rel=1e-3)
    change = sharpness_of(other, 0.5, False) / sharpness_of(one, 0.5, False) - 1.0
    assert abs(change) > 1e-3


def test_rescaling__changes_the_trace_of_queries_and_keys_by_the_squares(rescaled, texts, labels):
    # Of a query, the curvature falls by 9; of a key, it rises by 9.
    traces = []
    for model in rescaled:
        loss = TextLoss(model, texts, labels)
        diagonal = {}
        place = 0
        for name, n in loss.names:
            if "layer.3.attention.self." in name and name.endswith("weight"):
                vector = torch.zeros(loss.size)
                vector[place : place + n] = torch.randn(n, generator=torch.Generator().manual_seed(0))
                diagonal[name.split(".")[-2]] = float(vector @ loss.ggn_product(vector))
            place += n
        traces.append(diagonal)
    assert traces[1]["query"] == pytest.approx(traces[0]["query"] / 9, rel=0.02)
    assert traces[1]["key"] == pytest.approx(traces[0]["key"] * 9, rel=0.02)
    assert traces[1]["value"] == pytest.approx(traces[0]["value"], rel=0.02)
