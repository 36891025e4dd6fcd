"""Eigenvalues, density and trace of matrices that are known."""

import numpy as np
import pytest
import torch

from skbert.landscape._lanczos import lanczos, trace_probes


def known(values, seed=0):
    """A symmetric float32 matrix with these eigenvalues."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return torch.tensor((basis * values) @ basis.T, dtype=torch.float32)


def run(matrix, n_wanted, n_steps, tolerance=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lanczos(lambda v: matrix @ v, len(matrix), n_wanted, n_steps, tolerance, generator)


def test_lanczos__finds_the_largest_eigenvalues_of_a_large_matrix():
    values = np.concatenate([[50.0, 30.0, 20.0], np.random.default_rng(0).uniform(-1, 1, 197)])
    found = run(known(values), 3, 25)
    np.testing.assert_allclose(found.values[:3], [50.0, 30.0, 20.0], rtol=1e-4)


def test_lanczos__of_as_many_steps_as_rows_finds_all_eigenvalues_also_equal_and_negative_ones():
    values = np.array([4.0, 4.0, 4.0, 1.0, 0.0, 0.0, -2.0, -2.0])
    np.testing.assert_allclose(run(known(values), 3, 8).values, np.sort(values)[::-1], atol=1e-4)


def test_residuals__bound_the_distance_to_an_eigenvalue():
    values = np.linspace(-1.0, 3.0, 100) ** 3
    found = run(known(values), 3, 8)
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert np.abs(values - value).min() <= residual + 1e-3


def test_lanczos__stops_when_the_wanted_values_are_settled():
    values = np.concatenate([[100.0], np.linspace(0.0, 1.0, 99)])
    assert len(run(known(values), 1, 50, tolerance=1e-3).values) < 10


def test_density__has_the_moments_of_its_start_vector():
    matrix = known(np.random.default_rng(1).normal(size=60))
    found = run(matrix, 3, 6)
    signs = torch.randint(0, 2, (60,), generator=torch.Generator().manual_seed(0), dtype=torch.float32) * 2 - 1
    start = (signs / 60**0.5).double()
    assert found.weights.sum() == pytest.approx(1.0)
    for power in range(1, 5):
        moment = float(start @ torch.linalg.matrix_power(matrix.double(), power) @ start)
        assert found.weights @ found.values**power == pytest.approx(moment, rel=1e-3, abs=1e-4)


def test_trace__of_a_diagonal_matrix_is_exact_at_every_depth():
    diagonal = torch.arange(1.0, 7.0)
    depths = torch.tensor([0, 0, 1, 1, 1, 3], dtype=torch.int8)
    found = trace_probes(lambda v: diagonal * v, 6, depths, 4, 3, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(found, [[3.0, 12.0, 0.0, 6.0]] * 3)


def test_trace__of_any_matrix_is_right_within_its_error():
    matrix = known(np.random.default_rng(2).normal(1.0, 1.0, size=50))
    depths = torch.zeros(50, dtype=torch.int8)
    found = trace_probes(lambda v: matrix @ v, 50, depths, 1, 400, torch.Generator().manual_seed(0))[:, 0]
    assert abs(found.mean() - float(matrix.trace())) < 4 * found.std(ddof=1) / 20
