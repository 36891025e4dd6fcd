"""Pooled vectors through a feature store: what is there is read, the rest is computed once and kept."""

from __future__ import annotations

import numpy as np

from skbert.compute import n_compute_threads, run_batches, token_budget
from skbert.pooling import parts_for, pool_records, records_of
from skbert.store import text_keys
from skbert.text import batches_by_length


def run_through_store(store, encoder, module, tokens, device, precision):
    """Pooled vectors of texts; texts of equal token ids are computed once.

    A vector comes from the same parts, in the same way, whether they were found or
    computed, so a warm store and a cold one give the same bits.

    Parameters
    ----------
    store : FeatureStore
    encoder : bytes
        From `skbert.store.encoder_key`.
    module : PooledEncoder
        On `device`; its weights must be those that `encoder` stands for.
    tokens : TokenizedTexts
    device : torch.device
    precision : {"fp32", "bf16"}

    Yields
    ------
    indices : int array
    vectors : float32 tensor (n, width)
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
    # Several batches wait here with all their states; together they keep to the memory of one.
    budget = max(1, token_budget(device) // n_compute_threads(device))
    batches = run_batches(module.all_states, distinct.take(missing), device, precision, budget=budget)
    for indices, (states, layout) in batches:
        packed = [keys[firsts[missing[indices[i]]]] for i in layout.order.tolist()]
        records = dict(zip(packed, records_of(states, layout), strict=True))
        store.put(records)
        yield pooled({key: [record[part] for part in parts] for key, record in records.items()})
