"""The command `skbert senses`: the senses of words in a corpus, as text for people."""

from __future__ import annotations

from skbert.senses import Word2Sense, count_words, resolve_tokenizer


def describe(texts, words, n_topics, min_count, top, tokenizer, seed):
    """Learn senses and describe those of some words.

    Parameters
    ----------
    texts : list of str
        The corpus.
    words : list of str
        The words.
    n_topics, min_count, tokenizer
        As in `Word2Sense`.
    top : int
        Number of words that describe a sense.
    seed : int
        Seed of the model.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A word is too rare; this is checked before anything is learned.
    """
    tokenize = resolve_tokenizer(tokenizer)
    counts = count_words(texts, tokenize)
    for word in words:
        form = _form(word, counts, tokenize)
        if counts[form] < min_count:
            raise ValueError(
                f"{word!r} occurs {counts[form]} times, fewer than --min-count {min_count}. Give more texts, or a "
                "lower --min-count."
            )
    model = Word2Sense(n_topics, min_count=min_count, tokenizer=tokenizer, random_state=seed, verbose=1).fit(texts)
    size = f"{len(texts)} texts, {model.n_tokens_} tokens, {len(model.vocabulary_)} words in the vocabulary"
    return "\n".join([size, *(line for word in words for line in _lines(model, word, top))])


def _form(word, counts, tokenize):
    """The form in which a word is counted; Word2Sense finds it in the same way."""
    tokens = tokenize(word)
    return word if word in counts or len(tokens) != 1 else tokens[0]


def _lines(model, word, top):
    found = model.senses_of(word, top)
    yield f"\n{word}: {len(found)} of {model.n_senses_} senses"
    for sense, weight, words in found:
        yield f"  {weight:.2f}  sense {sense}: {', '.join(words)}"
