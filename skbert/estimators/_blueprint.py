"""Everything that is needed to build the module of a fitted estimator again, and where the module came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import torch

from skbert.compute import isolated
from skbert.encoder import build_model, make_config
from skbert.networks import PooledEncoder


@dataclass(frozen=True)
class Blueprint:
    """All parts of a fitted estimator except its weights and its tokenizer, in JSON types.

    Attributes
    ----------
    config : dict
        Config of the transformers model in the checkpoint.
    module : dict
        Arguments of the `PooledEncoder` except the encoder; ``layers`` and ``path`` as lists.
    own_path : list of int or None
        The pretrained layers that the encoder of the module has; None means all.
    width : int
        Width of the pooled vectors.
    max_length : int
        Maximum number of tokens of a text.
    weights_sha256, tokenizer_sha256 : str
        Hashes of the files from which the fit started.
    n_columns : int
        1 for texts, 2 for pairs.
    column_names : list of str or None
        Column names, if the fit was on a data frame.
    asked : dict or None
        The parameters that determined the model, so that a warm start can see what changed; None if nothing is trained.
    """

    config: dict
    module: dict
    own_path: list[int] | None
    width: int
    max_length: int
    weights_sha256: str
    tokenizer_sha256: str
    n_columns: int
    column_names: list[str] | None
    asked: dict | None = None

    def to_json(self):
        """The blueprint as a dict of JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content):
        """The inverse of `to_json`; it also reads older folders, in which ``module`` was called ``head``."""
        content = dict(content)
        content.setdefault("module", content.get("head"))
        return cls(**{field.name: content[field.name] for field in fields(cls)})

    def for_columns(self, texts):
        """The blueprint after a further fit, on `texts` whose columns may now have names."""
        return replace(self, n_columns=texts.n_columns, column_names=texts.column_names)

    def for_unit_vectors(self):
        """The blueprint with a head that reads vectors of length 1."""
        return replace(self, module={**self.module, "unit_vectors": True})

    @property
    def path(self):
        """The layers that run, as indices of the pretrained layers; None means all layers once."""
        return self.module.get("path") or self.own_path

    def build(self, arrays):
        """The `PooledEncoder` with the weights `arrays`, a dict of name to numpy array; in training mode."""
        # The arrays are copied, because they may be read-only memory maps from another process.
        tensors = {_name_of_now(name): torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        encoder = {name[len("encoder.") :]: t for name, t in tensors.items() if name.startswith("encoder.")}
        model = build_model(make_config(self.config), encoder, self.own_path)
        with isolated(0):
            module = PooledEncoder(model, **self.module)
        if module.head is not None and module.head.unit_vectors:
            # Saved before such heads had a centre, or after a fit with another head.
            tensors.setdefault("head.center", module.head.center)
        module.load_state_dict(tensors)
        return module


def _name_of_now(name):
    """The present name of a weight, which may have been saved before heads were modules."""
    return f"head.{name}" if name.startswith("classifier.") else name
