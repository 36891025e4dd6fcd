"""Frozen layers run once a text: their states are kept and used again in every epoch."""

from __future__ import annotations

import torch

from skbert.encoder import Prefix
from skbert.text import packed_order

from ._inference import run_batches

# Beyond this the frozen part runs anew at every step, as it would without a cache.
MAX_BYTES = 2 * 1024**3


class PrefixCache:
    """States of the frozen layers of every distinct text of a fit.

    Parameters
    ----------
    depth : int
        Number of frozen layers.
    states : dict of int to dict of int to tensor (n_tokens, width)
        By text (the ``id`` of its array of token ids) and depth, on the CPU.
    """

    def __init__(self, depth, states):
        self.depth = depth
        self.states = states

    def of(self, tokens, indices, device):
        """The `Prefix` of the rows `indices`, in the packed order of their batch."""
        rows = [self.states[id(tokens.input_ids[i])] for i in packed_order(tokens, indices)]
        return Prefix(self.depth, {depth: torch.cat([row[depth] for row in rows]).to(device) for depth in rows[0]})


def cache_prefixes(module, datasets, device, precision, notice):
    """Run the frozen part of `module` over the texts of `datasets`; None where there is nothing to gain.

    Parameters
    ----------
    module : PooledEncoder
        In eval mode.
    datasets : list of TextDataset
    device, precision, notice
        As for `run_batches`.

    Returns
    -------
    PrefixCache or None
        None if no layer is frozen, or the states would take more than `MAX_BYTES`.
    """
    if not module.n_frozen:
        return None
    width = module.encoder.config.hidden_size
    n_states = 1 + sum(depth < module.n_frozen for depth in module.layers)
    distinct = {id(ids): len(ids) for dataset in datasets for ids in dataset.tokens.input_ids}
    if sum(distinct.values()) * width * n_states * 4 > MAX_BYTES:
        return None
    states = {}
    for dataset in datasets:
        tokens = dataset.tokens
        new = {id(ids): i for i, ids in enumerate(tokens.input_ids) if id(ids) not in states}
        rows = list(new.values())
        for indices, (prefix, layout) in run_batches(module.prefix_of, tokens.take(rows), device, precision, notice):
            places = [rows[indices[i]] for i in layout.order.tolist()]
            parts = {depth: state.float().cpu().split(layout.lengths) for depth, state in prefix.states.items()}
            for k, place in enumerate(places):
                # inference_mode's tensors may not take part in a later backward; clones may.
                states[id(tokens.input_ids[place])] = {depth: part[k].clone() for depth, part in parts.items()}
    return PrefixCache(module.n_frozen, states)
