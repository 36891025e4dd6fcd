"""Training only the rows of the embedding table whose tokens occur.

On few data most of the table never gets a gradient, yet its zeros would be
filled, clipped and stepped over at every batch. Rows without gradient change by
weight decay alone, by the same factor in every step, so they can be brought up
to date at the end; the result is that of training the whole table.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ._data import TextDataset


class _OccurringRows(nn.Embedding):
    """The rows that occur, and the factor by which decay has shrunk the others."""

    def __init__(self, weight, padding_idx):
        super().__init__(*weight.shape, padding_idx=padding_idx, _weight=weight)
        # A buffer, so that early stopping takes it back together with the weights.
        self.register_buffer("absent_factor", torch.ones((), dtype=torch.float32, device=weight.device))


@contextmanager
def occurring_rows(module, datasets):
    """Swap the embedding table for the rows that occur in `datasets`, and put it back afterwards.

    Parameters
    ----------
    module : PooledEncoder
    datasets : list of TextDataset or None

    Yields
    ------
    datasets : list of TextDataset or None
        With token ids that fit the small table.
    note_decay : callable
        To be called with ``lr * weight_decay`` of the table at every step.
    """
    full = module.encoder.get_input_embeddings()
    # A forward that we do not know may read more from an id than its row; a frozen table costs nothing.
    if not module.runner.owns_forward or not full.weight.requires_grad:
        yield datasets, lambda rate: None
        return
    ids = [row for dataset in datasets if dataset is not None for row in dataset.tokens.input_ids]
    pads = [dataset.tokens.pad_token_id for dataset in datasets if dataset is not None]
    occurring = np.unique(np.concatenate([*ids, np.array(pads)]))
    rows = torch.from_numpy(occurring).to(full.weight.device)
    place = np.full(full.num_embeddings, -1)
    place[occurring] = np.arange(len(occurring))
    padding_idx = full.padding_idx
    if padding_idx is not None:
        padding_idx = int(place[padding_idx]) if place[padding_idx] >= 0 else None
    small = _OccurringRows(full.weight.detach()[rows].clone(), padding_idx)
    module.encoder.set_input_embeddings(small)

    def note_decay(rate):
        small.absent_factor.mul_(1.0 - rate)

    try:
        yield [_with_new_ids(dataset, place) for dataset in datasets], note_decay
    finally:
        module.encoder.set_input_embeddings(full)
        with torch.no_grad():
            full.weight.mul_(small.absent_factor)
            full.weight[rows] = small.weight


def _with_new_ids(dataset, place):
    if dataset is None:
        return None
    tokens = dataset.tokens
    # Rows of equal texts share one array; keep it so.
    new = {id(row): place[row] for row in tokens.input_ids}
    tokens = replace(
        tokens,
        input_ids=[new[id(row)] for row in tokens.input_ids],
        pad_token_id=int(place[tokens.pad_token_id]),
    )
    return TextDataset(tokens, dataset.target, dataset.weight)
