"""An encoder, the two poolings, and a head, as one torch module."""

from __future__ import annotations

import torch
from torch import nn

from skbert.encoder import (
    SkipPlan,
    check_boundary,
    check_own_family,
    few_launches,
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
        The base model. It becomes part of this module, so pass a copy to keep the original unchanged.
    n_outputs : int or None
        Width of the output of the head. With None, the module has no head and only `pool` can be used.
    layers, layer_pooling, token_pooling, n_heads
        The point on the pooling plane; see `skbert.pooling`.
    head : {"linear", "pooler"}
        ``"linear"``: dropout, then a linear layer. ``"pooler"``: first the pretrained
        dense layer and tanh of the encoder, then dropout and a linear layer.
    head_dropout : float, default=None
        Dropout probability before the linear layer; None uses the value of the encoder's config.
    unit_vectors : bool, default=False
        Whether the linear layer reads vectors of length 1.
    path : sequence of int, default=None
        Layers of `encoder` to run, in order, without changing the encoder; only for modules
        without a head. To train along a path, pass an encoder that has the layers of the path
        (`take_path`).

    Attributes
    ----------
    runner : LayerRunner
        Runs the layers of the encoder.
    layers : tuple of int
        Indices of the chosen hidden states.
    layer_pooling : LayerPooling
        Pooling over layers.
    token_pooling : TokenPooling
        Pooling over tokens.
    head : LinearHead, PoolerHead or None
        The head, if there is one.
    width : int
        Width of the pooled vectors.
    n_frozen : int
        Number of the lowest layers that are not trained.

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
        unit_vectors=False,
        path=None,
    ):
        super().__init__()
        self.n_frozen = 0
        self.encoder = encoder
        # In a tuple, because otherwise torch would register the encoder a second time.
        self._runner = (make_runner(encoder),)
        self.path = resolve_path(path, self.runner)
        if self.path is not None and n_outputs is not None:
            raise ValueError("A module with a head trains all layers of its encoder; pass one with the path's layers.")
        self.layers = resolve_layers(layers, self.n_layers)
        self.layer_pooling = make_layer_pooling(layer_pooling, len(self.layers))
        width = self.layer_pooling.out_width(self.runner.width)
        self.token_pooling = make_token_pooling(token_pooling, width, n_heads)
        self.width = self.token_pooling.out_width(width)
        self.head = None
        if n_outputs is None:
            # The encoder may be shared with other modules, so it is not changed.
            return
        self.head = make_text_head(head, self.runner, self.width, n_outputs, head_dropout, unit_vectors)
        if self.runner.owns_forward and not self.head.reads_pooler:
            # The pooler is not used here, and would still be copied, passed to the optimizer and saved.
            self.runner.drop_pooler()

    def __deepcopy__(self, memo):
        raise TypeError("PooledEncoder cannot be copied; build another one from a copy of the encoder.")

    @property
    def runner(self):
        """Runs the layers of the encoder."""
        return self._runner[0]

    @property
    def n_layers(self):
        """L, the number of transformer layers that are run."""
        return self.runner.n_layers if self.path is None else len(self.path)

    # ------------------------------------------------------------- what is trained

    def fresh_parts(self, n_layers):
        """The modules to re-initialise: the top `n_layers` layers or "all", and the pooler if the head uses it."""
        if not n_layers:
            return []
        if n_layers == "all":
            return [self.encoder]
        return top_parts(self.runner, n_layers) + ([self.runner.pooler_dense] if self.head.reads_pooler else [])

    def reinitialise(self, n_layers):
        """Re-initialise the top `n_layers` layers, and the pooler if the head uses it (Zhang et al. 2021).

        With ``"all"``, the whole encoder is re-initialised, with its embeddings.

        Raises
        ------
        ValueError
            The encoder has fewer layers, or these layers share their weights with layers below.
        NotImplementedError
            skbert does not run this family itself.
        """
        if n_layers:
            if n_layers == "all":
                check_own_family(self.runner, "reinit_layers")
            else:
                check_boundary(self.runner, "reinit_layers", n_layers, self.runner.n_layers - n_layers)
            reinitialise(self.fresh_parts(n_layers), self.runner.initializer_range)

    def freeze(self, n_layers):
        """Freeze the embeddings and the first `n_layers` layers; with 0, everything is trained.

        The frozen part gets no gradient and stays in eval mode. Parameters that all layers
        share, such as the relative positions of DeBERTa, count as part of the embeddings.
        """
        self.n_frozen = n_layers
        self.requires_grad_(True)
        if n_layers:
            self.encoder.requires_grad_(False)
            for part in trained_parts(self.runner, n_layers):
                part.requires_grad_(True)
        self.train(self.training)

    @property
    def trains_vectors(self):
        """Whether the pooled vectors depend on anything that is trained."""
        poolings = [*self.layer_pooling.parameters(), *self.token_pooling.parameters()]
        return bool(poolings) or self.n_frozen == 0 or max(self.layers) > self.n_frozen

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
        """Whether only the first token of the chosen hidden states is used."""
        return self.token_pooling.reads == "first"

    def states(self, batch, prefix=None):
        """The chosen hidden states of a batch.

        Parameters
        ----------
        batch : TokenBatch
            The texts.
        prefix : Prefix, default=None
            Hidden states of the frozen layers for this batch; with them, the frozen layers do not run again.

        Returns
        -------
        states : list of tensors
            Packed (n_tokens, width). If `cls_only`, (n, width) with rows in the order of the request.
        layout : Layout
            Where each text is in them.
        """
        return self.runner.hidden_states(batch, self.layers, path=self.path, cls_only=self.cls_only, prefix=prefix)

    def all_states(self, batch):
        """All hidden states H_0 … H_L along the path, packed, and their layout."""
        return self.runner.hidden_states(batch, range(self.n_layers + 1), path=self.path)

    @property
    def prefix_depths(self):
        """Depths of the frozen states that `forward` needs: those to pool, and the one to continue from."""
        return sorted({*(depth for depth in self.layers if depth < self.n_frozen), self.n_frozen})

    def prefix_of(self, batch):
        """Hidden states of the frozen part, from which `forward` can continue; see `LayerRunner.prefix_of`."""
        return self.runner.prefix_of(batch, self.prefix_depths)

    # ------------------------------------------------------------- vectors and outputs

    def pool_states(self, states, layout):
        """Pooled vectors (n, width) of the result of `states`."""
        pooled = self.layer_pooling(states)
        if self.cls_only:
            return pooled
        if few_launches(layout.device):
            return layout.restore(self.token_pooling(layout.spread(pooled), layout.spread_mask))
        return self.token_pooling(layout.pad(pooled), layout.mask)

    def pool(self, batch, prefix=None):
        """Pooled vectors (n, width), rows in the order of the request; the parameters are those of `states`."""
        return self.pool_states(*self.states(batch, prefix))

    def forward(self, batch, prefix=None):
        """Outputs (n, n_outputs): logits, or predicted values for regression; the parameters are those of `states`."""
        return self.head(self.pool(batch, prefix))

    def forward_with_shares(self, batch, prefix=None):
        """Outputs (n, n_outputs) as in `forward`, and how many pooled elements come from each chosen layer.

        With ``max``, an element counts for the layer that has the maximum; several layers with the
        maximum share it equally. Only real tokens count (only [CLS] with ``token_pooling="cls"``).
        With ``weighted``, each layer counts by its learned weight. Otherwise all layers count equally.

        Returns
        -------
        outputs : tensor (n, n_outputs)
            The outputs.
        shares : tensor (n_layers,)
            The count of each chosen layer.
        """
        states, layout = self.states(batch, prefix)
        return self.head(self.pool_states(states, layout)), self.layer_pooling.shares(states)

    # ------------------------------------------------------------- skipped layers

    def skip_plan(self, skips):
        """The `SkipPlan` for sets of skipped layers, with the layers and the path of this module."""
        return SkipPlan(skips, self.layers, self.n_layers, self.path)

    def skip_states(self, plan):
        """Maximum number of states of all tokens that `pool_skipping` keeps in memory at once."""
        return plan.most_states(self.cls_only)

    def pool_skipping(self, batch, plan, max_tokens=2048):
        """Pooled vectors (n, n_variants, width) for every variant of a plan; see `skip_hidden_states`."""
        parts = []
        for variants, states, layout in skip_hidden_states(
            self.runner, batch, plan, cls_only=self.cls_only, max_tokens=max_tokens
        ):
            parts.append(self.pool_states(states, layout).unflatten(0, (len(batch), len(variants))))
        return torch.cat(parts, dim=1)
