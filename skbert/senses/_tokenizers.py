"""Tokenizers: how a text becomes words."""

from __future__ import annotations

import re

from skbert._shared import fugashi

# Letters and digits, with apostrophes inside: "don't" is one word.
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def lowercase_words(text):
    """The words of a text in lower case: runs of letters and digits. The default."""
    return _WORD.findall(text.lower())


class MeCab:
    """Words of Japanese texts, in lower case, with a dictionary that is installed; spaces and signs are left out."""

    def __init__(self):
        self._tagger = _tagger()

    def __call__(self, text):
        return [token.surface.lower() for token in self._tagger(text) if _WORD.search(token.surface)]

    # The tagger is C++ and cannot be pickled; a copy makes its own.
    def __reduce__(self):
        return type(self), ()


def _tagger():
    package = fugashi()
    try:
        return package.Tagger()
    except RuntimeError:
        # Without unidic, the class above finds no dictionary; ipadic is the other one that skbert[ja] installs.
        import ipadic

        return package.GenericTagger(ipadic.MECAB_ARGS)


_BY_NAME = {"mecab": MeCab}


def resolve_tokenizer(tokenizer):
    """The function that gives the list of words of a text.

    Parameters
    ----------
    tokenizer : callable, "mecab" or None
        None is `lowercase_words`.

    Returns
    -------
    callable

    Raises
    ------
    ImportError
        "mecab" needs a package that is not installed.
    ValueError
        Another name, or another type.
    """
    if tokenizer is None:
        return lowercase_words
    if callable(tokenizer):
        return tokenizer
    if isinstance(tokenizer, str) and tokenizer in _BY_NAME:
        return _BY_NAME[tokenizer]()
    raise ValueError(
        f"tokenizer must be None, a callable that gives the words of a text, or 'mecab', got {tokenizer!r}"
    )


def checked(tokenize):
    """The same function, which raises TypeError if its result is not a list of words."""

    def words_of(text):
        words = tokenize(text)
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
            raise TypeError(f"tokenizer must return a list of str for a text, got {words!r:.80} for {text!r:.40}")
        return words

    return words_of
