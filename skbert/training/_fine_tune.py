"""One fine-tuning run, from an untrained module to a trained one."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from skbert.compute import giving_up
from skbert.training._callbacks import Progress
from skbert.training._frozen_prefix import PrefixCache, cache_prefixes
from skbert.training._net import Diverged, FineTuneNet, StopTraining, too_large
from skbert.training._occurring_rows import occurring_rows
from skbert.training._pretrained import mixed


@dataclass(frozen=True)
class FineTuneResult:
    """What a training run leaves behind, besides the trained module.

    Attributes
    ----------
    history : list of dict
        One row per epoch.
    best_epoch : int
        1-based.
    diverged : bool
        Whether a non-finite loss or gradient stopped the training.
    prefixes : PrefixCache or None
        States of the frozen layers for the training texts, from which a forward may go on.
    """

    history: list[dict]
    best_epoch: int
    diverged: bool
    prefixes: PrefixCache | None = None


def fine_tune(module, train, valid, objective, settings, seeds, notice, *, encoder=None, pretrained=None):
    """Train `module` in place.

    Parameters
    ----------
    module : PooledEncoder
    train : TextDataset
    valid : TextDataset or None
    objective : Objective
    settings : FineTuneSettings
    seeds : Seeds
    notice : MemoryNotice
        Warns when memory runs out.
    encoder : bytes, default=None
        Key of the weights that `module` starts from, under which states of frozen layers are kept for
        later fits; None where they are nobody else's.
    pretrained : dict of str to tensor, default=None
        Pretrained weights by the names of the parameters of `module`, without those that
        are new; for `pretrained_decay` and `mixout`.

    Returns
    -------
    FineTuneResult
    """
    pretrained = pretrained or {}
    # The swap needs the table where it will be trained; skorch would move it only later.
    with giving_up(lambda: too_large(module, settings)):
        module.to(settings.device)
    table_name = _table_name(module)
    table = pretrained.get(table_name)
    with ExitStack() as stack:
        vocabulary = stack.enter_context(occurring_rows(module, [train, valid], table))
        with giving_up(lambda: too_large(module, settings)):
            targets = _targets(module, pretrained, vocabulary.rows)
        stack.enter_context(mixed(module, targets, settings.mixout))
        train, valid = vocabulary.datasets
        present = [dataset for dataset in (train, valid) if dataset is not None]
        prefixes = cache_prefixes(module.eval(), present, settings.device, settings.precision, notice, encoder)
        train = train.with_prefixes(prefixes)
        valid = None if valid is None else valid.with_prefixes(prefixes)
        net = FineTuneNet(
            module,
            objective,
            settings,
            seeds,
            len(train),
            valid,
            notice,
            targets=targets,
            note_step=vocabulary.note_step,
            weights=lambda: _weights_by_now(module, table_name, vocabulary.table),
        )
        net.initialize()
        try:
            net.notify("on_train_begin", X=train, y=None)
            diverged = _run_loop(net, train)
            net.notify("on_train_end", X=train, y=None)
        finally:
            for _, callback in net.callbacks_:
                if isinstance(callback, Progress):
                    callback.close()
            # A fitted estimator has no use for its last gradients.
            module.zero_grad(set_to_none=True)
    history = [_plain(row) for row in net.history.to_list()]
    module.eval()
    return FineTuneResult(history, _best_epoch(net, history), diverged, prefixes)


def _table_name(module):
    """Name of the table of token embeddings among the parameters of `module`."""
    table = module.encoder.get_input_embeddings().weight
    return next(name for name, parameter in module.named_parameters() if parameter is table)


def _weights_by_now(module, table_name, whole_table):
    """All weights amid training, under the names and in the shapes of a module that nobody trains; copied to numpy."""
    tensors = {name.replace(_MIXED, ".weight"): tensor for name, tensor in module.state_dict().items()}
    if whole_table is not None:
        prefix = table_name.removesuffix("weight")
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
        tensors[table_name] = whole_table()
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


# Where `mixed` has put a weight.
_MIXED = ".parametrizations.weight.original"


def _targets(module, pretrained, rows):
    """The weights of `pretrained` by parameter id, on their device; of the table those `rows` that are trained."""
    table, targets = module.encoder.get_input_embeddings().weight, {}
    for name, parameter in module.named_parameters():
        if name in pretrained and parameter.requires_grad:
            target = pretrained[name]
            if parameter is table and rows is not None:
                target = target[rows.cpu()]
            targets[id(parameter)] = target.to(parameter.device)
    return targets


def _run_loop(net, train):
    """Run all epochs, or until a callback stops or the loss is no longer finite; returns whether it was the latter."""
    diverged = False
    try:
        net.fit_loop(train)
    except StopTraining:
        pass
    except Diverged:
        diverged = True
    if "train_loss" not in net.history[-1]:
        _close_epoch(net.history)
    return diverged


# What skorch notes for itself in every row.
_BOOKKEEPING = ("batches", "train_batch_count", "valid_batch_count", "train_loss_best", "valid_loss_best")


def _plain(row):
    """A row of the history as its reader wants it: no batches, plain Python types."""
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in row.items()
        if key not in _BOOKKEEPING
    }


def _close_epoch(history):
    """Give an epoch in which training broke off the loss of the batches that it finished."""
    batches = [batch for batch in history[-1]["batches"] if "train_loss" in batch]
    sizes = [batch["train_batch_size"] for batch in batches]
    losses = [batch["train_loss"] for batch in batches]
    history.record("train_loss", float(np.average(losses, weights=sizes)) if batches else float("nan"))


def _best_epoch(net, history):
    stopping = dict(net.callbacks_).get("early_stopping")
    if stopping is not None and stopping.best_epoch_:
        return stopping.best_epoch_
    valid = [row.get("valid_loss", math.nan) for row in history]
    if np.isfinite(valid).any():
        return int(np.nanargmin(valid)) + 1
    return len(history)
