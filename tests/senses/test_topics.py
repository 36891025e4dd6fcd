"""Topics: distributions that fit the counts, the same for the same seed."""

import sys

import numpy as np
import pytest
from scipy import sparse

from skbert.senses import _topics
from skbert.senses._counts import choose_vocabulary, context_counts, count_words
from skbert.senses._topics import fit_sklearn, fit_tomotopy, pair_log_likelihood
from tests.senses.conftest import TOPICS


@pytest.fixture(scope="module")
def counted(planted):
    vocabulary, _ = choose_vocabulary(count_words(planted, str.split), 1)
    counts = context_counts(planted, str.split, vocabulary, np.ones(len(vocabulary)), 5, np.random.default_rng(0))
    return counts, vocabulary


def check_planted(topics, vocabulary):
    np.testing.assert_allclose(topics.topic_words.sum(axis=1), 1)
    np.testing.assert_allclose(topics.word_topics.sum(axis=1), 1)
    assert (topics.topic_words > 0).all()
    mains = {letter: {int(topics.word_topics[vocabulary[w]].argmax()) for w in TOPICS[letter]} for letter in "abc"}
    assert sorted(map(len, mains.values())) == [1, 1, 1]
    assert len(set.union(*mains.values())) == 3
    shares = np.sort(topics.word_topics[vocabulary["bank"]])
    np.testing.assert_allclose(shares, [0, 0.5, 0.5], atol=0.1)


def test_sklearn__finds_planted_topics(counted):
    counts, vocabulary = counted
    topics = fit_sklearn(counts, 3, 0.1, 0.001, 100, seed=0)
    check_planted(topics, vocabulary)
    assert topics.converged
    assert len(topics.log_likelihoods) < 100


def test_sklearn__vocabulary_of_several_steps_finds_them_too(counted, monkeypatch):
    monkeypatch.setattr(_topics, "_BATCH", 10)
    counts, vocabulary = counted
    check_planted(fit_sklearn(counts, 3, 0.1, 0.001, 100, seed=1), vocabulary)


def test_sklearn__same_seed_same_topics_for_any_n_jobs(counted):
    counts, _ = counted
    one, two = (fit_sklearn(counts, 3, 0.1, 0.001, 5, seed=3, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.topic_words, two.topic_words)
    np.testing.assert_array_equal(one.word_topics, two.word_topics)
    other = fit_sklearn(counts, 3, 0.1, 0.001, 5, seed=4)
    assert not np.array_equal(one.topic_words, other.topic_words)


def test_sklearn__few_passes_have_not_converged(counted):
    assert not fit_sklearn(counted[0], 3, 0.1, 0.001, 1, seed=0).converged


def test_sklearn__word_without_contexts_has_the_same_share_of_all_topics(counted):
    counts = sparse.block_diag([counted[0], sparse.csr_matrix((1, 1), dtype=np.int64)], format="csr")
    topics = fit_sklearn(counts, 3, 0.1, 0.001, 5, seed=0)
    np.testing.assert_allclose(topics.word_topics[-1], 1 / 3)


def test_pair_log_likelihood__by_a_loop(counted):
    counts, _ = counted
    rng = np.random.default_rng(0)
    theta, phi = rng.dirichlet(np.ones(3), counts.shape[0]), rng.dirichlet(np.ones(counts.shape[0]), 3)
    pairs = counts.tocoo()
    total = sum(n * np.log(theta[i] @ phi[:, j]) for i, j, n in zip(pairs.row, pairs.col, pairs.data, strict=True))
    assert pair_log_likelihood(counts, theta, phi) == pytest.approx(total / counts.sum())


def test_tomotopy__finds_planted_topics(counted):
    pytest.importorskip("tomotopy")
    counts, vocabulary = counted
    one, two = (fit_tomotopy(counts, 3, 0.1, 0.001, 100, seed=0, n_jobs=n_jobs) for n_jobs in (1, 2))
    check_planted(one, vocabulary)
    np.testing.assert_array_equal(one.topic_words, two.topic_words)


def test_tomotopy_is_missing__says_how_to_get_it(monkeypatch, counted):
    monkeypatch.setitem(sys.modules, "tomotopy", None)
    with pytest.raises(ImportError, match="needs tomotopy: pip install tomotopy"):
        fit_tomotopy(counted[0], 3, 0.1, 0.001, 100, seed=0)
