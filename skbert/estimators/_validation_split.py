"""The random validation split of early stopping."""

from __future__ import annotations

import math

import numpy as np
from sklearn.model_selection import train_test_split


def validation_split(n, strata, names, fraction, seed):
    """Split rows 0..n-1 into training and validation rows.

    Parameters
    ----------
    n : int
        Number of rows.
    strata : array (n,) or None
        Class index of each row. With it, each part has at least one row of every class.
    names : array or None
        Names of the classes, for messages.
    fraction : float
        Share of validation rows.
    seed : int
        Seed of the split.

    Returns
    -------
    train, valid : int arrays

    Raises
    ------
    ValueError
        A class has only one row, or there are too few rows to split.
    """
    n_valid = max(1, math.ceil(fraction * n))
    if strata is not None:
        codes, counts = np.unique(strata, return_counts=True)
        if counts.min() < 2:
            lonely = names.tolist()[codes[np.argmin(counts)]]
            raise ValueError(
                f"early_stopping=True splits off validation data, but class {lonely!r} has only one sample. "
                "Add samples of this class, pass X_val and y_val, or set early_stopping=False."
            )
        n_valid = min(max(n_valid, len(codes)), n - len(codes))
    if n - n_valid < 1:
        raise ValueError(
            f"early_stopping=True with validation_fraction={fraction} leaves no training data: there are {n} sample(s)."
        )
    return train_test_split(
        np.arange(n), test_size=n_valid, stratify=strata, random_state=np.random.RandomState(seed % 2**32)
    )
