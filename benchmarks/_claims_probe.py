"""How often the pattern test of skipped layers rejects where there is no pattern, and what recall intervals cover."""

import numpy as np
from scipy import stats
from scipy.special import log_softmax

from skbert.probing import change_intervals, pattern_test

_N_SPANS, _N_FOLDS = 21, 5


def falls_by_shrinking(margins, shares, n, rng):
    """Falls of the gold log-probability if every span shrinks all logits by one factor, whatever the label.

    Parameters
    ----------
    margins : float array (n_labels,)
        How far the gold label's logit stands above the others; smaller is harder.
    shares : float array (n_labels,)
    n : int
        Samples.

    Returns
    -------
    drops (n_spans, n), gold (n,), folds (n,), recalls (n_labels,) of the full model
    """
    k = len(margins)
    counts = np.maximum(np.round(np.asarray(shares) * n).astype(int), 2)
    counts[0] += n - counts.sum()
    gold, folds = np.repeat(np.arange(k), counts), rng.permutation(np.arange(n) % _N_FOLDS)
    logits = rng.normal(size=(n, k)) + np.eye(k)[gold] * np.asarray(margins)[gold][:, None]
    # Spans of different harm, a little different in the model of each fold.
    factors = np.clip(np.linspace(0.95, 0.1, _N_SPANS)[:, None] + rng.normal(0, 0.05, (_N_SPANS, _N_FOLDS)), 0.02, 1)
    rows = np.arange(n)
    full = log_softmax(logits, axis=1)[rows, gold]
    noise = rng.normal(0, 0.2, (_N_SPANS, n, k))
    cut = log_softmax(factors[:, folds, None] * logits + noise, axis=2)[:, rows, gold]
    right = logits.argmax(axis=1) == gold
    return full - cut, gold, folds, np.bincount(gold, weights=right) / counts


def falls_that_differ_in_spread(share, ratio, n, rng):
    """Falls with one mean profile, and more scatter in one of two labels."""
    gold = (np.arange(n) < max(2, round(share * n))).astype(int)
    profile = np.linspace(0, 2, _N_SPANS)[:, None]
    drops = profile + rng.normal(size=(_N_SPANS, n)) * np.where(gold == 1, ratio, 1.0)
    return drops, gold, rng.permutation(np.arange(n) % _N_FOLDS), None


def falls_with_a_pattern(effect, n, rng):
    """Falls of two labels of which each misses spans of its own."""
    drops, gold, folds, _ = falls_that_differ_in_spread(0.5, 1.0, n, rng)
    own = np.where(np.arange(_N_SPANS) % 2 == 0, 1, -1)[:, None]
    return drops + effect / 2 * own * (2 * gold - 1), gold, folds, None


def rejections(make, repeats, n_permutations=199, statistic=None):
    """How often p <= 0.05, by the pseudo-F of Anderson (2001) and by the test of the library.

    Returns
    -------
    float array (2,), and the mean recalls by label (None where there is no model)
    """
    rejected, recalls = [], []
    for repeat in range(repeats):
        rng = np.random.default_rng([6, repeat])
        drops, gold, folds, recall = make(rng)
        ours = pattern_test(drops, gold, folds, n_permutations, rng).pvalue
        rejected.append([pseudo_f_pvalue(drops, gold, folds, n_permutations, rng) <= 0.05, ours <= 0.05])
        recalls.append(recall)
    return np.mean(rejected, axis=0), None if recalls[0] is None else np.mean(recalls, axis=0)


def pseudo_f_pvalue(drops, gold, folds, n_permutations, rng):
    """p-value of the usual permutational analysis of variance of the same profiles."""
    profiles = (drops - drops.mean(axis=0)).T
    profiles = profiles - profiles.mean(axis=0)
    members = np.eye(gold.max() + 1)[gold]
    total, counts = (profiles**2).sum(), members.sum(axis=0)

    def statistic(members):
        explained = (((members.T @ profiles) ** 2).sum(axis=1) / counts).sum()
        return explained / (total - explained)

    observed = statistic(members)
    null = [statistic(members[_shuffled_within(folds, rng)]) for _ in range(n_permutations)]
    return (1 + np.sum(np.array(null) >= observed)) / (1 + n_permutations)


def _shuffled_within(folds, rng):
    """A random order of the samples in which each stays in its fold."""
    order = np.empty(len(folds), dtype=int)
    order[np.argsort(folds, kind="stable")] = np.lexsort((rng.random(len(folds)), folds))
    return order


# True recalls before and after.
RECALLS = ((0.95, 0.93), (0.95, 0.80), (0.95, 0.10), (0.90, 0.01), (0.99, 0.98))
SAMPLES = (5, 9, 20, 50, 100)


def coverage_of_recalls(n, before, after, repeats):
    """Coverage of the change of recall of a label with `n` samples, by the usual bootstrap and by the library.

    The library's is counted out over all outcomes, without Monte-Carlo error; a fifth of what was wrong becomes right.
    """
    gains, losses = 0.2 * (1 - before), before - after + 0.2 * (1 - before)
    truth = after - before
    lost, gained = (axis.ravel() for axis in np.meshgrid(range(n + 1), range(n + 1)))
    possible = lost + gained <= n
    lost, gained = lost[possible], gained[possible]
    chances = [losses, gains, 1 - losses - gains]
    chance = stats.multinomial.pmf(np.column_stack([lost, gained, n - lost - gained]), n, chances)
    place = np.arange(n)
    changes = np.where(place < lost[:, None], -1, np.where(place >= n - gained[:, None], 1, 0))
    low, high = change_intervals(changes, np.zeros(n, dtype=int), 1)[0].T
    ours = chance[(low <= truth) & (truth <= high)].sum()
    rng, held = np.random.default_rng(7), []
    for _ in range(repeats):
        counts = rng.multinomial(n, chances)
        resampled = rng.multinomial(n, counts / n, size=2000)
        low, high = np.quantile((resampled[:, 1] - resampled[:, 0]) / n, [0.025, 0.975])
        held.append(low <= truth <= high)
    return np.mean(held), ours
