"""ModernBERT: pre-LayerNorm layers, rotary positions, and sliding-window attention in most layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from skbert.encoder._attention import attend
from skbert.encoder._dropout import apply_dropout
from skbert.encoder._layer_runner import LayerRunner
from skbert.text import Layout


@dataclass(frozen=True)
class _Context:
    layout: Layout
    rotary: dict  # attention type -> (cos, sin), each (n_tokens, head width)


class ModernBertRunner(LayerRunner):
    """ModernBERT. As in transformers, the final LayerNorm is applied to the state after the last layer."""

    model_types = ("modernbert",)

    def layer_modules(self):
        return list(self.model.layers)

    def replace_layers(self, modules, path):
        # Each layer module stores whether its attention is local; the first one has no LayerNorm at its start.
        self.model.layers = nn.ModuleList(modules)

    def embed(self, batch, layout):
        return self.model.embeddings(input_ids=batch.input_ids[None])[0]

    def context(self, batch, layout, state):
        rotary = {}
        for kind in set(self.model.config.layer_types):
            cos, sin = self.model.rotary_emb(state[None], batch.position_ids[None], kind)
            rotary[kind] = cos[0], sin[0]
        return _Context(layout, rotary)

    def layer(self, index, state, context, cls_only=False):
        module = self.model.layers[index]
        attention, layout = module.attn, context.layout
        n_heads = self.model.config.num_attention_heads
        query, key, value = attention.Wqkv(module.attn_norm(state)).chunk(3, dim=-1)
        cos, sin = context.rotary[module.attention_type]
        query, key = _rotate(query, cos, sin, n_heads), _rotate(key, cos, sin, n_heads)
        if cls_only:
            state, query = (rows.index_select(0, layout.cls_index) for rows in (state, query))
        attended = attend(
            query,
            key,
            value,
            layout,
            n_heads=n_heads,
            dropout_p=attention.attention_dropout if module.training else 0.0,
            cls_only=cls_only,
            window=self.model.config.sliding_window if module.attention_type == "sliding_attention" else None,
        )
        state = state + apply_dropout(attention.out_drop, attention.Wo(attended))
        return state + module.mlp(module.mlp_norm(state))

    def finish(self, packed, last):
        return self.final_norm(packed) if last else packed

    @property
    def final_norm(self):
        return self.model.final_norm


def _rotate(x, cos, sin, n_heads):
    """Rotary position embedding of x (n_tokens, width), head by head, in fp32."""
    heads = x.view(x.shape[0], n_heads, -1)
    wide = heads.float()
    half = wide.shape[-1] // 2
    turned = torch.cat([-wide[..., half:], wide[..., :half]], dim=-1)
    return (wide * cos[:, None] + turned * sin[:, None]).to(x.dtype).view_as(x)
