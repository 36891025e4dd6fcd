"""Losses along a line, over a plane, and where only a group of layers moves."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

# Resamples of the texts for a 95 % band.
_N_RESAMPLES, _BAND = 999, (2.5, 97.5)


def grid(span, n_points):
    """`n_points` values from ``span[0]`` to ``span[1]``; the nearest ones are moved to exactly 0 and 1.

    Raises
    ------
    ValueError
        `span` leaves out 0 or 1, or there are too few points for both.
    """
    values = np.linspace(span[0], span[1], n_points)
    places = [int(np.abs(values - fixed).argmin()) for fixed in (0.0, 1.0)]
    if places[0] == places[1] and values[1] - values[0] <= 2.0:
        # 1 lies halfway between two points, and the lower one is taken.
        places[1] += 1
    if places[0] == places[1] or places[1] == n_points:
        raise ValueError(
            f"n_points={n_points} is too few for span={tuple(span)}: one point must be 0 (the start) and one 1 (the "
            "end). Raise n_points, or narrow the span."
        )
    values[places] = 0.0, 1.0
    return values


def measure_line(meter, start, end, alphas, names, progress):
    """The `Measured` of each set of texts at each point of ``start + alpha (end - start)``, where only `names` move."""
    (line,) = measure_surface(meter, start, end, {}, alphas, [0.0], names, progress)
    return line


def measure_surface(meter, start, end, second, alphas, betas, names, progress):
    """As `measure_line`, at each point of ``start + alpha (end - start) + beta second``: one list per beta.

    Weights that neither direction moves stay at `end`.
    """
    meter.set(meter.of_texts(end))
    # What only the second direction moves must be set anew at every point, too.
    names = list(dict.fromkeys([*names, *second]))
    start, end = (meter.of_texts({name: weights[name] for name in names}) for weights in (start, end))
    second = meter.of_texts(second)
    meter.keep_below(names)
    rows = []
    for beta in betas:
        rows.append([])
        for alpha in alphas:
            meter.set_between(start, end, float(alpha), second, float(beta))
            rows[-1].append(meter.measure())
            progress.update()
    return rows


def as_bunch(measured, shape, seed=None):
    """A Bunch of losses and errors of points.

    Parameters
    ----------
    measured : list of lists of Measured
        For each point, the training texts and, if there are any, the validation texts.
    shape : tuple of int
        Shape of the points.
    seed : int, default=None
        Seed of the bands; None makes no bands.

    Returns
    -------
    Bunch
        ``train_loss``, ``train_error`` with `shape`, ``train_losses``, ``train_errors`` with `shape` and the texts;
        with a seed ``train_low``, ``train_high``; the same with ``val``, None without validation texts.
    """
    found = Bunch()
    for place, part in enumerate(("train", "val")):
        names = [f"{part}_loss", f"{part}_error", f"{part}_losses", f"{part}_errors"]
        names += [] if seed is None else [f"{part}_low", f"{part}_high"]
        if place == len(measured[0]):
            found.update(dict.fromkeys(names))
            continue
        losses, errors = (
            np.stack([getattr(point[place], kind) for point in measured]) for kind in ("losses", "errors")
        )
        values = [losses.mean(axis=1, dtype=float), errors.mean(axis=1, dtype=float), losses, errors]
        values += [] if seed is None else list(band(losses, seed))
        found.update({name: value.reshape(*shape, *value.shape[1:]) for name, value in zip(names, values, strict=True)})
    return found


def band(losses, seed):
    """Lower and upper ends (n_points,) of 95 % bootstrap bands of the means of `losses` (n_points, n_texts)."""
    n_texts = losses.shape[1]
    rng = np.random.default_rng(seed)
    # The same resamples at all points, because all points have the same texts.
    counts = rng.multinomial(n_texts, np.full(n_texts, 1 / n_texts), size=_N_RESAMPLES)
    means = counts @ losses.T.astype(float) / n_texts
    return np.percentile(means, _BAND, axis=0)


def barrier(losses, places):
    """Height of the highest point of a path above the straight line between the losses of its ends."""
    return float(np.max(losses - (1 - places) * losses[0] - places * losses[-1]))
