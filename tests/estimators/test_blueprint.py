"""Blueprint: what builds a fitted module again, through JSON and back."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier
from skbert.estimators._blueprint import Blueprint


@pytest.fixture
def fitted(tiny, texts, labels, quick):
    parameters = {**quick, "max_epochs": 1, "layer_path": [0, 1, 1], "layer_pooling": "weighted"}
    return MaxPoolBERTClassifier(tiny(), **parameters).fit(texts, labels)._fitted


def test_blueprint__through_json_text__is_the_same(fitted):
    again = Blueprint.from_json(json.loads(json.dumps(fitted.blueprint.to_json())))
    assert again == fitted.blueprint
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.width = 1


def test_build__with_the_weights__gives_the_same_module(fitted):
    module = fitted.blueprint.build(fitted.tensors())
    for name, tensor in fitted.module(torch.device("cpu")).state_dict().items():
        np.testing.assert_array_equal(module.state_dict()[name], tensor)
    assert module.n_layers == 3
    assert module.layers == (2, 3)


def test_from_json__of_before_heads_were_modules__builds_too(fitted):
    old = fitted.blueprint.to_json()
    old["head"] = old.pop("module")
    weights = {name.removeprefix("head."): array for name, array in fitted.tensors().items()}
    assert "classifier.weight" in weights
    module = Blueprint.from_json(old).build(weights)
    np.testing.assert_array_equal(module.head.classifier.weight.detach(), weights["classifier.weight"])


def test_build__weights_of_before_directions_had_a_centre__reads_from_the_origin(tiny, texts, labels, quick):
    phases = {"contrastive_steps": 1, "head_init": "logistic", "max_epochs": 0}
    fitted = MaxPoolBERTClassifier(tiny(), **{**quick, **phases}).fit(texts, labels)._fitted
    weights = fitted.tensors()
    del weights["head.center"]
    center = fitted.blueprint.build(weights).head.center
    assert center.shape == (fitted.blueprint.width,)
    assert not center.any()


def test_build__config_that_names_code__does_not_choose_what_runs(fitted):
    evil = {"auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation": "evil/kernel"}
    blueprint = dataclasses.replace(fitted.blueprint, config={**fitted.blueprint.config, **evil})
    assert type(blueprint.build(fitted.tensors()).encoder).__name__ == "BertModel"


def test_path__of_a_shared_encoder_and_of_its_own(tiny, texts, fitted):
    assert fitted.blueprint.path == [0, 1, 1]
    featurizer = LayerPoolFeaturizer(tiny(), layer_path=(0, 2), device="cpu").fit(texts)
    assert featurizer._fitted.blueprint.path == [0, 2]
    assert featurizer._fitted.blueprint.own_path is None
