"""All weights of a network as one point, and the arithmetic of directions between such points."""

from __future__ import annotations

import math

import numpy as np
import torch


class Weights:
    """The weights of a fitted network as one point in the space of all its weights.

    The vector itself is not public, because its order means nothing; distances are.

    Parameters
    ----------
    tensors : dict of str to tensor
        All weights by name.

    Examples
    --------
    >>> from skbert import LossLandscape, MaxPoolBERTClassifier
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=2, random_state=0)
    >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
    >>> land.end_.distance_to(land.end_)
    0.0
    >>> land.end_.distance_to(land.start_) > 0
    True
    """

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self._tensors = tensors

    def __repr__(self) -> str:
        return f"<Weights: {self.n_weights:,} numbers in {len(self._tensors)} tensors>"

    @property
    def n_weights(self) -> int:
        """Number of weights.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=2, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> land.start_.n_weights == land.end_.n_weights
        True
        """
        return sum(tensor.numel() for tensor in self._tensors.values())

    def distance_to(self, other: Weights) -> float:
        """Return the Euclidean distance to other weights of the same network.

        Parameters
        ----------
        other : Weights
            The other point.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            The other weights belong to another network, or to a head with another number of classes.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=2, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=3, random_state=0).fit(texts, labels)
        >>> land.start_.distance_to(land.end_) == land.end_.distance_to(land.start_)
        True
        """
        mine, its = self._tensors, other._tensors
        if {name: t.shape for name, t in mine.items()} != {name: t.shape for name, t in its.items()}:
            raise ValueError("These weights belong to networks of different shapes, so they have no distance.")
        return norm(difference(its, mine))


def as_tensors(arrays):
    """Arrays or tensors by name as tensors on the CPU; only numbers that can be trained."""
    tensors = {name: torch.as_tensor(array).detach().cpu() for name, array in arrays.items()}
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def difference(end, start):
    """``end - start`` by name; names whose shapes differ, such as a head of another size, do not take part."""
    return {
        name: tensor - start[name]
        for name, tensor in end.items()
        if name in start and start[name].shape == tensor.shape and not torch.equal(tensor, start[name])
    }


def inner(one, other):
    """Inner product of two directions; a name that is missing counts as zero. Summed in float64."""
    return sum(
        float(tensor.double().ravel() @ other[name].double().ravel()) for name, tensor in one.items() if name in other
    )


def norm(direction):
    """Euclidean length of a direction."""
    return math.sqrt(inner(direction, direction))


def scale_(direction, factor):
    """Multiply a direction by a number, in place; returns it."""
    for tensor in direction.values():
        tensor.mul_(factor)
    return direction


def random_direction(weights, names, seed):
    """A Gaussian direction, filter-normalised as by Li et al. (2018).

    Each row of a matrix gets the length of the same row of `weights`. Vectors, that is biases and the parameters of
    LayerNorm, stay as they are: their entries of the direction are 0, as with ``ignore="biasbn"`` of Li et al.

    Parameters
    ----------
    weights : dict of str to tensor
        The weights whose rows give the lengths.
    names : collection of str
        The names that take part.
    seed : int
        Seed of the direction.

    Returns
    -------
    dict of str to tensor
    """
    generator, direction = torch.Generator().manual_seed(seed), {}
    for name, tensor in weights.items():
        if name not in names or tensor.ndim < 2:
            continue
        drawn = torch.randn(tensor.shape, generator=generator)
        rows, wanted = drawn.flatten(1), tensor.cpu().float().flatten(1)
        lengths = wanted.norm(dim=1) / rows.norm(dim=1).clamp_min(1e-10)
        direction[name] = (rows * lengths[:, None]).reshape(tensor.shape)
    return direction


def coordinates(step, first, second):
    """Where `step` lies in the plane of two directions, by exact projection, and how far from it.

    Parameters
    ----------
    step, first : dict of str to tensor
        The step from the origin, and the first direction.
    second : dict of str to tensor or None
        The second direction. With None, the second coordinate is the distance from the line.

    Returns
    -------
    alpha, beta : float
        Coordinates in units of `first` and `second`.
    distance : float
        Distance from the plane, in units of the length of `first`.
    """
    length = norm(first)
    own = inner(step, first)
    if second is None:
        alpha = own / length**2
        beta = math.sqrt(max(0.0, inner(step, step) / length**2 - alpha**2))
        return alpha, beta, beta
    gram = np.array([[length**2, inner(first, second)], [inner(first, second), inner(second, second)]])
    right = np.array([own, inner(step, second)])
    place = np.linalg.lstsq(gram, right, rcond=None)[0]
    rest = max(0.0, inner(step, step) - float(place @ right))
    return float(place[0]), float(place[1]), math.sqrt(rest) / length
