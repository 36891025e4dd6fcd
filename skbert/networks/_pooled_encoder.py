"""An encoder, the two poolings, and a head, as one torch module."""

from __future__ import annotations

import torch
from torch import nn

from skbert.encoder import (
    SkipPlan,
    check_boundary,
    make_runner,
    reinitialise,
    resolve_path,
    skip_hidden_states,
    top_parts,
    trained_parts,
)
from skbert.networks._text_heads import make_text_head
from skbert.pooling import make_layer_pooling, make_token_pooling, resolve_layers


class PooledEncoder(nn.Module):
    """Token batch → hidden states → pooling over layers → pooling over tokens → head.

    Parameters
    ----------
    encoder : transformers model
        Base model; becomes part of this module (pass a copy to keep the original).
    n_outputs : int or None
        Width of the head's output; None makes a module without a head, for `pool` alone.
    layers, layer_pooling, token_pooling, n_heads
        The point on the pooling plane; see `skbert.pooling`.
    head : {"linear", "pooler"}
        ``"linear"``: dropout, then a linear layer. ``"pooler"``: the encoder's own
        pretrained dense layer and tanh come first.
    head_dropout : float, default=None
        Dropout before the linear layer; None takes what the encoder's config says.
    path : sequence of int, default=None
        Layers of `encoder` to run, in order, without changing it; for modules without a
        head. To train along a path, give an encoder that has its layers (`take_path`).

    Attributes
    ----------
    runner : LayerRunner
        What runs the encoder's layers.
    layers : tuple of int
        The chosen hidden states.
    layer_pooling : LayerPooling
    token_pooling : TokenPooling
    head : LinearHead, PoolerHead or None
    width : int
        Width of the pooled vectors.
    n_frozen : int
        How many of the lowest layers are not trained.

    Raises
    ------
    ValueError
        A parameter is out of its range, or the head does not fit the encoder.
    """

    def __init__(
        self,
        encoder,
        n_outputs,
        *,
        layers=3,
        layer_pooling="max",
        token_pooling="mha",
        n_heads=4,
        head="linear",
        head_dropout=None,
        path=None,
    ):
        super().__init__()
        self.n_frozen = 0
        self.encoder = encoder
        # Held in a tuple, or else torch would register the encoder a second time through it.
        self._runner = (make_runner(encoder),)
        self.path = resolve_path(path, self.runner)
        if self.path is not None and n_outputs is not None:
            raise ValueError("A module with a head trains all layers of its encoder; give one that has the path's.")
        self.layers = resolve_layers(layers, self.n_layers)
        self.layer_pooling = make_layer_pooling(layer_pooling, len(self.layers))
        width = self.layer_pooling.out_width(self.runner.width)
        self.token_pooling = make_token_pooling(token_pooling, width, n_heads)
        self.width = self.token_pooling.out_width(width)
        self.head = None
        if n_outputs is None:
            # The encoder may be shared with others: it stays as it is.
            return
        self.head = make_text_head(head, self.runner, self.width, n_outputs, head_dropout)
        if self.runner.owns_forward and not self.head.reads_pooler:
            # Nobody reads it here; kept, it would be copied, trained against nothing, and saved.
            self.runner.drop_pooler()

    def __deepcopy__(self, memo):
        raise TypeError("PooledEncoder is not copied; build another from a copy of the encoder.")

    @property
    def runner(self):
        """What runs the encoder's layers."""
        return self._runner[0]

    @property
    def n_layers(self):
        """L, the number of transformer layers that are run."""
        return self.runner.n_layers if self.path is None else len(self.path)

    # ------------------------------------------------------------- what is trained

    def fresh_parts(self, n_layers):
        """The modules that `reinitialise` takes: the top `n_layers` layers, and the pooler where it is read."""
        if not n_layers:
            return []
        return top_parts(self.runner, n_layers) + ([self.runner.pooler_dense] if self.head.reads_pooler else [])

    def reinitialise(self, n_layers):
        """Re-initialise the top `n_layers` layers, and the pooler where the head reads it (Zhang et al. 2021).

        Raises
        ------
        ValueError
            There are fewer layers, or they share their weights with layers below.
        NotImplementedError
            skbert does not run this family itself.
        """
        if n_layers:
            check_boundary(self.runner, "reinit_layers", n_layers, self.runner.n_layers - n_layers)
            reinitialise(self.fresh_parts(n_layers), self.runner.initializer_range)

    def freeze(self, n_layers):
        """Freeze the embeddings and the first `n_layers` layers; 0 lets everything train.

        The frozen part gets no gradient and stays in eval mode. What all layers share,
        such as the relative positions of DeBERTa, counts as part of the embeddings.
        """
        self.n_frozen = n_layers
        self.requires_grad_(True)
        if n_layers:
            self.encoder.requires_grad_(False)
            for part in trained_parts(self.runner, n_layers):
                part.requires_grad_(True)
        self.train(self.training)

    def train(self, mode=True):
        """Set training mode; the frozen part stays in eval mode."""
        super().train(mode)
        if mode and self.n_frozen:
            self.encoder.eval()
            for part in trained_parts(self.runner, self.n_frozen):
                part.train()
        return self

    # ------------------------------------------------------------- hidden states

    @property
    def cls_only(self):
        """Whether only the first token of the chosen hidden states is read."""
        return self.token_pooling.reads == "first"

    def states(self, batch, prefix=None):
        """The chosen hidden states of a batch.

        Parameters
        ----------
        batch : TokenBatch
        prefix : Prefix, default=None
            States of the frozen part for this batch, so that it need not run again.

        Returns
        -------
        states : list of tensors
            Packed (n_tokens, width); or (n, width), rows in the order asked for, where `cls_only`.
        layout : Layout
        """
        return self.runner.hidden_states(batch, self.layers, path=self.path, cls_only=self.cls_only, prefix=prefix)

    def all_states(self, batch):
        """All hidden states H_0 … H_L along the path, packed, and their layout."""
        return self.runner.hidden_states(batch, range(self.n_layers + 1), path=self.path)

    @property
    def prefix_depths(self):
        """Hidden states of the frozen part that `forward` needs: those that are read, and the one to go on from."""
        return sorted({*(depth for depth in self.layers if depth < self.n_frozen), self.n_frozen})

    def prefix_of(self, batch):
        """States of the frozen part, from which `forward` can go on; see `LayerRunner.prefix_of`."""
        return self.runner.prefix_of(batch, self.prefix_depths)

    # ------------------------------------------------------------- vectors and outputs

    def pool_states(self, states, layout):
        """Pooled vectors (n, width) of what `states` gave."""
        pooled = self.layer_pooling(states)
        return pooled if self.cls_only else self.token_pooling(layout.pad(pooled), layout.mask)

    def pool(self, batch):
        """Pooled vectors (n, width), rows in the order asked for."""
        return self.pool_states(*self.states(batch))

    def forward(self, batch, prefix=None):
        """Outputs (n, n_outputs): logits, or the predicted values of a regression; parameters as in `states`."""
        return self.head(self.pool_states(*self.states(batch, prefix)))

    def forward_with_shares(self, batch, prefix=None):
        """Outputs (n, n_outputs) as `forward`, and how many elements of the pooled states each chosen layer gives.

        Under ``max``: elements of real tokens (of [CLS] alone under ``token_pooling="cls"``)
        in which the layer is the largest, ties shared evenly. Otherwise every layer
        counts alike, except under ``weighted``, where the learned weights count.

        Returns
        -------
        outputs : tensor (n, n_outputs)
        shares : tensor (n_layers,)
        """
        states, layout = self.states(batch, prefix)
        return self.head(self.pool_states(states, layout)), self.layer_pooling.shares(states)

    # ------------------------------------------------------------- skipped layers

    def skip_plan(self, skips):
        """The `SkipPlan` of this module's pooling for sets of skipped layers."""
        return SkipPlan(skips, self.layers, self.n_layers, self.path)

    def skip_states(self, plan):
        """How many states of all tokens `pool_skipping` keeps at once, at most."""
        return plan.most_states(self.cls_only)

    def pool_skipping(self, batch, plan, max_tokens=2048):
        """Pooled vectors (n, n_variants, width) under every variant of a plan; see `skip_hidden_states`."""
        parts = []
        for variants, states, layout in skip_hidden_states(
            self.runner, batch, plan, cls_only=self.cls_only, max_tokens=max_tokens
        ):
            parts.append(self.pool_states(states, layout).unflatten(0, (len(batch), len(variants))))
        return torch.cat(parts, dim=1)
