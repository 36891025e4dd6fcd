"""Words: which tokens of a text belong together."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from skbert._shared import warn
from skbert.text._tokens import encode

# Hiragana and katakana: a text with one of them is Japanese, which has no blanks between words.
_KANA = re.compile(r"[\u3041-\u309f\u30a1-\u30ff]")
# What MeCab divides: kana, Chinese characters and their marks of repetition.
_JAPANESE = re.compile(r"[\u3005\u3041-\u309f\u30a1-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_DICTIONARIES = ("unidic_lite", "ipadic")


def word_numbers(texts, tokenizer, max_length):
    """For each token of each text, the number of its word.

    Words are those of the tokenizer, which separates punctuation too. Japanese words are those of MeCab, because
    Japanese has no blanks.

    Parameters
    ----------
    texts : TextInput
        Texts, or pairs of texts.
    tokenizer : transformers tokenizer
        The tokenizer of the encoder.
    max_length : int
        Maximum number of tokens of a row, as in `tokenize`.

    Returns
    -------
    list of int64 arrays, each (n_tokens,)
        Aligned with the result of `tokenize`. The numbers of a text ascend; special tokens around texts have -1.
    """
    rows = texts.rows()
    distinct = list(dict.fromkeys(rows))
    number = _of_fast if tokenizer.is_fast else _of_slow
    found = dict(zip(distinct, number(distinct, tokenizer, max_length), strict=True))
    return [found[row] for row in rows]


def _of_fast(rows, tokenizer, max_length):
    encoded = encode(rows, tokenizer, max_length)
    for row, encoding in zip(rows, encoded.encodings, strict=True):
        parts = row if isinstance(row, tuple) else (row,)
        mecab = [_mecab_starts(part) if is_japanese(part) else None for part in parts]
        keys = []
        for word, sequence, (start, end) in zip(
            encoding.word_ids, encoding.sequence_ids, encoding.offsets, strict=True
        ):
            key = None if sequence is None else (sequence, 0, word)
            if key is not None and mecab[sequence] is not None and _JAPANESE.search(parts[sequence][start:end]):
                # By the last character, because some tokens begin with the blank before them.
                key = (sequence, 1, int(np.searchsorted(mecab[sequence], max(start, end - 1), side="right")))
            keys.append(key)
        yield _numbers(keys)


def _of_slow(rows, tokenizer, max_length):
    begins, ends = ({tokenizer.cls_token_id, tokenizer.bos_token_id}, {tokenizer.sep_token_id, tokenizer.eos_token_id})
    for row, ids in zip(rows, encode(rows, tokenizer, max_length)["input_ids"], strict=True):
        parts = row if isinstance(row, tuple) else (row,)
        words = [iter(_words_of_pieces(part, tokenizer)) for part in parts]
        keys, side = [], 0
        for i in ids:
            is_special = i in begins or i in ends
            # A text that contains a separator may have more pieces than words were found for.
            keys.append(None if is_special else (side, next(words[side], None)))
            if i in ends:
                side = len(parts) - 1
        yield _numbers(keys)


def _numbers(keys):
    """Numbers in ascending order for keys of which equal ones are neighbours; -1 for None."""
    numbers, last, previous = np.full(len(keys), -1, dtype=np.int64), -1, None
    for i, key in enumerate(keys):
        if key is not None:
            last += key != previous
            numbers[i] = last
        previous = key
    return numbers


def _words_of_pieces(text, tokenizer):
    """The number of the word of each piece of a text, for a tokenizer that is written in Python."""
    pieces = tokenizer.tokenize(text)
    divide = getattr(getattr(tokenizer, "word_tokenizer", None), "tokenize", None)
    if divide is not None and getattr(tokenizer, "do_subword_tokenize", False):
        words = divide(text, never_split=tokenizer.all_special_tokens)
        sizes = [len(tokenizer.subword_tokenizer.tokenize(word)) for word in words]
        if sum(sizes) == len(pieces):
            return np.repeat(np.arange(len(words)), sizes).tolist()
    if any(piece.startswith("▁") for piece in pieces):
        begins = [piece.startswith("▁") for piece in pieces]
    else:
        begins = [not piece.startswith("##") for piece in pieces]
    return np.cumsum(begins).tolist()


def _mecab_starts(text):
    """Where the words of a Japanese text begin, by MeCab; None if MeCab is not installed."""
    if mecab_dictionary() is None:
        warn(
            "Words of Japanese texts are found by MeCab, which is not installed; words are those of the tokenizer, "
            "which may take a whole sentence for a word. Install it: pip install 'skbert[ja]'"
        )
        return None
    starts, end = [], 0
    for word in _mecab(normalize=False).tokenize(text):
        start = text.find(word, end)
        if start >= 0:
            starts.append(start)
            end = start + len(word)
    return np.array(starts)


def is_japanese(text):
    """Whether a text has kana."""
    return _KANA.search(text) is not None


def japanese_words(text):
    """The words of a text by MeCab, after Unicode normalisation (NFKC).

    Raises
    ------
    ImportError
        MeCab is not installed.
    """
    if mecab_dictionary() is None:
        raise ImportError("Japanese texts are divided by MeCab, which is not installed: pip install 'skbert[ja]'")
    return _mecab(normalize=True).tokenize(text)


@cache
def mecab_dictionary():
    """Name of an installed dictionary of MeCab, as transformers calls it; None if MeCab or all of them are missing."""
    from transformers.models.bert_japanese.tokenization_bert_japanese import MecabTokenizer

    for dictionary in _DICTIONARIES:
        try:
            MecabTokenizer(mecab_dic=dictionary)
        except ImportError:
            continue
        return dictionary
    return None


@cache
def _mecab(normalize):
    from transformers.models.bert_japanese.tokenization_bert_japanese import MecabTokenizer

    return MecabTokenizer(normalize_text=normalize, mecab_dic=mecab_dictionary())
