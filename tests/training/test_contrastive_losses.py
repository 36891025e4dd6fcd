"""The losses of pairs against plain loops over all pairs."""

import math

import numpy as np
import pytest
import torch

from skbert.training._contrastive_losses import CONTRASTIVE_LOSSES, CosineLoss, SupConLoss, unit_vectors

TEMPERATURES = (0.05, 0.1, 1.0)


def batch(groups, seed=0, weights=None):
    groups = torch.tensor(groups)
    vectors = torch.randn(len(groups), 7, generator=torch.Generator().manual_seed(seed))
    weights = torch.ones(len(groups)) if weights is None else torch.tensor(weights)
    return unit_vectors(vectors), groups, weights


def cosine_by_hand(unit, groups, weights):
    """The mean over both kinds of pairs, pair by pair."""
    errors = {True: [], False: []}
    for i in range(len(unit)):
        for j in range(i + 1, len(unit)):
            same = bool(groups[i] == groups[j])
            cosine = float(unit[i] @ unit[j])
            errors[same].append(((cosine - same) ** 2, float(weights[i] * weights[j])))
    means = []
    for kind in errors.values():
        mass = sum(weight for _, weight in kind)
        if mass > 0:
            means.append(sum(error * weight for error, weight in kind) / mass)
    return np.mean(means) if means else 0.0


def supcon_by_hand(unit, groups, weights, temperature):
    """Khosla et al. (2020), equation 2, text by text and partner by partner."""
    losses, anchors = [], []
    for i in range(len(unit)):
        partners = [p for p in range(len(unit)) if p != i and groups[p] == groups[i]]
        mass = sum(float(weights[p]) for p in partners)
        if not mass or not weights[i]:
            continue
        others = sum(
            float(weights[a]) * math.exp(float(unit[i] @ unit[a]) / temperature) for a in range(len(unit)) if a != i
        )
        loss = -sum(
            float(weights[p]) * math.log(math.exp(float(unit[i] @ unit[p]) / temperature) / others) for p in partners
        )
        losses.append(loss / mass)
        anchors.append(float(weights[i]))
    return np.average(losses, weights=anchors) if losses else 0.0


GROUPS = {
    "balanced": [0, 0, 1, 1, 2, 2],
    "a class with one text": [0, 0, 0, 1],
    "one class": [0, 0, 0],
    "no two alike": [0, 1, 2],
    "many": [k % 5 for k in range(31)],
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_cosine__equals_a_loop_over_pairs(groups):
    unit, groups, weights = batch(groups)
    assert float(CosineLoss(None)(unit, groups, weights)) == pytest.approx(
        cosine_by_hand(unit, groups, weights), abs=1e-6
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_supcon__equals_a_loop_over_pairs(groups, temperature):
    unit, groups, weights = batch(groups)
    expected = supcon_by_hand(unit, groups, weights, temperature)
    assert float(SupConLoss(temperature)(unit, groups, weights)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", CONTRASTIVE_LOSSES)
def test_weights__mean_repetition_of_pairs(name):
    unit, groups, weights = batch([0, 0, 1, 1, 1], weights=[2.0, 1.0, 3.0, 0.5, 0.0])
    loss = CONTRASTIVE_LOSSES[name](0.1)(unit, groups, weights)
    expected = cosine_by_hand(unit, groups, weights) if name == "cosine" else supcon_by_hand(unit, groups, weights, 0.1)
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    without = CONTRASTIVE_LOSSES[name](0.1)(unit[:4], groups[:4], weights[:4])
    assert float(loss) == pytest.approx(float(without), abs=1e-6)


@pytest.mark.parametrize("name", CONTRASTIVE_LOSSES)
@pytest.mark.parametrize("groups", [[0, 1, 2], [0], [0, 0]])
def test_gradient__is_finite_for_identical_texts_and_missing_pairs(name, groups):
    vectors = torch.ones(len(groups), 4, requires_grad=True)
    loss = CONTRASTIVE_LOSSES[name](0.1)(unit_vectors(vectors), torch.tensor(groups), torch.ones(len(groups)))
    loss.backward()
    assert torch.isfinite(vectors.grad).all()
    assert math.isfinite(loss.item())


def test_supcon__without_a_pair_is_zero():
    unit, groups, weights = batch([0, 1, 2])
    assert float(SupConLoss(0.1)(unit, groups, weights)) == 0.0


@pytest.mark.parametrize("n_groups", [2, 3, 4])
def test_floor__is_the_loss_of_one_direction_per_class(n_groups):
    # Directions of a regular simplex.
    corners = torch.eye(n_groups) - 1.0 / n_groups
    groups = torch.arange(n_groups).repeat(4)
    loss, weights = SupConLoss(0.1), torch.ones(4 * n_groups)
    assert float(loss(unit_vectors(corners[groups]), groups, weights)) == pytest.approx(
        loss.floor(groups, weights), abs=1e-5
    )
    orthogonal = torch.eye(n_groups)[groups]
    assert float(CosineLoss(None)(orthogonal, groups, weights)) == CosineLoss(None).floor(groups, weights) == 0.0
