"""Directions from the centre of the classes: where it is, when it is used, and what it does to the model."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize
from transformers import AutoModel, AutoTokenizer

from skbert import LossLandscape, MaxPoolBERTClassifier
from skbert.training._center import cosine_of_classes
from tests.training.test_contrast import HEAD_ONLY, MEAN, PHASE, losses_of, pretrained_vectors
from tests.training.test_contrastive_losses import cosine_by_hand


@pytest.fixture
def classifier(tiny, quick):
    """A classifier of a small encoder, or of the one in `folder`, with mean pooling and without dropout."""

    def make(folder=None, **parameters):
        phases = {**PHASE, **HEAD_ONLY, "contrastive_center": True, "dropout": 0.0}
        return MaxPoolBERTClassifier(folder or tiny(), **{**quick, **MEAN, **phases, **parameters})

    return make


def centre_of(vectors, labels):
    """The mean of the mean vectors of all classes."""
    return np.mean([vectors[labels == label].mean(axis=0) for label in np.unique(labels)], axis=0)


@pytest.fixture
def shifted(tiny, texts, labels, tmp_path):
    """Saves the tiny encoder so that `share` of its centre is added to all its vectors; the folder."""

    def save(share):
        model = AutoModel.from_pretrained(tiny())
        with torch.no_grad():
            centre = centre_of(pretrained_vectors(tiny(), texts), labels)
            model.encoder.layer[-1].output.LayerNorm.bias += share * torch.from_numpy(centre)
        folder = tmp_path / f"shifted{share}"
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny()).save_pretrained(folder)
        return str(folder)

    return save


def test_center__is_the_mean_of_all_classes_before_training(tiny, texts, labels, classifier):
    kept = [*np.flatnonzero(labels == "login")[:2], *np.flatnonzero(labels != "login")]
    X, y = [texts[i] for i in kept], labels[kept]
    clf = classifier(contrastive_batch_size=3 * len(kept)).fit(X, y)
    before = pretrained_vectors(tiny(), X)
    centre = centre_of(before, y)
    codes, ones = np.unique(y, return_inverse=True)[1], np.ones(len(y))
    expected, plain = (
        cosine_by_hand(torch.from_numpy(normalize(found)), codes, ones) for found in (before - centre, before)
    )
    assert losses_of(clf, "contrastive")[0] == pytest.approx(expected, abs=1e-4)
    assert abs(expected - plain) > 0.05
    own = normalize(clf.transform(X).astype(float) - centre)
    regression = LogisticRegression(max_iter=1000).fit(own, y)
    np.testing.assert_allclose(clf.predict_proba(X), regression.predict_proba(own), atol=1e-3)


def test_center__weights_mean_repetition(tiny, texts, labels, classifier):
    times = np.arange(24) % 3
    clf = classifier(contrastive_learning_rate=0.0).fit(texts, labels, sample_weight=times)
    X, y = list(np.repeat(texts, times)), np.repeat(labels, times)
    vectors = pretrained_vectors(tiny(), X)
    own = normalize(vectors - centre_of(vectors, y))
    regression = LogisticRegression(max_iter=1000).fit(own, y)
    np.testing.assert_allclose(clf.predict_proba(X), regression.predict_proba(own), atol=2e-3)


def test_center__label_sets_are_the_classes_of_multi_label_targets(tiny, texts, classifier):
    y = np.stack([np.arange(24) % 2, np.arange(24) % 3 == 0], axis=1).astype(int)
    clf = classifier(contrastive_batch_size=48).fit(texts, y)
    vectors, sets = pretrained_vectors(tiny(), texts), y @ [2, 1]
    unit = torch.from_numpy(normalize(vectors - centre_of(vectors, sets)))
    expected = cosine_by_hand(unit, np.unique(sets, return_inverse=True)[1], np.ones(24))
    assert losses_of(clf, "contrastive")[0] == pytest.approx(expected, abs=1e-4)


def test_center__makes_a_common_part_of_all_vectors_harmless(shifted, texts, labels, classifier):
    def proba(share, center):
        return classifier(shifted(share), contrastive_center=center).fit(texts, labels).predict_proba(texts)

    np.testing.assert_allclose(proba(-0.9, True), proba(2.0, True), atol=2e-3)
    assert np.abs(proba(-0.9, False) - proba(2.0, False)).max() > 0.02


def test_cosine_of_classes__is_that_of_all_pairs_of_two_classes():
    vectors = np.random.default_rng(0).standard_normal((12, 6)) + 0.8
    groups, weight = np.array([0] * 7 + [1] * 3 + [2] * 2), np.array([1, 2, 0, 1, 3, 1, 1, 4, 1, 1, 2, 5.0])
    cosines = [
        (weight[i] * weight[j], cosine_similarity(vectors[[i]], vectors[[j]])[0, 0])
        for i in range(12)
        for j in range(12)
        if groups[i] != groups[j]
    ]
    pairs, found = np.array(cosines).T
    assert cosine_of_classes(vectors, groups, weight) == pytest.approx(np.average(found, weights=pairs), abs=1e-12)


def test_auto__takes_the_centre_only_where_texts_of_two_classes_are_alike(shifted, texts, labels, classifier):
    cosines = []
    for share in (-0.75, -0.7):
        folder = shifted(share)
        unit = normalize(pretrained_vectors(folder, texts))
        cosine = (unit @ unit.T)[labels[:, None] != labels[None, :]].mean()
        auto, known = (
            classifier(folder, contrastive_steps=2, contrastive_center=center).fit(texts, labels)
            for center in ("auto", bool(cosine > 0.4))
        )
        assert losses_of(auto, "contrastive") == losses_of(known, "contrastive")
        np.testing.assert_array_equal(auto.predict_proba(texts), known.predict_proba(texts))
        cosines.append(cosine)
    # Near the limit on both sides.
    assert 0.3 < cosines[0] < 0.4 < cosines[1] < 0.5


def test_center__is_saved_and_copied_but_no_weight(tmp_path, texts, labels, classifier):
    clf = classifier().fit(texts, labels)
    clf.save(tmp_path / "clf")
    for copy in (MaxPoolBERTClassifier.load(tmp_path / "clf"), pickle.loads(pickle.dumps(clf))):
        np.testing.assert_array_equal(copy.predict_proba(texts), clf.predict_proba(texts))
        assert copy.contrastive_center is True
    assert set(clf.weights()) == {name for name, _ in clf.network_copy().named_parameters()}


def test_center__goes_on_into_fine_tuning_and_a_warm_start(texts, labels, classifier):
    once = classifier(max_epochs=3).fit(texts, labels)
    twice = classifier(warm_start=True).fit(texts, labels)
    twice.set_params(contrastive_steps=0, head_init="random", max_epochs=3).fit(texts, labels)
    np.testing.assert_array_equal(twice.predict_proba(texts), once.predict_proba(texts))


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_warm_start__with_the_head_of_before__keeps_its_centre(texts, labels, classifier, first, second):
    clf = classifier(contrastive_center=first, warm_start=True).fit(texts, labels)
    before = clf.predict_proba(texts)
    still = {"contrastive_learning_rate": 0.0, "learning_rate": 0.0, "max_epochs": 1}
    clf.set_params(contrastive_center=second, head_init="random", **still).fit(texts, labels)
    np.testing.assert_array_equal(clf.predict_proba(texts), before)


def test_center__with_a_pooler_only_the_steps_use_it(texts, labels, classifier):
    clf = classifier(head="pooler").fit(texts, labels)
    with torch.no_grad():
        pooled = clf.network_copy().runner.apply_pooler(torch.from_numpy(clf.transform(texts)))
    own = normalize(pooled.double().numpy())
    regression = LogisticRegression(max_iter=1000).fit(own, labels)
    np.testing.assert_allclose(clf.predict_proba(texts), regression.predict_proba(own), atol=1e-3)


def test_landscape__of_a_model_with_a_centre__ends_at_its_loss_and_measures_only_weights(texts, labels, classifier):
    start = {}
    clf = classifier(random_state=0)
    clf.fit_watched(texts, labels, lambda phase, weights: start.update(weights) if phase == "start" else None)
    landscape = LossLandscape(classifier(random_state=0), second=None, n_points=3, span=(0.0, 1.0), random_state=0)
    landscape.fit(texts, labels)
    assert landscape.line_.train_loss[-1] == pytest.approx(log_loss(labels, clf.predict_proba(texts)), abs=1e-4)
    moved = [np.linalg.norm(tensor.numpy() - start[name]) for name, tensor in clf.weights().items()]
    assert landscape.end_.distance_to(landscape.start_) == pytest.approx(np.linalg.norm(moved), rel=1e-4)
