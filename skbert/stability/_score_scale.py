"""What the name of a score says of its scale: between which numbers it lies, and in which unit to print it."""

from __future__ import annotations

import numpy as np

# Scorers of scikit-learn, by the beginning of their names.
_BETWEEN = {
    ("accuracy", "balanced_accuracy", "top_k_accuracy"): (0.0, 1.0),
    ("f1", "precision", "recall", "jaccard", "roc_auc", "average_precision"): (0.0, 1.0),
    ("matthews_corrcoef", "mcc"): (-1.0, 1.0),
    ("r2", "explained_variance", "d2_"): (-np.inf, 1.0),
    ("neg_",): (-np.inf, 0.0),
}
_UNBOUNDED = (-np.inf, np.inf)


def score_bounds(name, values):
    """Smallest and largest number that a score can be.

    Parameters
    ----------
    name : str
        Name of the score, such as "accuracy".
    values : float array
        Scores that were seen.

    Returns
    -------
    (float, float)
        Infinite where nothing is known of a score of this name, and where `values` show that it is on another scale,
        such as a percentage.
    """
    found = next((bounds for names, bounds in _BETWEEN.items() if str(name).startswith(names)), _UNBOUNDED)
    seen = values[~np.isnan(values)]
    return found if ((seen >= found[0]) & (seen <= found[1])).all() else _UNBOUNDED


def difference_bounds(name, values):
    """Smallest and largest difference of two such scores."""
    low, high = score_bounds(name, values)
    return low - high, high - low


def printed_unit(name, values):
    """How to print a score: its unit in words, the factor to multiply it by, and digits after the point."""
    in_points = not name.startswith("neg_") and np.abs(values).max(initial=0) <= 1
    return (f"points of {name}", 100, 1) if in_points else (name, 1, 3)
