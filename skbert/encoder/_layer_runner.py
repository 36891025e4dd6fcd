"""Runs the layers of an encoder one by one, on batches without padding.

A `LayerRunner` knows one family: how its embeddings are computed and what one layer
does. Everything else is the same for all families and is in this file: which layers
run, in which order, where to stop, and what to keep. transformers returns hidden
states through hooks on the layers. These hooks shift the indices when a layer is
left out, and a model with hooks cannot be pickled. Our own loop avoids both problems.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Prefix:
    """Hidden states of the lower layers that were computed earlier; a forward pass continues from them.

    Attributes
    ----------
    depth : int
        Number of layers that these states replace.
    states : dict of int to tensor (n_tokens, width)
        Packed states by depth: the state at `depth`, and each lower state that will be read.
    """

    depth: int
    states: dict[int, torch.Tensor]


class LayerRunner:
    """Runs the embeddings and any sequence of layers of one encoder.

    A state is what one layer passes to the next. Subclasses implement `embed` and
    `layer`. If their states are not packed tensors (n_tokens, width), or if a state
    needs another step before it is returned, they also implement `context`, `pack`,
    `unpack` and `finish`.

    Parameters
    ----------
    model : transformers model
        The base model, without a task head.
    """

    # Values of ``config.model_type`` that this class runs.
    model_types: tuple[str, ...] = ()
    # Whether skbert runs all layers itself, without the forward of the transformers model.
    owns_forward = True
    # Whether tokens can be left out as keys of attention (`TokenBatch.attended`).
    drops_keys = True
    # Config entries for the dropout before a classifier; the first one that is set is used.
    head_dropout_entries: tuple[str, ...] = ("classifier_dropout", "hidden_dropout_prob")

    def __init__(self, model):
        self.model = model

    @property
    def n_layers(self):
        """L, the number of transformer layers."""
        return len(self.layer_modules())

    def layer_modules(self):
        """The modules of the transformer layers, in order; a module that two layers share is listed twice."""
        raise NotImplementedError

    def layer_parts(self, index):
        """All modules of layer `index`: the layer itself, and any module outside it that runs only with this layer."""
        return [self.layer_modules()[index]]

    def joined_linears(self, index):
        """The linear layers in layer `index` that read the state in one matrix product, in that order; may be none."""
        return ()

    def replace_layers(self, modules, path):
        """Replace the transformer layers of the model by `modules`; `path` gives the original index of each."""
        raise NotImplementedError

    @property
    def width(self):
        """Width of the hidden states."""
        return self.model.config.hidden_size

    @property
    def initializer_range(self):
        """Standard deviation of newly initialised weights."""
        return getattr(self.model.config, "initializer_range", 0.02)

    @property
    def head_dropout(self):
        """Dropout probability before a classifier, from the config."""
        values = (getattr(self.model.config, name, None) for name in self.head_dropout_entries)
        return next((value for value in values if value is not None), 0.1)

    @property
    def longest_input(self):
        """Maximum number of tokens, special tokens included, that have a position; None if there is no limit."""
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
        """Output of the pooler for pooled vectors (n, width)."""
        return self.pooler(pooled[:, None])

    def drop_pooler(self):
        """Remove the pooler from the model, if it has one."""
        if self.pooler is not None:
            self.model.pooler = None

    @property
    def final_norm(self):
        """The norm that is applied to the state after the last layer, or None."""
        return None

    def parts_above_layers(self):
        """The modules after the last layer, where they exist: pooler and final norm."""
        return [part for part in (self.pooler, self.final_norm) if part is not None]

    def embed(self, batch, layout):
        """The state before the first layer."""
        raise NotImplementedError

    def context(self, batch, layout, state):
        """What every layer needs in addition to the state; `state` is the one from which the forward pass starts."""
        return layout

    def layer(self, index, state, context, cls_only=False):
        """Run transformer layer `index` (0-based) on `state`.

        With `cls_only`, the result may hold only the first token of each text, as
        packed rows (n_texts, width). Return None if the family cannot do that.
        """
        raise NotImplementedError

    def pack(self, state, context):
        """The state as a packed tensor (n_tokens, width)."""
        return state

    def unpack(self, packed, layout):
        """The inverse of `pack`."""
        return packed

    def finish(self, packed, last):
        """Turn a packed state into the hidden state to return; `last` is True after the last layer of the path."""
        return packed

    def hidden_states(self, batch, wanted, *, path=None, cls_only=False, prefix=None):
        """Hidden states of a batch.

        Parameters
        ----------
        batch : TokenBatch
            The texts, on the encoder's device.
        wanted : sequence of int
            Indices along the path: 0 is the output of the embeddings, d is the state
            after d layers. The forward pass stops at the largest index.
        path : sequence of int, default=None
            Transformer layers to run, 0-based, in order; None runs all layers once.
        cls_only : bool, default=False
            Whether to return only the first token of each text.
        prefix : Prefix, default=None
            States of this batch that were computed before and are used again.

        Returns
        -------
        states : list of tensors, in the order of `wanted`
            Each (n_tokens, width), packed. With `cls_only`, each is (n_texts, width), with
            rows in the order of the request.
        layout : Layout
            Where each text is in the packed states.
        """
        path = range(self.n_layers) if path is None else path
        layout = batch.layout
        raw = self._raw_states(batch, layout, wanted, path, cls_only, prefix)
        states = [self.finish(raw[depth], last=depth == len(path)) for depth in wanted]
        return ([layout.restore(state) for state in states] if cls_only else states), layout

    def prefix_of(self, batch, depths, *, path=None):
        """Packed states at `depths`; a later forward pass continues from the deepest of them.

        Returns
        -------
        prefix : Prefix
            The states.
        layout : Layout
            Where each text is in them.
        """
        path = range(self.n_layers) if path is None else path
        layout = batch.layout
        return Prefix(max(depths), self._raw_states(batch, layout, depths, path, False, None)), layout

    def _raw_states(self, batch, layout, wanted, path, cls_only, prefix):
        """States by depth, before `finish`: packed, or with `cls_only` one row per text in packed order."""
        deepest, found = max(wanted), {}

        def keep(depth, packed):
            if depth in wanted:
                found[depth] = packed.index_select(0, layout.cls_index) if cls_only else packed

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
                # No layer reads the other tokens of this state, so they are not computed.
                rows = self.layer(index, state, context, cls_only=True)
                if rows is not None:
                    found[depth] = rows
                    break
            state = self.layer(index, state, context)
            if depth in wanted:
                keep(depth, self.pack(state, context))
        return found
