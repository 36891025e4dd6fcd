"""The text set that comes with the package."""

from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from skbert.datasets import load_helpdesk


@pytest.mark.parametrize(("lang", "least"), [("en", 480), ("ja", 240)])
def test_helpdesk__has_six_balanced_intents_and_no_text_twice(lang, least):
    bunch = load_helpdesk(lang)
    assert len(bunch.data) == len(bunch.target) >= least
    counts = Counter(bunch.target)
    assert sorted(counts) == bunch.target_names
    assert len(counts) == 6
    assert len(set(counts.values())) == 1
    folded = {"".join(text.lower().split()) for text in bunch.data}
    assert len(folded) == len(bunch.data)
    assert all(isinstance(text, str) and text == text.strip() and text for text in bunch.data)
    assert "CC0" in bunch.DESCR
    X, y = load_helpdesk(lang, return_X_y=True)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def test_helpdesk__english_lengths_and_openings_are_varied():
    X, y = load_helpdesk(return_X_y=True)
    words = np.array([len(text.split()) for text in X])
    assert words.min() == 2
    assert 50 <= words.max() <= 60
    # No templates: hardly any two messages of an intent begin alike.
    for intent in set(y):
        openings = Counter(tuple(text.lower().split()[:3]) for text in X[y == intent])
        assert max(openings.values()) <= 3


def test_helpdesk__japanese_is_japanese():
    X, _ = load_helpdesk("ja", return_X_y=True)
    kana = [any("\u3040" <= letter <= "\u30ff" for letter in text) for text in X]
    assert np.mean(kana) > 0.95


def test_helpdesk__eight_examples_a_class_do_not_solve_it():
    X, y = load_helpdesk(return_X_y=True)
    split = StratifiedShuffleSplit(5, train_size=48, test_size=200, random_state=0)
    null = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    assert 1 / 6 < cross_val_score(null, X, y, cv=split).mean() < 0.5


def test_helpdesk__unknown_language_is_refused():
    with pytest.raises(ValueError, match="'fr'"):
        load_helpdesk("fr")
