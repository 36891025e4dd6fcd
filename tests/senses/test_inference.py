"""Weights of topics in contexts, against loops, scipy's optimiser and known answers."""

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.special import rel_entr

from skbert.senses import _inference
from skbert.senses._inference import infer_weights


def random_problem(seed, n=7, n_topics=6, n_words=30):
    rng = np.random.default_rng(seed)
    phi = rng.dirichlet(np.full(n_words, 0.2), n_topics) * 0.99 + 0.01 / n_words
    bags, starts = np.zeros((n, n_words)), np.zeros((n, n_topics))
    for i in range(n):
        chosen = rng.choice(n_words, rng.integers(1, 9), replace=False)
        bags[i, chosen] = rng.dirichlet(np.ones(len(chosen)))
        free = rng.choice(n_topics, rng.integers(1, n_topics + 1), replace=False)
        starts[i, free] = rng.dirichlet(np.ones(len(free)))
    return phi, bags, starts


def objective(w, phi, d, start, strength):
    return d[d > 0] @ np.log(w @ phi[:, d > 0]) - strength * rel_entr(w, start).sum()


def by_slsqp(phi, d, start, strength):
    """The maximum that a general optimiser of scipy finds."""
    free = np.flatnonzero(start)

    def spread(x):
        w = np.zeros(len(start))
        w[free] = np.clip(x, 1e-12, None)
        return w

    found = optimize.minimize(
        lambda x: -objective(spread(x), phi, d, start, strength),
        start[free],
        bounds=[(1e-12, 1)] * len(free),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    return -found.fun


def infer(phi, bags, starts, strength=0.01, max_iter=5000, tol=1e-6):
    return infer_weights(phi, sparse.csr_matrix(bags), sparse.csr_matrix(starts), strength, max_iter, tol)


@pytest.mark.parametrize("strength", [0.0, 0.01, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_maximum__as_scipy_finds_it(seed, strength):
    phi, bags, starts = random_problem(seed)
    found = infer(phi, bags, starts, strength)
    weights = found.weights.toarray()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert found.converged.all()
    for w, value, d, start in zip(weights, found.objective, bags, starts, strict=True):
        assert value == pytest.approx(objective(w, phi, d, start, strength), abs=1e-9)
        assert value >= by_slsqp(phi, d, start, strength) - 2e-6
        assert (w[start == 0] == 0).all()


def test_gap__is_a_bound_at_every_number_of_steps():
    phi, bags, starts = random_problem(5)
    best = infer(phi, bags, starts).objective
    for max_iter in (1, 2, 5, 20):
        early = infer(phi, bags, starts, max_iter=max_iter)
        assert (early.objective + early.gap >= best - 1e-12).all()


def test_objective__never_falls_with_more_steps():
    phi, bags, starts = random_problem(6)
    values = [infer(phi, bags, starts, max_iter=k, tol=1e-12).objective for k in range(1, 15)]
    assert (np.diff(values, axis=0) >= -1e-12).all()


def test_small_multiplicative_step__does_not_lower_the_objective():
    phi, bags, starts = random_problem(7)
    problem = _inference._Problem(bags, np.swapaxes(phi[None].repeat(len(bags), 0), 1, 2), starts, 0.01)
    state = problem.state(starts)
    for _ in range(30):
        new = problem.state(problem.moved(state, problem.slope(state), np.full(len(bags), 0.01)))
        assert (new.objective >= state.objective - 1e-12).all()
        state = new


def test_few_steps_are_not_enough__and_it_says_so():
    phi, bags, starts = random_problem(8)
    early, late = infer(phi, bags, starts, max_iter=3), infer(phi, bags, starts)
    assert not early.converged.all()
    assert (early.n_iter <= 3).all()
    np.testing.assert_array_equal(early.converged, early.gap <= 1e-6)
    assert (late.objective > early.objective).any()


def test_strong_prior__gives_the_start():
    phi, bags, starts = random_problem(9)
    np.testing.assert_allclose(infer(phi, bags, starts, 1e8).weights.toarray(), starts, atol=1e-6)


def test_context_of_one_topic__gets_that_topic():
    phi = np.full((3, 6), 1e-9)
    phi[0, :2], phi[1, 2:4], phi[2, 4:] = 0.5, 0.5, 0.5
    bags = np.array([[0, 0, 0.5, 0.5, 0, 0]])
    weights = infer(phi, bags, np.full((1, 3), 1 / 3), 0.01, tol=1e-4).weights.toarray()
    np.testing.assert_allclose(weights, [[0, 1, 0]], atol=1e-4)


def test_many_at_once__as_one_at_a_time(monkeypatch):
    phi, bags, starts = random_problem(10, n=40)
    bags[3] = 0
    together = infer(phi, bags, starts)
    for i in range(len(bags)):
        alone = infer(phi, bags[i : i + 1], starts[i : i + 1])
        np.testing.assert_allclose(together.weights[i].toarray(), alone.weights.toarray(), atol=1e-12)
        assert together.n_iter[i] == alone.n_iter[0]
    np.testing.assert_array_equal(together.weights[3].toarray(), starts[3:4])
    monkeypatch.setattr(_inference, "_BATCH_SIZE", 50)
    np.testing.assert_allclose(infer(phi, bags, starts).weights.toarray(), together.weights.toarray(), atol=1e-12)
