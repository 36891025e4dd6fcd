"""What is stored for a text, so that every point of the pooling plane can be computed without a second forward pass.

All hidden states would be enough, but most points need much less. Pooling over layers
and pooling over tokens commute if both are the first token, both are a mean (or sum), or
both are a maximum. Then the first token, the mean and the maximum of each hidden state
are enough. This summary is stored next to the states. Only a maximum over layers with a
mean over tokens, or the reverse, needs the states themselves.
"""

from __future__ import annotations

from functools import reduce

import torch

from skbert.pooling._over_tokens import TOKEN_POOLINGS
from skbert.text import Layout

SUMMARY = "summary"
# In the order of the rows of a summary.
_SUMMARISED = {name: pooling() for name, pooling in TOKEN_POOLINGS.items() if pooling.summarised}


def _state(depth):
    return f"state {depth}"


def records_of(states, layout):
    """What is stored for each text of a batch.

    Parameters
    ----------
    states : list of tensors (n_tokens, width)
        H_0 … H_L, packed.
    layout : Layout
        Where each text is in them.

    Returns
    -------
    list of dict of str to tensor, in the packed order of the texts
        ``"summary"`` (3 (L + 1), width): first token, mean and maximum of H_0, then of H_1, …;
        ``"state 0"`` … ``"state L"`` (n_tokens of the text, width). All are on the CPU, each in its own memory.
    """
    # Under autocast, some families return H_0 in another dtype than the other states.
    dtype = reduce(torch.promote_types, (state.dtype for state in states))
    states = [state.to(dtype) for state in states]
    padded = [layout.pad(state) for state in states]
    summary = torch.stack([pool(state, layout.mask) for state in padded for pool in _SUMMARISED.values()], dim=1)
    summary = summary[layout.order].cpu()
    split = [state.cpu().split(layout.lengths) for state in states]
    return [
        {SUMMARY: summary[i].clone(), **{_state(depth): parts[i].clone() for depth, parts in enumerate(split)}}
        for i in range(len(layout.lengths))
    ]


def parts_for(layers, layer_pooling, token_pooling):
    """The parts of a record that a point of the pooling plane needs; see `records_of`.

    Parameters
    ----------
    layers : sequence of int
        Indices of hidden states.
    layer_pooling : LayerPooling
        Pooling over layers, without learned parameters.
    token_pooling : TokenPooling
        Pooling over tokens, without learned parameters.
    """
    if token_pooling.summarised and (len(layers) == 1 or token_pooling.name in layer_pooling.commutes_with):
        return [SUMMARY]
    return [_state(depth) for depth in layers]


def pool_records(records, layers, layer_pooling, token_pooling):
    """Pooled vectors of texts, from the parts that `parts_for` names.

    Parameters
    ----------
    records : list of lists of tensors
        The parts of each text.
    layers : sequence of int
        Indices of hidden states.
    layer_pooling : LayerPooling
        Pooling over layers, without learned parameters.
    token_pooling : TokenPooling
        Pooling over tokens, without learned parameters.

    Returns
    -------
    float32 tensor (n_texts, width)
    """
    if parts_for(layers, layer_pooling, token_pooling) == [SUMMARY]:
        row = list(_SUMMARISED).index(token_pooling.name)
        rows = [len(_SUMMARISED) * depth + row for depth in layers]
        return layer_pooling([torch.stack([record[0][row] for record in records]).float() for row in rows])
    lengths = torch.tensor([len(record[0]) for record in records])
    order = torch.argsort(lengths, stable=True)
    layout = Layout(tuple(lengths[order].tolist()), order)
    states = [torch.cat([records[i][k] for i in order.tolist()]).float() for k in range(len(layers))]
    return token_pooling(layout.pad(layer_pooling(states)), layout.mask)
