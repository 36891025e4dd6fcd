"""Where the weights lay during training, projected while the training is repeated."""

from __future__ import annotations

import numpy as np

from skbert.landscape._weights import as_tensors, coordinates, difference


class Trajectory:
    """Watches a fit: coordinates, distance from the plane, and training loss at the start and after each epoch.

    Parameters
    ----------
    meter : LossMeter
        Computes the losses; the first set of texts is that of the training.
    start, first, second : dict of str to tensor
        The start, the first direction and the second one, which may be None.
    """

    def __init__(self, meter, start, first, second):
        self._meter, self._start, self._first, self._second = meter, start, first, second
        self.phases, self._places, self._losses = [], [], []

    def __call__(self, phase, weights):
        """Record the weights of one moment of the fit; see `fine_tune`."""
        weights = as_tensors(weights)
        self._places.append(coordinates(difference(weights, self._start), self._first, self._second))
        self._meter.set(self._meter.of_texts(weights))
        self._losses.append(float(self._meter.measure()[0].losses.mean(dtype=float)))
        self.phases.append(phase)

    def attributes(self):
        """The fitted attributes about the trajectory."""
        places = np.array(self._places)
        return {
            "trajectory_": places[:, :2],
            "trajectory_distance_": places[:, 2],
            "trajectory_losses_": np.array(self._losses),
            "trajectory_phases_": self.phases,
        }
