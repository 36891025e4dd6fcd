"""A classifier with contrastive steps and a logistic head, inside everything that takes a classifier."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import SelfTrainingClassifier

from skbert import MaxPoolBERTClassifier, SkipLayerProbe, StabilityStudy

PHASES = {
    "layers": 1,
    "token_pooling": "mean",
    "contrastive_steps": 8,
    "contrastive_learning_rate": 2e-3,
    "contrastive_batch_size": 12,
    "head_init": "logistic",
    "max_epochs": 0,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture
def classifier(tiny):
    return MaxPoolBERTClassifier(tiny(), **PHASES)


def test_grid_search__compares_phases(classifier, texts, labels):
    grid = {"contrastive_steps": [0, 8], "contrastive_loss": ["cosine", "supcon"]}
    search = GridSearchCV(classifier, grid, cv=2, error_score="raise").fit(texts, labels)
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert (search.predict(texts) == labels).mean() > 0.5


def test_probe__skips_layers_of_the_model_that_the_phases_made(classifier, texts, labels):
    probe = SkipLayerProbe(classifier, cv=2, n_permutations=9, random_state=0).fit(texts, labels)
    np.testing.assert_array_equal(probe.predict(texts), classifier.fit(texts, labels).predict(texts))
    # In each fold, the full model is what the estimator alone would be there.
    expected = cross_val_predict(classifier, texts, labels, cv=2)
    np.testing.assert_array_equal(probe.baseline_predictions_, expected)


def test_study__compares_a_recipe_with_phases(classifier, texts, labels):
    variants = {"phases": {}, "frozen": {"contrastive_steps": 0}}
    study = StabilityStudy(classifier, variants, seeds=3, scoring="accuracy", random_state=0).fit(texts, labels)
    summary = study.summary()
    assert {"phases", "frozen"} <= set(summary["variant"])
    assert "phases" in str(study.compare("phases", "frozen"))


def test_self_training__takes_row_numbers_in_place_of_texts(classifier, texts, labels):
    X, codes = np.array(texts, dtype=object), np.unique(labels, return_inverse=True)[1]
    y = np.where(np.arange(len(X)) < 12, codes, -1)
    look_up = FunctionTransformer(lambda rows: X[np.asarray(rows)[:, 0].astype(int)].tolist())
    model = SelfTrainingClassifier(make_pipeline(look_up, classifier), threshold=0.34)
    model.fit(np.arange(len(X))[:, None], y)
    assert (model.labeled_iter_ > 0).any()
    assert (model.predict(np.arange(len(X))[:, None]) == codes).mean() > 0.5
