"""Trains only those rows of the embedding table whose tokens occur in the data.

With few data, most rows of the table never get a gradient. Still, their zero gradients
would be filled, clipped and applied in every step. Rows without a gradient change only by
decay, towards zero or towards their pretrained values, and all of them by the same
factors. So they can be updated once at the end. The result is the same as if the whole
table had been trained.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn


class _OccurringRows(nn.Embedding):
    """The rows that occur; at any time, each other row equals ``kept * start + pulled * pretrained``."""

    def __init__(self, weight, padding_idx):
        super().__init__(*weight.shape, padding_idx=padding_idx, _weight=weight)
        # Buffers, so that early stopping restores them together with the weights.
        self.register_buffer("kept", torch.ones((), dtype=torch.float32, device=weight.device))
        self.register_buffer("pulled", torch.zeros((), dtype=torch.float32, device=weight.device))
        self._was_pulled = False

    def note_step(self, decay, pull):
        self.kept.mul_((1.0 - pull) * (1.0 - decay))
        # Without a pull so far, `pulled` is 0 and stays so.
        self._was_pulled |= pull > 0
        if self._was_pulled:
            self.pulled.mul_(1.0 - pull).add_(pull).mul_(1.0 - decay)


@dataclass(frozen=True)
class Vocabulary:
    """What `occurring_rows` yields.

    Attributes
    ----------
    datasets : list of TextDataset or None
        The datasets with token ids of the small table.
    rows : int64 tensor or None
        Rows of the full table that are in the small table; None if the full table is used.
    note_step : callable
        To be called at every step that trains the table, with its ``lr * weight_decay`` and
        its ``lr * pretrained_decay``.
    table : callable or None
        Gives the whole table as it is by now; None where it stands in the module.
    """

    datasets: list
    rows: torch.Tensor | None
    note_step: object
    table: object = None


@contextmanager
def occurring_rows(module, datasets, pretrained=None):
    """Replace the embedding table by the rows that occur in `datasets`, and restore it afterwards.

    Parameters
    ----------
    module : PooledEncoder
        The module whose encoder has the table.
    datasets : list of TextDataset or None
        The texts that the module will see.
    pretrained : tensor, default=None
        The full pretrained table, if training pulls towards it.

    Yields
    ------
    Vocabulary
        The datasets with new token ids, and what is needed to train the small table.
    """
    full = module.encoder.get_input_embeddings()
    # An unknown forward may use a token id for more than its row. A frozen table needs no replacement.
    if not module.runner.owns_forward or not full.weight.requires_grad:
        yield Vocabulary(datasets, None, lambda decay, pull: None)
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

    def bring_up(table):
        with torch.no_grad():
            table.mul_(small.kept)
            if pretrained is not None:
                table.add_(pretrained.to(table.device) * small.pulled)
            table[rows] = small.weight
        return table

    try:
        datasets = [_with_new_ids(dataset, place) for dataset in datasets]
        yield Vocabulary(datasets, rows, small.note_step, lambda: bring_up(full.weight.detach().clone()))
    finally:
        module.encoder.set_input_embeddings(full)
        bring_up(full.weight)


def _with_new_ids(dataset, place):
    if dataset is None:
        return None
    tokens = dataset.tokens
    # Rows of equal texts share one array; the new rows must share one too.
    new = {id(row): place[row] for row in tokens.input_ids}
    tokens = replace(
        tokens,
        input_ids=[new[id(row)] for row in tokens.input_ids],
        pad_token_id=int(place[tokens.pad_token_id]),
    )
    return dataset.with_tokens(tokens)
