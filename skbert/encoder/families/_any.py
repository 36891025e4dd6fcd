"""Encoders of transformers that skbert cannot run layer by layer."""

from __future__ import annotations

from skbert.encoder._layer_runner import LayerRunner
from skbert.text import padded_inputs


class TransformersRunner(LayerRunner):
    """Uses the forward of transformers, for families that skbert cannot run layer by layer.

    It always runs all layers, on padded batches. A layer path raises NotImplementedError.
    """

    owns_forward = False
    drops_keys = False
    # The names of all families, because the model may be of any family.
    head_dropout_entries = (
        *("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout"),
        *("hidden_dropout_prob", "dropout"),
    )

    @property
    def longest_input(self):
        """As in `LayerRunner`; a position table with a padding index is assumed to be used as in RoBERTa."""
        longest = super().longest_input
        table = getattr(getattr(self.model, "embeddings", None), "position_embeddings", None)
        padding_idx = getattr(table, "padding_idx", None)
        return longest if longest is None or padding_idx is None else longest - padding_idx - 1

    @property
    def n_layers(self):
        """L, from the config."""
        return self.model.config.num_hidden_layers

    def layer_modules(self):
        """Not known for this family."""
        raise NotImplementedError(f"skbert cannot access the layers of a {self.model.config.model_type!r} encoder.")

    def prefix_of(self, batch, depths, *, path=None):
        """Not known for this family."""
        self.layer_modules()

    def hidden_states(self, batch, wanted, *, path=None, cls_only=False, prefix=None):
        """See `LayerRunner.hidden_states`."""
        if path is not None and list(path) != list(range(self.n_layers)):
            raise NotImplementedError(
                f"A layer path needs a family that skbert runs layer by layer, not {self.model.config.model_type!r}."
            )
        layout = batch.layout
        inputs = padded_inputs(batch, layout)
        output = self.model(**inputs, output_hidden_states=True)
        states = [output.hidden_states[depth] for depth in wanted]
        if cls_only:
            return [state[:, 0] for state in states], layout
        return [layout.pack(state) for state in states], layout
