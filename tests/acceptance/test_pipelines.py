"""What a user does, on the real MiniLM weights and the package's own texts."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from transformers import AutoModel, AutoTokenizer

from skbert import MaxPoolBERTClassifier, recipes
from skbert.datasets import load_helpdesk
from skbert.encoder import load_encoder, make_runner, minilm_folder
from skbert.text import check_texts, collate, tokenize


@pytest.fixture(scope="module")
def helpdesk():
    """72 texts of three intents to learn from, 90 others to judge by."""
    X, y = load_helpdesk(return_X_y=True)
    chosen = np.isin(y, ["billing", "order_status", "technical_issue"])
    X, y = X[chosen], y[chosen]
    return X[:72], y[:72], X[72:162], y[72:162]


@pytest.fixture(scope="module")
def quick_minilm():
    return {"model": "minilm", "max_epochs": 4, "learning_rate": 3e-4, "random_state": 0}


def test_hidden_states__of_minilm_equal_those_of_transformers(minilm, helpdesk):
    folder = minilm_folder()
    texts = list(helpdesk[0][:24])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, padding=True, truncation=False, return_tensors="pt")
    loaded = load_encoder(minilm)
    tokens = tokenize(check_texts(texts), loaded.tokenizer, 512)
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder)(**inputs, output_hidden_states=True).hidden_states
        states, layout = make_runner(loaded.model).hidden_states(collate(tokens, range(24)), range(7))
    keep = inputs["attention_mask"].bool()
    for state, reference in zip(states, expected, strict=True):
        assert (layout.pad(state)[keep] - reference[keep]).abs().max() < 1e-5


def test_classifier__on_minilm_learns_from_few_texts(quick_minilm, helpdesk):
    X, y, X_test, y_test = helpdesk
    clf = MaxPoolBERTClassifier(**quick_minilm).fit(X, y)
    assert clf.training_status_ == "converged"
    # Three classes alike: 0.33 is chance.
    assert clf.score(X_test, y_test) > 0.6


# How good a classifier of one epoch is does not matter here.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pipeline__with_a_step_that_cleans_texts(quick_minilm, helpdesk):
    X, y, X_test, _ = helpdesk
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    clf = MaxPoolBERTClassifier(**{**quick_minilm, "max_epochs": 1})
    pipeline = Pipeline([("lower", lower), ("clf", clf)]).fit(list(X[:24]), y[:24])
    plain, shouting = list(X_test[:30]), [text.upper() for text in X_test[:30]]
    np.testing.assert_array_equal(pipeline.predict_proba(plain), pipeline.predict_proba(shouting))
    assert len(np.unique(pipeline.predict_proba(plain), axis=0)) > 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pipeline__takes_a_text_column_of_a_data_frame(quick_minilm, helpdesk):
    X, y, X_test, _ = helpdesk
    frame = pd.DataFrame({"channel": "mail", "message": X[:24]})
    select = ColumnTransformer([("message", "passthrough", ["message"])])
    clf = MaxPoolBERTClassifier(**{**quick_minilm, "max_epochs": 1})
    pipeline = make_pipeline(select, clf).fit(frame, y[:24])
    direct = clone(clf).fit(X[:24], y[:24])
    test = pd.DataFrame({"channel": "mail", "message": X_test[:30]})
    np.testing.assert_array_equal(pipeline.predict_proba(test), direct.predict_proba(X_test[:30]))


def test_pipeline__pooled_vectors_feed_another_classifier(quick_minilm, helpdesk):
    X, y, X_test, y_test = helpdesk
    pipeline = make_pipeline(MaxPoolBERTClassifier(**quick_minilm), LogisticRegression(max_iter=1000)).fit(X, y)
    assert pipeline.score(X_test, y_test) > 0.6


# One epoch is too short for some points, and they say so.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search__over_the_pooling_plane(quick_minilm, helpdesk):
    X, y, _, _ = helpdesk
    grid = {"layers": [1, 3], "layer_pooling": ["max", "mean"], "token_pooling": ["cls", "mha"]}
    clf = MaxPoolBERTClassifier(**{**quick_minilm, "max_epochs": 1})
    search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X[:24], y[:24])
    results = pd.DataFrame(search.cv_results_)
    assert len(results) == 8
    assert np.isfinite(results["mean_test_score"]).all()
    # One layer has nothing to pool, so max and mean are one and the same model.
    for token_pooling in ("cls", "mha"):
        alike = results[(results["param_layers"] == 1) & (results["param_token_pooling"] == token_pooling)]
        assert alike["split0_test_score"].nunique() == alike["split1_test_score"].nunique() == 1
    assert set(search.predict(X[24:30])) <= set(y)


def test_cross_val_score__is_the_same_again_and_as_by_hand(quick_minilm, helpdesk):
    X, y, _, _ = helpdesk
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    clf = MaxPoolBERTClassifier(**{**quick_minilm, "max_epochs": 2})
    scores = cross_val_score(clf, X, y, cv=folds)
    train, test = list(folds.split(X, y))[2]
    by_hand = MaxPoolBERTClassifier(**{**quick_minilm, "max_epochs": 2}).fit(X[train], y[train])
    assert scores[2] == by_hand.score(X[test], y[test])
    assert scores.mean() > 0.5


# One epoch is too short for some recipes, and they say so.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search__over_recipes(helpdesk):
    X, y, _, _ = helpdesk
    quick = {"max_epochs": [1], "learning_rate": [2e-4], "reinit_layers": [0]}
    grid = [
        {**{key: [value] for key, value in recipes.get(name, n_layers=6).items()}, **quick} for name in recipes.names()
    ]
    clf = MaxPoolBERTClassifier("minilm", layers=1, token_pooling="cls", random_state=0)
    search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X[:24], y[:24])
    assert len(search.cv_results_["params"]) == len(recipes.names())
    # What wins the search is what that recipe alone gives: nothing of another one is left in it.
    alone = MaxPoolBERTClassifier("minilm", layers=1, token_pooling="cls", random_state=0, **search.best_params_)
    expected = alone.fit(X[:24], y[:24]).decision_function(X[24:40])
    np.testing.assert_array_equal(search.decision_function(X[24:40]), expected)
