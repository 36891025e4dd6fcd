"""Running the layers of an encoder ourselves, one by one, on batches without padding.

A `LayerRunner` knows one family: how its embeddings are made and what one layer
does. Everything else (which layers, in which order, where to stop, what to keep)
is the same for all families and lives here. transformers' own way to give out
hidden states goes through hooks on the layers, which shifts indices when a layer
is left out and makes the model impossible to pickle; owning the loop avoids both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from skbert.encoder._dropout import dropout
from skbert.text import Layout


@dataclass(frozen=True)
class Prefix:
    """Hidden states of the lower layers, computed earlier, from which a forward goes on.

    Attributes
    ----------
    depth : int
        How many layers they stand for.
    states : dict of int to tensor (n_tokens, width)
        Packed states by depth: at least that of `depth`, and those below it that will be asked for.
    """

    depth: int
    states: dict[int, torch.Tensor]


class LayerRunner:
    """Runs the embeddings and any sequence of layers of one encoder.

    A state is what goes from layer to layer. Subclasses implement `embed` and
    `layer`; `context`, `pack`, `unpack` and `finish` where their states are not
    packed tensors (n_tokens, width) that may be given out as they are.

    Parameters
    ----------
    model : transformers model
        The base model, without a task head.
    """

    # Values of ``config.model_type`` that this class runs.
    model_types: tuple[str, ...] = ()
    # Whether the forward of the transformers model is never called.
    owns_forward = True
    # Entries of the config that say how much dropout comes before a classifier; the first that is set counts.
    head_dropout_entries: tuple[str, ...] = ("classifier_dropout", "hidden_dropout_prob")

    def __init__(self, model):
        self.model = model

    @property
    def n_layers(self):
        """L, the number of transformer layers."""
        return len(self.layer_modules())

    def layer_modules(self):
        """The modules of the transformer layers, in order; one shared by two layers is listed twice."""
        raise NotImplementedError

    def layer_parts(self, index):
        """All modules that make up layer `index`: its own, and any beside it that runs with it alone."""
        return [self.layer_modules()[index]]

    def replace_layers(self, modules, path):
        """Give the model `modules` as its transformer layers; `path` says which layer each was."""
        raise NotImplementedError

    @property
    def width(self):
        """Width of the hidden states."""
        return self.model.config.hidden_size

    @property
    def initializer_range(self):
        """Standard deviation with which new weights are drawn."""
        return getattr(self.model.config, "initializer_range", 0.02)

    @property
    def head_dropout(self):
        """Probability of dropout before a classifier, as the config has it."""
        values = (getattr(self.model.config, name, None) for name in self.head_dropout_entries)
        return next((value for value in values if value is not None), 0.1)

    @property
    def longest_input(self):
        """Most tokens, special ones included, for which there are positions; None where nothing limits them."""
        return getattr(self.model.config, "max_position_embeddings", None) or None

    @property
    def pooler(self):
        """The pretrained pooler (a dense layer and an activation over [CLS]), or None."""
        return getattr(self.model, "pooler", None)

    @property
    def pooler_dense(self):
        """The linear layer of the pooler, or None."""
        return getattr(self.pooler, "dense", None)

    def apply_pooler(self, pooled):
        """What the pooler makes of pooled vectors (n, width)."""
        return self.pooler(pooled[:, None])

    def drop_pooler(self):
        """Take the pooler out of the model, where it has one."""
        if self.pooler is not None:
            self.model.pooler = None

    @property
    def final_norm(self):
        """The norm through which the state after the last layer is read, or None."""
        return None

    def parts_above_layers(self):
        """The modules that come after the last layer: pooler and final norm, those that there are."""
        return [part for part in (self.pooler, self.final_norm) if part is not None]

    def embed(self, batch, layout):
        """The state before the first layer."""
        raise NotImplementedError

    def context(self, batch, layout, state):
        """What every layer needs besides the state, given the state that the forward begins with."""
        return layout

    def layer(self, index, state, context, cls_only=False):
        """Run transformer layer `index` (0-based) on `state`.

        With `cls_only` the result may hold only the first token of each text, as
        packed rows (n_texts, width); return None where the family cannot do that.
        """
        raise NotImplementedError

    def pack(self, state, context):
        """The state as a packed tensor (n_tokens, width)."""
        return state

    def unpack(self, packed, layout):
        """The inverse of `pack`."""
        return packed

    def finish(self, packed, last):
        """The hidden state to give out for a packed one; `last` after the last layer of the path."""
        return packed

    def hidden_states(self, batch, wanted, *, path=None, cls_only=False, prefix=None):
        """Hidden states of a batch.

        Parameters
        ----------
        batch : TokenBatch
            On the encoder's device.
        wanted : sequence of int
            Indices along the path: 0 is the output of the embeddings, d the state
            after d layers. The forward stops at the deepest of them.
        path : sequence of int, default=None
            Transformer layers to run, 0-based, in order; None runs all, once.
        cls_only : bool, default=False
            Give out the first token of each text only.
        prefix : Prefix, default=None
            States of the batch that need not be computed again.

        Returns
        -------
        states : list of tensors, in the order of `wanted`
            Each (n_tokens, width), packed; with `cls_only` (n_texts, width) with
            rows in the order asked for.
        layout : Layout
        """
        path = range(self.n_layers) if path is None else path
        layout = Layout(batch.lengths, batch.order)
        raw = self._raw_states(batch, layout, wanted, path, cls_only, prefix)
        states = [self.finish(raw[depth], last=depth == len(path)) for depth in wanted]
        return ([layout.restore(state) for state in states] if cls_only else states), layout

    def prefix_of(self, batch, depths, *, path=None):
        """Packed states at `depths`, to go on from in later forwards; the deepest is where they go on.

        Returns
        -------
        prefix : Prefix
        layout : Layout
        """
        path = range(self.n_layers) if path is None else path
        layout = Layout(batch.lengths, batch.order)
        return Prefix(max(depths), self._raw_states(batch, layout, depths, path, False, None)), layout

    def _raw_states(self, batch, layout, wanted, path, cls_only, prefix):
        """Unfinished states by depth: packed, or with `cls_only` one row a text in packed order."""
        deepest, found = max(wanted), {}

        def keep(depth, packed):
            if depth in wanted:
                found[depth] = packed[layout.cls_index] if cls_only else packed

        if prefix is None:
            first, state = 0, self.embed(batch, layout)
        else:
            first, state = prefix.depth, self.unpack(prefix.states[prefix.depth], layout)
            for depth, packed in prefix.states.items():
                keep(depth, packed)
        context = self.context(batch, layout, state)
        if first == 0 and 0 in wanted:
            keep(0, self.pack(state, context))
        for depth in range(first + 1, deepest + 1):
            index = path[depth - 1]
            if cls_only and depth == deepest:
                # Nobody reads the other tokens of this layer, so it need not make them.
                rows = self.layer(index, state, context, cls_only=True)
                if rows is not None:
                    found[depth] = rows
                    break
            state = self.layer(index, state, context)
            if depth in wanted:
                keep(depth, self.pack(state, context))
        return found


def attend(query, key, value, layout, *, n_heads, dropout_p, cls_only=False, window=None):
    """Multi-head self-attention within each text of a packed batch.

    Parameters
    ----------
    query, key, value : tensors (n_tokens, width)
        With `cls_only`, `query` is (n_texts, width).
    layout : Layout
    n_heads : int
    dropout_p : float
        Dropout on the attention weights.
    cls_only : bool
        One query, the first token, a text.
    window : int or None
        A token attends to tokens at most this far away; None for all.

    Returns
    -------
    tensor like `query`
    """
    width = query.shape[1]
    head = width // n_heads
    # Split once, not sliced group by group: the gradient of a slice is as large as what it was cut from.
    n_tokens = [n * length for _, _, n, length in layout.groups]
    n_rows = [n for _, _, n, _ in layout.groups] if cls_only else n_tokens
    parts = []
    for (_, _, n, length), q, k, v in zip(
        layout.groups, query.split(n_rows), key.split(n_tokens), value.split(n_tokens), strict=True
    ):
        n_queries = 1 if cls_only else length
        mask = None
        if window is not None and length > window + 1:
            place = torch.arange(length, device=query.device)
            mask = (place[:n_queries, None] - place[None, :]).abs() <= window
        q = q.view(n, n_queries, n_heads, head).transpose(1, 2)
        k = k.view(n, length, n_heads, head).transpose(1, 2)
        v = v.view(n, length, n_heads, head).transpose(1, 2)
        if dropout_p and q.device.type == "cpu":
            out = _attend_with_dropout(q, k, v, mask, dropout_p)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)
        parts.append(out.transpose(1, 2).reshape(n * n_queries, width))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_with_dropout(q, k, v, mask, p):
    """Scaled dot-product attention with dropout on its weights; torch has no kernel for it on the CPU either."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return dropout(scores.softmax(dim=-1), p) @ v
