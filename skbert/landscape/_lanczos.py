"""Eigenvalues and the spectral density of a large symmetric matrix, from its products with vectors.

References
----------
Ghorbani, Krishnan, Xiao (2019). An Investigation into Neural Net Optimization via Hessian Eigenvalue Density.
ICML 2019. arXiv:1901.10159.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal


@dataclass(frozen=True)
class Spectrum:
    """What a Lanczos run says about the spectrum.

    Attributes
    ----------
    values : float array (n_steps,)
        Ritz values, descending.
    residuals : float array (n_steps,)
        For each, the length of ``A v - value v`` of its Ritz vector v: an eigenvalue is at most this far away.
    weights : float array (n_steps,)
        Share of each Ritz value in the density, by the quadrature rule of the start vector; their sum is 1.
    """

    values: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray


def lanczos(product, size, n_wanted, n_steps, tolerance, generator, device="cpu"):
    """Run Lanczos with full re-orthogonalisation from a random start.

    Parameters
    ----------
    product : callable
        Multiplies the matrix by a vector (size,).
    size : int
        Number of rows of the matrix.
    n_wanted : int
        How many of the largest eigenvalues are wanted.
    n_steps : int
        Most steps. All vectors are kept, so memory is ``n_steps * size`` numbers.
    tolerance : float
        Stop when the residuals of the wanted values are below this share of the largest.
    generator : torch.Generator
        Draws the start.
    device : torch.device
        Where the vectors are.

    Returns
    -------
    Spectrum
    """
    n_steps = min(n_steps, size)
    basis = torch.empty(n_steps, size, device=device)
    diagonal, beside = [], []
    vector = _random_unit(size, generator, device)
    for step in range(n_steps):
        basis[step] = vector
        moved = product(vector)
        diagonal.append(float(moved.double() @ vector.double()))
        so_far = basis[: step + 1]
        # Twice, because once is not enough in float32.
        for _ in range(2):
            moved = moved - so_far.T @ (so_far @ moved)
        length = float(moved.norm())
        scale = max(map(abs, diagonal))
        if length <= 1e-6 * scale:
            # An invariant subspace: go on with a new direction outside it, which also finds equal eigenvalues.
            length, moved = 0.0, _random_unit(size, generator, device)
            for _ in range(2):
                moved = moved - so_far.T @ (so_far @ moved)
        beside.append(length)
        found = _spectrum(diagonal, beside)
        enough = step + 1 >= min(n_steps, n_wanted + 1)
        if enough and (found.residuals[:n_wanted] <= tolerance * abs(found.values[0])).all() and length:
            break
        vector = moved / moved.norm()
    return found


def _random_unit(size, generator, device):
    signs = torch.randint(0, 2, (size,), generator=generator, dtype=torch.float32).mul_(2).sub_(1)
    return (signs / size**0.5).to(device)


def _spectrum(diagonal, beside):
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(beside[:-1]))
    order = np.argsort(-values)
    values, vectors = values[order], vectors[:, order]
    return Spectrum(values, np.abs(beside[-1] * vectors[-1]), vectors[0] ** 2)


def trace_probes(product, size, depths, n_depths, n_probes, generator, device="cpu"):
    """Estimates of the trace from random vectors of signs (Hutchinson), by depth; float array (n_probes, n_depths).

    Parameters
    ----------
    product : callable
        Multiplies the matrix by a vector (size,).
    size : int
        Number of rows of the matrix.
    depths : int8 tensor (size,)
        Depth of each row.
    n_depths : int
        Number of depths.
    n_probes : int
        Number of vectors.
    generator : torch.Generator
        Draws them.
    device : torch.device
        Where the vectors are.
    """
    places = depths.long().to(device)
    found = np.empty((n_probes, n_depths))
    for row in found:
        signs = torch.randint(0, 2, (size,), generator=generator, dtype=torch.float32).mul_(2).sub_(1).to(device)
        parts = signs * product(signs)
        row[:] = torch.bincount(places, weights=parts.double(), minlength=n_depths).cpu().numpy()
    return found
