"""How often intervals hold the truth: means, crossed designs, variance components; and what the best of n promises."""

import numpy as np

from skbert.stability import (
    component_intervals,
    expected_max,
    flips_needed,
    mean_interval,
    pairs_needed,
    sign_flip_pvalue,
    t_power,
    upper_spread,
    variance_components,
    with_two_way_terms,
)

N_RUNS = (5, 8, 10, 20, 50)


def normal_scores(n, rng):
    """Scores of runs that differ by chance only; their mean is 0.7."""
    return rng.normal(0.7, 0.05, n)


def bimodal_scores(n, rng):
    """Scores of an unstable training: four runs of five are good, one is near chance; their mean is 0.8."""
    return np.where(rng.random(n) < 0.8, rng.normal(0.875, 0.015, n), rng.normal(0.5, 0.02, n))


def percentile_interval(values, factors, rng, n_resamples=2000):
    """The usual bootstrap interval; of crossed factors levels are drawn, each factor by itself (Owen 2007)."""
    weights = np.ones((n_resamples, len(values)))
    for levels in factors or [np.arange(len(values))]:
        k = levels.max() + 1
        weights = weights * rng.multinomial(k, np.full(k, 1 / k), size=n_resamples)[:, levels]
    totals = weights.sum(axis=1)
    return np.quantile((weights @ values)[totals > 0] / totals[totals > 0], [0.025, 0.975])


def coverage_of_means(scores, truth, n, repeats):
    """Shares of the usual and of our intervals that hold the mean."""
    rng, held = np.random.default_rng([1, n]), []
    for _ in range(repeats):
        values = scores(n, rng)
        intervals = percentile_interval(values, [], rng), mean_interval(values, [], 0.95, (0, 1))
        held.append([low <= truth <= high for low, high in intervals])
    return np.mean(held, axis=0)


# Standard deviations of draw, initialisation, order, and what is left.
COMPONENTS = {
    "draw only": (1.0, 0.0, 0.0, 0.05),
    "draw 1, init .2, order .1, rest .3": (1.0, 0.2, 0.1, 0.3),
    "init 1, order .5, draw .2, rest .5": (0.2, 1.0, 0.5, 0.5),
    "rest only": (0.0, 0.0, 0.0, 1.0),
}


def crossed_scores(shape, stds, rng):
    """Scores of a crossed design around 0, and the levels of its factors."""
    factors = [axis.ravel() for axis in np.meshgrid(*map(range, shape), indexing="ij")]
    effects = sum(std * rng.normal(size=k)[levels] for std, k, levels in zip(stds, shape, factors, strict=False))
    return effects + stds[-1] * rng.normal(size=len(factors[0])), factors


def coverage_of_crossed(shape, stds, repeats):
    """Shares of the usual and of our intervals that hold the mean over draws, initialisations and orders."""
    rng, held = np.random.default_rng(2), []
    for _ in range(repeats):
        values, factors = crossed_scores(shape, stds, rng)
        intervals = percentile_interval(values, factors, rng), mean_interval(values, factors, 0.95)
        held.append([low <= 0 <= high for low, high in intervals])
    return np.mean(held, axis=0)


def components(shape, stds, repeats):
    """The true variances by source, and of each repetition the estimates and whether the intervals hold the truth."""
    rng, found, held = np.random.default_rng(3), [], []
    names = ("draw", "init", "order")
    truth = {**{name: std**2 for name, std in zip(names, stds, strict=False)}, "interaction": stds[-1] ** 2}
    for _ in range(repeats):
        values, levels = crossed_scores(shape, stds, rng)
        factors = dict(zip(names, levels, strict=True))
        estimates = variance_components(values, with_two_way_terms(factors))
        intervals = component_intervals(values, factors)
        found.append([estimates[name] for name in truth])
        held.append([intervals[name][0] <= true <= intervals[name][1] for name, true in truth.items()])
    return truth, np.array(found), np.array(held)


def bias_of_best(scores, n_seen, n, share_failed, repeats):
    """Expected best of `n` less the truth, by the usual and the unbiased method and with failed runs left out.

    Returns
    -------
    float array (3, repeats)
    """
    rng = np.random.default_rng(4)
    many = scores(1_000_000, rng)
    n_failed = rng.binomial(n, share_failed, size=len(many) // n)
    best = many[: len(n_failed) * n].reshape(-1, n)
    # Of n runs, only those that did not fail can be the best; the others are set below all scores.
    best = np.where(np.arange(n) < n_failed[:, None], -np.inf, best).max(axis=1)
    truth, rows = best[n_failed < n].mean(), []
    for _ in range(repeats):
        seen = scores(n_seen, rng)
        seen[rng.random(n_seen) < share_failed] = np.nan
        if np.isnan(seen).all():
            continue
        left = seen[~np.isnan(seen)]
        rows.append([_best(left, n, "dodge"), _best(seen, n, "dodge"), _best(seen, n, "unbiased")])
    return np.array(rows).T - truth


def _best(scores, n, method):
    # Without failed runs fewer may be left than are asked for; what the usual formula says of them is not refused.
    ordered = np.sort(scores)
    if method == "dodge" and len(scores) < n:
        return ordered @ np.diff((np.arange(len(ordered) + 1) / len(ordered)) ** n)
    return expected_max(scores, n, method=method)


def power_at_promise(n_pilot, effect, repeats):
    """Power of the sign-flip test with as many pairs as a pilot promises: from its spread as it is, and from its limit.

    Up to 16 pairs the test is made on simulated sets; beyond, its power is that of the t-test to a hundredth.

    Returns
    -------
    float array (2, repeats)
    """
    rng, known = np.random.default_rng(5), {}

    def power(n):
        if n not in known and n > 16:
            known[n] = t_power(effect, n, 0.0, 0.05)
        elif n not in known:
            sets = rng.normal(effect, 1, (500, n))
            known[n] = np.mean([sign_flip_pvalue(d, rng) < 0.05 for d in sets])
        return known[n]

    rows = []
    for _ in range(repeats):
        spread = rng.normal(effect, 1, n_pilot).std(ddof=1)
        ours = flips_needed(effect, upper_spread(spread, n_pilot, 0.8))
        rows.append([power(pairs_needed(effect, spread)), power(ours)])
    return np.array(rows).T
