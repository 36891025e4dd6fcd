"""Frozen layers run once per text: their states are kept and used again in every epoch and in later fits."""

from __future__ import annotations

from contextlib import contextmanager

import torch

from skbert.compute import run_batches
from skbert.encoder import Prefix
from skbert.store import FeatureStore, text_keys
from skbert.text import packed_order

# If the states are larger than this, the frozen layers run at every step, as without a cache.
_MAX_BYTES = 2 * 1024**3


@contextmanager
def prefix_cache_limit(n_bytes):
    """Limit the states of one fit to `n_bytes` inside the block; 0 runs frozen layers at every step."""
    global _MAX_BYTES
    before, _MAX_BYTES = _MAX_BYTES, n_bytes
    try:
        yield
    finally:
        _MAX_BYTES = before


class PrefixCache:
    """Hidden states of the frozen layers for every distinct text of a fit.

    Parameters
    ----------
    depth : int
        Number of frozen layers.
    states : dict of int to dict of int to tensor (n_tokens, width)
        Packed states on the CPU, by text (the ``id`` of its array of token ids) and by depth.
    """

    def __init__(self, depth, states):
        self.depth = depth
        self.states = states

    def of(self, tokens, indices, device):
        """The `Prefix` of the rows `indices`, in the packed order of their batch."""
        rows = [self.states[id(tokens.input_ids[i])] for i in packed_order(tokens, indices)]
        return Prefix(self.depth, {depth: torch.cat([row[depth] for row in rows]).to(device) for depth in rows[0]})


def cache_prefixes(module, datasets, device, precision, notice, encoder=None):
    """Run the frozen layers of `module` on the texts of `datasets`; None if nothing is saved by this.

    Parameters
    ----------
    module : PooledEncoder
        The module to train, in eval mode.
    datasets : list of TextDataset
        The texts that the fit will use.
    device, precision, notice
        As for `run_batches`.
    encoder : bytes, default=None
        Key of the frozen weights, from `skbert.store.encoder_key`. With a key, states that an earlier fit of this
        process put into the memory store are used again, and new states are put there. With None, the states are
        kept for this fit only.

    Returns
    -------
    PrefixCache or None
        None if no layer is frozen, or if the states would take more than `_MAX_BYTES`.
    """
    if not module.n_frozen:
        return None
    depths = module.prefix_depths
    keys = [text_keys(encoder or b"", dataset.tokens) for dataset in datasets]
    lengths = {
        key: n
        for dataset, own in zip(datasets, keys, strict=True)
        for key, n in zip(own, dataset.tokens.lengths, strict=True)
    }
    if sum(lengths.values()) * module.encoder.config.hidden_size * len(depths) * 4 > _MAX_BYTES:
        return None
    store = None if encoder is None else FeatureStore()
    parts = [f"raw {depth}" for depth in depths]
    states = {} if store is None else store.get(lengths, parts)
    for dataset, own in zip(datasets, keys, strict=True):
        new = {key: row for row, key in enumerate(own) if key not in states}
        if not new:
            continue
        new_keys, rows = list(new), list(new.values())
        for indices, (prefix, layout) in run_batches(
            module.prefix_of, dataset.tokens.take(rows), device, precision, notice
        ):
            packed = [new_keys[indices[i]] for i in layout.order.tolist()]
            blocks = [prefix.states[depth].float().cpu().split(layout.lengths) for depth in depths]
            # A tensor that was made in inference_mode cannot be part of a later backward pass, but its clone can.
            computed = {key: [block[k].clone() for block in blocks] for k, key in enumerate(packed)}
            states |= computed
            if store is not None:
                store.put({key: dict(zip(parts, tensors, strict=True)) for key, tensors in computed.items()})
    by_row = {
        id(ids): dict(zip(depths, states[key], strict=True))
        for dataset, own in zip(datasets, keys, strict=True)
        for ids, key in zip(dataset.tokens.input_ids, own, strict=True)
    }
    return PrefixCache(module.n_frozen, by_row)
