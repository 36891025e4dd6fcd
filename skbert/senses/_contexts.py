"""Contexts of a word: where it stands in a text, and the bag of words around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from skbert._shared import check_not_empty, is_int
from skbert.senses._embedding import unit_sums

# Frequent words count less: a word of share p has weight a / (a + p). The value is that of the authors' code.
_FREQUENT = 0.0012
_FORMS = "(text, start, end) or (left, word, right)"


@dataclass(frozen=True)
class Context:
    """The word in question, as it is written, and the texts to its left and right."""

    left: str
    word: str
    right: str


def read_contexts(contexts, word=None):
    """Check contexts and bring them to one form.

    Parameters
    ----------
    contexts : list of (text, start, end) or (left, word, right)
        `start` and `end` are positions of characters in `text`; `end` is excluded.
    word : str, default=None
        If given, an entry can also be a text that contains it; the first place counts.

    Returns
    -------
    list of Context

    Raises
    ------
    ValueError
        A target is outside its text, a context has no text around the word, or a text does not contain `word`.
    TypeError
        An entry has another form.
    """
    if isinstance(contexts, str):
        raise TypeError(f"contexts must be a list of {_FORMS}, got one string.")
    contexts = list(contexts)
    check_not_empty(len(contexts), "Word2Sense")
    found = [_read(entry, row, word) for row, entry in enumerate(contexts)]
    for row, context in enumerate(found):
        if not context.left.strip() and not context.right.strip():
            raise ValueError(
                f"The context in row {row} is empty: there is no text beside the word {context.word!r}. Without a "
                "context, transform([word]) gives the vector of the word."
            )
    return found


def _read(entry, row, word):
    if isinstance(entry, str) and word is not None:
        start = entry.lower().find(word.lower())
        if start < 0:
            raise ValueError(f"The text in row {row} does not contain {word!r}: {entry!r:.80}")
        return Context(entry[:start], entry[start : start + len(word)], entry[start + len(word) :])
    if isinstance(entry, (tuple, list)) and len(entry) == 3 and isinstance(entry[0], str):
        text, start, end = entry
        if isinstance(start, str) and isinstance(end, str):
            if not start.strip():
                raise ValueError(f"The word of the context in row {row} is empty.")
            return Context(*entry)
        if is_int(start) and is_int(end):
            if not 0 <= start < end <= len(text):
                raise ValueError(
                    f"The target in row {row} is outside its text: start={start}, end={end}, but the text has "
                    f"{len(text)} characters; 0 <= start < end <= {len(text)} must hold."
                )
            return Context(text[:start], text[start:end], text[end:])
    raise TypeError(f"Row {row} of contexts must be {_FORMS}, got {entry!r:.80}")


def bags_of_words(contexts, tokenize, vocabulary, word_probability):
    """The words around each target, as distributions.

    Parameters
    ----------
    contexts : list of Context
        Contexts.
    tokenize : callable
        Gives the words of a text.
    vocabulary : dict of str to int
        Index of each word.
    word_probability : float array (n_words,)
        Share of each word in the corpus.

    Returns
    -------
    CSR matrix (n, n_words)
        Number of occurrences times a / (a + p), divided by the sum of the row. A row without a known word is empty.
    """
    counts = count_known([tokenize(c.left) + tokenize(c.right) for c in contexts], vocabulary)
    weights = _FREQUENT / (_FREQUENT + word_probability)
    counts.data = counts.data * weights[counts.indices]
    return unit_sums(counts)


def count_known(token_lists, vocabulary):
    """How often each word occurs in each list; CSR matrix of float64 (n, n_words), indices sorted."""
    indices = [[vocabulary[token] for token in tokens if token in vocabulary] for tokens in token_lists]
    ends = np.cumsum([0] + [len(row) for row in indices])
    flat = np.array([index for row in indices for index in row], dtype=np.int64)
    counts = sparse.csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(indices), len(vocabulary)))
    counts.sum_duplicates()
    return counts
