"""Which `LayerRunner` runs which model."""

from __future__ import annotations

from importlib import import_module

from skbert.encoder._layer_runner import LayerRunner
from skbert.encoder.families._any import TransformersRunner


def make_runner(model):
    """The `LayerRunner` for `model`, by ``config.model_type``; other families use the forward of transformers."""
    return _runners().get(model.config.model_type, TransformersRunner)(model)


def register_models():
    """Make the models of skbert's own families known to the Auto classes of transformers, in this process."""
    # Not at the top, because it imports transformers, which takes seconds.
    import_module("skbert.encoder.families._hybrid_model")


def _runners():
    """Every runner, by the model types that its own class names; inherited model types belong to the parent class."""
    runners, found = [LayerRunner], {}
    for runner in runners:
        runners += runner.__subclasses__()
        found |= dict.fromkeys(vars(runner).get("model_types", ()), runner)
    return found
