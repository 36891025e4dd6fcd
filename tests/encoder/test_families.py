"""The registry of families: each model type has the runner that names it."""

from types import SimpleNamespace

import pytest

from skbert.encoder import LayerRunner, make_runner
from tests.helpers.tiny import FAMILIES


def model_of(model_type):
    return SimpleNamespace(config=SimpleNamespace(model_type=model_type))


@pytest.mark.parametrize("model_type", [*FAMILIES, "camembert"])
def test_make_runner__known_family__runs_its_layers_itself(model_type):
    runner = make_runner(model_of(model_type))
    assert runner.owns_forward
    assert model_type in type(runner).model_types


def test_make_runner__other_family__goes_through_transformers():
    runner = make_runner(model_of("mpnet"))
    assert not runner.owns_forward
    with pytest.raises(NotImplementedError, match="mpnet"):
        runner.layer_modules()


def test_new_family__a_class_that_names_its_type_is_enough():
    class Ours(LayerRunner):
        model_types = ("of-this-test",)

    class Heir(Ours):
        """Runs nothing of its own, so what it inherits stays its parent's."""

    assert type(make_runner(model_of("of-this-test"))) is Ours
