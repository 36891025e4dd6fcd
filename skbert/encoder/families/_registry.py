"""Which `LayerRunner` runs which model."""

from __future__ import annotations

from skbert.encoder._layer_runner import LayerRunner
from skbert.encoder.families._any import TransformersRunner


def make_runner(model):
    """The `LayerRunner` for `model`, by ``config.model_type``; other families go through transformers' own forward."""
    return _runners().get(model.config.model_type, TransformersRunner)(model)


def _runners():
    """Every runner by the model types that it names for its own; those that it inherits are its parent's."""
    runners, found = [LayerRunner], {}
    for runner in runners:
        runners += runner.__subclasses__()
        found |= dict.fromkeys(vars(runner).get("model_types", ()), runner)
    return found
