"""An encoder, the two poolings, and a linear head, as one torch module."""

from __future__ import annotations

import torch
from torch import nn

from skbert.encoder import SkipPlan, check_boundary, make_runner, reinitialise, resolve_path, skip_hidden_states
from skbert.pooling import ClsPooling, LayerPooling, make_token_pooling, resolve_layers


class PooledEncoder(nn.Module):
    """Token batch → hidden states → pooling over layers → pooling over tokens → head.

    Parameters
    ----------
    encoder : transformers model
        Base model; becomes part of this module (pass a copy to keep the original).
    n_outputs : int or None
        Width of the head's output; None makes a module without a head, for `pool` alone.
    layers, layer_pooling, token_pooling, n_heads
        The point on the pooling plane; see `skbert.encoder.pooling`.
    head : {"linear", "pooler"}
        ``"linear"``: dropout, then a linear layer. ``"pooler"``: the encoder's own
        pretrained dense layer and tanh come first.
    head_dropout : float, default=None
        Dropout before the linear layer; None takes what the encoder's config says.
    path : sequence of int, default=None
        Layers of `encoder` to run, in order, without changing it; for modules without a
        head. To train along a path, give an encoder that has its layers (`take_path`).

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
        if head not in ("linear", "pooler"):
            raise ValueError(f"head must be 'linear' or 'pooler', got {head!r}")
        self.encoder = encoder
        # Held in a tuple, or else torch would register the encoder a second time through it.
        self._runner = (make_runner(encoder),)
        config = encoder.config
        self.path = resolve_path(path, self.runner)
        if self.path is not None and n_outputs is not None:
            raise ValueError("A module with a head trains all layers of its encoder; give one that has the path's.")
        self.layers = resolve_layers(layers, self.n_layers)
        self.layer_pooling = LayerPooling(layer_pooling, len(self.layers))
        width = self.layer_pooling.out_width(config.hidden_size)
        self.token_pooling = make_token_pooling(token_pooling, width, n_heads)
        self.width = width
        self.head = head
        if n_outputs is None:
            # The encoder may be shared with others: it stays as it is.
            return
        if head == "pooler":
            _check_pooler(encoder, width)
        elif getattr(encoder, "pooler", None) is not None and self.runner.owns_forward:
            # Nobody reads it here; kept, it would be copied, trained against nothing, and saved.
            encoder.pooler = None
        p = _head_dropout(config) if head_dropout is None else head_dropout
        self.dropout = nn.Dropout(p)
        self.classifier = nn.Linear(width, n_outputs)
        nn.init.normal_(self.classifier.weight, std=_initializer_range(config))
        nn.init.zeros_(self.classifier.bias)

    def fresh_parts(self, n_layers):
        """The modules that `reinitialise` draws anew: the top `n_layers` layers, and the pooler where it is used."""
        if not n_layers:
            return []
        below = self.runner.n_layers - n_layers
        layers = [part for index in range(below, self.runner.n_layers) for part in self.runner.layer_parts(index)]
        return layers + ([_pooler_dense(self.encoder)] if self.head == "pooler" else [])

    def reinitialise(self, n_layers):
        """Draw the top `n_layers` layers anew, and with them the pooler where it is the head (Zhang et al. 2021).

        Raises
        ------
        ValueError
            There are fewer layers, or they share their weights with layers below.
        NotImplementedError
            skbert does not run this family itself.
        """
        if n_layers:
            check_boundary(self.runner, "reinit_layers", n_layers, self.runner.n_layers - n_layers)
            reinitialise(self.fresh_parts(n_layers), _initializer_range(self.encoder.config))

    def depths(self):
        """Where each parameter stands, by its ``id``: 0 is embeddings, d layer d, L + 1 the pooler and the head.

        What all layers share counts as embeddings, a norm after the last layer as part of
        that layer; weights that several layers share stand where the topmost of them does.
        """
        n_layers = self.runner.n_layers
        depths = {id(parameter): n_layers + 1 for parameter in self.parameters()}
        levels = [self.encoder.parameters()]
        levels += [
            (parameter for part in self.runner.layer_parts(index) for parameter in part.parameters())
            for index in range(n_layers)
        ]
        for depth, parameters in enumerate(levels):
            depths |= dict.fromkeys(map(id, parameters), depth)
        for name, depth in (("final_norm", n_layers), ("pooler", n_layers + 1)):
            part = getattr(self.encoder, name, None)
            if part is not None:
                depths |= dict.fromkeys(map(id, part.parameters()), depth)
        return depths

    @property
    def n_layers(self):
        """L, the number of transformer layers that are run."""
        return self.runner.n_layers if self.path is None else len(self.path)

    @property
    def runner(self):
        """What runs the encoder's layers."""
        return self._runner[0]

    def __deepcopy__(self, memo):
        raise TypeError("PooledEncoder is not copied; build another from a copy of the encoder.")

    def freeze(self, n_layers):
        """Freeze the embeddings and the first `n_layers` layers; 0 lets everything train.

        The frozen part gets no gradient and stays in eval mode. What all layers share,
        such as the relative positions of DeBERTa, counts as part of the embeddings.
        """
        self.n_frozen = n_layers
        self.requires_grad_(True)
        if n_layers:
            self.encoder.requires_grad_(False)
            for part in self._trained_parts():
                part.requires_grad_(True)
        self.train(self.training)

    def _trained_parts(self):
        """The modules of the encoder that are trained above the frozen layers."""
        yield from self.runner.layer_modules()[self.n_frozen :]
        for name in ("pooler", "final_norm"):
            if getattr(self.encoder, name, None) is not None:
                yield getattr(self.encoder, name)

    def train(self, mode=True):
        """Set training mode; the frozen part stays in eval mode."""
        super().train(mode)
        if mode and self.n_frozen:
            self.encoder.eval()
            for part in self._trained_parts():
                part.train()
        return self

    @property
    def prefix_depths(self):
        """Hidden states of the frozen part that `forward` needs: those that are read, and the one to go on from."""
        return sorted({*(depth for depth in self.layers if depth < self.n_frozen), self.n_frozen})

    def prefix_of(self, batch):
        """States of the frozen part, from which `forward` can go on; see `LayerRunner.prefix_of`."""
        return self.runner.prefix_of(batch, self.prefix_depths)

    @property
    def _cls_only(self):
        return isinstance(self.token_pooling, ClsPooling)

    def _read(self, batch, prefix=None):
        """The chosen hidden states, packed, and their layout; rows of [CLS] where no other token is read."""
        return self.runner.hidden_states(batch, self.layers, path=self.path, cls_only=self._cls_only, prefix=prefix)

    def _pool(self, states, layout):
        pooled = self.layer_pooling(states)
        return pooled if self._cls_only else self.token_pooling(layout.pad(pooled), layout.mask)

    def pool(self, batch):
        """Pooled vectors (n, width), rows in the order asked for."""
        return self._pool(*self._read(batch))

    def all_states(self, batch):
        """All hidden states H_0 … H_L along the path, packed, and their layout."""
        return self.runner.hidden_states(batch, range(self.n_layers + 1), path=self.path)

    def skip_plan(self, skips):
        """The `SkipPlan` of this module's pooling for sets of skipped layers."""
        return SkipPlan(skips, self.layers, self.n_layers, self.path)

    def skip_states(self, plan):
        """How many states of all tokens `pool_skipping` keeps at once, at most."""
        return plan.most_states(self._cls_only)

    def pool_skipping(self, batch, plan, max_tokens=2048):
        """Pooled vectors (n, n_variants, width) under every variant of a plan; see `skip_hidden_states`."""
        parts = []
        for variants, states, layout in skip_hidden_states(
            self.runner, batch, plan, cls_only=self._cls_only, max_tokens=max_tokens
        ):
            parts.append(self._pool(states, layout).unflatten(0, (len(batch), len(variants))))
        return torch.cat(parts, dim=1)

    def head_output(self, pooled):
        """Outputs (n, n_outputs) for pooled vectors (n, width)."""
        if self.head == "pooler":
            pooled = _apply_pooler(self.encoder, pooled)
        return self.classifier(self.dropout(pooled))

    def forward(self, batch, prefix=None):
        """Outputs (n, n_outputs): logits, or the predicted values of a regression.

        Parameters
        ----------
        batch : TokenBatch
        prefix : Prefix, default=None
            States of the frozen part for this batch, so that it need not run again.
        """
        return self.head_output(self._pool(*self._read(batch, prefix)))

    def forward_with_wins(self, batch, prefix=None):
        """Outputs (n, n_outputs), and how many elements of the pooled states each chosen layer gives; as `forward`.

        For ``max``: elements of real tokens (of [CLS] alone under ``token_pooling="cls"``)
        in which the layer is the largest, ties shared evenly. Otherwise every layer
        counts alike, save under ``weighted``, where the learned weights count.

        Returns
        -------
        outputs : tensor (n, n_outputs)
        wins : tensor (n_layers,)
        """
        states, layout = self._read(batch, prefix)
        return self.head_output(self._pool(states, layout)), self._wins(states)

    def _wins(self, states):
        if self.layer_pooling.mode == "max":
            stacked = torch.stack(states)
            wins = (stacked == stacked.amax(dim=0)).float()
            return (wins / wins.sum(dim=0)).flatten(1).sum(dim=1)
        elements = states[0].numel()
        if self.layer_pooling.mode == "weighted":
            return torch.softmax(self.layer_pooling.mix, dim=0) * elements
        return torch.full((len(states),), elements / len(states))


def _initializer_range(config):
    return getattr(config, "initializer_range", 0.02)


def _head_dropout(config):
    """Dropout before the classifier, under the name each family gives it."""
    for name in ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout"):
        value = getattr(config, name, None)
        if value is not None:
            return value
    for name in ("hidden_dropout_prob", "dropout"):
        value = getattr(config, name, None)
        if value is not None:
            return value
    return 0.1


def _pooler_dense(encoder):
    """The linear layer of the pretrained pooler, or None."""
    pooler = getattr(encoder, "pooler", None)
    return pooler if isinstance(pooler, nn.Linear) else getattr(pooler, "dense", None)


def _check_pooler(encoder, width):
    dense = _pooler_dense(encoder)
    if dense is None:
        raise ValueError(
            f"head='pooler' needs an encoder with a pretrained pooler, which this {encoder.config.model_type!r} "
            "checkpoint does not have. Use head='linear'."
        )
    if dense.in_features != width:
        raise ValueError(
            f"head='pooler' takes vectors of width {dense.in_features}, but the pooled vectors have width {width} "
            "(layer_pooling='concat' widens them). Use head='linear'."
        )


def _apply_pooler(encoder, pooled):
    if isinstance(encoder.pooler, nn.Linear):  # ALBERT keeps its activation beside the layer
        return encoder.pooler_activation(encoder.pooler(pooled))
    return encoder.pooler(pooled[:, None])
