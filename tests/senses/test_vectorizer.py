"""SenseVectorizer: senses of texts, alone and beside other features."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline

from skbert import LayerPoolFeaturizer, SenseVectorizer, Word2Sense


@pytest.fixture(scope="module")
def letters(planted):
    return np.array([next(c for c in "abc" if c in text.replace("bank", "")) for text in planted])


def test_transform__is_the_mean_of_the_vectors_of_the_words(planted):
    vectorizer = SenseVectorizer(n_topics=3, random_state=0).fit(planted)
    model = vectorizer.word2sense_
    found = vectorizer.transform(["a1 bank A1 unknown", "nothing is known", "", "c2"])
    assert isinstance(found, sparse.csr_matrix)
    vectors = model.transform(["a1", "bank", "a1"]).toarray()
    np.testing.assert_allclose(found[0].toarray()[0], vectors.mean(axis=0))
    np.testing.assert_array_equal(found[[1, 2]].toarray(), 0)
    np.testing.assert_allclose(found[3].toarray(), model.transform(["c2"]).toarray())


def test_parameters__are_those_of_word2sense(planted):
    expected = Word2Sense(n_topics=4, n_senses=3, window=3, random_state=1).fit(planted)
    found = SenseVectorizer(n_topics=4, n_senses=3, window=3, random_state=1).fit(planted).word2sense_
    assert found.get_params() == expected.get_params()
    assert (found.embedding_ != expected.embedding_).nnz == 0
    vectorizer, alone = SenseVectorizer().get_params(), Word2Sense().get_params()
    assert {name: vectorizer[name] for name in alone} == alone


def test_feature_names__have_the_top_words_and_are_distinct(planted):
    vectorizer = SenseVectorizer(n_topics=3, random_state=0).fit(planted)
    names = vectorizer.get_feature_names_out()
    for k, name in enumerate(names):
        assert name == f"sense{k}: {' '.join(vectorizer.word2sense_.sense_words(k, 3))}"
    assert len(set(names)) == 3


def test_pipeline_beside_tfidf_and_an_encoder__learns_and_can_be_explained(planted, letters, tiny):
    union = FeatureUnion(
        [
            ("senses", SenseVectorizer(n_topics=3, min_count=5, random_state=0)),
            ("words", TfidfVectorizer()),
            ("bert", LayerPoolFeaturizer(tiny(), device="cpu")),
        ]
    )
    texts, y = planted[:60], letters[:60]
    pipeline = make_pipeline(union, LogisticRegression()).fit(texts, y)
    assert pipeline.score(planted[60:90], letters[60:90]) == 1
    names = pipeline[:-1].get_feature_names_out()
    assert len(names) == pipeline[-1].coef_.shape[1]
    assert sum(name.startswith("senses__sense") for name in names) == 3


def test_linear_model_over_senses__has_the_right_words(planted, letters):
    pipeline = make_pipeline(SenseVectorizer(n_topics=3, random_state=0), LogisticRegression()).fit(planted, letters)
    names = pipeline[0].get_feature_names_out()
    for letter, weights in zip(pipeline[-1].classes_, pipeline[-1].coef_, strict=True):
        _, *words = names[weights.argmax()].split()
        assert all(word[0] == letter or word == "bank" for word in words)


def test_cross_validation_and_search(planted, letters):
    pipeline = make_pipeline(SenseVectorizer(min_count=3, random_state=0), LogisticRegression())
    search = GridSearchCV(pipeline, {"sensevectorizer__n_topics": [1, 3]}, cv=2).fit(planted[:90], letters[:90])
    assert search.best_params_ == {"sensevectorizer__n_topics": 3}
    assert cross_val_score(search.best_estimator_, planted[:90], letters[:90], cv=2).mean() > 0.9


def test_frozen_model__stays_and_a_free_one_is_fitted_anew(model, planted):
    frozen = SenseVectorizer(word2sense=FrozenEstimator(model))
    assert clone(frozen).fit(["any text"]).word2sense_ is model
    np.testing.assert_allclose(frozen.fit_transform(["bank"]).toarray(), model.transform(["bank"]).toarray())
    free = SenseVectorizer(word2sense=model).fit(planted[:150])
    assert free.word2sense_ is not model
    assert free.word2sense_.n_tokens_ == 150 * 12


def test_copies__pickle(planted):
    vectorizer = SenseVectorizer(n_topics=3, random_state=0).fit(planted)
    copy = pickle.loads(pickle.dumps(vectorizer))
    np.testing.assert_array_equal(copy.transform(planted[:5]).toarray(), vectorizer.transform(planted[:5]).toarray())


def test_containers__give_the_same(planted):
    vectorizer = SenseVectorizer(n_topics=3, random_state=0).fit(pd.Series(planted))
    expected = SenseVectorizer(n_topics=3, random_state=0).fit(planted).transform(planted[:4]).toarray()
    for container in (np.array(planted[:4]), pd.DataFrame({"text": planted[:4]}), tuple(planted[:4])):
        np.testing.assert_array_equal(vectorizer.transform(container).toarray(), expected)


def test_wrong_input__is_refused(model):
    with pytest.raises(NotFittedError):
        SenseVectorizer().transform(["a"])
    with pytest.raises(ValueError, match="one column of texts, got pairs"):
        SenseVectorizer().fit([("a", "b")])
    with pytest.raises(ValueError, match="No word occurs"):
        SenseVectorizer().fit(["a b c"])
    with pytest.raises(TypeError, match="word2sense must be a Word2Sense"):
        SenseVectorizer(word2sense=FrozenEstimator(TfidfVectorizer().fit(["some text"]))).fit(["a"])
