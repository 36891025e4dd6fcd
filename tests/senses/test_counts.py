"""Context counts, against plain loops."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest

from skbert.senses import _counts
from skbert.senses._counts import (
    choose_vocabulary,
    context_counts,
    count_words,
    encode,
    keep_probabilities,
    pair_counts,
    thin_out,
)


def pairs_by_loop(token_lists, vocabulary, window):
    """How often two known words stand within the window, by two loops."""
    counts = Counter()
    for tokens in token_lists:
        known = [vocabulary[token] for token in tokens if token in vocabulary]
        for i, word in enumerate(known):
            for j in range(max(0, i - window), min(len(known), i + window + 1)):
                if i != j:
                    counts[word, known[j]] += 1
    return counts


def as_counter(matrix):
    entries = matrix.tocoo()
    return Counter({(int(i), int(j)): int(n) for i, j, n in zip(entries.row, entries.col, entries.data, strict=True)})


@pytest.fixture
def token_lists():
    rng = np.random.default_rng(0)
    return [[f"w{min(k, 9)}" for k in rng.geometric(0.25, size=rng.integers(0, 15))] for _ in range(60)]


@pytest.mark.parametrize("window", [1, 2, 5, 40])
def test_pair_counts__as_a_plain_loop(token_lists, window):
    vocabulary = {f"w{k}": k - 1 for k in range(1, 8)}
    codes, ends = encode(token_lists, vocabulary)
    counts = pair_counts(codes, ends, len(vocabulary), window)
    assert as_counter(counts) == pairs_by_loop(token_lists, vocabulary, window)
    assert (counts != counts.T).nnz == 0


def test_pair_counts__vocabulary_whose_pairs_need_64_bits():
    n_words = 50_000
    codes = np.array([49_999, 3, 49_999, -1, 49_998], dtype=np.int32)
    counts = pair_counts(codes, np.array([5]), n_words, 2)
    expected = {(49_999, 3): 2, (3, 49_999): 2, (49_999, 49_999): 2, (49_999, 49_998): 1, (49_998, 49_999): 1}
    assert as_counter(counts) == {**expected, (3, 49_998): 1, (49_998, 3): 1}


@pytest.mark.parametrize("at_once", [1, 50, 10_000])
def test_context_counts__the_same_in_any_portions(token_lists, at_once, monkeypatch):
    monkeypatch.setattr(_counts, "_TOKENS_AT_ONCE", at_once)
    vocabulary = {f"w{k}": k - 1 for k in range(1, 8)}
    texts = [" ".join(tokens) for tokens in token_lists]
    counts = context_counts(texts, str.split, vocabulary, np.ones(7), 3, np.random.default_rng(0))
    assert as_counter(counts) == pairs_by_loop(token_lists, vocabulary, 3)


def test_thinning__does_not_depend_on_the_portions(monkeypatch, token_lists):
    vocabulary = {f"w{k}": k - 1 for k in range(1, 8)}
    texts, found = [" ".join(tokens) for tokens in token_lists], []
    for at_once in (1, 100_000):
        monkeypatch.setattr(_counts, "_TOKENS_AT_ONCE", at_once)
        found.append(context_counts(texts, str.split, vocabulary, np.full(7, 0.5), 3, np.random.default_rng(1)))
    assert as_counter(found[0]) == as_counter(found[1])


def test_context_counts__memory_does_not_grow_with_the_number_of_tokens(monkeypatch):
    monkeypatch.setattr(_counts, "_TOKENS_AT_ONCE", 2_000)
    vocabulary = {f"w{k}": k for k in range(20)}
    text = " ".join(vocabulary)

    def peak(n):
        texts = [text] * n  # the same object, so the list itself is small
        tracemalloc.start()
        context_counts(texts, str.split, vocabulary, np.ones(20), 5, np.random.default_rng(0))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(10)  # what is loaded only once
    assert peak(4_000) < 1.5 * peak(400)


def test_vocabulary__from_frequent_to_rare_and_then_by_name():
    counts = count_words(["b a a", "c b a", "d"], str.split)
    vocabulary, frequencies = choose_vocabulary(counts, 1)
    assert vocabulary == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert list(vocabulary) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(frequencies, [3, 2, 1, 1])
    assert choose_vocabulary(counts, 2)[0] == {"a": 0, "b": 1}


def test_keep_probabilities__by_the_formula_and_never_under_the_median():
    frequencies = np.array([5000, 900, 30, 20, 10])
    share = frequencies / 10_000
    np.testing.assert_allclose(keep_probabilities(frequencies, 10_000, 0.01), np.minimum(1, np.sqrt(0.01 / share)))
    # The median word has the share 0.003.
    np.testing.assert_allclose(keep_probabilities(frequencies, 10_000, 1e-6), np.minimum(1, np.sqrt(0.003 / share)))
    for everything in (None, 0, 0.0):
        np.testing.assert_array_equal(keep_probabilities(frequencies, 10_000, everything), 1)


def test_thin_out__keeps_the_asked_share_of_each_word():
    codes = np.repeat(np.array([0, 1, -1], dtype=np.int32), 20_000)
    kept = thin_out(codes, np.array([0.25, 1.0]), np.random.default_rng(0))
    assert abs((kept == 0).sum() / 20_000 - 0.25) < 0.02
    assert (kept == 1).sum() == 20_000
    assert set(kept[40_000:]) == {-1}
