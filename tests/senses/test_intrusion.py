"""Intrusion: five words of a sense, and one that is not."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skbert import Word2Sense
from skbert.senses import intrusion_items


@pytest.fixture(scope="module")
def large():
    """Four topics of 40 words, so that a tenth of the vocabulary is 16 words."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"t{i % 4}w{k}" for k in rng.geometric(0.06, 15).clip(max=40)) for i in range(400)]
    return Word2Sense(n_topics=4, min_count=2, random_state=0).fit(texts)


def test_items__have_five_words_of_the_sense_and_one_intruder(large):
    items = intrusion_items(large, 40, random_state=0)
    assert len(items) == 40
    n_words = len(large.vocabulary_)
    ranks = np.argsort(np.argsort(-large.sense_distributions_, axis=1, kind="stable"), axis=1)
    for item in items:
        assert len(set(item.words)) == 6
        assert sorted(set(item.words) - {item.intruder}) == sorted(large.sense_words(item.sense, 5))
        place = ranks[:, large.vocabulary_[item.intruder]]
        assert place[item.sense] >= n_words / 2
        assert np.delete(place, item.sense).min() < 0.1 * n_words
    assert {item.sense for item in items[:4]} == {0, 1, 2, 3}
    # The place of the intruder tells nothing.
    assert len({item.words.index(item.intruder) for item in items}) == 6


def test_items__follow_the_seed(large):
    assert intrusion_items(large, 9, random_state=1) == intrusion_items(large, 9, random_state=1)
    assert intrusion_items(large, 9, random_state=1) != intrusion_items(large, 9, random_state=2)


def test_items__cannot_be_made_of_one_sense_or_few_words(model):
    one = Word2Sense(n_topics=1, min_count=1, random_state=0).fit(["a b c d e f g h i j k l"] * 3)
    with pytest.raises(ValueError, match="are there two senses"):
        intrusion_items(one)
    few = Word2Sense(n_topics=2, min_count=1, random_state=0).fit(["a b c", "d e f"])
    with pytest.raises(ValueError, match="at least 10 words, got 6"):
        intrusion_items(few)
    with pytest.raises(ValueError, match="n must be an int of at least 1"):
        intrusion_items(model, 0)
    with pytest.raises(NotFittedError):
        intrusion_items(Word2Sense())
