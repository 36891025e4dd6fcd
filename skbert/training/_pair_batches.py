"""Which texts meet in a contrastive step: all pairs of a balanced batch, or pairs that are drawn one by one."""

from __future__ import annotations

import numpy as np
import torch

from skbert.training._contrastive_losses import CONTRASTIVE_LOSSES, pair_loss


class BalancedBatches:
    """Batches with equally many texts of each class, of which all pairs are compared.

    A batch has at least two texts of each of its classes. If there are more classes than fit, they take turns. A class
    with fewer texts than its share gives all its texts once, so a class with a single text has no partner and is
    only what others are kept apart from.

    Parameters
    ----------
    groups : int tensor (n,)
        Class of each text.
    weight : float tensor (n,)
        Weight of each text.
    batch_size : int
        Largest number of texts of a batch.
    loss : {"cosine", "supcon"}
        The loss of a batch.
    temperature : float
        Temperature of ``"supcon"``.
    generator : numpy Generator
        Draws the order of classes and of texts.
    """

    def __init__(self, groups, weight, batch_size, loss, temperature, generator):
        self.groups, self.weight = groups, weight
        self.loss = CONTRASTIVE_LOSSES[loss](temperature)
        labels = groups.cpu().numpy()
        self._texts = [_Turns(np.flatnonzero(labels == label), generator) for label in np.unique(labels)]
        self._classes = _Turns(np.arange(len(self._texts)), generator)
        self._n_classes = max(1, min(len(self._texts), batch_size // 2))
        self._share, self._rest = divmod(batch_size, self._n_classes)

    def draw(self):
        """Rows of the next batch."""
        classes = self._classes.next(self._n_classes)
        sizes = [self._share + (place < self._rest) for place in range(len(classes))]
        return np.concatenate([self._texts[k].next(size) for k, size in zip(classes, sizes, strict=True)])

    def loss_of(self, unit, rows):
        """The loss of the unit vectors of `rows`, and how far it is above its smallest possible value."""
        groups, weight = self.groups[rows].to(unit.device), self.weight[rows].to(unit.device)
        loss = self.loss(unit, groups, weight)
        return loss, float(loss.detach()) - self.loss.floor(groups, weight)


class _Turns:
    """Gives items in random order, each once before any is given again."""

    def __init__(self, items, generator):
        self._items, self._generator = items, generator
        self._left = np.empty(0, dtype=items.dtype)

    def next(self, n):
        """The next `n` items, all different; fewer if there are fewer."""
        n = min(n, len(self._items))
        missing = n - len(self._left)
        if missing <= 0:
            given, self._left = self._left[:n], self._left[n:]
            return given
        # The rest of this turn, and the start of the next one, in which nothing is given twice at once.
        others = self._generator.permutation(np.setdiff1d(self._items, self._left))
        given = np.concatenate([self._left, others[:missing]])
        self._left = self._generator.permutation(np.concatenate([others[missing:], self._left]))
        return given


class DrawnPairs:
    """Pairs as SetFit draws them: in each round, every text meets one text of its class and one of another.

    Both texts of a pair are encoded for each pair, and a text may be drawn as its own partner.

    Parameters
    ----------
    groups : int tensor (n,)
        Class of each text.
    weight : float tensor (n,)
        Weight of each text.
    batch_size : int
        Number of pairs of a batch.
    generator : numpy Generator
        Draws the partners and their order.

    References
    ----------
    Tunstall et al. (2022). Efficient Few-Shot Learning Without Prompts. arXiv:2209.11055.
    """

    def __init__(self, groups, weight, batch_size, generator):
        self.weight, self.batch_size = weight, batch_size
        self._labels, self._generator = groups.cpu().numpy(), generator
        self._pairs = np.empty((0, 3), dtype=np.int64)

    def draw(self):
        """Rows of the next batch: the first texts of all pairs, then the second ones."""
        while len(self._pairs) < self.batch_size:
            self._pairs = np.concatenate([self._pairs, self._round()])
        drawn, self._pairs = self._pairs[: self.batch_size], self._pairs[self.batch_size :]
        self._alike = torch.from_numpy(drawn[:, 2]).float()
        return drawn[:, :2].T.ravel()

    def loss_of(self, unit, rows):
        """The loss of the unit vectors of `rows`, and how far it is above its smallest possible value."""
        loss = pair_loss(unit, self._alike.to(unit.device), self.weight[rows].to(unit.device))
        return loss, float(loss.detach())

    def _round(self):
        """Two pairs for each text, in random order: (first, second, whether the labels are equal)."""
        pairs = []
        for row, label in enumerate(self._labels):
            alike = self._labels == label
            pairs += [
                (row, self._generator.choice(np.flatnonzero(kind)), same) for kind, same in ((alike, 1), (~alike, 0))
            ]
        return self._generator.permutation(np.array(pairs))
