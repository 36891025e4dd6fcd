"""Where the directions of the contrastive steps start: at the origin, or amid the classes.

Many encoders give all texts nearly the same direction. Within a few steps no text could then turn far enough; seen from
the centre of their vectors, they have different directions before the first step.
"""

from __future__ import annotations

import numpy as np
import torch

from skbert.training._vectors import vectors_of

# With "auto", directions are taken from the centre of the classes if texts of two classes have a larger mean cosine.
# MiniLM's mean over tokens has 0.1 to 0.2 on the sets of docs/reports/few_data.md, its maximum over layers 0.6, E5's
# mean 0.8.
_ALIKE = 0.4


def center_of_directions(module, train, objective, settings, notice):
    """The pooled vector from which `module` reads directions in and after the contrastive steps.

    It is the mean of the mean vectors of all classes: with the mean of all texts, it would be near the largest class,
    and the directions of that class would be noise.

    Parameters
    ----------
    module : PooledEncoder
        The module before these steps, in eval mode.
    train : TextDataset
        Training data.
    objective : Objective
        Says which targets are equal.
    settings : FineTuneSettings
        Device, precision and `contrastive_center`.
    notice : MemoryNotice
        Warns when memory runs out.

    Returns
    -------
    float32 tensor (width,), or () with the value 0
        On the device of the settings.
    """
    nowhere = torch.zeros((), device=settings.device)
    if settings.contrastive_center is False:
        return nowhere
    vectors = vectors_of(train, module.pool, settings, notice)
    if not np.isfinite(vectors).all():
        # The loss of the first step says so.
        return nowhere
    groups = np.unique(objective.groups(train.target).cpu().numpy(), return_inverse=True)[1]
    weight = train.weight.double().cpu().numpy()
    if settings.contrastive_center == "auto" and cosine_of_classes(vectors, groups, weight) <= _ALIKE:
        return nowhere
    means = _sums(vectors, groups, weight) / np.bincount(groups, weight)[:, None]
    return torch.tensor(means.mean(axis=0), dtype=torch.float32, device=settings.device)


def cosine_of_classes(vectors, groups, weight):
    """Mean cosine of the pairs of texts of two classes, for class numbers `groups` (n,) and weights (n,)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    sums, sizes = _sums(vectors / np.maximum(lengths, 1e-12), groups, weight), np.bincount(groups, weight)
    # Of all pairs, without those within a class.
    of_pairs = (sums.sum(axis=0) ** 2).sum() - (sums**2).sum()
    return of_pairs / (sizes.sum() ** 2 - (sizes**2).sum())


def _sums(vectors, groups, weight):
    """Weighted sums (n_groups, width) of the vectors of each group."""
    sums = np.zeros((groups.max() + 1, vectors.shape[1]))
    np.add.at(sums, groups, vectors * weight[:, None])
    return sums
