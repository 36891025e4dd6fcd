"""Counts of words that stand near each other, in one pass over the texts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import sparse

# Tokens that are in memory at once: about 100 MB of pairs with a window of five words.
_TOKENS_AT_ONCE = 500_000
# Frequent words whose pairs are counted in a table, of 8 MB.
_N_TOP = 1024
_NO_WORD = -1


@dataclass(frozen=True)
class Contexts:
    """Context counts of a corpus.

    Attributes
    ----------
    counts : CSR matrix of int64 (n_words, n_words)
        Row w, column c: how often word c stands near word w.
    vocabulary : dict of str to int
        Row of each word.
    word_counts : int64 array (n_words,)
        How often each word occurs.
    n_tokens : int
        Number of tokens, with those that are not in the vocabulary.
    """

    counts: sparse.csr_matrix
    vocabulary: dict[str, int]
    word_counts: np.ndarray
    n_tokens: int


def count_contexts(texts, tokenize, *, window=5, min_count=20, subsample=1e-4, seed=0):
    """Count the contexts of all frequent words; the texts are read twice.

    Parameters
    ----------
    texts : list of str
        The corpus.
    tokenize : callable
        Gives the list of tokens of a text.
    window, min_count, subsample
        As in `Word2Sense`.
    seed : int, default=0
        Decides which occurrences of frequent words are used.

    Returns
    -------
    Contexts

    Raises
    ------
    ValueError
        No word is frequent enough, or no two words stand together.
    """
    occurrences = count_words(texts, tokenize)
    vocabulary, word_counts = choose_vocabulary(occurrences, min_count)
    _check_vocabulary(vocabulary, occurrences, min_count)
    n_tokens = sum(occurrences.values())
    kept = keep_probabilities(word_counts, n_tokens, subsample)
    counts = context_counts(texts, tokenize, vocabulary, kept, window, np.random.default_rng(seed))
    if not counts.nnz:
        raise ValueError(
            f"No two of the {len(vocabulary)} words that occur at least min_count={min_count} times are in the "
            "same text, so there are no contexts to learn from. Give longer texts, or lower min_count."
        )
    return Contexts(counts, vocabulary, word_counts, n_tokens)


def _check_vocabulary(vocabulary, occurrences, min_count):
    if vocabulary:
        return
    if not occurrences:
        raise ValueError("The texts contain no words.")
    word, count = occurrences.most_common(1)[0]
    raise ValueError(
        f"No word occurs at least min_count={min_count} times; the most frequent one, {word!r:.40}, occurs {count} "
        "times. Give more texts, or lower min_count. For a language without spaces between words, set tokenizer."
    )


def count_words(texts, tokenize):
    """How often each token occurs; a Counter. The order of its keys is that of their first occurrence."""
    counts = Counter()
    for text in texts:
        counts.update(tokenize(text))
    return counts


def choose_vocabulary(counts, min_count):
    """The words that occur at least `min_count` times, from the most frequent to the rarest.

    Parameters
    ----------
    counts : Counter
        How often each token occurs.
    min_count : int
        Rarer words are left out.

    Returns
    -------
    vocabulary : dict of str to int
        Index of each word; words with the same count are in alphabetical order.
    frequencies : int64 array (n_words,)
        How often each word occurs.
    """
    kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    vocabulary = {word: index for index, (_, word) in enumerate(kept)}
    return vocabulary, np.array([-count for count, _ in kept], dtype=np.int64)


def keep_probabilities(frequencies, n_tokens, subsample):
    """Probability with which an occurrence of each word is used (Mikolov et al. 2013): sqrt(threshold / share).

    The threshold is `subsample`, or the share of the median word if this is larger. So at least half of the words are
    always kept whole; otherwise a small corpus, in which every word has a large share, would lose nearly all its pairs.

    Parameters
    ----------
    frequencies : int array (n_words,)
        How often each word occurs.
    n_tokens : int
        Number of tokens of the corpus, including those that are not in the vocabulary.
    subsample : float or None
        Share of all tokens above which a word is thinned out. None or 0 keeps all occurrences.

    Returns
    -------
    float array (n_words,)
    """
    share = frequencies / n_tokens
    if not subsample:
        return np.ones(len(share))
    return np.minimum(1.0, np.sqrt(max(subsample, np.median(share)) / share))


def encode(token_lists, vocabulary):
    """Indices of the tokens of several texts in one array, and where each text ends.

    Parameters
    ----------
    token_lists : list of lists of str
        Tokens of each text.
    vocabulary : dict of str to int
        Index of each word.

    Returns
    -------
    codes : int32 array (n_tokens,)
        Index of each token; -1 for a token that is not in the vocabulary.
    ends : int64 array (n_texts,)
        Position after the last token of each text.
    """
    ends = np.cumsum([len(tokens) for tokens in token_lists], dtype=np.int64)
    find = vocabulary.get
    codes = np.fromiter(
        (find(token, _NO_WORD) for token in chain.from_iterable(token_lists)), dtype=np.int32, count=int(ends[-1])
    )
    return codes, ends


def pair_counts(codes, ends, n_words, window):
    """How often two words stand at most `window` words apart in the same text.

    Tokens without an index (-1) are taken out first, as in word2vec, so that a window always has words to count. On a
    small corpus this gives twice as many pairs as windows that count the places of such tokens.

    Parameters
    ----------
    codes : int32 array (n_tokens,)
        Index of each token, or -1.
    ends : int64 array (n_texts,)
        Position after the last token of each text.
    n_words : int
        Size of the vocabulary.
    window : int
        The largest distance, on either side.

    Returns
    -------
    CSR matrix of int64 (n_words, n_words)
        Symmetric. A word that stands near itself counts from both sides, as two different words do.
    """
    upper = _upper_pair_counts(codes, ends, n_words, window)
    return (upper + upper.T).tocsr()


def _upper_pair_counts(codes, ends, n_words, window):
    """As `pair_counts`, with each unordered pair once: row at most column."""
    kept = np.flatnonzero(codes >= 0)
    # A pair is one number, and numbers of half the size are counted faster.
    words = codes[kept].astype(np.int32 if n_words**2 < 2**31 else np.int64)
    texts = np.searchsorted(ends, kept, side="right")
    n_top, size = min(n_words, _N_TOP), words.dtype.type
    top, keys = np.zeros(n_top**2, dtype=np.int64), []
    for distance in range(1, window + 1):
        together = texts[distance:] == texts[:-distance]
        first = np.minimum(words[distance:], words[:-distance])
        second = np.maximum(words[distance:], words[:-distance])
        # Most pairs are of frequent words, which a small table counts without sorting.
        are_top = second < n_top
        top += np.bincount((first * size(n_top) + second)[are_top & together], minlength=n_top**2)
        keys.append((first * size(n_words) + second)[together & ~are_top])
    table = sparse.csr_matrix(top.reshape(n_top, n_top))
    table.resize((n_words, n_words))
    return table + _counted(np.sort(np.concatenate(keys)), n_words)


def _counted(keys, n_words):
    """Matrix of the counts of equal keys, which are sorted; a key is row * n_words + column."""
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.array([], dtype=np.int64)
    counts, keys = np.diff(starts, append=len(keys)), keys[starts].astype(np.int64)
    first_keys = np.arange(n_words + 1, dtype=np.int64) * n_words
    rows = np.searchsorted(keys, first_keys)
    columns = keys - np.repeat(first_keys[:-1], np.diff(rows))
    return sparse.csr_matrix((counts, columns, rows), shape=(n_words, n_words))


def context_counts(texts, tokenize, vocabulary, probabilities, window, rng):
    """Count contexts in one pass. The memory grows with the number of distinct pairs, not with the number of tokens.

    Parameters
    ----------
    texts : iterable of str
        The corpus.
    tokenize : callable
        Gives the list of tokens of a text.
    vocabulary : dict of str to int
        Index of each word.
    probabilities : float array (n_words,)
        Probability with which an occurrence of each word is used.
    window : int
        The largest distance, on either side.
    rng : numpy Generator
        Decides which occurrences are used.

    Returns
    -------
    CSR matrix of int64 (n_words, n_words)
        Row w, column c: how often word c stands near word w.
    """
    n_words = len(vocabulary)
    upper = sparse.csr_matrix((n_words, n_words), dtype=np.int64)
    for token_lists in _portions(map(tokenize, texts)):
        codes, ends = encode(token_lists, vocabulary)
        upper = upper + _upper_pair_counts(thin_out(codes, probabilities, rng), ends, n_words, window)
    total = (upper + upper.T).tocsr()
    total.sort_indices()
    return total


def thin_out(codes, probabilities, rng):
    """Codes in which occurrences that are not used are -1."""
    if (probabilities >= 1).all():
        return codes
    # The last probability is that of code -1, which stays what it is.
    kept = rng.random(len(codes)) < np.append(probabilities, 0.0)[codes]
    return np.where(kept, codes, np.int32(_NO_WORD))


def _portions(token_lists):
    """Lists of token lists, each with about `_TOKENS_AT_ONCE` tokens."""
    portion, size = [], 0
    for tokens in token_lists:
        portion.append(tokens)
        size += len(tokens)
        if size >= _TOKENS_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
