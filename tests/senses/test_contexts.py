"""Contexts: where a target stands, and the bag of words around it."""

import numpy as np
import pytest

from skbert.senses._contexts import Context, bags_of_words, count_known, read_contexts


def test_both_forms__are_the_same_context():
    expected = [Context("the river ", "bank", " is wet")]
    assert read_contexts([("the river bank is wet", 10, 14)]) == expected
    assert read_contexts([("the river ", "bank", " is wet")]) == expected
    assert read_contexts(["the river bank is wet"], "bank") == expected
    assert read_contexts([["The Bank pays", np.int64(4), np.int64(8)]]) == [Context("The ", "Bank", " pays")]
    assert read_contexts(["The Bank pays"], "bank") == [Context("The ", "Bank", " pays")]


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (3, 3), (5, 4), (10, 99), (99, 103)])
def test_target_outside_its_text__names_row_and_length(start, end):
    with pytest.raises(ValueError, match=r"row 1 is outside its text: start=.* has 14 characters"):
        read_contexts([("the bank", 4, 8), ("the river bank", start, end)])


@pytest.mark.parametrize("empty", [("", "bank", " "), ("bank", 0, 4)])
def test_empty_context__is_refused(empty):
    with pytest.raises(ValueError, match=r"row 1 is empty: there is no text beside the word 'bank'"):
        read_contexts([("the bank", 4, 8), empty])


def test_word_that_is_not_in_the_text__is_refused():
    with pytest.raises(ValueError, match="row 1 does not contain 'bank'"):
        read_contexts(["the bank", "the river"], "bank")
    with pytest.raises(ValueError, match="row 0 is empty"):
        read_contexts([("left", " ", "right")])


@pytest.mark.parametrize(
    "wrong", ["the bank", [3], [("a", "b")], [("the bank", 4.0, 8)], [("a", 1, "b")], ["the bank"]]
)
def test_other_forms__are_a_type_error(wrong):
    with pytest.raises(TypeError, match=r"\(text, start, end\) or \(left, word, right\)"):
        read_contexts(wrong)


def test_no_contexts__are_refused():
    with pytest.raises(ValueError, match="0 sample"):
        read_contexts([])


def test_bags__by_the_formula():
    vocabulary, share = {"river": 0, "the": 1, "fish": 2}, np.array([0.001, 0.1, 0.002])
    contexts = [Context("the river the", "bank", "fish unknown"), Context("unknown", "bank", "")]
    bags = bags_of_words(contexts, str.split, vocabulary, share).toarray()
    weights = np.array([1, 2, 1]) * 0.0012 / (0.0012 + share)
    np.testing.assert_allclose(bags, [weights / weights.sum(), [0, 0, 0]])


def test_count_known__counts_repeats():
    counts = count_known(iter([["b", "a", "b", "x"], [], ["x"]]), {"a": 0, "b": 1})
    np.testing.assert_array_equal(counts.toarray(), [[1, 2], [0, 0], [0, 0]])
