"""Losses of pairs: texts with equal labels should have equal directions, other texts should not.

All pairs of a batch are used, so each text is encoded once. A sample weight means repetition here as well: the pair of
two rows has the product of their weights.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


class CosineLoss:
    """Squared error of the cosine, to 1 for pairs with equal labels and to 0 for the others.

    The weighted mean of each kind of pair counts one half; if a batch has only one kind, its mean is the loss.

    Parameters
    ----------
    temperature : float
        Not used.

    Attributes
    ----------
    name : str
        The value of `contrastive_loss` for this class.
    """

    name = "cosine"

    def __init__(self, temperature):
        pass

    def __call__(self, unit, groups, weight):
        """The loss of unit vectors (n, width) with labels `groups` (n,) and weights (n,); 0 if there is no pair."""
        alike = groups[:, None] == groups[None, :]
        errors = (unit @ unit.T - alike.to(unit.dtype)).square()
        # Each pair once.
        pairs = torch.outer(weight, weight).triu(1)
        means = [
            (errors * of_kind).sum() / of_kind.sum() for of_kind in (pairs * alike, pairs * ~alike) if of_kind.any()
        ]
        return torch.stack(means).mean() if means else unit.sum() * 0.0

    def floor(self, groups, weight):
        """The smallest possible loss."""
        return 0.0


class SupConLoss:
    """Supervised contrastive loss: for each text, the log-probability of its pairs among all other texts.

    For text i with partners P(i) of the same label, among all other texts A(i), at temperature τ::

        L_i = -1/|P(i)| Σ_{p in P(i)} log( exp(z_i·z_p / τ) / Σ_{a in A(i)} exp(z_i·z_a / τ) )

    This is L_out of Khosla et al. (2020), equation 2, averaged over the texts that have a partner.

    Parameters
    ----------
    temperature : float
        τ.

    Attributes
    ----------
    name : str
        The value of `contrastive_loss` for this class.

    References
    ----------
    Khosla et al. (2020). Supervised Contrastive Learning. NeurIPS 2020. arXiv:2004.11362.
    """

    name = "supcon"

    def __init__(self, temperature):
        self.temperature = temperature

    def __call__(self, unit, groups, weight):
        """The loss of unit vectors (n, width) with labels `groups` (n,) and weights (n,); 0 if there is no pair."""
        present = weight > 0
        unit, groups, weight = unit[present], groups[present], weight[present]
        if len(unit) < 2:
            return unit.sum() * 0.0
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        partners, anchors = _partners(groups, weight)
        similarity = (unit @ unit.T) / self.temperature
        among_all = torch.logsumexp((similarity + weight.log()).masked_fill(itself, -torch.inf), dim=1)
        of_partners = (partners * similarity).sum(dim=1)
        return ((among_all - of_partners) * anchors).sum() / anchors.sum().clamp_min(torch.finfo(unit.dtype).tiny)

    def floor(self, groups, weight):
        """About the smallest loss: each label has one direction, as far from the others as the corners of a simplex."""
        alike = groups[:, None] == groups[None, :]
        _, anchors = _partners(groups, weight)
        if not anchors.any():
            return 0.0
        mates = (alike * weight).sum(dim=1) - weight
        others = (~alike * weight).sum(dim=1)
        n_groups = max(2, len(groups.unique()))
        apart = torch.exp(torch.tensor(-(1.0 + 1.0 / (n_groups - 1)) / self.temperature))
        lowest = torch.log((mates + others * apart).clamp_min(torch.finfo(weight.dtype).tiny))
        return float((lowest * anchors).sum() / anchors.sum())


def _partners(groups, weight):
    """Weights (n, n) of the partners of each text, rows of sum 1 or 0; and weights (n,) of the texts with partners."""
    alike = (groups[:, None] == groups[None, :]).to(weight.dtype)
    pairs = (alike * weight).fill_diagonal_(0.0)
    total = pairs.sum(dim=1, keepdim=True)
    has_partner = total[:, 0] > 0
    return torch.where(total > 0, pairs / total.clamp_min(torch.finfo(weight.dtype).tiny), 0.0), weight * has_partner


# Every value of `contrastive_loss`.
CONTRASTIVE_LOSSES = {loss.name: loss for loss in (CosineLoss, SupConLoss)}


def pair_loss(unit, groups, weight):
    """Mean squared error of the cosines of pairs to 1 or 0; the rows are the first texts, then the second ones."""
    first, second = unit.chunk(2)
    groups_first, groups_second = groups.chunk(2)
    targets = (groups_first == groups_second).to(unit.dtype)
    weights = torch.mul(*weight.chunk(2))
    return (((first * second).sum(dim=1) - targets).square() * weights).sum() / weights.sum()


def unit_vectors(pooled):
    """Pooled vectors (n, width) with length 1, in float32."""
    return F.normalize(pooled.float(), dim=1)
