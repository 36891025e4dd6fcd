"""Vectors of all texts of a dataset, without training."""

from __future__ import annotations

import numpy as np

from skbert.compute import run_batches


def vectors_of(dataset, function, settings, notice):
    """Vectors of all texts of `dataset`.

    Parameters
    ----------
    dataset : TextDataset
        The texts; at least one.
    function : callable
        Takes a batch, and its prefix if `dataset` has prefixes; gives vectors (n, width).
    settings : FineTuneSettings
        Device and precision.
    notice : MemoryNotice
        Warns when memory runs out.

    Returns
    -------
    float64 array (n_texts, width)
    """
    vectors = None
    for rows, found in run_batches(
        function, dataset.tokens, settings.device, settings.precision, notice, dataset.prefixes
    ):
        if vectors is None:
            vectors = np.empty((len(dataset), found.shape[1]))
        vectors[rows] = found.float().cpu().numpy()
    return vectors
