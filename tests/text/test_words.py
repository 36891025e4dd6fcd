"""Which tokens are one word, for tokenizers of several kinds."""

import numpy as np
import pytest

from skbert.encoder import load_encoder
from skbert.text import _words, check_texts, tokenize, word_numbers
from tests.encoder.test_loading import write_japanese


def words(texts, tokenizer, max_length=64):
    """The pieces of each text with the numbers of their words."""
    texts = check_texts(texts)
    ids = tokenize(texts, tokenizer, max_length).input_ids
    numbers = word_numbers(texts, tokenizer, max_length)
    return [
        list(zip(tokenizer.convert_ids_to_tokens(row), found.tolist(), strict=True))
        for row, found in zip(ids, numbers, strict=True)
    ]


def test_word_numbers__english__are_those_of_the_tokenizer(minilm):
    (found,) = words(["tokenization, world-wide"], load_encoder(minilm).tokenizer)
    assert found == [
        *[("[CLS]", -1), ("token", 0), ("##ization", 0), (",", 1), ("world", 2), ("-", 3), ("wide", 4), ("[SEP]", -1)]
    ]


def test_word_numbers__pair__go_on_in_the_second_text(minilm):
    (found,) = words([("tokenization", "tokenization tokenization")], load_encoder(minilm).tokenizer)
    assert [number for _, number in found] == [-1, 0, 0, -1, 1, 1, 2, 2, -1]


def test_word_numbers__cut_text__belong_to_what_is_left(minilm):
    texts, tokenizer = check_texts(["tokenization of tokenization", "a"]), load_encoder(minilm).tokenizer
    found, whole = word_numbers(texts, tokenizer, 6), word_numbers(texts, tokenizer, 64)
    assert found[0].tolist() == [-1, 0, 0, 1, 2, -1]
    assert np.array_equal(found[1], whole[1])


@pytest.fixture(scope="module")
def japanese(tmp_path_factory):
    place = tmp_path_factory.mktemp("japanese_words")
    return {subwords: write_japanese(place / subwords, subwords) for subwords in ("wordpiece", "character")}


def test_word_numbers__japanese_characters__are_the_words_of_mecab(japanese):
    tokenizer = load_encoder(japanese["character"]).tokenizer
    (found,) = words(["荷物が届きません"], tokenizer)
    pieces = tokenizer.word_tokenizer.tokenize("荷物が届きません")
    assert pieces == ["荷物", "が", "届き", "ませ", "ん"]
    expected = [number for number, word in enumerate(pieces) for _ in word]
    assert [number for _, number in found] == [-1, *expected, -1]


def test_word_numbers__japanese_pair__go_on_in_the_second_text(japanese):
    (found,) = words([("荷物が", "届きません")], load_encoder(japanese["character"]).tokenizer)
    assert [number for _, number in found] == [-1, 0, 0, 1, -1, 2, 2, 3, 3, 4, -1]


def test_word_numbers__japanese_in_a_fast_tokenizer__are_the_words_of_mecab(minilm):
    # This vocabulary writes か for が; the word is found by its place in the text.
    (found,) = words(["荷物が届きません。my tokenization"], load_encoder(minilm).tokenizer)
    assert [number for _, number in found] == [-1, 0, 0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 7, -1]


def test_word_numbers__without_mecab__say_so(minilm, monkeypatch):
    monkeypatch.setattr(_words, "mecab_dictionary", lambda: None)
    with pytest.warns(UserWarning, match=r"skbert\[ja\]"):
        words(["荷物が届きません"], load_encoder(minilm).tokenizer)


class Slow:
    """A tokenizer written in Python that marks pieces in its own way."""

    is_fast, all_special_tokens = False, []
    cls_token_id, sep_token_id, bos_token_id, eos_token_id = 0, 1, None, None

    def __init__(self, pieces):
        self.pieces = pieces

    def tokenize(self, text):
        return self.pieces

    def __call__(self, texts, second, **kwargs):
        return {"input_ids": [[0, *range(2, len(self.pieces) + 2), 1] for _ in texts]}


@pytest.mark.parametrize(
    ("pieces", "expected"), [(["a", "##b", "c"], [0, 0, 1]), (["▁a", "b", "▁c"], [0, 0, 1]), (["a", "b"], [0, 1])]
)
def test_word_numbers__tokenizer_in_python__by_the_marks_of_its_pieces(pieces, expected):
    (found,) = word_numbers(check_texts(["x"]), Slow(pieces), 64)
    assert found[1:-1].tolist() == [number + found[1] for number in expected]
