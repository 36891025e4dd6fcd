"""LayerPoolFeaturizer through its public names, against plain transformers."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from transformers import AutoModel, AutoTokenizer

from skbert import LayerPoolFeaturizer
from skbert.encoder import load_encoder
from skbert.networks import PooledEncoder
from tests.helpers.pooled_by_hand import FIXED_OVER_LAYERS, FIXED_OVER_TOKENS, pooled_by_hand
from tests.helpers.tiny import FAMILIES


def plain_features(folder, texts, layers, layer_pooling, token_pooling):
    """The same by transformers and torch, one text at a time, so without padding."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        chosen = torch.stack([states[layer][0] for layer in layers])
        rows.append(pooled_by_hand(chosen, layer_pooling, token_pooling).numpy())
    return np.array(rows)


@pytest.mark.parametrize("layer_pooling", FIXED_OVER_LAYERS)
@pytest.mark.parametrize("token_pooling", FIXED_OVER_TOKENS)
def test_features__at_every_point_of_the_plane_equal_plain_transformers(tiny, texts, layer_pooling, token_pooling):
    featurizer = LayerPoolFeaturizer(
        tiny(), layers=(0, 2, -1), layer_pooling=layer_pooling, token_pooling=token_pooling, device="cpu"
    )
    features = featurizer.fit_transform(texts)
    assert features.dtype == np.float32
    assert features.shape == (24, featurizer.n_features_out_)
    expected = plain_features(tiny(), texts, (0, 2, 4), layer_pooling, token_pooling)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert len(featurizer.get_feature_names_out()) == features.shape[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_features__of_every_family_equal_plain_transformers(tiny, texts, family):
    features = LayerPoolFeaturizer(tiny(family), layers=2, layer_pooling="max", device="cpu").fit_transform(texts)
    expected = plain_features(tiny(family), texts, (3, 4), "max", "mean")
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_normalize__gives_unit_vectors(tiny, texts):
    plain = LayerPoolFeaturizer(tiny(), device="cpu").fit_transform(texts)
    unit = LayerPoolFeaturizer(tiny(), device="cpu", normalize=True).fit_transform(texts)
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-6)


def test_repeated_texts__are_computed_once_and_come_back_in_place(tiny, monkeypatch):
    X = ["where is my parcel", "refund", "where is my parcel", "code", "refund", "where is my parcel"]
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(X)
    sizes = []
    pool = PooledEncoder.pool
    monkeypatch.setattr(PooledEncoder, "pool", lambda self, batch: sizes.append(len(batch)) or pool(self, batch))
    features = featurizer.transform(X)
    assert sum(sizes) == 3
    np.testing.assert_array_equal(features[[0, 0, 1, 1]], features[[2, 5, 4, 4]])
    np.testing.assert_allclose(features[3], featurizer.transform(["code"])[0], atol=1e-6)


def test_cached_weights__are_shared_and_stay_as_they_are(tiny, texts):
    loaded = load_encoder(tiny())
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    first = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)
    first.transform(texts)
    pickle.loads(pickle.dumps(first)).transform(texts)
    after = load_encoder(tiny()).model.state_dict()
    assert list(after) == list(before), "the pooler is still there for those who read it"
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f)), "save"])
def test_persistence__keeps_the_features(tiny, texts, tmp_path, way):
    featurizer = LayerPoolFeaturizer(tiny(), layers=(1, 3), normalize=True, device="cpu").fit(texts)
    expected = featurizer.transform(texts)
    if way == "save":
        featurizer.save(tmp_path / "saved")
        again = LayerPoolFeaturizer.load(tmp_path / "saved")
    else:
        again = way(featurizer)
    np.testing.assert_array_equal(again.transform(texts), expected)
    assert again.get_params() == featurizer.get_params()
    assert again.n_features_out_ == 32
    assert not hasattr(clone(again), "n_features_out_")


def test_pipeline_union_and_columns(tiny, texts, labels):
    union = FeatureUnion(
        [
            ("cls", LayerPoolFeaturizer(tiny(), token_pooling="cls", device="cpu")),
            ("mean", LayerPoolFeaturizer(tiny(), layers=(1, 2), layer_pooling="concat", device="cpu")),
        ]
    )
    assert union.fit_transform(texts).shape == (24, 96)
    frame = pd.DataFrame({"message": texts, "length": [len(text) for text in texts]}, index=range(7, 31))
    columns = ColumnTransformer(
        [("text", LayerPoolFeaturizer(tiny(), device="cpu"), "message"), ("number", "passthrough", ["length"])]
    ).set_output(transform="pandas")
    features = columns.fit_transform(frame)
    assert features.shape == (24, 33)
    assert list(features.index) == list(frame.index)
    assert list(features.columns[[0, 32]]) == ["text__layerpoolfeaturizer0", "number__length"]
    pipeline = make_pipeline(union, LogisticRegression(max_iter=1000)).fit(texts, labels)
    assert pipeline.score(texts, labels) > 0.9


def test_grid_search__over_the_plane(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression(max_iter=1000))
    grid = {
        "layerpoolfeaturizer__layers": [(layer,) for layer in range(1, 5)],
        "layerpoolfeaturizer__token_pooling": ["cls", "mean", "max"],
    }
    search = GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(texts, labels)
    assert len(search.cv_results_["params"]) == 12
    assert search.best_score_ > 0.6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"layer_pooling": "weighted"}, "MaxPoolBERTClassifier"),
        ({"token_pooling": "mha"}, "MaxPoolBERTClassifier"),
        ({"layer_pooling": "median"}, "layer_pooling"),
        ({"token_pooling": None}, "token_pooling"),
        ({"layers": 0}, "layers"),
        ({"normalize": "yes"}, "normalize"),
        ({"max_length": 10_000}, "max_length"),
        ({"precision": "int8"}, "precision"),
    ],
)
def test_wrong_parameters__are_refused_in_fit(tiny, texts, parameters, message):
    featurizer = LayerPoolFeaturizer(tiny(), **parameters)
    with pytest.raises(ValueError, match=message):
        featurizer.fit(texts)


def test_set_output__gives_a_data_frame(tiny, texts):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").set_output(transform="pandas")
    frame = featurizer.fit_transform(pd.Series(texts, index=range(50, 74)))
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.index) == list(range(50, 74))


def test_pairs__and_their_absence(tiny, texts):
    pairs = list(zip(texts, texts[::-1], strict=True))
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(pairs)
    assert featurizer.n_features_in_ == 2
    assert featurizer.transform(pairs).shape == (24, 32)
    with pytest.raises(ValueError, match="pairs of texts"):
        featurizer.transform(texts)
