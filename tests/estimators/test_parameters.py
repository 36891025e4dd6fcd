"""The one list of constructor parameters: signatures, docstrings, settings and recipes follow it."""

import ast
import inspect
import re
import warnings
from dataclasses import fields

import numpy as np
import pytest

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor, recipes
from skbert.estimators._parameters import PARAMETERS, RECIPE_PARAMETERS, checked_parameters, model_asked
from skbert.training import FineTuneSettings

NAMES = [parameter.name for parameter in PARAMETERS]
OF_CLASSES = {"label_smoothing", "class_weight"}


def documented(cls):
    """Names in the Parameters section of a docstring, in their order, with the default that it states."""
    section = re.search(r"Parameters\n-+\n(.*?)\nAttributes\n-+\n", inspect.getdoc(cls), re.DOTALL).group(1)
    entries = re.findall(r"^(\w[\w, ]*) : (.*)$", section, re.MULTILINE)
    return {name: kind.partition("default=")[2] for names, kind in entries for name in names.split(", ")}


def test_list__is_the_signature_of_the_classifier():
    assert list(inspect.signature(MaxPoolBERTClassifier).parameters) == NAMES


def test_regressor__has_all_but_those_of_classes():
    assert list(inspect.signature(MaxPoolBERTRegressor).parameters) == [n for n in NAMES if n not in OF_CLASSES]


@pytest.mark.parametrize("cls", [MaxPoolBERTClassifier, MaxPoolBERTRegressor, LayerPoolFeaturizer])
def test_docstring__names_every_parameter_with_its_default(cls):
    signature = inspect.signature(cls).parameters
    said = documented(cls)
    assert sorted(said) == sorted(signature)
    for name, parameter in signature.items():
        assert ast.literal_eval(said[name]) == parameter.default, name


def test_settings__are_parameters_and_what_is_made_of_two_of_them():
    assert {field.name for field in fields(FineTuneSettings)} - set(NAMES) == {"patience", "contrastive_pooling_rate"}


@pytest.mark.parametrize("name", recipes.names())
def test_recipe__sets_what_the_list_lets_it_set(name):
    assert tuple(recipes.get(name)) == RECIPE_PARAMETERS


def test_defaults__pass_every_check_unchanged():
    clf = MaxPoolBERTClassifier()
    checked = checked_parameters(clf)
    # A missing list of callbacks is an empty one.
    assert checked == {name: clf.get_params()[name] for name in checked} | {"callbacks": []}
    unchecked = {"model", "layers", "layer_path", "class_weight", "random_state", "init_seed", "order_seed", "device"}
    assert set(NAMES) - set(checked) == unchecked | {"precision"}


def test_model_asked__tells_models_apart_and_not_ways_of_training():
    asked = model_asked(MaxPoolBERTClassifier(layers=[1, 2], mixout=0.3))
    assert asked == model_asked(MaxPoolBERTClassifier(layers=(1, 2), mixout=0.5, max_epochs=3, learning_rate=1.0))
    for changed in ({"layers": 2}, {"head": "pooler"}, {"mixout": 0.0}, {"model": "another"}, {"dropout": 0.1}):
        assert model_asked(MaxPoolBERTClassifier(**{"layers": [1, 2], "mixout": 0.3, **changed})) != asked


@pytest.mark.parametrize("kind", [MaxPoolBERTClassifier, MaxPoolBERTRegressor])
def test_defaults__on_a_small_encoder_and_few_texts_name_the_recipe(tiny, texts, kind):
    y = [0, 1] * 12
    with pytest.warns(UserWarning, match=r"made for BERT-large.*width 32.*24 texts") as caught:
        kind(tiny(), device="cpu", random_state=0).fit(texts, y)
    said = next(str(item.message) for item in caught if "BERT-large" in str(item.message))
    # What it says to write can be written.
    call = re.search(rf"use {kind.__name__}\(model, (.*?\))\), or", said).group(1)
    parameters = eval(f"dict({call})", {"recipes": recipes})
    estimator = kind(tiny(), device="cpu", random_state=0, **parameters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(texts, y)
    assert not any("BERT-large" in str(item.message) for item in caught)


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ({"token_pooling": "cls", "layers": 1}, r"Classifier\(model, \*\*recipes.get\('few_data_joint'\)\)"),
        ({"token_pooling": "mean", "layers": 1}, r"Classifier\(model, \*\*recipes.get\('few_data'\)\)"),
        ({"layer_path": np.array([0, 1, 2])}, None),
    ],
)
def test_defaults__the_recipe_that_is_named_follows_the_reading(tiny, texts, reading, said):
    clf = MaxPoolBERTClassifier(tiny(), device="cpu", random_state=0, **reading)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf.fit(texts, [0, 1] * 12)
    named = [str(item.message) for item in caught if "BERT-large" in str(item.message)]
    assert bool(named) == (said is not None)
    assert said is None or re.search(said, named[0])
