"""What probes and studies ask of an estimator: layers, device, hashes, and outputs without layers."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.encoder import load_encoder
from tests.helpers.tiny import write_tiny


def keep(values):
    return (values,)


def test_outputs_without_layers__of_none__are_what_the_estimator_gives(tiny, texts, labels, quick):
    texts = [*texts[:7], texts[2]]
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).fit(texts, labels[:8])
    (logits,) = clf.outputs_without_layers(texts, [()], keep)
    np.testing.assert_allclose(logits[:, 0], clf.decision_function(texts), atol=1e-6)
    regressor = MaxPoolBERTRegressor(tiny(), **{**quick, "max_epochs": 1}).fit(texts, range(8))
    (values,) = regressor.outputs_without_layers(texts, [(), (0,)], keep)
    assert values.shape == (8, 2, 1)
    for normalize in (False, True):
        featurizer = LayerPoolFeaturizer(tiny(), normalize=normalize, device="cpu").fit(texts)
        (vectors,) = featurizer.outputs_without_layers(texts, [()], keep)
        np.testing.assert_allclose(vectors[:, 0], featurizer.transform(texts), atol=1e-6)


def test_outputs_without_layers__equal_those_of_a_path_that_leaves_them_out(tiny, texts):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)
    (vectors,) = featurizer.outputs_without_layers(texts, [(1,), (0, 2)], keep)
    for i, path in enumerate([(0, 2, 3), (1, 3)]):
        shorter = LayerPoolFeaturizer(tiny(), layer_path=path, device="cpu").fit_transform(texts)
        np.testing.assert_allclose(vectors[:, i], shorter, atol=1e-6)


def test_outputs_without_layers__keeps_what_the_function_returns_of_distinct_texts(tiny):
    featurizer, seen = LayerPoolFeaturizer(tiny(), device="cpu").fit(["a"]), []

    def count(values):
        seen.append(len(values))
        return values.argmax(axis=-1), values[:, 0, 0] > 0

    places, signs = featurizer.outputs_without_layers(["a", "b", "a", "a"], [(), (0,)], count)
    assert sum(seen) == 2
    assert (places.shape, signs.shape, signs.dtype) == ((4, 2), (4,), bool)
    assert (places[0] == places[2]).all()


def test_outputs_without_layers__wrong_input(tiny):
    with pytest.raises(NotFittedError):
        LayerPoolFeaturizer(tiny()).outputs_without_layers(["a"], [()], keep)
    with pytest.raises(ValueError, match="is expecting 1 features"):
        LayerPoolFeaturizer(tiny(), device="cpu").fit(["a"]).outputs_without_layers([("a", "b")], [()], keep)


def test_count_layers__before_a_fit_as_asked__after_it_as_fitted(tiny):
    assert LayerPoolFeaturizer(tiny()).count_layers() == 4
    featurizer = LayerPoolFeaturizer(tiny(), layer_path=[0, 1, 1], device="cpu")
    assert featurizer.count_layers() == 3
    featurizer.fit(["a"]).set_params(layer_path=[0])
    assert featurizer.count_layers() == 3


def test_count_layers__of_another_family__is_refused_fitted_or_not(tmp_path, monkeypatch):
    folder = write_tiny(tmp_path / "other")
    monkeypatch.setattr("skbert.encoder.families._post_ln.BertRunner.owns_forward", False)
    featurizer = LayerPoolFeaturizer(folder, device="cpu")
    for estimator in (featurizer, featurizer.fit(["a"])):
        with pytest.raises(NotImplementedError, match="only in families that skbert runs layer by layer"):
            estimator.count_layers()


def test_compute_device__is_that_of_the_parameter():
    assert MaxPoolBERTClassifier(device="cpu").compute_device() == torch.device("cpu")


def test_encoder_hashes__are_those_of_the_files(tiny):
    loaded = load_encoder(tiny())
    assert LayerPoolFeaturizer(tiny()).encoder_hashes() == (loaded.weights_sha256, loaded.tokenizer_sha256)
    assert LayerPoolFeaturizer(tiny()).encoder_hashes() != LayerPoolFeaturizer(tiny("bert", width=16)).encoder_hashes()


@pytest.mark.parametrize("several", [False, True])
def test_multilabel__says_what_the_fit_was_on(several, tiny, texts, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1})
    assert not hasattr(clf, "multilabel_")
    y = np.eye(2, dtype=int)[[0, 1] * 4] if several else [0, 1] * 4
    assert clf.fit(texts[:8], y).multilabel_ is several
