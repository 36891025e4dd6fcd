"""`layer_path` through the estimators: everything counts along it, and it survives saving and pickling."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.encoder import load_encoder, make_runner
from tests.helpers.tiny import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PATH = (0, 2, 2, 1)


def layers_of(clf):
    return make_runner(clf._fitted.module(torch.device("cpu")).encoder).layer_modules()


@pytest.mark.parametrize("all_layers", [range(4), [0, 1, 2, 3]], ids=str)
def test_layer_path__of_all_layers_equals_none_bit_for_bit(tiny, texts, labels, quick, all_layers):
    fits = [MaxPoolBERTClassifier(tiny(), **quick, layer_path=path).fit(texts, labels) for path in (None, all_layers)]
    assert fits[0].loss_curve_ == fits[1].loss_curve_
    np.testing.assert_array_equal(fits[0].decision_function(texts), fits[1].decision_function(texts))
    features = [LayerPoolFeaturizer(tiny(), layer_path=path).fit_transform(texts) for path in (None, all_layers)]
    np.testing.assert_array_equal(*features)


@pytest.mark.parametrize("family", FAMILIES)
def test_layer_path__survives_pickling_and_saving(tiny, texts, labels, quick, family, tmp_path):
    clf = MaxPoolBERTClassifier(tiny(family), **{**quick, "max_epochs": 1}, layer_path=PATH).fit(texts, labels)
    expected = clf.decision_function(texts)
    clf.save(tmp_path / "saved")
    for again in (pickle.loads(pickle.dumps(clf)), MaxPoolBERTClassifier.load(tmp_path / "saved")):
        np.testing.assert_array_equal(again.decision_function(texts), expected)
        assert again.layer_path == PATH


@pytest.mark.parametrize("family", ["bert", "modernbert", "albert"])
def test_layer_path__of_the_featurizer_survives_pickling_and_saving(tiny, texts, family, tmp_path):
    featurizer = LayerPoolFeaturizer(tiny(family), layers=2, layer_path=[3, 1, 1]).fit(texts)
    expected = featurizer.transform(texts)
    featurizer.save(tmp_path / "saved")
    for again in (pickle.loads(pickle.dumps(featurizer)), LayerPoolFeaturizer.load(tmp_path / "saved")):
        np.testing.assert_array_equal(again.transform(texts), expected)


def test_layer_path__duplicates_learn_apart(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, layer_path=PATH).fit(texts, labels)
    first, second = (layers_of(clf)[place].output.dense.weight for place in (1, 2))
    assert not torch.equal(first, second)
    # The cached encoder, from which the next fit starts, is as it was.
    assert clone(clf).fit(texts, labels).loss_curve_ == clf.loss_curve_


def test_layer_path__layers_and_freezing_count_along_it(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "layers": (0, 3)}, layer_path=(3, 1, 1), freeze_layers=2)
    clf.fit(texts, labels)
    assert len(clf.layer_share_) == 2
    loaded = make_runner(load_encoder(tiny()).model).layer_modules()
    for place, (module, index) in enumerate(zip(layers_of(clf), (3, 1, 1), strict=True)):
        unchanged = torch.equal(module.output.dense.weight, loaded[index].output.dense.weight)
        assert unchanged == (place < 2)
    with pytest.raises(ValueError, match=r"layers holds 4, but hidden states go from 0 \(embeddings\) to 3"):
        clone(clf).set_params(layers=(4,)).fit(texts, labels)
    with pytest.raises(ValueError, match="freeze_layers=4, but the encoder runs 3 layers"):
        clone(clf).set_params(freeze_layers=4).fit(texts, labels)


def test_layer_path__featurizer_counts_layers_along_it(tiny, texts):
    path = (2, 0, 2)
    chosen = LayerPoolFeaturizer(tiny(), layers=(2,), layer_path=path).fit_transform(texts)
    cut = LayerPoolFeaturizer(tiny(), layers=1, layer_path=path[:2]).fit_transform(texts)
    np.testing.assert_array_equal(chosen, cut)
    with pytest.raises(ValueError, match="the encoder runs 3"):
        LayerPoolFeaturizer(tiny(), layers=4, layer_path=path).fit(texts)


def test_layer_path__may_not_change_in_a_warm_start(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, layer_path=[0, 1, 2], warm_start=True).fit(texts, labels)
    first = clf.loss_curve_[0]
    clf.set_params(layer_path=(0, 1, 2)).fit(texts, labels)
    assert clf.loss_curve_[len(clf.loss_curve_) // 2] < first
    with pytest.raises(ValueError, match="layer_path changed since"):
        clf.set_params(layer_path=(0, 1)).fit(texts, labels)


@pytest.mark.parametrize(("bad", "error"), [((), ValueError), ([4], ValueError), ("all", TypeError), (2, TypeError)])
@pytest.mark.parametrize("estimator", [MaxPoolBERTClassifier, MaxPoolBERTRegressor, LayerPoolFeaturizer])
def test_layer_path__wrong_ones_are_refused_in_fit(tiny, texts, labels, estimator, bad, error):
    model = estimator(tiny(), layer_path=bad)
    with pytest.raises(error, match="layer_path"):
        model.fit(texts, np.arange(len(texts)) % 2)
