"""DeBERTa-v2 and v3: attention uses relative positions, so the layers of transformers run, on padded batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from skbert.encoder._layer_runner import LayerRunner
from skbert.text import Layout, padded_inputs


@dataclass(frozen=True)
class _Context:
    layout: Layout
    # The convolution next to layer 0 takes the output of the embeddings, which is the first state of the path.
    embedded: torch.Tensor
    mask: torch.Tensor
    attention_mask: torch.Tensor
    relative_pos: torch.Tensor | None
    rel_embeddings: torch.Tensor | None


class DebertaV2Runner(LayerRunner):
    """DeBERTa-v2/v3. The state is padded (n_texts, longest, width) and packed when read.

    Some checkpoints have a convolution next to their first layer. It belongs to that
    layer: it is left out with the layer, and it takes the output of the embeddings.
    """

    model_types = ("deberta-v2",)
    # transformers computes the attention, from a mask of texts.
    drops_keys = False
    head_dropout_entries = ("cls_dropout", "hidden_dropout_prob")

    def layer_modules(self):
        return list(self.model.encoder.layer)

    def layer_parts(self, index):
        conv = self.model.encoder.conv
        return super().layer_parts(index) + ([conv] if index == 0 and conv is not None else [])

    def replace_layers(self, modules, path):
        encoder = self.model.encoder
        if encoder.conv is not None and 0 in path[1:]:
            raise NotImplementedError(
                "This DeBERTa checkpoint has a convolution next to its layer 0, which cannot be moved or repeated: "
                "layer_path may name layer 0 once, in the first place, or leave it out."
            )
        if 0 not in path:
            encoder.conv = None
        encoder.layer = nn.ModuleList(modules)

    def embed(self, batch, layout):
        inputs = padded_inputs(batch, layout)
        mask = inputs.pop("attention_mask")
        return self.model.embeddings(**inputs, mask=mask)

    def context(self, batch, layout, state):
        encoder, mask = self.model.encoder, layout.mask.long()
        return _Context(
            layout,
            state,
            mask,
            encoder.get_attention_mask(mask),
            encoder.get_rel_pos(state),
            encoder.get_rel_embedding(),
        )

    def layer(self, index, state, context, cls_only=False):
        if cls_only:
            return None
        encoder = self.model.encoder
        output, _ = encoder.layer[index](
            state,
            context.attention_mask,
            relative_pos=context.relative_pos,
            rel_embeddings=context.rel_embeddings,
        )
        if index == 0 and encoder.conv is not None:
            output = encoder.conv(context.embedded, output, context.mask)
        return output

    def pack(self, state, context):
        return context.layout.pack(state)

    def unpack(self, packed, layout):
        return layout.pad(packed)
