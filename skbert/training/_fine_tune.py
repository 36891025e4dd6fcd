"""One training run in up to three phases: contrastive steps, a head from logistic regression, fine-tuning."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from skbert.compute import giving_up
from skbert.encoder import lay_side_by_side
from skbert.training._callbacks import Progress, Watch
from skbert.training._contrast import contrast
from skbert.training._frozen_prefix import PrefixCache, cache_prefixes
from skbert.training._logistic_head import start_head
from skbert.training._micro_batches import too_large
from skbert.training._net import FineTuneNet, StopTraining
from skbert.training._occurring_rows import occurring_rows
from skbert.training._pretrained import mixed
from skbert.training._stepper import Diverged


@dataclass(frozen=True)
class FineTuneResult:
    """Result of a training run, in addition to the trained module.

    Attributes
    ----------
    history : list of dict
        One row per contrastive step, one for the head, and one per epoch, with their ``phase``.
    best_epoch : int
        Number of the best epoch, 1-based; 0 without epochs, or if the head from logistic regression was better.
    diverged : bool
        Whether training stopped because of a non-finite loss or gradient.
    prefixes : PrefixCache or None
        Hidden states of the frozen layers for the training texts, from which a forward pass can continue.
    """

    history: list[dict]
    best_epoch: int
    diverged: bool
    prefixes: PrefixCache | None = None


def fine_tune(module, train, valid, objective, settings, seeds, notice, *, encoder=None, pretrained=None, watch=None):
    """Train `module` in place.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    train : TextDataset
        Training data.
    valid : TextDataset or None
        Validation data for early stopping, if there are any.
    objective : Objective
        The loss to minimise.
    settings : FineTuneSettings
        How to train.
    seeds : Seeds
        Seeds of the run.
    notice : MemoryNotice
        Warns when memory runs out.
    encoder : bytes, default=None
        Key of the weights from which `module` starts; states of frozen layers are kept under this key for
        later fits. None if no other fit can use them.
    pretrained : dict of str to tensor, default=None
        Pretrained weights by the parameter names of `module`, without new parameters; for
        `pretrained_decay` and `mixout`.
    watch : callable, default=None
        Called before training, after the contrastive steps, after the head was fitted and after each epoch, with the
        name of the phase (``"start"`` before training) and all weights as a dict of name to numpy array.

    Returns
    -------
    FineTuneResult
        History, best epoch and states of the frozen layers.
    """
    pretrained = pretrained or {}
    # The embedding table is replaced on the device on which it is trained; skorch would move it only later.
    with giving_up(lambda: too_large(module, settings)):
        module.to(settings.device)
        lay_side_by_side(module.runner, settings.device)
    table_name = _table_name(module)
    table = pretrained.get(table_name)
    if watch is not None:
        watch("start", _weights_by_now(module, table_name, None))
    with ExitStack() as stack:
        # A fitted estimator does not need its last gradients.
        stack.callback(module.zero_grad, set_to_none=True)
        vocabulary = stack.enter_context(occurring_rows(module, [train, valid], table))
        with giving_up(lambda: too_large(module, settings)):
            targets = _targets(module, pretrained, vocabulary.rows)
        stack.enter_context(mixed(module, targets, settings.mixout))
        train, valid = vocabulary.datasets
        present = [dataset for dataset in (train, valid) if dataset is not None]
        prefixes = cache_prefixes(module.eval(), present, settings.device, settings.precision, notice, encoder)
        train = train.with_prefixes(prefixes)
        valid = None if valid is None else valid.with_prefixes(prefixes)
        found, diverged, best_epoch = [], False, 0

        def weights():
            return _weights_by_now(module, table_name, vocabulary.table)

        if settings.contrastive_steps != 0:
            seed, note_step = seeds.contrast, vocabulary.note_step
            found, diverged = contrast(
                module, train, objective, settings, seed, notice, targets=targets, note_step=note_step
            )
            if watch is not None and found:
                watch("contrastive", weights())
        if settings.head_init == "logistic" and not diverged:
            try:
                found.append(start_head(module, train, valid, objective, settings, notice))
                if watch is not None:
                    watch("head", weights())
            except Diverged:
                diverged = True
        if settings.max_epochs and not diverged:
            if watch is not None:
                settings = replace(settings, callbacks=[("watch", Watch(watch)), *settings.callbacks])
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
                weights=weights,
            )
            start = _Start(module, found) if settings.patience is not None else None
            epochs, diverged = _run_epochs(net, train)
            best_epoch = _best_epoch(net, epochs)
            if start is not None and start.is_better(epochs):
                start.restore(module)
                best_epoch = 0
            found += epochs
    module.eval()
    return FineTuneResult(found, best_epoch, diverged, prefixes)


class _Start:
    """The weights from which fine-tuning starts, if early stopping may have to come back to them.

    A head from logistic regression can be better than all that follows, a random one cannot.
    """

    def __init__(self, module, history):
        self.loss = history[-1].get("valid_loss", math.inf) if history else math.inf
        if math.isfinite(self.loss):
            self._state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    def is_better(self, epochs):
        """Whether the validation loss was lower than after every epoch."""
        return self.loss < min((row.get("valid_loss", math.inf) for row in epochs), default=math.inf)

    def restore(self, module):
        """Return to these weights."""
        module.load_state_dict(self._state)


def _run_epochs(net, train):
    """Fine-tune; return the rows of the history, and whether the loss became non-finite."""
    net.initialize()
    try:
        net.notify("on_train_begin", X=train, y=None)
        diverged = _run_loop(net, train)
        net.notify("on_train_end", X=train, y=None)
    finally:
        for _, callback in net.callbacks_:
            if isinstance(callback, Progress):
                callback.close()
    return [{"phase": "fine_tuning", **_plain(row)} for row in net.history.to_list()], diverged


def _table_name(module):
    """Parameter name of the table of token embeddings of `module`."""
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
    """The `pretrained` weights by parameter id, on their device; of the embedding table only the trained `rows`."""
    table, targets = module.encoder.get_input_embeddings().weight, {}
    for name, parameter in module.named_parameters():
        if name in pretrained and parameter.requires_grad:
            target = pretrained[name]
            if parameter is table and rows is not None:
                target = target[rows.cpu()]
            targets[id(parameter)] = target.to(parameter.device)
    return targets


def _run_loop(net, train):
    """Train until the end, a stop by a callback, or a non-finite loss; return whether the loss became non-finite."""
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


# Entries that skorch adds to every row for its own use.
_BOOKKEEPING = ("batches", "train_batch_count", "valid_batch_count", "train_loss_best", "valid_loss_best")


def _plain(row):
    """A row of the history for users: without batches, in plain Python types."""
    return {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in row.items()
        if key not in _BOOKKEEPING
    }


def _close_epoch(history):
    """For an epoch in which training stopped early, record the loss of its finished batches."""
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
