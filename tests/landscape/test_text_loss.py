"""Gradients and products with curvature matrices, against exact ones and in closed form."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn.attention import SDPBackend, sdpa_kernel

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.landscape._text_loss import TextLoss
from skbert.text import collate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def fitted(tiny, texts, labels):
    """A small fitted classifier that reads the mean of the tokens."""
    model = MaxPoolBERTClassifier(
        tiny(n_layers=2), layers=1, token_pooling="mean", max_epochs=2, learning_rate=3e-3, random_state=0, device="cpu"
    )
    return model.fit(texts, labels)


def exact(model, X, y):
    """The module in float64, its trained parameters, and a function that gives the mean loss."""
    module = model.network_copy().double()
    dataset, _, _ = model.losses_of(X, y)
    batch = collate(dataset.tokens, np.arange(len(dataset)))
    target = dataset.target

    def outputs():
        with sdpa_kernel(SDPBackend.MATH):
            return module(batch)

    def loss():
        return torch.nn.functional.cross_entropy(outputs(), target)

    return module, [p for p in module.parameters() if p.requires_grad], outputs, loss


def full_size(loss, module, vector):
    """A vector as one over all parameters: rows of the embedding table that do not occur are 0."""
    table = module.encoder.get_input_embeddings().weight
    rows = loss.rows
    parts, place = [], 0
    for p in (p for p in module.parameters() if p.requires_grad):
        if p is table:
            part = torch.zeros_like(p)
            n = len(rows) * p.shape[1]
            part[rows] = vector[place : place + n].view(len(rows), -1).to(p.dtype)
        else:
            n = p.numel()
            part = vector[place : place + n].view_as(p).to(p.dtype)
        parts.append(part)
        place += n
    assert place == len(vector)
    return parts


def dot(one, other):
    return float(sum((a.double() * b.double()).sum() for a, b in zip(one, other, strict=True)))


def cosine(one, other):
    return dot(one, other) / np.sqrt(dot(one, one) * dot(other, other))


def test_gradient__is_that_of_double_precision(fitted, texts, labels):
    module, parameters, _, loss = exact(fitted, texts, labels)
    expected = torch.autograd.grad(loss(), parameters, allow_unused=True, materialize_grads=True)
    found = TextLoss(fitted, texts, labels)
    gradient = full_size(found, module, found.gradient())
    assert cosine(gradient, expected) == pytest.approx(1.0, abs=1e-8)
    assert dot(gradient, gradient) == pytest.approx(dot(expected, expected), rel=1e-4)
    assert found.loss() == pytest.approx(loss().item(), rel=1e-6)


def test_hessian_product__is_that_of_two_derivatives(fitted, texts, labels):
    module, parameters, _, loss = exact(fitted, texts, labels)
    found = TextLoss(fitted, texts, labels)
    vector = torch.randn(found.size, generator=torch.Generator().manual_seed(0))
    along = full_size(found, module, vector)
    gradient = torch.autograd.grad(loss(), parameters, create_graph=True, allow_unused=True, materialize_grads=True)
    slope = sum((g * v).sum() for g, v in zip(gradient, along, strict=True))
    expected = torch.autograd.grad(slope, parameters, allow_unused=True, materialize_grads=True)
    product = full_size(found, module, found.hessian_product(vector))
    assert cosine(product, expected) == pytest.approx(1.0, abs=1e-4)
    assert dot(product, product) == pytest.approx(dot(expected, expected), rel=1e-2)


def test_ggn_product__is_the_one_of_its_definition(fitted, texts, labels):
    module, parameters, outputs, _ = exact(fitted, texts, labels)
    found = TextLoss(fitted, texts, labels)
    vector = torch.randn(found.size, generator=torch.Generator().manual_seed(1))
    along = full_size(found, module, vector)
    # J v by the trick of two vector-Jacobian products, then J' H J v.
    logits = outputs()
    dummy = torch.zeros_like(logits, requires_grad=True)
    pulled = torch.autograd.grad(
        logits, parameters, dummy, create_graph=True, allow_unused=True, materialize_grads=True
    )
    moved = torch.autograd.grad(sum((g * v).sum() for g, v in zip(pulled, along, strict=True)), dummy)[0]
    p = logits.detach().softmax(dim=1)
    weighted = (p * moved - p * (p * moved).sum(dim=1, keepdim=True)) / len(texts)
    expected = torch.autograd.grad(outputs(), parameters, weighted, allow_unused=True, materialize_grads=True)
    product = full_size(found, module, found.ggn_product(vector))
    assert cosine(product, expected) == pytest.approx(1.0, abs=1e-5)
    assert dot(product, product) == pytest.approx(dot(expected, expected), rel=1e-3)


def head_only(tiny, kind, texts, y):
    """A model that trains its linear head only, and what this head reads."""
    model = kind(
        tiny(), layers=1, token_pooling="mean", freeze_layers=4, max_epochs=3, learning_rate=0.05, random_state=0,
        device="cpu",
    ).fit(texts, y)  # fmt: skip
    read = LayerPoolFeaturizer(tiny(), device="cpu").fit_transform(texts).astype(np.float64)
    return model, np.hstack([read, np.ones((len(texts), 1))])


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_product__of_a_linear_head_is_the_matrix_of_logistic_regression(tiny, texts, labels, kind):
    model, read = head_only(tiny, MaxPoolBERTClassifier, texts, labels)
    matrix = logistic_matrix(read, model.predict_proba(texts).astype(np.float64))
    loss = TextLoss(model, texts, labels)
    assert loss.size == len(matrix)
    product = loss.product(kind)
    columns = np.stack([product(row).numpy() for row in torch.eye(loss.size)])
    np.testing.assert_allclose(columns, matrix, atol=2e-3 * np.abs(matrix).max())
    assert set(loss.depths.tolist()) == {loss.n_depths - 1}


def logistic_matrix(read, proba):
    """Second derivatives of the mean cross-entropy for weights (k, width), then biases (k,)."""
    n, k = proba.shape
    inner = np.einsum("nk,kl->nkl", proba, np.eye(k)) - np.einsum("nk,nl->nkl", proba, proba)
    blocks = np.einsum("nkl,ni,nj->kilj", inner, read, read) / n
    width = read.shape[1] - 1
    order = [(c, i) for c in range(k) for i in range(width)] + [(c, width) for c in range(k)]
    flat = blocks.reshape(k * (width + 1), -1)
    places = [c * (width + 1) + i for c, i in order]
    return flat[np.ix_(places, places)]


def test_product__of_a_linear_regression_is_twice_its_second_moments(tiny, texts):
    y = np.arange(len(texts), dtype=float)
    model, read = head_only(tiny, MaxPoolBERTRegressor, texts, y)
    loss = TextLoss(model, texts, y)
    columns = np.stack([loss.ggn_product(row).numpy() for row in torch.eye(loss.size)])
    expected = 2.0 * read.T @ read / len(texts)
    np.testing.assert_allclose(columns, expected, atol=2e-3 * np.abs(expected).max())


def test_products__leave_the_loss_and_the_estimator_as_they_were(fitted, texts, labels):
    before = {name: tensor.clone() for name, tensor in fitted.weights().items()}
    loss = TextLoss(fitted, texts, labels)
    value = loss.loss()
    loss.hessian_product(torch.ones(loss.size))
    loss.ggn_product(torch.ones(loss.size))
    assert loss.loss() == value
    assert all(torch.equal(tensor, before[name]) for name, tensor in fitted.weights().items())


def test_weights__of_another_place_are_taken(fitted, texts, labels):
    start = {}
    clone(fitted).fit_watched(texts, labels, lambda phase, w: start.update(w) if phase == "start" else None)
    tensors = {name: torch.as_tensor(array) for name, array in start.items()}
    there = TextLoss(fitted, texts, labels, tensors).loss()
    begun = clone(fitted).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels)
    codes = np.searchsorted(begun.classes_, labels)
    assert there == pytest.approx(-begun.predict_log_proba(texts)[np.arange(len(texts)), codes].mean(), rel=1e-5)


# ----------------------------------------------------------------- symmetries of attention


def places_of(loss, ending):
    """Places in the flat vector of all parameters whose name ends so."""
    places, start = [], 0
    for name, n in loss.names:
        if name.endswith(ending):
            places += list(range(start, start + n))
        start += n
    assert places
    return torch.tensor(places)


def test_key_biases__have_no_curvature_because_the_softmax_does_not_see_them(fitted, texts, labels):
    loss = TextLoss(fitted, texts, labels)
    places = places_of(loss, "attention.self.key.bias")
    vector = torch.zeros(loss.size)
    vector[places] = torch.randn(len(places), generator=torch.Generator().manual_seed(0))
    scale = float(loss.hessian_product(torch.randn(loss.size)).abs().max())
    assert float(loss.ggn_product(vector).abs().max()) < 1e-3 * scale
    assert loss.loss(vector) == pytest.approx(loss.loss(), rel=1e-5)


def test_bias_of_the_head__has_no_curvature_along_ones(fitted, texts, labels):
    loss = TextLoss(fitted, texts, labels)
    vector = torch.zeros(loss.size)
    vector[places_of(loss, "head.classifier.bias")] = 1.0
    assert float(loss.ggn_product(vector).abs().max()) < 1e-4
    assert loss.loss(vector) == pytest.approx(loss.loss(), rel=1e-6)
