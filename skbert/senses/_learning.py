"""From texts to senses: the steps of a fit, in their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from skbert._shared import check_choice, check_int, check_real, check_verbose, derive_seeds, is_int
from skbert.senses._counts import Contexts, count_contexts
from skbert.senses._embedding import (
    backward_topics,
    keep_largest,
    members,
    merge_topics,
    sense_distributions,
    sense_ratios,
    topic_shares,
    unit_sums,
    word_shares,
)
from skbert.senses._tokenizers import checked, resolve_tokenizer
from skbert.senses._topics import BACKENDS, Topics

# A sense that says nothing about a word has the ratio 2: 1 forward and 1 backward. Half of it leaves room for words
# that are in all senses alike.
_FLOOR = 1.0


@dataclass(frozen=True)
class Senses:
    """What is learned from texts; `Word2Sense` says what each of it is."""

    contexts: Contexts
    topics: Topics
    topic_shares: np.ndarray
    topic_senses: np.ndarray
    sense_distributions: np.ndarray
    embedding: sparse.csr_matrix
    topic_weights: sparse.csr_matrix


def check_parameters(model):
    """Raise ValueError or TypeError if a constructor parameter of `model` is out of its range."""
    for name in ("n_topics", "window", "min_count", "max_iter"):
        check_int(name, getattr(model, name), 1)
    for name in ("n_senses", "n_nonzero"):
        value = getattr(model, name)
        if value is not None and check_int(name, value, 1) > model.n_topics:
            raise ValueError(f"{name}={value} is more than n_topics={model.n_topics}.")
    if model.subsample is not None:
        check_real("subsample", model.subsample, 0, 1)
    for name in ("doc_topic_prior", "topic_word_prior"):
        check_real(name, getattr(model, name), 0, open_low=True)
    if model.n_jobs is not None and (not is_int(model.n_jobs) or model.n_jobs == 0):
        raise ValueError(f"n_jobs must be None or an int other than 0, got {model.n_jobs!r}")
    check_choice("backend", model.backend, tuple(BACKENDS))
    check_verbose(model.verbose)


def learn_senses(texts, model):
    """Learn senses from texts, with the checked parameters of `model`, a `Word2Sense`.

    Parameters
    ----------
    texts : list of str
        The corpus.
    model : Word2Sense
        Has the parameters.

    Returns
    -------
    Senses

    Raises
    ------
    ValueError
        No word is frequent enough, or no two words stand together.
    """
    seeds = derive_seeds(model.random_state)
    tokenize = checked(resolve_tokenizer(model.tokenizer))
    contexts = count_contexts(
        texts,
        tokenize,
        window=model.window,
        min_count=model.min_count,
        subsample=model.subsample,
        seed=seeds.order,
    )
    topics = BACKENDS[model.backend](
        contexts.counts,
        model.n_topics,
        model.doc_topic_prior,
        model.topic_word_prior,
        model.max_iter,
        seeds.init,
        model.n_jobs,
        model.verbose,
    )
    return _embed(contexts, topics, model.n_senses, model.n_nonzero)


def _embed(contexts, topics, n_senses, n_nonzero):
    """The vectors of all words."""
    n_topics = len(topics.topic_words)
    shares = word_shares(contexts.counts)
    topic_share = topic_shares(topics.word_topics, shares)
    both = topics.word_topics + backward_topics(topics.topic_words, topic_share, shares)
    senses = merge_topics(topics.topic_words, n_topics if n_senses is None else n_senses)
    ratios = sense_ratios(both, topic_share, senses)
    n_kept = nonzero_senses(ratios.shape[1], n_topics, n_nonzero)
    embedding = keep_largest(ratios, n_kept, _FLOOR if n_nonzero is None else 0.0)
    return Senses(
        contexts,
        topics,
        topic_share,
        senses,
        sense_distributions(topics.topic_words, topic_share, senses),
        embedding,
        topic_weights(both, embedding, senses),
    )


def nonzero_senses(n_senses, n_topics, n_nonzero=None):
    """How many senses a word can have: the share of topics that `n_nonzero` is of all, and at least one.

    None is a tenth of the topics, but up to ten in any case.
    """
    n_nonzero = min(n_topics, max(10, n_topics // 10)) if n_nonzero is None else n_nonzero
    return max(1, n_senses * n_nonzero // n_topics)


def topic_weights(both, embedding, senses):
    """The embedding by topic: the weight of a sense is shared by its topics as θ + b is.

    Parameters
    ----------
    both : float array (n_words, n_topics)
        θ + b.
    embedding : CSR matrix (n_words, n_senses)
        Vectors of the words.
    senses : int array (n_topics,)
        Sense of each topic.

    Returns
    -------
    CSR matrix (n_words, n_topics)
        Rows sum to 1. If each topic is a sense, it is the embedding.
    """
    belongs = members(senses)
    weights = (embedding @ sparse.csr_matrix(belongs.T)).tocsr()
    weights.sort_indices()
    places = np.repeat(np.arange(len(both)), np.diff(weights.indptr)), weights.indices
    weights.data = weights.data * both[places] / (both @ belongs)[places[0], senses[places[1]]]
    return unit_sums(weights)
