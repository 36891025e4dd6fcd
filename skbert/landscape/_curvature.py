"""Curvature of the loss at fitted weights: eigenvalues, trace and spectral density."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils import Bunch

from skbert.landscape._lanczos import lanczos, trace_probes

# Steps of Lanczos beyond the eigenvalues that are asked for, and when it may stop before.
_MORE_STEPS, _TOLERANCE = 17, 1e-3


def curvature_of(loss, kind, n_eigenvalues, n_probes, seed):
    """Eigenvalues, trace and density of the matrix `kind` of a `TextLoss`.

    Parameters
    ----------
    loss : TextLoss
        The loss at the weights of interest.
    kind : {"ggn", "hessian"}
        The matrix.
    n_eigenvalues, n_probes : int
        Number of the largest eigenvalues, and of random vectors for the trace; 0 leaves either out.
    seed : int
        Seed of the random vectors.

    Returns
    -------
    Bunch
        See `LossLandscape.curvature`.
    """
    generator, product = torch.Generator().manual_seed(seed), loss.product(kind)
    device, found = loss.weights.device, Bunch(kind=kind)
    if n_eigenvalues:
        n_steps = n_eigenvalues + _MORE_STEPS
        spectrum = lanczos(product, loss.size, n_eigenvalues, n_steps, _TOLERANCE, generator, device)
        found.eigenvalues = spectrum.values[:n_eigenvalues]
        found.residuals = spectrum.residuals[:n_eigenvalues]
        found.density_nodes, found.density_weights = spectrum.values[::-1], spectrum.weights[::-1]
    else:
        found.update(dict.fromkeys(("eigenvalues", "residuals", "density_nodes", "density_weights")))
    if n_probes:
        probes = trace_probes(product, loss.size, loss.depths, loss.n_depths, n_probes, generator, device)
        totals = probes.sum(axis=1)
        found.trace = float(totals.mean())
        found.trace_error = float(totals.std(ddof=1) / np.sqrt(n_probes)) if n_probes > 1 else float("nan")
        found.trace_by_layer = probes.mean(axis=0)
    else:
        found.update(dict.fromkeys(("trace", "trace_error", "trace_by_layer")))
    return found


def sharpness_of(loss, rho, adaptive):
    """Rise of the mean loss after one ascent step of SAM (Foret et al. 2021) or ASAM (Kwon et al. 2021).

    Parameters
    ----------
    loss : TextLoss
        The loss at the weights of interest.
    rho : float
        Length of the step.
    adaptive : bool
        Whether the step is in units of each weight's own size (ASAM).

    Returns
    -------
    float
    """
    gradient = loss.gradient()
    if adaptive:
        scaled = loss.weights.abs() * gradient
        step = loss.weights.abs() * scaled
        length = scaled.norm()
    else:
        step, length = gradient, gradient.norm()
    if not length:
        return 0.0
    return loss.loss(step * (rho / length)) - loss.loss()
