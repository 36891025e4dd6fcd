"""DeBERTa-v2 and v3: relative positions inside the attention, so its own layers run, on padded batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .running import LayerRunner, Layout, padded_inputs


@dataclass(frozen=True)
class _Context:
    layout: Layout
    embedded: torch.Tensor
    mask: torch.Tensor
    attention_mask: torch.Tensor
    relative_pos: torch.Tensor | None
    rel_embeddings: torch.Tensor | None


class DebertaV2Runner(LayerRunner):
    """DeBERTa-v2/v3. The state is padded (n_texts, longest, width) and packed when read.

    The convolution that some checkpoints put beside their first layer belongs to
    that layer: it is left out with it, and takes the output of the embeddings.
    """

    def layer_modules(self):
        return list(self.model.encoder.layer)

    def start(self, batch, layout):
        encoder = self.model.encoder
        inputs = padded_inputs(batch, layout)
        mask = inputs.pop("attention_mask")
        embedded = self.model.embeddings(**inputs, mask=mask)
        context = _Context(
            layout,
            embedded,
            mask,
            encoder.get_attention_mask(mask),
            encoder.get_rel_pos(embedded),
            encoder.get_rel_embedding(),
        )
        return embedded, context

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

    def read(self, state, context, last):
        return context.layout.pack(state)
