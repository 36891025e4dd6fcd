"""Topics of a matrix of context counts: each word is a document that contains its context words.

Two methods find them: variational inference (scikit-learn, Hoffman et al. 2010), and Gibbs sampling (tomotopy), which
is the authors' method with another sampler. The two have different optima, so the topics differ too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import LatentDirichletAllocation
from tqdm import tqdm

from skbert._shared import tomotopy

# Words of a step. On 8 MB, 256 reached a higher likelihood of held-out pairs than 128 and 512 in about the same time.
_BATCH = 256
# Updates of the topics of one word in one step of the learning, and how small the last one has to be. With 100 updates
# and a limit of 0.001 a pass took over twice as long, and the likelihood of held-out pairs was not higher.
_UPDATES, _UPDATE_LIMIT = 20, 0.1
# The same when the topics are learned and each word gets its share of them.
_LAST_UPDATES, _LAST_UPDATE_LIMIT = 100, 0.01
# Learning stops if the log-likelihood of a pair rises by less than this in two passes (nats).
_LEAST_RISE = 5e-3
_LEAST_PASSES = 5
# Learning a small vocabulary is quick, but can end in a poor optimum: the best of several starts is taken. With so many
# starts for a vocabulary of one step, and fewer for a larger one.
_STARTS = 8
# Words whose pairs tell the log-likelihood after a pass.
_SAMPLE = 512
# Sweeps of the sampler between two looks at the likelihood.
_SWEEPS = 10


@dataclass(frozen=True)
class Topics:
    """Topics, and the share that each of them has in the contexts of each word.

    Attributes
    ----------
    topic_words : float array (n_topics, n_words)
        Distribution over words of each topic.
    word_topics : float array (n_words, n_topics)
        Distribution over topics of each word.
    log_likelihoods : list of float
        Mean log-likelihood of a pair after each pass over the counts (for a sample of the words), in nats.
    n_iter : int
        Number of passes, or of sweeps of the sampler.
    converged : bool
        Whether the last pass changed little; a sampler does not converge, and always says True.
    """

    topic_words: np.ndarray
    word_topics: np.ndarray
    log_likelihoods: list[float]
    n_iter: int
    converged: bool


def pair_log_likelihood(counts, word_topics, topic_words):
    """Mean of ln Σ_k θ_w(k) φ_k(c) over pairs (w, c), in nats.

    Parameters
    ----------
    counts : CSR matrix (n, n_words)
        Rows of context counts.
    word_topics : float array (n, n_topics)
        Distribution over topics of these rows.
    topic_words : float array (n_topics, n_words)
        Distribution over words of each topic.

    Returns
    -------
    float
    """
    total = 0.0
    for row in range(counts.shape[0]):
        inside = slice(counts.indptr[row], counts.indptr[row + 1])
        total += counts.data[inside] @ np.log(word_topics[row] @ topic_words[:, counts.indices[inside]])
    return float(total / counts.sum())


def fit_sklearn(counts, n_topics, doc_topic_prior, topic_word_prior, max_iter, seed, n_jobs=None, verbose=0):
    """Learn topics with the online variational inference of scikit-learn.

    Parameters
    ----------
    counts : CSR matrix (n_words, n_words)
        Context counts.
    n_topics : int
        Number of topics.
    doc_topic_prior, topic_word_prior : float
        α, which the topics of a word share equally, and β, which each word of a topic gets.
    max_iter : int
        Maximum number of passes.
    seed : int
        Seed of the first topics and of the order of the words.
    n_jobs : int or None, default=None
        Processes for the topics of the words at the end. Learning uses one: its sums would depend on the number.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Topics
    """
    # Half the numbers are read: 32 bits are enough for what is learned from counts.
    counts = counts.astype(np.float32)
    n_starts = min(_STARTS, max(1, _STARTS * _BATCH // counts.shape[0]))
    seeds = np.random.SeedSequence(seed).spawn(n_starts)
    runs = (_learn(counts, n_topics, doc_topic_prior, topic_word_prior, max_iter, s, verbose) for s in seeds)
    lda, likelihoods, converged = max(runs, key=lambda run: run[1][-1])
    lda.set_params(max_doc_update_iter=_LAST_UPDATES, mean_change_tol=_LAST_UPDATE_LIMIT, n_jobs=n_jobs)
    topic_words, word_topics = _rows_to_one(lda.components_), _rows_to_one(lda.transform(counts))
    return Topics(topic_words, word_topics, likelihoods, len(likelihoods), converged)


def _learn(counts, n_topics, doc_topic_prior, topic_word_prior, max_iter, seed, verbose):
    """One run of scikit-learn: the model, its log-likelihoods, and whether they settled."""
    rng, n_words = np.random.default_rng(seed), counts.shape[0]
    lda = LatentDirichletAllocation(
        n_topics,
        doc_topic_prior=doc_topic_prior / n_topics,
        topic_word_prior=topic_word_prior,
        # All words in one step: each step replaces the topics, instead of moving them. Otherwise the first steps are
        # large: with 0.7 and 10, scikit-learn's own, the likelihood of held-out pairs was lower after as many passes.
        learning_decay=0.0 if n_words <= _BATCH else 0.6,
        learning_offset=1.0,
        total_samples=n_words,
        batch_size=_BATCH,
        max_doc_update_iter=_UPDATES,
        mean_change_tol=_UPDATE_LIMIT,
        random_state=np.random.RandomState(rng.integers(2**32)),
    )
    sample = counts[np.sort(rng.permutation(n_words)[:_SAMPLE])]
    likelihoods, settled = [], False
    for _ in tqdm(range(max_iter), desc="topics", disable=not verbose):
        lda.partial_fit(counts[rng.permutation(n_words)])
        likelihoods.append(
            pair_log_likelihood(sample, _rows_to_one(lda.transform(sample)), _rows_to_one(lda.components_))
        )
        settled = _has_settled(likelihoods)
        if settled:
            break
    return lda, likelihoods, settled


def fit_tomotopy(counts, n_topics, doc_topic_prior, topic_word_prior, max_iter, seed, n_jobs=None, verbose=0):
    """Learn topics with the collapsed Gibbs sampler of tomotopy; parameters and result as in `fit_sklearn`.

    One worker is used, whatever `n_jobs` is, because with several workers equal seeds give different topics. `max_iter`
    is the number of sweeps.
    """
    module = tomotopy()
    model = module.LDAModel(k=n_topics, alpha=doc_topic_prior / n_topics, eta=topic_word_prior, seed=seed % 2**32)
    # A document without words is not accepted.
    rows = np.flatnonzero(np.diff(counts.indptr))
    for row in rows:
        inside = slice(counts.indptr[row], counts.indptr[row + 1])
        model.add_doc(np.repeat(counts.indices[inside], counts.data[inside]).astype(str).tolist())
    # The priors stay what they were asked to be.
    model.optim_interval = 0
    likelihoods = []
    with tqdm(total=max_iter, desc="topics", disable=not verbose) as bar:
        for done in range(0, max_iter, _SWEEPS):
            sweeps = min(_SWEEPS, max_iter - done)
            model.train(sweeps, workers=1)
            likelihoods.append(float(model.ll_per_word))
            bar.update(sweeps)
    topic_words, word_topics = _of_sampler(model, counts.shape, rows, doc_topic_prior, topic_word_prior)
    return Topics(topic_words, word_topics, likelihoods, max_iter, True)


def _of_sampler(model, shape, rows, doc_topic_prior, topic_word_prior):
    """The two matrices of a tomotopy model, in the order of our words."""
    n_topics = model.k
    # tomotopy numbers the words by itself.
    columns = np.array([int(word) for word in model.used_vocabs])
    topic_words = np.full((n_topics, shape[1]), 0.0)
    for topic in range(n_topics):
        topic_words[topic, columns] = model.get_topic_word_dist(topic, normalize=False)
    # The counts with the prior, also for words that never occurred.
    missing = np.setdiff1d(np.arange(shape[1]), columns)
    topic_words[:, missing] = topic_word_prior
    word_topics = np.full((shape[0], n_topics), doc_topic_prior / n_topics)
    word_topics[rows] = [doc.get_topic_dist() for doc in model.docs]
    return _rows_to_one(topic_words), _rows_to_one(word_topics)


def _has_settled(likelihoods):
    # Over two passes, because a single one can also lower it.
    return len(likelihoods) >= _LEAST_PASSES and likelihoods[-1] - likelihoods[-3] < _LEAST_RISE


def _rows_to_one(matrix):
    matrix = matrix.astype(np.float64)
    return matrix / matrix.sum(axis=1, keepdims=True)


BACKENDS = {"sklearn": fit_sklearn, "tomotopy": fit_tomotopy}
