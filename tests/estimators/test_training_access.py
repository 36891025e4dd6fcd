"""A fit that is watched, the copy of its network, and its losses."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def clf(tiny, quick):
    return MaxPoolBERTClassifier(tiny(), **quick)


def watched(model, X, y, **options):
    """The fitted model, and what was seen: a list of (phase, weights)."""
    seen = []
    return model.fit_watched(X, y, lambda phase, weights: seen.append((phase, weights)), **options), seen


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in other)


def test_fit_watched__is_the_same_fit(clf, texts, labels):
    plain, (model, seen) = clone(clf).fit(texts, labels), watched(clone(clf), texts, labels)
    assert same(model.weights(), plain.weights())
    assert [phase for phase, _ in seen] == ["start", *["epoch"] * 4]
    assert same(seen[-1][1], model.weights())
    assert model.loss_curve_ == plain.loss_curve_


def test_fit_watched__with_another_order_keeps_the_start_and_the_validation_split(clf, texts, labels):
    clf.set_params(early_stopping=True, validation_fraction=0.25)
    one, seen_of_one = watched(clone(clf), texts, labels)
    other, seen_of_other = watched(clone(clf), texts, labels, other_order=5)
    assert same(seen_of_one[0][1], seen_of_other[0][1])
    assert not same(one.weights(), other.weights())
    # The loss of the start on the held-out texts would differ if these were others: train nothing, and look.
    still = [
        watched(clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0), texts, labels, other_order=seed)[0]
        for seed in (None, 5)
    ]
    assert still[0].history_[0]["valid_loss"] == still[1].history_[0]["valid_loss"]


def test_fit_watched__starts_where_it_is_told_except_in_a_head_of_another_size(clf, texts, labels):
    _, seen = watched(clone(clf), texts, labels)
    start = seen[2][1]
    _, again = watched(clone(clf), texts, labels, start=start)
    assert same(again[0][1], start)
    two = labels != "login"
    fewer, own = watched(clone(clf), np.array(texts)[two], labels[two], start=start)
    encoder = {name: array for name, array in start.items() if name.startswith("encoder.")}
    assert same(own[0][1], encoder)
    assert own[0][1]["head.classifier.weight"].shape[0] == len(fewer.classes_) == 2


def test_network_copy__is_apart_from_the_estimator(clf, texts, labels):
    model = clf.set_params(freeze_layers=2).fit(texts, labels)
    before = model.predict_proba(texts)
    copy = model.network_copy()
    assert not copy.training
    assert copy.n_frozen == 2
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(model.predict_proba(texts), before)


def test_losses_of__texts_are_those_of_the_outputs(clf, texts, labels):
    model = clf.set_params(label_smoothing=0.1).fit(texts, labels)
    dataset, objective, unit = model.losses_of(texts, labels)
    assert unit == 1.0
    outputs = torch.from_numpy(model.decision_function(texts))
    codes = np.searchsorted(model.classes_, labels)
    expected = -model.predict_log_proba(texts)[np.arange(24), codes]
    np.testing.assert_allclose(objective.plain(outputs, dataset.target), expected, rtol=1e-5)


def test_losses_of__numbers_are_standardised_and_the_unit_says_how(tiny, quick, texts):
    y = 5.0 * np.arange(24.0)
    model = MaxPoolBERTRegressor(tiny(), **quick).fit(texts, y)
    dataset, _, unit = model.losses_of(texts, y)
    assert unit == pytest.approx(y.var())
    np.testing.assert_allclose(dataset.target, (y - y.mean()) / y.std(), rtol=1e-5)


def test_losses_of__labels_that_are_unknown_are_refused(clf, texts, labels):
    model = clf.fit(texts, labels)
    with pytest.raises(ValueError, match="y contains class 'spam'"):
        model.losses_of(texts[:2], ["order", "spam"])


def test_pretrained_weights__are_those_of_the_files_without_what_is_new(clf, texts, labels):
    model = clf.set_params(reinit_layers=1, freeze_layers=3).fit(texts, labels)
    found = model.pretrained_weights()
    assert found
    assert not any("layer.3." in name or not name.startswith("encoder.") for name in found)
    # Nothing below was trained.
    assert all(torch.equal(tensor, model.weights()[name]) for name, tensor in found.items())


@pytest.mark.parametrize("name", ["network_copy", "weights", "pretrained_weights"])
def test_access__before_a_fit_is_refused(clf, name):
    with pytest.raises(NotFittedError):
        getattr(clf, name)()
