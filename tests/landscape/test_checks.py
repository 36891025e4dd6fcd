"""Wrong input is refused before anything is trained, with what is wrong, where, and what to do."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skbert import LayerPoolFeaturizer, LossLandscape, MaxPoolBERTClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def untrained(clf, monkeypatch):
    """A classifier that fails the test if it is trained."""

    def fail(*args, **kwargs):
        raise AssertionError("it was trained")

    monkeypatch.setattr(MaxPoolBERTClassifier, "_fit", fail)
    return clone(clf)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_points": 1}, "n_points"),
        ({"n_points": 2.5}, "n_points"),
        ({"span": (0.2, 1.5)}, "span must be finite and contain 0"),
        ({"span": (-0.5, 0.9)}, "span must be finite and contain 0"),
        ({"span": (-0.5, np.inf)}, "span must be finite and contain 0"),
        ({"span": 2.0}, "span must be two numbers"),
        ({"span": ("a", "b")}, "span must be two numbers"),
        ({"span": (-10.0, 1.0), "n_points": 3}, "n_points=3 is too few for span"),
        ({"second": "other"}, "second"),
        ({"n_groups": -1}, "n_groups"),
        ({"n_groups": 5}, "n_groups=5, but the encoder runs 4 layers"),
        ({"max_texts": 1}, "max_texts"),
        ({"random_state": -1}, "random_state"),
        ({"verbose": -1}, "verbose"),
    ],
)
def test_parameters__out_of_their_range_are_refused(untrained, texts, labels, parameters, message):
    with pytest.raises(ValueError, match=message):
        LossLandscape(untrained).set_params(**parameters).fit(texts, labels)


def test_texts__too_few_or_of_another_number_are_refused(untrained, texts, labels):
    land = LossLandscape(untrained)
    with pytest.raises(ValueError, match="X holds 1 text; a mean loss with its error needs at least 2"):
        land.fit(texts[:1], labels[:1])
    with pytest.raises(ValueError, match="X_val holds 1 text"):
        land.fit(texts, labels, X_val=texts[:1], y_val=labels[:1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        land.fit(texts, labels[:-1])
    with pytest.raises(ValueError, match="y_val contains class 'spam'"):
        land.fit(texts, labels, X_val=texts[:2], y_val=["order", "spam"])
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        land.fit(texts, labels, X_val=texts[:2])
    with pytest.raises(ValueError, match="requires y"):
        land.fit(texts, None)
    with pytest.raises(ValueError, match="string"):
        land.fit("one text", ["a"])


def test_texts__that_are_no_texts_are_refused_before_training(untrained, texts, labels):
    with pytest.raises((ValueError, TypeError), match="X"):
        LossLandscape(untrained).fit([None, *texts[1:]], labels)
    with pytest.raises((ValueError, TypeError), match="X_val"):
        LossLandscape(untrained).fit(texts, labels, X_val=[1.5, 2.5], y_val=labels[:2])


def test_targets__of_several_labels_are_refused(untrained, texts):
    with pytest.raises(ValueError, match="y is multi-label"):
        LossLandscape(untrained).fit(texts, np.eye(3, dtype=int)[np.arange(24) % 3])


def test_second__texts_go_with_data_only(untrained, texts, labels):
    with pytest.raises(ValueError, match='second="data" needs X_second and y_second'):
        LossLandscape(untrained, second="data").fit(texts, labels)
    with pytest.raises(ValueError, match="only it takes them; got 'seed'"):
        LossLandscape(untrained).fit(texts, labels, X_second=texts, y_second=labels)
    with pytest.raises(ValueError, match="X_second and y_second must be given together"):
        LossLandscape(untrained, second="data").fit(texts, labels, X_second=texts)


def test_estimators__without_a_trained_encoder_are_refused(tiny, clf, texts, labels):
    frozen_features = make_pipeline(LayerPoolFeaturizer(tiny()), LogisticRegression())
    for estimator, found in (
        (LogisticRegression(), "got LogisticRegression"),
        (frozen_features, "this Pipeline ends in LogisticRegression"),
        (GridSearchCV(clf, {}), "got GridSearchCV"),
        (LayerPoolFeaturizer(tiny()), "got LayerPoolFeaturizer"),
    ):
        with pytest.raises(TypeError, match=f"LossLandscape needs a MaxPoolBERTClassifier.*{found}"):
            LossLandscape(estimator).fit(texts, labels)


def test_frozen__that_is_not_fitted_or_has_no_seed_is_refused(clf, texts, labels):
    with pytest.raises(NotFittedError):
        LossLandscape(FrozenEstimator(clone(clf))).fit(texts, labels)
    model = clone(clf).set_params(random_state=None, max_epochs=1).fit(texts, labels)
    with pytest.raises(ValueError, match="must have an int as random_state"):
        LossLandscape(FrozenEstimator(model)).fit(texts, labels)


def test_unknown__families_have_no_groups_and_say_so(clf, tiny, texts, labels, monkeypatch):
    def refuse(self):
        raise NotImplementedError("not layer by layer")

    monkeypatch.setattr(MaxPoolBERTClassifier, "count_layers", refuse)
    with pytest.raises(NotImplementedError, match="n_groups=0"):
        LossLandscape(clone(clf)).fit(texts, labels)


def test_fits__that_go_nowhere_or_diverge_are_refused(clf, texts, labels):
    still = clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0)
    with pytest.raises(ValueError, match="did not move any weight"):
        LossLandscape(still, second=None).fit(texts, labels)


def test_methods__before_fit_are_refused(clf):
    land = LossLandscape(clf)
    for call in (land.curvature, land.sharpness):
        with pytest.raises(NotFittedError):
            call()
