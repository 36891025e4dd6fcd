"""One survey of a landscape: the fits, the directions, and the losses at all points."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from tqdm.auto import tqdm

from skbert._shared import warn
from skbert.landscape._checks import fresh_reader
from skbert.landscape._groups import check_groups, group_bunch, rollback_bunch
from skbert.landscape._loss_meter import LossMeter
from skbert.landscape._points import as_bunch, barrier, measure_line, measure_surface
from skbert.landscape._trajectory import Trajectory
from skbert.landscape._weights import Weights, as_tensors, difference, inner, norm, random_direction, scale_

# A repeated fit ends at the same weights; on a GPU, sums in another order may move them by a small part of the way.
_SAME_FIT = 1e-2


class Survey:
    """Makes the attributes of a `LossLandscape`.

    Parameters
    ----------
    subject : Subject
        The estimator.
    kind : {"seed", "data", "random"} or None
        The second direction.
    alphas : float array (n_points,)
        Points along each direction.
    groups : list of range
        Depths of each group of layers.
    max_texts : int
        At most this many texts of each set.
    seeds : list of five int
        For the fit (if it has none), the other fit, the random direction, the drawn texts, and the bands.
    verbose : int
        1 shows a progress bar.
    """

    def __init__(self, subject, kind, alphas, groups, max_texts, seeds, verbose):
        self._subject, self._kind, self._alphas = subject, kind, alphas
        self._groups, self._max_texts, self._verbose = groups, max_texts, verbose
        self._fit_seed, self._other_seed, self._direction_seed, self._rows_seed, self._band_seed = seeds
        self._template = fresh_reader(subject, self._fit_seed)

    def attributes(self, train, val, other):
        """The fitted attributes by name, for the training, validation and second texts with their targets."""
        X, val, other, before = self._texts(train, val, other)
        y = train[1]
        reader = self._fit(X, y)
        found = {"estimator_": self._as_given(before, reader)}
        found |= {"start_": Weights(self._start), "end_": Weights(self._end), "_seed": self._direction_seed}
        if self._subject.classifies:
            found["classes_"] = reader.classes_
        rows = self._rows(len(y)), None if val is None else self._rows(len(val[1]))
        found["train_rows_"], found["val_rows_"] = rows
        labelled = [(_safe_indexing(X, rows[0]), y[rows[0]], "X")]
        if val is not None:
            labelled.append((_safe_indexing(val[0], rows[1]), val[1][rows[1]], "X_val"))
        found["_texts"] = labelled[0][:2]
        other_end = self._other_end(X, y, other)
        with LossMeter(reader, labelled) as self._meter, self._bar() as self._progress:
            found |= self._line()
            found |= self._barrier(other_end)
            self._second = self._second_direction(other_end)
            del other_end
            found |= self._surface()
            found |= self._layers(reader, found["line_"])
            found |= self._trajectory(X, y)
            found["_codes"] = dict(zip(("train", "val"), self._meter.targets, strict=False))
        return found

    # ------------------------------------------------------------- fits

    def _texts(self, train, val, other):
        """The texts behind the steps before the last one, and these steps, fitted."""
        before = self._subject.before
        if before is None:
            return train[0], val, other, None
        if not self._subject.prefit:
            before = clone(before).fit(*train)
        read = [None if part is None else (before.transform(part[0]), part[1]) for part in (train, val, other)]
        return read[0][0], read[1], read[2], before

    def _fit(self, X, y):
        """Fit, record the start and the end, and return the fitted last step."""
        self._start = {}

        def keep(phase, weights):
            if phase == "start":
                self._start = as_tensors(weights)

        again = clone(self._template).fit_watched(X, y, keep)
        reader = self._subject.reader if self._subject.prefit else again
        self._end = as_tensors(reader.weights())
        # Without what no step trains, such as the centre of directions.
        self._start = {name: tensor for name, tensor in self._start.items() if name in self._end}
        self._first = difference(self._end, self._start)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self._end.values()):
            raise ValueError(
                "The fit diverged: its weights are not finite, so there is no landscape. Lower learning_rate."
            )
        length = norm(self._first)
        if not length:
            raise ValueError(
                "The fit did not move any weight, so there is no direction to look at. Raise learning_rate or "
                "max_epochs: the first step of a warm-up has a rate of 0."
            )
        if self._subject.prefit and norm(difference(as_tensors(again.weights()), self._end)) > _SAME_FIT * length:
            raise ValueError(
                "The fitted estimator was not trained on these texts: a fit of its parameters on X and y ends "
                "elsewhere. Pass the texts of its fit in the same order, or pass it without FrozenEstimator."
            )
        return reader

    def _as_given(self, before, reader):
        """The fitted estimator, in the form in which the user gave it."""
        if self._subject.prefit or not isinstance(self._subject.whole, Pipeline):
            return self._subject.whole if self._subject.prefit else reader
        whole = clone(self._subject.whole)
        fitted = [] if before is None else [step for _, step in before.steps]
        whole.steps = [(name, step) for (name, _), step in zip(whole.steps, [*fitted, reader], strict=True)]
        return whole

    def _other_end(self, X, y, other):
        """The weights at which another fit from the same start ends, if there is one."""
        if self._kind == "seed":
            found = clone(self._template).fit_watched(X, y, start=self._start, other_order=self._other_seed)
        elif self._kind == "data":
            found = clone(self._template).fit_watched(*other, start=self._start)
        else:
            return None
        return as_tensors(found.weights())

    def _rows(self, n):
        """Rows of at most `max_texts` texts, ascending."""
        if n <= self._max_texts:
            return np.arange(n)
        chosen = np.random.default_rng([self._rows_seed, n]).choice(n, self._max_texts, replace=False)
        return np.sort(chosen)

    def _bar(self):
        n = len(self._alphas)
        total = n * (1 + len(self._groups)) + (n * n if self._kind else 0) + (n if self._kind == "seed" else 0)
        return tqdm(total=total, desc="points", unit="point", leave=False, disable=self._verbose < 1)

    # ------------------------------------------------------------- points

    def _line(self):
        measured = measure_line(self._meter, self._start, self._end, self._alphas, list(self._first), self._progress)
        line = as_bunch(measured, self._alphas.shape, self._band_seed)
        return {"alphas_": self._alphas, "line_": line}

    def _barrier(self, other_end):
        if self._kind != "seed":
            return {"barrier_": None, "barrier_line_": None}
        places = np.linspace(0.0, 1.0, len(self._alphas))
        names = list(difference(other_end, self._end))
        measured = measure_line(self._meter, self._end, other_end, places, names, self._progress)
        line = as_bunch(measured, places.shape, self._band_seed)
        return {"barrier_": barrier(line.train_loss, places), "barrier_line_": line}

    def _second_direction(self, other_end):
        """The second direction at the length of the first; None without a plane."""
        if self._kind is None:
            return None
        if self._kind == "random":
            direction = random_direction(self._end, set(self._first), self._direction_seed)
        else:
            direction = difference(other_end, self._start)
        length = norm(direction)
        if not length:
            raise ValueError("The second direction is zero: the other fit did not move any weight.")
        self._length_of_second = length
        return scale_(direction, norm(self._first) / length)

    def _surface(self):
        if self._second is None:
            return {"betas_": None, "surface_": None, "consistency_": None, "error_consistency_": None}
        grid, names = (self._alphas, self._alphas), list(self._first)
        rows = measure_surface(self._meter, self._start, self._end, self._second, *grid, names, self._progress)
        surface = as_bunch([point for row in rows for point in row], (len(rows), len(rows[0])))
        length = norm(self._first)
        surface.cosine = inner(self._first, self._second) / length**2
        surface.second_beta = None if self._kind == "random" else self._length_of_second / length
        found = {"betas_": self._alphas.copy(), "surface_": surface}
        for name, other in (("consistency_", surface.val_loss), ("error_consistency_", surface.val_error)):
            found[name] = None
            if other is not None:
                found[name] = float(spearmanr(surface.train_loss.ravel(), other.ravel()).statistic)
        return found

    def _layers(self, reader, line):
        """Lines on which one group of layers moves, and rollback."""
        nothing = {"group_lines_": None, "rollback_": None}
        if not self._groups:
            return nothing
        try:
            check_groups(self._meter.runner, self._groups)
        except ValueError as error:
            warn(f"Groups of layers are left out: {error}")
            return nothing
        lines = []
        for group in self._groups:
            names = [name for name, depth in self._meter.depths.items() if depth in group]
            measured = measure_line(self._meter, self._start, self._end, self._alphas, names, self._progress)
            lines.append(as_bunch(measured, self._alphas.shape))
        codes = [*self._meter.targets, None][:2]
        places = [int(np.flatnonzero(self._alphas == fixed)[0]) for fixed in (0.0, 1.0)]
        n_classes = len(reader.classes_) if self._subject.classifies else None
        rollback = rollback_bunch(self._groups, lines, line, *places, codes, n_classes)
        return {"group_lines_": group_bunch(self._groups, lines), "rollback_": rollback}

    def _trajectory(self, X, y):
        self._meter.set(self._meter.of_texts(self._start))
        self._meter.keep_below(list(self._first))
        trajectory = Trajectory(self._meter, self._start, self._first, self._second)
        clone(self._template).fit_watched(X, y, trajectory)
        return trajectory.attributes()
