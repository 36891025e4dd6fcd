"""Scorers of flatness, in scikit-learn's own tools."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from transformers import AutoModel

from skbert import StabilityStudy
from skbert.landscape import distance_score, sharpness_score, top_eigenvalue_score, trace_score

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SCORERS = (sharpness_score, top_eigenvalue_score, trace_score, distance_score)


@pytest.fixture(scope="module")
def fitted(clf, texts, labels):
    return clone(clf).fit(texts, labels)


def test_scores__are_those_of_the_landscape(land, texts, labels):
    assert sharpness_score(land.estimator_, texts, labels) == pytest.approx(land.sharpness(), rel=1e-5)
    found = land.curvature(1, 0).eigenvalues[0]
    assert top_eigenvalue_score(land.estimator_, texts, labels) == pytest.approx(found, rel=1e-2)
    trace = land.curvature(0, 64)
    assert abs(trace_score(land.estimator_, texts, labels, n_probes=64) - trace.trace) < 6 * trace.trace_error


def test_distance__is_that_of_the_encoder_from_its_pretrained_weights(fitted, clf):
    pretrained = AutoModel.from_pretrained(clf.model).state_dict()
    squares = 0.0
    for name, tensor in fitted.weights().items():
        if name.startswith("encoder."):
            squares += float((tensor - pretrained[name.removeprefix("encoder.")]).double().square().sum())
    assert distance_score(fitted) == pytest.approx(np.sqrt(squares), rel=1e-5)


def test_distance__leaves_out_layers_that_were_initialised_again(clf, texts, labels):
    still = clone(clf).set_params(reinit_layers=1, freeze_layers=3).fit(texts, labels)
    assert distance_score(still) == 0.0


def test_scorers__take_a_pipeline(fitted, clf, texts, labels):
    shout = FunctionTransformer(lambda X: [text.removesuffix("!") for text in X])
    loud = make_pipeline(shout, clone(clf)).fit([f"{text}!" for text in texts], labels)
    for scorer in SCORERS:
        assert scorer(loud, [f"{text}!" for text in texts], labels) == scorer(fitted, texts, labels)


def test_scorers__work_in_cross_validate(clf, texts, labels):
    scoring = {"sharpness": partial(sharpness_score, rho=0.1), "distance": distance_score}
    found = cross_validate(clone(clf), texts, labels, cv=2, scoring=scoring, return_train_score=True)
    assert (found["train_sharpness"] > 0).all()
    np.testing.assert_array_equal(found["train_distance"], found["test_distance"])


def test_scorers__of_a_study_see_the_training_texts_and_can_be_correlated(clf, texts, labels):
    study = StabilityStudy(
        clone(clf).set_params(max_epochs=1),
        seeds=6,
        test_size=9,
        scoring="accuracy",
        train_scoring={"sharpness": sharpness_score, "distance": distance_score},
        baselines=(),
        random_state=0,
    ).fit(texts, labels)
    runs, split = study.results_, study.splits_[0]
    model = clone(clf).set_params(max_epochs=1, random_state=int(runs["random_state"][0]))
    rows = split.train(int(runs["size"][0]))
    own = [texts[row] for row in rows], labels[rows]
    assert runs["train_sharpness"][0] == pytest.approx(sharpness_score(model.fit(*own), *own), rel=1e-4)
    found = study.correlate("sharpness", "distance")
    assert found.n_runs == 6
    expected = spearmanr(runs["train_sharpness"], runs["train_distance"]).statistic
    assert found.rho == pytest.approx(expected)


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorers__refuse_what_has_no_weights_or_is_not_fitted(scorer, clf, texts, labels):
    with pytest.raises(NotFittedError):
        scorer(clone(clf), texts, labels)
    other = LogisticRegression().fit(np.eye(3), [0, 1, 1])
    with pytest.raises(TypeError, match="LossLandscape needs a MaxPoolBERTClassifier"):
        scorer(other, texts, labels)
