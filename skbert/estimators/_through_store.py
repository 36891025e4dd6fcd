"""Pooled vectors with a feature store: what the store has is read, the rest is computed once and stored."""

from __future__ import annotations

import numpy as np

from skbert.compute import n_compute_threads, run_batches, token_budget
from skbert.pooling import parts_for, pool_records, records_of
from skbert.store import text_keys
from skbert.text import batches_by_length


def run_through_store(store, encoder, module, tokens, device, precision):
    """Yield pooled vectors of texts; texts with equal token ids are computed once.

    A vector is computed from the same parts in the same way, even if the parts come from
    the store. So a filled store and an empty store give exactly the same bits.

    Parameters
    ----------
    store : FeatureStore
        Where hidden states are read and kept.
    encoder : bytes
        Key from `skbert.store.encoder_key`.
    module : PooledEncoder
        The module, on `device`; its weights must be those of the key.
    tokens : TokenizedTexts
        Token ids of the texts.
    device : torch.device
        The device to compute on.
    precision : {"fp32", "bf16"}
        Number format of matrix products.

    Yields
    ------
    indices : int array
        Rows of the texts.
    vectors : float32 tensor (n, width)
        Their pooled vectors.
    """
    keys = text_keys(encoder, tokens)
    rows = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    firsts = np.array([same[0] for same in rows.values()])
    distinct = tokens.take(firsts)
    point = module.layers, module.layer_pooling, module.token_pooling
    parts = parts_for(*point)

    def pooled(found):
        vectors = pool_records(list(found.values()), *point)
        indices = [row for key in found for row in rows[key]]
        if len(indices) > len(found):
            vectors = vectors[[i for i, key in enumerate(found) for _ in rows[key]]]
        return np.array(indices), vectors

    missing = []
    for batch in batches_by_length(distinct.lengths, token_budget(device)):
        wanted = {keys[firsts[i]]: i for i in batch}
        found = store.get(wanted, parts)
        missing += [i for key, i in wanted.items() if key not in found]
        if found:
            yield pooled(found)
    if not missing:
        return
    missing = np.array(missing)
    # Several batches wait here with all their states; together they use as much memory as one batch may use.
    budget = max(1, token_budget(device) // n_compute_threads(device))
    batches = run_batches(module.all_states, distinct.take(missing), device, precision, budget=budget)
    for indices, (states, layout) in batches:
        packed = [keys[firsts[missing[indices[i]]]] for i in layout.order.tolist()]
        records = dict(zip(packed, records_of(states, layout), strict=True))
        store.put(records)
        yield pooled({key: [record[part] for part in parts] for key, record in records.items()})
