"""The post-LayerNorm families: BERT, RoBERTa, XLM-RoBERTa, ELECTRA, DistilBERT, ALBERT.

With H the packed hidden state (n_tokens, width), one transformer layer is

    A = LayerNorm(H + dropout(W_o · attention(H)))
    H' = LayerNorm(A + dropout(W_2 · act(W_1 · A)))

The families differ only in the names of their modules, in where dropout is
applied, and in their embeddings.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from skbert.encoder._attention import attend_from_first, attend_joined, mask_of_group
from skbert.encoder._dropout import apply_dropout, dropout
from skbert.encoder._even_rows import even_linear
from skbert.encoder._layer_runner import LayerRunner
from skbert.encoder._side_by_side import join
from skbert.encoder._way import few_launches

_NO_DROPOUT = nn.Identity()


@dataclass(frozen=True)
class _Parts:
    """The modules of one layer under common names."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_dropout: nn.Dropout
    attention_out: nn.Linear
    attention_out_dropout: nn.Module
    attention_norm: nn.LayerNorm
    ffn_in: nn.Linear
    activation: object
    ffn_out: nn.Linear
    ffn_dropout: nn.Module
    ffn_norm: nn.LayerNorm


def _bert_parts(layer):
    own, out = layer.attention.self, layer.attention.output
    return _Parts(
        own.query,
        own.key,
        own.value,
        own.dropout,
        out.dense,
        out.dropout,
        out.LayerNorm,
        layer.intermediate.dense,
        layer.intermediate.intermediate_act_fn,
        layer.output.dense,
        layer.output.dropout,
        layer.output.LayerNorm,
    )


def _distilbert_parts(layer):
    own, ffn = layer.attention, layer.ffn
    return _Parts(
        own.q_lin,
        own.k_lin,
        own.v_lin,
        own.dropout,
        own.out_lin,
        _NO_DROPOUT,
        layer.sa_layer_norm,
        ffn.lin1,
        ffn.activation,
        ffn.lin2,
        ffn.dropout,
        layer.output_layer_norm,
    )


def _albert_parts(layer):
    own = layer.attention
    return _Parts(
        own.query,
        own.key,
        own.value,
        own.attention_dropout,
        own.dense,
        own.output_dropout,
        own.LayerNorm,
        layer.ffn,
        layer.activation,
        layer.ffn_output,
        _NO_DROPOUT,
        layer.full_layer_layer_norm,
    )


class _PostLNRunner(LayerRunner):
    """What the post-LayerNorm families share."""

    _parts = staticmethod(_bert_parts)

    def layer_modules(self):
        return list(self.model.encoder.layer)

    def joined_linears(self, index):
        parts = self._parts(self.layer_modules()[index])
        return parts.query, parts.key, parts.value

    def replace_layers(self, modules, path):
        self.model.encoder.layer = nn.ModuleList(modules)

    @property
    def n_heads(self):
        return self.model.config.num_attention_heads

    def position_ids(self, batch):
        return batch.position_ids

    def embed(self, batch, layout):
        # All texts form one row. Positions are given explicitly, so it does not matter where a text ends.
        return self.model.embeddings(
            input_ids=batch.input_ids[None],
            token_type_ids=None if batch.token_type_ids is None else batch.token_type_ids[None],
            position_ids=self.position_ids(batch)[None],
        )[0]

    def layer(self, index, state, context, cls_only=False):
        layout = context
        module = self.layer_modules()[index]
        parts = self._parts(module)
        dropout_p = parts.attention_dropout.p if module.training else 0.0
        if cls_only:
            rows = state.index_select(0, layout.cls_index)
            if few_launches(state.device):
                projected = project(state, parts.key, parts.value)
                query = parts.query(rows)
                attended = attend_from_first(query, projected, layout, n_heads=self.n_heads, dropout_p=dropout_p)
            else:
                attended = _attend_from_first(parts, rows, state, layout, self.n_heads, dropout_p)
            state = rows
        else:
            projected = project(state, parts.query, parts.key, parts.value)
            attended = attend_joined(projected, layout, n_heads=self.n_heads, dropout_p=dropout_p)
        return self.rest_of_layer(module, state, attended)

    def rest_of_layer(self, module, state, attended):
        """The output of layer `module`, from its input and what its attention makes of it."""
        parts = self._parts(module)
        attended = parts.attention_norm(
            state + apply_dropout(parts.attention_out_dropout, parts.attention_out(attended))
        )
        widened = parts.ffn_out(parts.activation(parts.ffn_in(attended)))
        return parts.ffn_norm(attended + apply_dropout(parts.ffn_dropout, widened))


def project(state, *linears):
    """The outputs of `linears` side by side: one matrix product reads the hidden state only once."""
    weight, bias = join([linear.weight for linear in linears]), join([linear.bias for linear in linears])
    return even_linear(state, weight, bias)


def _attend_from_first(parts, rows, state, layout, n_heads, dropout_p):
    """Attention of the first token of each text to all its tokens, without computing their keys and values ("groups").

    With one query per text, q · (W_k h + b_k) = (W_kᵀ q) · h plus a constant, which the softmax cancels. Likewise
    Σ a (W_v h + b_v) = W_v (Σ a h) + b_v Σ a. So the matrix products run over texts instead of tokens.

    Parameters
    ----------
    parts : _Parts
        The modules of the layer.
    rows : tensor (n_texts, width)
        State of the first tokens.
    state : tensor (n_tokens, width)
        Packed state of all tokens.
    layout : Layout
        Where each text is in the packed state.
    n_heads : int
        Number of attention heads.
    dropout_p : float
        Dropout probability of the attention weights.

    Returns
    -------
    tensor (n_texts, width)
    """
    by_head = (n_heads, -1, state.shape[1])
    query = parts.query(rows).unflatten(1, (n_heads, -1))
    scale = query.shape[-1] ** -0.5
    asked = torch.einsum("nhd,hdw->nhw", query * scale, parts.key.weight.view(by_head))
    sums, totals = [], []
    # In training, these products are so small that casts to bf16 would cost more than they save.
    with torch.autocast(state.device.type, enabled=False) if dropout_p else nullcontext():
        if dropout_p:
            # All in one type, that in which `dropout` computes.
            state = state.to(torch.promote_types(state.dtype, torch.float32))
            asked = asked.to(state.dtype)
        texts = asked.split([n for _, _, n, _ in layout.groups])
        tokens = state.split([n * length for _, _, n, length in layout.groups])
        for (_, first, n, length), own, hidden in zip(layout.groups, texts, tokens, strict=True):
            hidden = hidden.view(n, length, -1)
            scores = own @ hidden.transpose(1, 2)
            mask = mask_of_group(layout, first, n, length, cls_only=True)
            if mask is not None:
                scores = scores.masked_fill(~mask[:, 0], float("-inf"))
            weights = dropout(scores.softmax(dim=-1), dropout_p)
            sums.append(weights @ hidden)
            totals.append(weights.sum(dim=-1))
    values = torch.einsum("nhw,hdw->nhd", torch.cat(sums), parts.value.weight.view(by_head))
    values = values + torch.cat(totals)[..., None] * parts.value.bias.view(n_heads, -1)
    return values.flatten(1)


class BertRunner(_PostLNRunner):
    """BERT."""

    model_types = ("bert",)


class RobertaRunner(_PostLNRunner):
    """RoBERTa, XLM-RoBERTa, CamemBERT: positions start at the padding index plus one."""

    model_types = ("roberta", "xlm-roberta", "camembert")

    def position_ids(self, batch):
        return batch.position_ids + self.model.embeddings.padding_idx + 1

    @property
    def longest_input(self):
        # The position table also has rows up to the padding index, but no token uses them.
        return super().longest_input - self.model.embeddings.padding_idx - 1


class ElectraRunner(_PostLNRunner):
    """ELECTRA: small models project their embeddings to the width of the layers."""

    model_types = ("electra",)

    def embed(self, batch, layout):
        embedded = super().embed(batch, layout)
        project = getattr(self.model, "embeddings_project", None)
        return embedded if project is None else project(embedded)


class DistilBertRunner(_PostLNRunner):
    """DistilBERT: no segment embeddings."""

    model_types = ("distilbert",)
    _parts = staticmethod(_distilbert_parts)
    head_dropout_entries = ("seq_classif_dropout", "dropout")

    def layer_modules(self):
        return list(self.model.transformer.layer)

    def replace_layers(self, modules, path):
        self.model.transformer.layer = nn.ModuleList(modules)

    @property
    def n_heads(self):
        return self.model.config.n_heads

    def embed(self, batch, layout):
        return self.model.embeddings(input_ids=batch.input_ids[None], position_ids=batch.position_ids[None])[0]


class AlbertRunner(_PostLNRunner):
    """ALBERT: many layers share one set of weights; hidden state 0 is the projected embedding."""

    model_types = ("albert",)
    _parts = staticmethod(_albert_parts)
    head_dropout_entries = ("classifier_dropout_prob", "hidden_dropout_prob")

    @property
    def pooler_dense(self):
        return self.pooler

    def apply_pooler(self, pooled):
        # The activation is not part of the pooler; it is a separate module of the model.
        return self.model.pooler_activation(self.pooler(pooled))

    def layer_modules(self):
        config, groups = self.model.config, self.model.encoder.albert_layer_groups
        # `replace_layers` leaves one group per distinct layer, and the group index of each layer.
        order = getattr(self.model.encoder, "group_order", None)
        if order is not None:
            return [groups[place]["albert_layers"][0] for place in order]
        per_group = config.num_hidden_layers / config.num_hidden_groups
        return [layer for i in range(config.num_hidden_layers) for layer in groups[int(i / per_group)].albert_layers]

    def replace_layers(self, modules, path):
        # transformers derives from the config which layers share a group, but the config does not know the path.
        distinct = list({id(module): module for module in modules}.values())
        places = {id(module): place for place, module in enumerate(distinct)}
        groups = [nn.ModuleDict({"albert_layers": nn.ModuleList([module])}) for module in distinct]
        self.model.encoder.albert_layer_groups = nn.ModuleList(groups)
        self.model.encoder.group_order = [places[id(module)] for module in modules]

    def embed(self, batch, layout):
        return self.model.encoder.embedding_hidden_mapping_in(super().embed(batch, layout))
