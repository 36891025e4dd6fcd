"""tokenize and collate, held against the tokenizer called directly."""

import re
import warnings
from collections import Counter

import numpy as np
import pytest
from transformers import AutoTokenizer

from skbert import text as skbert_text
from skbert.text import _tokens, check_texts

SINGLES = ["where is my parcel", "refund", "", "xyzzy ☃ broken", "the app code does not work", "refund"]
PAIRS = [("where is my parcel", "it came"), ("", "refund"), ("login", ""), ("why", "the app"), ("login", "")]


def tokenize(texts, tokenizer, max_length):
    """Tokenise and warn, as every method of an estimator does."""
    tokens = skbert_text.tokenize(texts, tokenizer, max_length)
    skbert_text.warn_of_cuts(tokens.n_cut, len(tokens), max_length)
    return tokens


class Counting:
    """A tokenizer that notes every text, or pair, that it is given."""

    def __init__(self, tokenizer, **overrides):
        self._tokenizer = tokenizer
        self._overrides = overrides
        self.seen = Counter()

    def __call__(self, text, text_pair=None, **kwargs):
        self.seen.update(text if text_pair is None else zip(text, text_pair, strict=True))
        return self._tokenizer(text, text_pair, **kwargs)

    def __getattr__(self, name):
        return self._overrides[name] if name in self._overrides else getattr(self._tokenizer, name)


@pytest.fixture(params=["bert", "roberta"])
def tokenizer(tiny, request):
    """With segment ids, and without."""
    return AutoTokenizer.from_pretrained(tiny(request.param))


def no_warning(*args):
    """`tokenize`, where any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tokenize(*args)


def listed(arrays):
    return [array.tolist() for array in arrays]


def test_tokenize__singles__ids_of_the_tokenizer(tokenizer):
    tokens = no_warning(check_texts(SINGLES), tokenizer, 64)
    direct = tokenizer(SINGLES, padding=False)
    assert listed(tokens.input_ids) == direct["input_ids"]
    assert {ids.dtype for ids in tokens.input_ids} == {np.dtype(np.int64)}
    assert tokens.pad_token_id == tokenizer.pad_token_id
    assert tokens.lengths.tolist() == [len(ids) for ids in direct["input_ids"]]
    assert len(tokens) == len(SINGLES)


def test_tokenize__pairs__ids_and_segments_of_the_tokenizer(tokenizer):
    tokens = no_warning(check_texts(PAIRS), tokenizer, 64)
    direct = tokenizer(*(list(column) for column in zip(*PAIRS, strict=True)), padding=False)
    assert listed(tokens.input_ids) == direct["input_ids"]
    if "token_type_ids" in tokenizer.model_input_names:
        assert listed(tokens.token_type_ids) == direct["token_type_ids"]
        assert tokens.token_type_ids[0].tolist() == [0] * 6 + [1] * 3
    else:
        assert tokens.token_type_ids is None


def test_tokenize__empty_string__special_tokens_alone(tokenizer):
    tokens = no_warning(check_texts([""]), tokenizer, 64)
    assert listed(tokens.input_ids) == [[tokenizer.cls_token_id, tokenizer.sep_token_id]]


@pytest.mark.parametrize("X", [SINGLES * 3, PAIRS * 3], ids=["singles", "pairs"])
def test_tokenize__repeated_texts__each_distinct_one_is_tokenised_once(tokenizer, X):
    counting = Counting(tokenizer)
    tokens = no_warning(check_texts(X), counting, 64)
    assert counting.seen == dict.fromkeys(X, 1)
    assert len(tokens) == len(X)


def test_tokenize__repeated_texts__rows_share_one_array(tokenizer):
    tokens = no_warning(check_texts(["refund", "login", "refund"]), tokenizer, 64)
    assert tokens.input_ids[0] is tokens.input_ids[2]
    assert tokens.input_ids[0] is not tokens.input_ids[1]


def test_tokenize__pair_and_its_reverse__are_two_texts(tokenizer):
    counting = Counting(tokenizer)
    tokens = no_warning(check_texts([("the", "app"), ("app", "the")]), counting, 64)
    assert counting.seen == {("the", "app"): 1, ("app", "the"): 1}
    assert tokens.input_ids[0].tolist() != tokens.input_ids[1].tolist()


def test_tokenize__no_pad_token__pads_with_zero(tokenizer):
    assert no_warning(check_texts(["refund"]), Counting(tokenizer, pad_token_id=None), 64).pad_token_id == 0


# ------------------------------------------------------------------ cutting


def cut(texts, tokenizer, max_length):
    """`tokenize`, and the one warning that it must give."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tokens = tokenize(check_texts(texts), tokenizer, max_length)
    assert len(caught) == 1, [str(warning.message) for warning in caught]
    assert issubclass(caught[0].category, UserWarning)
    return tokens, str(caught[0].message)


def test_tokenize__long_singles__cut_as_the_tokenizer_does_with_one_warning(tokenizer):
    texts = ["the app code does not work", "refund", "my red green blue lamp", "it is"]
    tokens, message = cut(texts, tokenizer, 5)
    direct = tokenizer(texts, padding=False, truncation=True, max_length=5)
    assert listed(tokens.input_ids) == direct["input_ids"]
    assert tokens.lengths.tolist() == [5, 3, 5, 4]
    assert all(ids[-1] == tokenizer.sep_token_id for ids in tokens.input_ids)
    assert re.search(r"\b2 of 4 texts\b.*\bmax_length=5\b", message)
    if tokens.token_type_ids is not None:
        assert [len(types) for types in tokens.token_type_ids] == tokens.lengths.tolist()


def test_tokenize__long_text_repeated__warning_counts_rows_not_distinct_texts(tokenizer):
    tokens, message = cut(["my red green blue lamp"] * 3 + ["it", "the app code does not work"], tokenizer, 5)
    assert "4 of 5 texts" in message
    assert tokens.lengths.tolist() == [5, 5, 5, 3, 5]


def test_tokenize__exactly_as_long_as_allowed__not_cut(tokenizer):
    text = "my red green blue lamp"
    tokens = no_warning(check_texts([text]), tokenizer, 7)
    assert tokens.input_ids[0].tolist() == tokenizer(text)["input_ids"]
    assert len(tokens.input_ids[0]) == 7
    assert cut([text], tokenizer, 6)[0].lengths.tolist() == [6]


@pytest.mark.parametrize("max_length", [5, 6, 7, 8, 9, 10])
def test_tokenize__long_pairs__cut_as_the_tokenizer_does(tokenizer, max_length):
    first = ["my red green blue lamp is broken", "refund", "one two three one two three"]
    second = ["it", "the app code does not work when", "red green blue red green blue"]
    tokens, message = cut(list(zip(first, second, strict=True)), tokenizer, max_length)
    direct = tokenizer(first, second, padding=False, truncation="longest_first", max_length=max_length)
    assert listed(tokens.input_ids) == direct["input_ids"]
    assert max(tokens.lengths) == max_length
    if tokens.token_type_ids is not None:
        assert listed(tokens.token_type_ids) == direct["token_type_ids"]
    n_long = sum(len(ids) > max_length for ids in tokenizer(first, second)["input_ids"])
    assert f"{n_long} of 3 texts" in message


def test_tokenize__long_pair__the_longer_text_is_cut_and_the_shorter_stays_whole(tokenizer):
    word = {text: tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in ("my", "red", "app", "one")}
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    left, _ = cut([("my red " * 5, "app one")], tokenizer, 7)
    assert left.input_ids[0].tolist() == [cls, word["my"], word["red"], sep, word["app"], word["one"], sep]
    right, _ = cut([("app one", "my red " * 5)], tokenizer, 7)
    assert right.input_ids[0].tolist() == [cls, word["app"], word["one"], sep, word["my"], word["red"], sep]


def test_tokenize__stored_padding_and_truncation__do_not_leak(tokenizer):
    texts = ["refund", "the app code does not work", "it is"]
    plain = tokenizer(texts, padding=False, truncation=False)["input_ids"]
    tokenizer.backend_tokenizer.enable_padding(length=40, pad_id=tokenizer.pad_token_id)
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    tokens = no_warning(check_texts(texts), tokenizer, 64)
    assert listed(tokens.input_ids) == plain


def test_tokenize__padding_and_truncation_in_tokenizer_json__do_not_leak(tokenizer, tmp_path):
    texts = ["refund", "the app code does not work", "it is"]
    plain = tokenizer(texts, padding=False, truncation=False)["input_ids"]
    tokenizer.backend_tokenizer.enable_padding(length=40, pad_id=tokenizer.pad_token_id)
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    tokenizer.save_pretrained(tmp_path)
    # save_pretrained may tidy up; what counts is what a file from elsewhere holds.
    tokenizer.backend_tokenizer.enable_padding(length=40, pad_id=tokenizer.pad_token_id)
    tokenizer.backend_tokenizer.enable_truncation(max_length=4)
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    stored = AutoTokenizer.from_pretrained(tmp_path)
    assert stored.backend_tokenizer.padding is not None
    assert stored.backend_tokenizer.truncation is not None
    assert listed(no_warning(check_texts(texts), stored, 64).input_ids) == plain
    # The state that one cut leaves in the tokenizer must not reach the next call either.
    assert cut(texts, stored, 5)[0].lengths.tolist() == [3, 5, 4]
    assert listed(no_warning(check_texts(texts), stored, 64).input_ids) == plain


def test_tokenize__texts_of_a_recent_call__are_not_tokenised_again(tokenizer):
    counting = Counting(tokenizer)
    first = tokenize(check_texts(["my parcel", "my lamp"]), counting, 64)
    second = tokenize(check_texts(["my lamp", "my bill"]), counting, 64)
    assert counting.seen == {"my parcel": 1, "my lamp": 1, "my bill": 1}
    np.testing.assert_array_equal(second.input_ids[0], first.input_ids[1])
    np.testing.assert_array_equal(second.input_ids[1], tokenizer("my bill")["input_ids"])


def test_tokenize__a_text_cut_before__is_whole_where_there_is_room(tokenizer):
    text = "my parcel my lamp my bill my code my plan"
    cut = tokenize(check_texts([text]), tokenizer, 5)
    whole = tokenize(check_texts([text]), tokenizer, 64)
    assert len(cut.input_ids[0]) == 5
    assert cut.n_cut == 1
    assert whole.n_cut == 0
    np.testing.assert_array_equal(whole.input_ids[0], tokenizer(text)["input_ids"])


def test_tokenize__more_texts_than_are_kept__are_right_all_the_same(tokenizer, monkeypatch):
    monkeypatch.setattr(_tokens, "_MOST_RECENT", 3)
    for start in (0, 2, 1, 0):
        X = [f"number {i}" for i in range(start, start + 2 + start)]
        for text, ids in zip(X, tokenize(check_texts(X), tokenizer, 64).input_ids, strict=True):
            np.testing.assert_array_equal(ids, tokenizer(text)["input_ids"])


def test_tokenize__a_very_long_text__is_not_kept(tokenizer):
    counting = Counting(tokenizer)
    long = "my parcel " * 400
    for _ in range(2):
        skbert_text.tokenize(check_texts([long, "my lamp"]), counting, 8)
    assert counting.seen["my lamp"] == 1
    assert counting.seen[long] == 4  # each time once whole, and once to cut it
