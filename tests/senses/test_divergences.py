"""Divergences, against scipy and by hand."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from skbert.senses._divergences import clarke, inv_cl, js_divergence, negative_kl, pairwise_js


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(7, 0.3), size=6)
    rows[1, 3] = 0
    return rows / rows.sum(axis=1, keepdims=True)


def test_js__as_scipy_which_gives_its_root(rows):
    expected = [jensenshannon(a, b) ** 2 for a, b in zip(rows, rows[::-1], strict=True)]
    np.testing.assert_allclose(js_divergence(rows, rows[::-1]), expected, atol=1e-12)


def test_js__zero_for_equal_rows_and_ln_2_for_disjoint_ones(rows):
    np.testing.assert_array_equal(js_divergence(rows, rows), 0)
    assert js_divergence(np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])) == pytest.approx(np.log(2))
    assert (pairwise_js(rows) <= np.log(2)).all()


def test_pairwise_js__is_symmetric_and_has_each_pair(rows):
    found = pairwise_js(rows)
    np.testing.assert_array_equal(found, found.T)
    for i in range(6):
        np.testing.assert_allclose(found[i], js_divergence(rows[i], rows), atol=1e-12)


def test_inclusion__by_hand():
    narrow, broad = np.array([1.0, 0.0, 0.5]), np.array([1.0, 1.0, 0.5])
    assert clarke(narrow, broad) == 1
    assert clarke(broad, narrow) == pytest.approx(1.5 / 2.5)
    assert inv_cl(narrow, broad) == pytest.approx(np.sqrt(1 * (1 - 0.6)))
    assert inv_cl(broad, narrow) == 0


def test_negative_kl__as_scipy_after_smoothing(rows):
    smoothed = 0.999 * rows[::-1] + 0.001 / 7
    expected = [-entropy(a, b) for a, b in zip(rows, smoothed, strict=True)]
    np.testing.assert_allclose(negative_kl(rows, rows[::-1]), expected)
