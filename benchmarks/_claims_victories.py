"""How often "A beats B" is said where it is not true of texts of the kind, and how often where it is.

Many pools of texts are drawn from one population. On each a study is made as `StabilityStudy` makes it: random draws of
training and test texts, a ridge classifier on vectors in the place of an encoder, and the comparisons of the library.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from joblib import Parallel, delayed

from skbert.stability import adjusted_here, compare_pairs, correct_pvalues, make_draw

N_RUNS, N_VARIANTS, _WIDTH = (8, 20, 50), 6, 24


@dataclass(frozen=True)
class Population:
    """Where pools of texts come from.

    Attributes
    ----------
    name : str
    draw : callable
        (n_texts, numpy Generator) → vectors (n_variants, n_texts, width) and classes (n_texts,).
    """

    name: str
    draw: callable


def alike():
    """Six readings with vectors of their own and the same share of the class in them: none is better in truth."""
    return _simulated("simulated, all alike", np.full(N_VARIANTS, 0.34))


def graded():
    """Six readings of which each is better in truth than the one before."""
    return _simulated("simulated, graded", np.linspace(0.2, 0.48, N_VARIANTS))


def _simulated(name, signals):
    def draw(n_texts, rng):
        classes = rng.integers(0, 2, n_texts)
        # What readings have in common of a text, and what each sees by itself.
        shared = rng.normal(size=(1, n_texts, _WIDTH))
        own = rng.normal(size=(len(signals), n_texts, _WIDTH))
        vectors = (shared + own) / np.sqrt(2)
        vectors[:, :, :4] += signals[:, None, None] * (2 * classes - 1)[:, None]
        return vectors, classes

    return Population(name, draw)


def of_texts(name, texts, labels, n_most=3000):
    """Six random projections of what MiniLM gives for real texts, less their differences in truth."""
    from skbert import LayerPoolFeaturizer

    rng = np.random.default_rng(0)
    rows = rng.permutation(len(texts))[:n_most]
    states = LayerPoolFeaturizer("minilm").fit_transform([texts[i] for i in rows])
    classes = np.unique(np.asarray(labels)[rows], return_inverse=True)[1]
    projections = rng.normal(size=(N_VARIANTS, states.shape[1], _WIDTH)) / np.sqrt(states.shape[1])
    vectors = (states - states.mean(axis=0)) @ projections
    vectors /= vectors.std(axis=(1, 2), keepdims=True)

    def draw(n_texts, rng):
        chosen = rng.permutation(len(classes))[:n_texts]
        return vectors[:, chosen], classes[chosen]

    return Population(name, draw)


def accuracies(population, n_texts, train_share, pool):
    """Accuracy of each variant in each run on one pool.

    Parameters
    ----------
    population : Population
    n_texts : int
    train_share : float
        Of the texts that are not tested on.
    pool : int
        Number of the pool, its seed.

    Returns
    -------
    float array (n_variants, n_runs)
    """
    rng = np.random.default_rng([13, n_texts, pool])
    vectors, classes = population.draw(n_texts, rng)
    # A class of which the pool holds too few texts for both sides is left out, as a study would have to.
    kept = np.bincount(classes)[classes] >= 4
    vectors, classes = vectors[:, kept], np.unique(classes[kept], return_inverse=True)[1]
    n_test = round(0.25 * len(classes))
    scores = []
    for number in range(max(N_RUNS)):
        split = make_draw(np.arange(len(classes)), classes, n_test, np.random.default_rng([13, n_texts, pool, number]))
        train = split.train(round(train_share * len(split.order)))
        scores.append(_ridge_accuracies(vectors[:, train], classes[train], vectors[:, split.test], classes[split.test]))
    return np.array(scores).T


def _ridge_accuracies(train, classes, test, truth):
    """Accuracy of scikit-learn's ``RidgeClassifier()`` on the vectors of each variant."""
    targets = 2.0 * (classes[:, None] == np.arange(classes.max() + 1)) - 1
    middle = train.mean(axis=1, keepdims=True)
    centred = train - middle
    gram = centred.transpose(0, 2, 1) @ centred + np.eye(train.shape[2])
    weights = np.linalg.solve(gram, centred.transpose(0, 2, 1) @ (targets - targets.mean(axis=0)))
    votes = (test - middle) @ weights + targets.mean(axis=0)
    return (votes.argmax(axis=2) == truth).mean(axis=1)


def studies(population, n_texts, train_share, n_pools, jobs):
    """Scores of all runs on all pools, float array (n_pools, n_variants, n_runs)."""
    work = (delayed(accuracies)(population, n_texts, train_share, pool) for pool in range(n_pools))
    return np.array(Parallel(n_jobs=jobs)(work))


def judged(scores, n_runs, jobs, truth=None):
    """What is said of every pair of variants on every pool.

    Parameters
    ----------
    scores : float array (n_pools, n_variants, n_runs)
    n_runs : int
        How many of them the study has.
    jobs : int
    truth : float array (n_variants,), default=None
        Mean scores on texts of the kind. None takes the mean over all pools from each variant, so that none is better.

    Returns
    -------
    dict of str to array
        ``said``: bool (n_pools, 2, n_pairs), whether a variant is said to be better, by sign flips alone and by the
        library; ``wrong``: the same where the other one is; ``any``: bool (n_pools, 2), of any pair after adjusting;
        ``held``: bool (n_pools, 2, n_pairs), whether intervals hold the truth, that for these texts and that for new
        ones; ``true`` (n_pools, n_pairs).
    """
    if truth is None:
        scores, truth = scores - scores.mean(axis=(0, 2))[:, None], np.zeros(scores.shape[1])
    found = Parallel(n_jobs=jobs)(delayed(_judge)(pool[:, :n_runs], truth) for pool in scores)
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def _judge(scores, truth):
    pairs = list(combinations(range(len(scores)), 2))
    found = [
        compare_pairs(
            scores[a], scores[b], str(a), str(b), "a score", 1, test_share=1 / 3, rng=np.random.default_rng(0)
        )
        for a, b in pairs
    ]
    new, here = (np.array([getattr(each, name) for each in found]) for name in ("pvalue", "permutation_pvalue"))
    adjusted, joint = correct_pvalues(new, "holm"), adjusted_here(found, "max_t", np.random.default_rng(1))
    any_said = [each.winner(pvalue=p, pvalue_here=q) for each, p, q in zip(found, adjusted, joint, strict=True)]
    true = np.array([truth[a] - truth[b] for a, b in pairs])
    said = np.array([here < 0.05, [each.winner() is not None for each in found]])
    signs = np.sign([each.difference for each in found])
    return {
        "said": said,
        "wrong": said & (signs == -np.sign(true)),
        "any": np.array([(correct_pvalues(here, "holm") < 0.05).any(), any(any_said)]),
        "held": np.array(
            [
                [each.low_here <= t <= each.high_here for each, t in zip(found, true, strict=True)],
                [each.low <= t <= each.high for each, t in zip(found, true, strict=True)],
            ]
        ),
        "true": true,
    }
