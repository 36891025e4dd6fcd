"""Every pooling in plain torch, one text at a time and without pads: what the modules are held against.

A new pooling joins the tests of the whole plane by a line here.
"""

import torch
from torch.nn import functional as F


def _weighted(states, pooling):
    share = pooling.mix.exp() / pooling.mix.exp().sum()
    return torch.einsum("l,ltw->tw", share, states)


def _mha(rows, pooling):
    attention = pooling.attention
    q, k, v = F.linear(rows, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (x.view(len(rows), attention.num_heads, -1).transpose(0, 1) for x in (q, k, v))
    weights = torch.softmax(q[:, :1] @ k.transpose(1, 2) / q.shape[-1] ** 0.5, dim=-1)
    return attention.out_proj((weights @ v).transpose(0, 1).reshape(-1))


# (n_states, tokens, width) and the module, where it has learned something → (tokens, width)
OVER_LAYERS = {
    "max": lambda states, pooling: states.amax(dim=0),
    "mean": lambda states, pooling: states.mean(dim=0),
    "sum": lambda states, pooling: states.sum(dim=0),
    "concat": lambda states, pooling: torch.cat(list(states), dim=-1),
    "weighted": _weighted,
}
# (tokens, width) and the module → (width,)
OVER_TOKENS = {
    "cls": lambda rows, pooling: rows[0],
    "mean": lambda rows, pooling: rows.mean(dim=0),
    "max": lambda rows, pooling: rows.amax(dim=0),
    "mha": _mha,
}
LEARNED = ("weighted", "mha")
FIXED_OVER_LAYERS = [name for name in OVER_LAYERS if name not in LEARNED]
FIXED_OVER_TOKENS = [name for name in OVER_TOKENS if name not in LEARNED]


def pooled_by_hand(states, layer_pooling, token_pooling, module=None):
    """The vector of one text from its chosen hidden states (n_states, tokens, width); `module` where one is learned."""
    over_layers, over_tokens = (None, None) if module is None else (module.layer_pooling, module.token_pooling)
    return OVER_TOKENS[token_pooling](OVER_LAYERS[layer_pooling](states, over_layers), over_tokens)
