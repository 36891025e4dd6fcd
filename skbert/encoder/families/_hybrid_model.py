"""HybridBERT as models of transformers, so that its folders are written and read as those of any other model."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from skbert.encoder.families._hybrid import MIXERS, PoolingMixer
from skbert.encoder.families._registry import make_runner
from skbert.text import TokenBatch


class HybridBertConfig(BertConfig):
    """The config of BERT, with the mixer of each layer.

    Parameters
    ----------
    mixers : list of str
        For each layer, "attention" or "pooling".
    **entries
        As in `BertConfig`.
    """

    model_type = "hybridbert"

    mixers: list | None = None


class HybridBertModel(BertModel):
    """BERT with pooling layers; its forward runs on packed texts, as everywhere in skbert."""

    config_class = HybridBertConfig

    def __init__(self, config, add_pooling_layer=True):
        super().__init__(config, add_pooling_layer)
        mixers = config.mixers or ["attention"] * config.num_hidden_layers
        if len(mixers) != config.num_hidden_layers or set(mixers) - set(MIXERS):
            raise ValueError(f"mixers must be {config.num_hidden_layers} words of {MIXERS}, got {mixers!r}")
        for layer, mixer in zip(self.encoder.layer, mixers, strict=True):
            if mixer == "pooling":
                layer.attention.self = PoolingMixer(config.hidden_size, config.num_attention_heads)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        output_hidden_states=False,
        return_dict=True,
        **kwargs,
    ):
        """As in `BertModel`, for token ids (n, length) and their mask; other arguments have no effect."""
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        batch, order = _packed(input_ids, mask, token_type_ids, self.config.pad_token_id)
        states, _ = make_runner(self).hidden_states(batch, range(self.config.num_hidden_layers + 1))
        states = [_padded(state, mask, order) for state in states]
        pooled = None if self.pooler is None else self.pooler(states[-1])
        found = BaseModelOutputWithPooling(
            last_hidden_state=states[-1],
            pooler_output=pooled,
            hidden_states=tuple(states) if output_hidden_states else None,
        )
        return found if return_dict is not False else found.to_tuple()


def _packed(ids, mask, types, pad):
    """A padded batch as a `TokenBatch`, and the index of each text in packed order."""
    lengths = mask.sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    places = mask[order].nonzero(as_tuple=True)
    positions = torch.cat([torch.arange(int(n), device=ids.device) for n in lengths[order]])
    batch = TokenBatch(
        input_ids=ids[order][places],
        position_ids=positions,
        token_type_ids=None if types is None else types[order][places],
        lengths=tuple(lengths[order].tolist()),
        order=order,
        pad_token_id=pad,
    )
    return batch, order


def _padded(state, mask, order):
    """A packed state as a padded one (n, length, width), with zeros at padding."""
    rows = state.new_zeros(*mask.shape, state.shape[-1])
    rows[mask[order]] = state
    return torch.empty_like(rows).index_copy(0, order, rows)


class HybridBertForMaskedLM(BertForMaskedLM):
    """HybridBERT with the output layer of BERT."""

    config_class = HybridBertConfig

    def __init__(self, config):
        super().__init__(config)
        self.bert = HybridBertModel(config, add_pooling_layer=False)
        self.post_init()


AutoConfig.register(HybridBertConfig.model_type, HybridBertConfig)
AutoModel.register(HybridBertConfig, HybridBertModel)
AutoModelForMaskedLM.register(HybridBertConfig, HybridBertForMaskedLM)
