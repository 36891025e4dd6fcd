"""What builds the module of a fitted estimator again, and says where it came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import torch

from skbert.compute import isolated
from skbert.encoder import CODE_KEYS, build_model
from skbert.networks import PooledEncoder


@dataclass(frozen=True)
class Blueprint:
    """All that a fitted estimator is built from, except its weights and its tokenizer; of JSON types.

    Attributes
    ----------
    config : dict
        Of the transformers model, as the checkpoint has it.
    module : dict
        Arguments with which the `PooledEncoder` was made, beside the encoder; ``layers`` and ``path`` as lists.
    own_path : list of int or None
        The pretrained layers that the encoder of the module has for its own; None means all.
    width : int
        Width of the pooled vectors.
    max_length : int
        Longest input in tokens.
    weights_sha256, tokenizer_sha256 : str
        Hashes of the files from which the fit started.
    n_columns : int
        1 for texts, 2 for pairs.
    column_names : list of str or None
        Where the fit was on a data frame.
    asked : dict or None
        The parameters that shaped the model, for a warm start to see what changed; None where nothing is trained.
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
        """The inverse of `to_json`; it also takes what was saved when ``module`` was called ``head``."""
        content = dict(content)
        content.setdefault("module", content.get("head"))
        return cls(**{field.name: content[field.name] for field in fields(cls)})

    def for_columns(self, texts):
        """The blueprint after a further fit, on `texts` whose columns may now have names."""
        return replace(self, n_columns=texts.n_columns, column_names=texts.column_names)

    @property
    def path(self):
        """The layers that run, as indices of the pretrained ones; None means all, once."""
        return self.module.get("path") or self.own_path

    def build(self, arrays):
        """The `PooledEncoder` with the weights `arrays`, a dict of name to numpy array; in training mode."""
        # Arrays may come as read-only memory maps from another process, hence the copies.
        tensors = {_name_of_now(name): torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        encoder = {name[len("encoder.") :]: t for name, t in tensors.items() if name.startswith("encoder.")}
        model = build_model(self._config(), encoder, self.own_path)
        with isolated(0):
            module = PooledEncoder(model, **self.module)
        module.load_state_dict(tensors)
        return module

    def _config(self):
        from transformers import AutoConfig

        # What a saved folder says must not choose code to run.
        config = {name: value for name, value in self.config.items() if name not in CODE_KEYS}
        return AutoConfig.for_model(config.pop("model_type"), **config)


def _name_of_now(name):
    """The name of a weight today, for one that may have been saved before heads were modules."""
    return f"head.{name}" if name.startswith("classifier.") else name
