"""HybridBERT: BERT in which some layers mix tokens by pooling instead of self-attention.

In a pooling layer, with H the state of one text and Q, K, O, S, C linear maps of it (head by head for Q and K):

    q̄ = mean over tokens of Q,  a = softmax(q̄ · K / √d),  g = Σ a K        the text as a whole
    s_n = element-wise maximum of S over the segment of token n
    l_n = element-wise maximum of C over tokens n - 1, n, n + 1
    P_n = (g + s_n) ⊙ O_n + l_n

P takes the place of the attended values; all else is the layer of BERT. A segment is one text, or one text of a pair.
Special tokens belong to no segment: they are left out of both maxima, and their own s and l are 0. The cost of a text
grows with its length, not with its square.

References
----------
Tan et al. (2022). PoNet: Pooling Network for Efficient Token Mixing in Long Sequences. ICLR 2022. arXiv:2110.02442.

Chen et al. (2023). HybridBERT. arXiv:2307.07258.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from skbert.encoder._way import few_launches
from skbert.encoder.families._post_ln import BertRunner, project
from skbert.text import Layout

# What a layer can mix tokens with.
MIXERS = ("attention", "pooling")


class PoolingMixer(nn.Module):
    """Mixes the tokens of each text by pooling; stands where a layer of BERT has its self-attention.

    Parameters
    ----------
    width : int
        Width of the hidden states.
    n_heads : int
        Number of heads of the global pooling; it must divide the width.
    """

    # BERT's self-attention has both. Here the keys are the values, and no weights are dropped.
    value = dropout = None

    def __init__(self, width, n_heads):
        super().__init__()
        if width % n_heads:
            raise ValueError(f"n_heads={n_heads} must divide the width {width}.")
        self.n_heads = n_heads
        self.query, self.key, self.gate = (nn.Linear(width, width) for _ in range(3))
        self.segment, self.local = (nn.Linear(width, width) for _ in range(2))

    @property
    def linears(self):
        """The linear maps in the order in which `forward` uses them."""
        return self.query, self.key, self.gate, self.segment, self.local

    def forward(self, state, context):
        """Mixed tokens (n_tokens, width) of a packed state."""
        projected, layout = project(state, *self.linears), context.layout
        if few_launches(state.device):
            # At padding, no mask is True: no token pools it.
            masks = (context.attended, context.inner, context.second)
            masks = [layout.spread(mask) & layout.spread_mask for mask in masks]
            return layout.gather(self._mix(layout.spread(projected), *masks))
        sizes = [n * length for _, _, n, length in layout.groups]
        projected = projected.split(sizes)
        masks = zip(*(mask.split(sizes) for mask in (context.attended, context.inner, context.second)), strict=True)
        parts = []
        for (_, _, n, length), rows, of_group in zip(layout.groups, projected, masks, strict=True):
            mixed = self._mix(rows.view(n, length, -1), *(mask.view(n, length) for mask in of_group))
            parts.append(mixed.flatten(0, 1))
        return torch.cat(parts)

    def _mix(self, projected, attended, inner, second):
        """Mixed tokens (n, length, width) of texts of equal length; the masks are (n, length)."""
        query, key, gate, segment, local = projected.chunk(5, dim=-1)
        usable = (attended & inner)[..., None]
        pooled = self._whole_text(query, key, attended)[:, None] + self._segments(segment, usable, inner, second)
        return pooled * gate + _neighbours(local, usable) * inner[..., None]

    def _whole_text(self, query, key, attended):
        """g, (n, width): all attended tokens, special ones too, weighted by how well they fit the mean query."""
        weight = attended[..., None].to(query.dtype)
        mean = (query * weight).sum(dim=1) / weight.sum(dim=1)
        keys = key.unflatten(-1, (self.n_heads, -1))
        mean = mean.unflatten(-1, (self.n_heads, -1)) * keys.shape[-1] ** -0.5
        scores = torch.einsum("nhd,nlhd->nlh", mean, keys).masked_fill(~attended[..., None], float("-inf"))
        return torch.einsum("nlh,nlhd->nhd", scores.softmax(dim=1), keys).flatten(1)

    @staticmethod
    def _segments(values, usable, inner, second):
        """s, (n, length, width): the maximum over the segment of each token, 0 at special tokens."""
        if not second.any():
            return _largest(values, usable) * inner[..., None]
        is_second = second[..., None]
        found = torch.where(is_second, _largest(values, usable & is_second), _largest(values, usable & ~is_second))
        return found * inner[..., None]


def _largest(values, usable):
    """Maximum over the usable tokens, (n, 1, width); 0 where there is none."""
    return _or_zero(values.masked_fill(~usable, float("-inf")).amax(dim=1, keepdim=True))


def _neighbours(values, usable):
    """Maximum over each token and its two neighbours, as far as they are usable; 0 where none is."""
    around = F.pad(values.masked_fill(~usable, float("-inf")), (0, 0, 1, 1), value=float("-inf"))
    return _or_zero(torch.maximum(torch.maximum(around[:, :-2], around[:, 1:-1]), around[:, 2:]))


def _or_zero(values):
    return values.masked_fill(values == float("-inf"), 0.0)


@dataclass(frozen=True)
class _Context:
    """Where the texts and their segments are; the masks are bool tensors (n_tokens,) over packed tokens.

    Tokens that are `inner` belong to a segment, the others are special; those that are `second` belong to the second
    text of a pair; those that are not `attended` are pooled by no token.
    """

    layout: Layout
    attended: torch.Tensor
    inner: torch.Tensor
    second: torch.Tensor


class HybridBertRunner(BertRunner):
    """BERT with pooling layers among its layers; which ones they are is seen in the layers themselves."""

    model_types = ("hybridbert",)

    def context(self, batch, layout, state):
        # By place and segment, not by id: in training, the ids may be those of a smaller table.
        ones = torch.ones_like(batch.input_ids, dtype=torch.bool)
        inner, second = ones.clone(), torch.zeros_like(ones)
        inner[layout.cls_index] = False
        inner[layout.cls_index[1:] - 1] = False
        inner[-1] = False
        if batch.token_type_ids is not None:
            second = batch.token_type_ids == 1
            # The separator between the texts of a pair is the last token of the first segment.
            inner[:-1] &= second[:-1] | ~second[1:]
        return _Context(layout, ones if layout.attended is None else layout.attended, inner, second)

    def joined_linears(self, index):
        mixer = self.layer_modules()[index].attention.self
        return mixer.linears if isinstance(mixer, PoolingMixer) else super().joined_linears(index)

    def layer(self, index, state, context, cls_only=False):
        module = self.layer_modules()[index]
        mixer = module.attention.self
        if not isinstance(mixer, PoolingMixer):
            return super().layer(index, state, context.layout, cls_only)
        if cls_only:
            return None
        return self.rest_of_layer(module, state, mixer(state, context))
