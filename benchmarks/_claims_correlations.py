"""How often two unrelated scores are called related, and how often the interval of a correlation holds the truth."""

import numpy as np
import pandas as pd
from scipy import stats

from skbert.stability import correlate_runs

# Draws, variants, and the share of the variance of a score that is the draw's, for all variants alike.
STUDIES = ((8, 1, 0.0), (20, 1, 0.0), (12, 4, 0.0), (12, 4, 0.8), (20, 10, 0.0), (20, 10, 0.8))
# Accuracies are counted on so few texts that many are equal.
N_TEST = 15


def study(rng, n_draws, n_variants, shared, rho, ties):
    """Runs of variants of which each has two scores with the correlation `rho`, as a data frame.

    Both scores also differ between variants, by up to one standard deviation: the better variant has more of both.
    """

    def normal():
        own, common = rng.normal(size=(n_draws, n_variants)), rng.normal(size=(n_draws, 1))
        return np.sqrt(1 - shared) * own + np.sqrt(shared) * common

    a = normal()
    b = rho * a + np.sqrt(1 - rho**2) * normal()
    better = np.linspace(0, 1, n_variants) if n_variants > 1 else np.zeros(1)
    a, b = a + better, b + better
    if ties:
        b = np.round(N_TEST * stats.norm.cdf(b))
    draw, variant = (index.ravel() for index in np.indices(a.shape))
    runs = pd.DataFrame({"variant": variant, "draw": draw, "a": a.ravel(), "b": b.ravel()})
    return runs.assign(size=32, init_seed=None, order_seed=None, status="ok")


def rejections(n_draws, n_variants, shared, repeats):
    """Shares of studies that find a relation where there is none: all runs in one heap, our test, and our sentence."""
    rng, found = np.random.default_rng([9, n_draws, n_variants]), []
    for _ in range(repeats):
        runs = study(rng, n_draws, n_variants, shared, 0.0, ties=True)
        ours = correlate_runs(runs, "a", "b", rng=rng, n_permutations=399)
        said = "goes with a" in ours.sentence()
        found.append((stats.spearmanr(runs["a"], runs["b"]).pvalue < 0.05, ours.permutation_pvalue <= 0.05, said))
    return np.mean(found, axis=0)


def coverage(n_draws, n_variants, shared, rho, repeats):
    """Shares of intervals that hold the truth: with all runs taken as independent, and ours."""
    rng, held = np.random.default_rng([10, n_draws, n_variants]), []
    truth = 6 / np.pi * np.arcsin(rho / 2)  # Spearman's correlation of normal scores
    for _ in range(repeats):
        ours = correlate_runs(study(rng, n_draws, n_variants, shared, rho, ties=False), "a", "b", n_permutations=1)
        held.append([low <= truth <= high for low, high in (fisher_interval(ours), (ours.low, ours.high))])
    return np.mean(held, axis=0)


def fisher_interval(found):
    """Fisher's interval as if every run were independent; a mean of each variant costs a run."""
    freedom = found.n_runs - len(found.by_variant) - 2
    z, reach = np.arctanh(np.clip(found.rho, -0.999, 0.999)), stats.norm.isf(0.025) * np.sqrt(1 / freedom)
    return np.tanh(z - reach), np.tanh(z + reach)
