"""The fine-tuning loop: a skorch net, with our own step inside.

skorch gives the loop over epochs, the history and its callbacks. We give it what
it lacks for this job: randomness that is ours alone, weighted losses,
micro-batches that shrink when memory runs out, a schedule per step, and a stop
at the first non-finite loss.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.helper import predefined_split

from skbert.compute import (
    TorchStream,
    autocast,
    free_cached_memory,
    giving_up,
    in_parts,
    is_out_of_memory,
    token_budget,
)
from skbert.errors import OutOfMemoryError
from skbert.training._data import OrderedBatches, Rows, ShuffledBatches
from skbert.training._prefix import cache_prefixes
from skbert.training._pretrained import PretrainedDecay, mixed
from skbert.training._vocabulary import occurring_rows
from skbert.training.optim import BertAdam, linear_schedule, parameter_groups

# eps of the recipe of Mosbach et al. (2021), whose training parameters are our defaults.
_BETAS, _EPS = (0.9, 0.999), 1e-6


@dataclass(frozen=True)
class FineTuneSettings:
    """How to train; every field is the constructor parameter of the same name, already checked."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    layer_decay: float
    warmup_ratio: float
    weight_decay: float
    pretrained_decay: float
    mixout: float
    bias_correction: bool
    max_grad_norm: float | None
    patience: int | None
    callbacks: list
    device: torch.device
    precision: str
    verbose: int


@dataclass(frozen=True)
class FineTuneResult:
    """What a training run leaves behind, besides the trained module."""

    history: list[dict]
    best_epoch: int
    diverged: bool


class _StopTraining(Exception):
    """A callback asked to stop."""


class _Diverged(Exception):
    """Loss or gradient became non-finite; the step was not taken."""


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
    with giving_up(lambda: _too_large(module, settings)):
        module.to(settings.device)
    table = pretrained.get(_table_name(module))
    with ExitStack() as stack:
        vocabulary = stack.enter_context(occurring_rows(module, [train, valid], table))
        with giving_up(lambda: _too_large(module, settings)):
            targets = _targets(module, pretrained, vocabulary.rows)
        stack.enter_context(mixed(module, targets, settings.mixout))
        train, valid = vocabulary.datasets
        present = [dataset for dataset in (train, valid) if dataset is not None]
        prefixes = cache_prefixes(module.eval(), present, settings.device, settings.precision, notice, encoder)
        for dataset in present:
            dataset.prefixes = prefixes
        net = FineTuneNet(module, objective, settings, seeds, n_train=len(train), valid=valid)
        net.note_step, net.notice = vocabulary.note_step, notice
        net.initialize()
        net.pretrained_decay = PretrainedDecay(net.optimizer_, targets, settings.pretrained_decay)
        try:
            net.notify("on_train_begin", X=train, y=None)
            diverged = _run_loop(net, train)
            net.notify("on_train_end", X=train, y=None)
        finally:
            for _, callback in net.callbacks_:
                if isinstance(callback, _Progress):
                    callback.close()
            # A fitted estimator has no use for its last gradients.
            module.zero_grad(set_to_none=True)
    history = [_plain(row) for row in net.history.to_list()]
    module.eval()
    return FineTuneResult(history, _best_epoch(net, history), diverged)


def _table_name(module):
    """Name of the table of token embeddings among the parameters of `module`."""
    table = module.encoder.get_input_embeddings().weight
    return next(name for name, parameter in module.named_parameters() if parameter is table)


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
    except _StopTraining:
        pass
    except _Diverged:
        diverged = True
    if "train_loss" not in net.history[-1]:
        _close_epoch(net.history)
    return diverged


def _too_large(module, settings, longest=None):
    n_parameters = sum(p.numel() for p in module.parameters())
    text = "" if longest is None else f", and the longest text of the batch has {longest} tokens"
    return (
        f"Out of memory on {settings.device} with one text at a time: {n_parameters / 1e6:.1f} million parameters take "
        f"about {n_parameters * 16 / 2**30:.2f} GiB with gradients and optimizer state{text}. "
        "Lower max_length, raise freeze_layers, or use a smaller encoder."
    )


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


class FineTuneNet(NeuralNet):
    """A skorch net that trains a `PooledEncoder` on a `TextDataset`."""

    def __init__(self, module, criterion, settings, seeds, n_train, valid):
        callbacks = [("schedule", _Schedule()), *settings.callbacks]
        if settings.verbose == 1:
            callbacks.append(("progress", _Progress()))
        if settings.patience is not None:
            # Last, for it stops by an exception, and the user's callbacks are to see the last epoch too.
            stopping = EarlyStopping(patience=settings.patience, threshold=0, load_best=True, sink=_silent)
            callbacks.append(("early_stopping", stopping))
        super().__init__(
            module,
            criterion=criterion,
            optimizer=torch.optim.AdamW if settings.bias_correction else BertAdam,
            lr=settings.learning_rate,
            max_epochs=settings.max_epochs,
            batch_size=settings.batch_size,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=callbacks,
            device=str(settings.device),
            # skorch's own table of epochs comes at verbose=2; 1 is our progress bar.
            verbose=max(0, settings.verbose - 1),
        )
        self.settings = settings
        self.n_steps = settings.max_epochs * -(-n_train // settings.batch_size)
        self.micro_batch = settings.batch_size
        self.order = np.random.default_rng(seeds.order)
        self.stream = TorchStream(seeds.dropout, settings.device)

    def initialize_optimizer(self, triggered_directly=None):
        """Make the optimizer over our own parameter groups."""
        settings = self.settings
        groups = parameter_groups(
            self.module_,
            settings.learning_rate,
            settings.head_learning_rate,
            settings.weight_decay,
            settings.layer_decay,
        )
        if settings.bias_correction:
            fused = settings.device.type in ("cpu", "cuda")
            self.optimizer_ = torch.optim.AdamW(groups, betas=_BETAS, eps=_EPS, fused=fused)
        else:
            self.optimizer_ = BertAdam(groups, betas=_BETAS, eps=_EPS)
        table = self.module_.encoder.get_input_embeddings().weight
        # None where the table is frozen.
        holders = (group for group in self.optimizer_.param_groups if any(p is table for p in group["params"]))
        self._table_group = next(holders, None)
        return self

    def get_iterator(self, dataset, training=False):
        """Shuffled batches to train, batches in the order of the rows to evaluate."""
        if training:
            return ShuffledBatches(dataset, self.batch_size, self.order)
        return OrderedBatches(dataset, token_budget(self.settings.device))

    def notify(self, method_name, **cb_kwargs):
        """Tell the callbacks; one that wants to stop raises KeyboardInterrupt, as skorch's EarlyStopping does."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as stop:
            # skorch would swallow the user's Ctrl-C together with this, so the two are told apart here.
            if method_name in ("on_epoch_end", "on_batch_end"):
                raise _StopTraining from stop
            raise

    def infer(self, x, **fit_params):
        """Outputs for `Rows`."""
        with autocast(self.settings.device, self.settings.precision):
            return self.module_(x.tokens(self.settings.device), x.prefix(self.settings.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Weighted mean loss of `Rows`."""
        return self.criterion_(y_pred, X.target(y_pred.device), X.weight(y_pred.device))

    def train_step(self, batch, **fit_params):
        """One optimizer step on one batch, in as many micro-batches as memory asks for."""
        rows, _ = batch
        self._set_training(True)
        loss, outputs = self._backward(rows)
        if not math.isfinite(loss):
            raise _Diverged
        self.notify("on_grad_computed", named_parameters=self.get_all_learnable_params(), batch=batch, training=True)
        parameters = [p for group in self.optimizer_.param_groups for p in group["params"]]
        limit = self.settings.max_grad_norm
        norm = torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
        if not math.isfinite(norm):
            raise _Diverged
        if self.settings.pretrained_decay:
            self.pretrained_decay.step()
        # The first step makes the optimizer's state, twice the size of the model.
        with giving_up(lambda: _too_large(self.module_, self.settings)):
            self.optimizer_.step()
        if self._table_group is not None:
            rate = self._table_group["lr"]
            self.note_step(rate * self._table_group["weight_decay"], rate * self.settings.pretrained_decay)
        return {"loss": torch.tensor(loss), "y_pred": torch.cat(outputs)}

    def validation_step(self, batch, **fit_params):
        """Loss of one batch of validation data, in as many parts as memory asks for."""
        rows, _ = batch
        self._set_training(False)

        def compute(indices):
            part = Rows(rows.dataset, indices)
            with torch.no_grad():
                output = self.infer(part)
                return output, float(self.get_loss(output, None, X=part))

        def give_up(row):
            return _too_large(self.module_, self.settings, len(rows.dataset.tokens.input_ids[row]))

        total, outputs = 0.0, []
        parts = in_parts([rows.indices], compute, self.settings.device, self.notice, give_up)
        for indices, (output, loss) in parts:
            total += loss * len(indices) / len(rows)
            outputs.append(output)
        return {"loss": torch.tensor(total), "y_pred": torch.cat(outputs)}

    def predict(self, X):
        """Decisions of the objective (class indices, indicators or values), for skorch's scoring callbacks."""
        return self.criterion_.decide(torch.cat(list(self.forward_iter(X)))).cpu().numpy()

    def _backward(self, rows):
        """Gradients of one batch; returns the loss and the outputs of its micro-batches."""
        with self.stream:
            start = self.stream.state()
            while True:
                failed = None
                try:
                    return self._accumulate(rows)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    if self.micro_batch == 1 or len(rows) == 1:
                        raise self._give_up(rows) from error
                    failed = True
                # Outside the except block: there, the traceback would keep the graph alive.
                if failed:
                    self._halve_micro_batch(len(rows))
                    self.stream.set_state(start)

    def _accumulate(self, rows):
        self.optimizer_.zero_grad(set_to_none=True)
        total, outputs = 0.0, []
        for part in rows.parts(self.micro_batch):
            output = self.infer(part)
            loss = self.get_loss(output, None, X=part) * (len(part) / len(rows))
            loss.backward()
            total += float(loss.detach())
            outputs.append(output.detach())
        return total, outputs

    def _halve_micro_batch(self, n_rows):
        self.optimizer_.zero_grad(set_to_none=True)
        free_cached_memory(self.settings.device)
        self.micro_batch = max(1, min(self.micro_batch, n_rows) // 2)
        self.notice(
            f"Out of memory on {self.settings.device}: training goes on in smaller micro-batches (now "
            f"{self.micro_batch}); the effective batch_size stays {self.settings.batch_size}.",
            stacklevel=3,
        )

    def _give_up(self, rows):
        self.optimizer_.zero_grad(set_to_none=True)
        longest = max(len(rows.dataset.tokens.input_ids[i]) for i in rows.indices)
        return OutOfMemoryError(_too_large(self.module_, self.settings, longest))


class _Schedule(Callback):
    """Warm-up and linear decay, step by step; records `learning_rate` as it was in the last step of each epoch."""

    def on_train_begin(self, net, **kwargs):
        self._base = [group["lr"] for group in net.optimizer_.param_groups]
        self._factor = linear_schedule(net.n_steps, net.settings.warmup_ratio)
        self._step = 0
        self._apply(net)

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            # Not that of a group: under layer_decay, or with a rate of its own for the head, they differ.
            self._used = net.settings.learning_rate * self._factor(self._step)
            self._step += 1
            self._apply(net)

    def on_epoch_end(self, net, **kwargs):
        net.history.record("learning_rate", self._used)

    def _apply(self, net):
        factor = self._factor(self._step)
        for group, base in zip(net.optimizer_.param_groups, self._base, strict=True):
            group["lr"] = base * factor


class _Progress(Callback):
    """One bar for the whole fit."""

    def on_train_begin(self, net, **kwargs):
        from tqdm.auto import tqdm

        self._bar = tqdm(total=net.n_steps, desc="fine-tuning", unit="step", leave=False)

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self._bar.update()

    def on_epoch_end(self, net, **kwargs):
        shown = {"epoch": net.history[-1, "epoch"], "loss": f"{net.history[-1]['train_loss']:.3f}"}
        if "valid_loss" in net.history[-1]:
            shown["valid_loss"] = f"{net.history[-1]['valid_loss']:.3f}"
        self._bar.set_postfix(shown)

    def close(self):
        """Take the bar away, also after a failure."""
        if hasattr(self, "_bar"):
            self._bar.close()


def _silent(text):
    """A sink for messages that nobody asked for."""
