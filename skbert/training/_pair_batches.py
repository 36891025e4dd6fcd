"""Which texts meet in a contrastive step: all pairs of a balanced batch, or pairs that are drawn one by one."""

from __future__ import annotations

import numpy as np

from skbert.training._contrastive_losses import CONTRASTIVE_LOSSES, pair_loss


class BalancedBatches:
    """Batches with equally many texts of each class, of which all pairs are compared.

    A batch has at least two texts of each of its classes. If there are more classes than fit, they take turns. A class
    with fewer texts than its share gives all its texts once. Classes with a single text have no pair; together they
    have the share of one class, so that others are kept apart from them.

    Parameters
    ----------
    groups : int tensor (n,)
        Class of each text; there are two, and one of them has two texts.
    weight : float tensor (n,)
        Weight of each text.
    batch_size : int
        Largest number of texts of a batch, at least 4.
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
        _, codes, counts = np.unique(groups.cpu().numpy(), return_inverse=True, return_counts=True)
        kinds = [np.flatnonzero(codes == code) for code in np.flatnonzero(counts > 1)]
        alone = np.flatnonzero(counts[codes] == 1)
        if len(alone):
            kinds.append(alone)
        self._texts = [_Turns(rows, generator) for rows in kinds]
        self._classes = _Turns(np.arange(len(kinds)), generator)
        self._n_classes = min(len(kinds), batch_size // 2)
        self._share, self._rest = divmod(batch_size, self._n_classes)

    def draw(self):
        """Rows of the next batch."""
        classes = self._classes.next(self._n_classes)
        sizes = [self._share + (place < self._rest) for place in range(len(classes))]
        return np.concatenate([self._texts[k].next(size) for k, size in zip(classes, sizes, strict=True)])

    def loss_of(self, unit, rows):
        """The loss of the unit vectors of `rows`."""
        return self.loss(unit, self.groups[rows].to(unit.device), self.weight[rows].to(unit.device))

    def floor(self, rows):
        """The smallest possible loss of `rows`."""
        return self.loss.floor(self.groups[rows], self.weight[rows])


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
    """Pairs as SetFit takes them: alike and different in turn, each kind in one random order, from the start again.

    A pair may be a text with itself. Both texts of a pair are encoded for each pair.

    Parameters
    ----------
    groups : int tensor (n,)
        Class of each text.
    weight : float tensor (n,)
        Weight of each text.
    batch_size : int
        Number of pairs of a batch.
    generator : numpy Generator
        Draws the order of pairs.

    References
    ----------
    Tunstall et al. (2022). Efficient Few-Shot Learning Without Prompts. arXiv:2209.11055. The order is that of the
    package setfit 1.2.
    """

    def __init__(self, groups, weight, batch_size, generator):
        self.groups, self.weight, self.batch_size = groups, weight, batch_size
        labels = groups.cpu().numpy()
        self._pairs = np.column_stack(np.triu_indices(len(labels)))
        alike = labels[self._pairs[:, 0]] == labels[self._pairs[:, 1]]
        self._orders = [generator.permutation(np.flatnonzero(kind)) for kind in (alike, ~alike)]
        self._n_drawn = 0

    def draw(self):
        """Rows of the next batch: the first texts of all pairs, then the second ones."""
        turns = np.arange(self._n_drawn, self._n_drawn + self.batch_size)
        self._n_drawn += self.batch_size
        orders = (self._orders[turn % 2] for turn in turns)
        pairs = [order[turn // 2 % len(order)] for turn, order in zip(turns, orders, strict=True)]
        return self._pairs[pairs].T.ravel()

    def loss_of(self, unit, rows):
        """The loss of the unit vectors of `rows`."""
        return pair_loss(unit, self.groups[rows].to(unit.device), self.weight[rows].to(unit.device))

    def floor(self, rows):
        """Minus infinity: SetFit goes through all its pairs, however small their loss is."""
        return -np.inf
