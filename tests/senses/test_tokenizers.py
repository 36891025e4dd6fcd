"""Tokenizers, by what they make of texts."""

import pickle
import sys

import pytest

from skbert.senses._tokenizers import checked, lowercase_words, resolve_tokenizer


def test_default__words_in_lower_case():
    text = "Don't PANIC: 42 cafés, (so) well-known!"
    assert lowercase_words(text) == ["don't", "panic", "42", "cafés", "so", "well", "known"]
    assert resolve_tokenizer(None) is lowercase_words
    assert resolve_tokenizer(str.split) is str.split


def test_mecab__words_of_japanese_and_no_signs():
    tokenize = resolve_tokenizer("mecab")
    assert tokenize("銀行の口座、ATMです。") == ["銀行", "の", "口座", "atm", "です"]
    assert pickle.loads(pickle.dumps(tokenize))("銀行の口座") == ["銀行", "の", "口座"]


def test_mecab_is_missing__says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "fugashi", None)
    with pytest.raises(ImportError, match=r"needs fugashi: pip install 'skbert\[ja\]'"):
        resolve_tokenizer("mecab")


@pytest.mark.parametrize("wrong", ["sudachi", 3, ["a"]])
def test_unknown_tokenizer__is_named(wrong):
    with pytest.raises(ValueError, match="tokenizer must be None, a callable"):
        resolve_tokenizer(wrong)


@pytest.mark.parametrize("wrong", [lambda text: text, lambda text: [1], lambda text: None])
def test_tokenizer_that_gives_no_words__is_a_type_error(wrong):
    with pytest.raises(TypeError, match="must return a list of str"):
        checked(wrong)("a text")
