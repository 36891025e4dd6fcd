"""The fine-tuning loop: a skorch net with our own training step.

skorch provides the loop over epochs, the history and the callbacks. This module adds
what skorch does not have: a random stream of our own, weighted losses, micro-batches
that become smaller when memory runs out, a learning-rate schedule by step, and a stop
at the first non-finite loss.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
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
from skbert.training._callbacks import Progress, Schedule, silent
from skbert.training._dataset import OrderedBatches, Rows, ShuffledBatches
from skbert.training._optimizers import BertAdam, parameter_groups
from skbert.training._pretrained import PretrainedDecay

# Epsilon of Adam in the recipe of Mosbach et al. (2021), whose training parameters are our defaults.
_BETAS, _EPS = (0.9, 0.999), 1e-6


class StopTraining(Exception):
    """A callback asked to stop the training."""


class Diverged(Exception):
    """The loss or a gradient became non-finite; this step was not applied."""


def too_large(module, settings, longest=None):
    """Message of an `OutOfMemoryError`: sizes, and what to change; `longest` is the longest text in tokens."""
    n_parameters = sum(p.numel() for p in module.parameters())
    text = "" if longest is None else f", and the longest text of the batch has {longest} tokens"
    return (
        f"Out of memory on {settings.device} with one text at a time: {n_parameters / 1e6:.1f} million parameters take "
        f"about {n_parameters * 16 / 2**30:.2f} GiB with gradients and optimizer state{text}. "
        "Lower max_length, raise freeze_layers, or use a smaller encoder."
    )


class FineTuneNet(NeuralNet):
    """A skorch net that trains a `PooledEncoder` on a `TextDataset`.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    criterion : Objective
        The loss to minimise.
    settings : FineTuneSettings
        How to train.
    seeds : Seeds
        Seeds of the run.
    n_train : int
        Number of training texts.
    valid : TextDataset or None
        Validation data, if there are any.
    notice : MemoryNotice
        Warns when memory runs out.
    targets : dict of parameter id to tensor
        Pretrained weights, for `pretrained_decay`.
    note_step : callable
        Called at every step that trains the table of token embeddings; see `Vocabulary`.
    weights : callable
        Gives all weights as they are by now, as a dict of name to numpy array; for callbacks.
    """

    def __init__(self, module, criterion, settings, seeds, n_train, valid, notice, *, targets, note_step, weights):
        callbacks = [("schedule", Schedule()), *settings.callbacks]
        if settings.verbose == 1:
            callbacks.append(("progress", Progress()))
        if settings.patience is not None:
            # Last, because it stops by an exception, and the callbacks of the user must also see the last epoch.
            stopping = EarlyStopping(patience=settings.patience, threshold=0, load_best=True, sink=silent)
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
            # verbose=1 shows our progress bar; verbose=2 also shows the table of epochs of skorch.
            verbose=max(0, settings.verbose - 1),
        )
        self.settings = settings
        self.notice = notice
        self.targets = targets
        self.note_step, self.weights = note_step, weights
        self.n_steps = settings.max_epochs * -(-n_train // settings.batch_size)
        self.micro_batch = settings.batch_size
        self.order = np.random.default_rng(seeds.order)
        self.stream = TorchStream(seeds.dropout, settings.device)

    def initialize_optimizer(self, triggered_directly=None):
        """Create the optimizer with our own parameter groups."""
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
        # None if the table is frozen.
        holders = (group for group in self.optimizer_.param_groups if any(p is table for p in group["params"]))
        self._table_group = next(holders, None)
        self.pretrained_decay = PretrainedDecay(self.optimizer_, self.targets, settings.pretrained_decay)
        return self

    def get_iterator(self, dataset, training=False):
        """Shuffled batches for training, batches in row order for evaluation."""
        if training:
            return ShuffledBatches(dataset, self.batch_size, self.order)
        return OrderedBatches(dataset, token_budget(self.settings.device))

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks; to stop, a callback raises KeyboardInterrupt, as skorch's EarlyStopping does."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as stop:
            # skorch would also catch a Ctrl-C of the user, so this distinguishes the two.
            if method_name in ("on_epoch_end", "on_batch_end"):
                raise StopTraining from stop
            raise

    def infer(self, x, **fit_params):
        """Outputs for `Rows`."""
        with autocast(self.settings.device, self.settings.precision):
            return self.module_(x.tokens(self.settings.device), x.prefix(self.settings.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Weighted mean loss of `Rows`."""
        return self.criterion_(y_pred, X.target(y_pred.device), X.weight(y_pred.device))

    def train_step(self, batch, **fit_params):
        """One optimizer step on one batch, in as many micro-batches as memory requires."""
        rows, _ = batch
        self._set_training(True)
        loss, outputs = self._backward(rows)
        if not math.isfinite(loss):
            raise Diverged
        self.notify("on_grad_computed", named_parameters=self.get_all_learnable_params(), batch=batch, training=True)
        parameters = [p for group in self.optimizer_.param_groups for p in group["params"]]
        limit = self.settings.max_grad_norm
        norm = torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
        if not math.isfinite(norm):
            raise Diverged
        if self.settings.pretrained_decay:
            self.pretrained_decay.step()
        # The first step creates the state of the optimizer, which is twice as large as the model.
        with giving_up(lambda: too_large(self.module_, self.settings)):
            self.optimizer_.step()
        if self._table_group is not None:
            rate = self._table_group["lr"]
            self.note_step(rate * self._table_group["weight_decay"], rate * self.settings.pretrained_decay)
        return {"loss": torch.tensor(loss), "y_pred": torch.cat(outputs)}

    def validation_step(self, batch, **fit_params):
        """Loss of one batch of validation data, in as many parts as memory requires."""
        rows, _ = batch
        self._set_training(False)

        def compute(indices):
            part = Rows(rows.dataset, indices)
            with torch.no_grad():
                output = self.infer(part)
                return output, float(self.get_loss(output, None, X=part))

        def give_up(row):
            return too_large(self.module_, self.settings, len(rows.dataset.tokens.input_ids[row]))

        total, outputs = 0.0, []
        parts = in_parts([rows.indices], compute, self.settings.device, self.notice, give_up)
        for indices, (output, loss) in parts:
            total += loss * len(indices) / len(rows)
            outputs.append(output)
        return {"loss": torch.tensor(total), "y_pred": torch.cat(outputs)}

    def predict(self, X):
        """Predictions of the objective (class indices, indicators or values), for skorch's scoring callbacks."""
        return self.criterion_.decide(torch.cat(list(self.forward_iter(X)))).cpu().numpy()

    def _backward(self, rows):
        """Compute the gradients of one batch; return the loss and the outputs of its micro-batches."""
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
                # Outside the except block, because inside it the traceback would keep the graph in memory.
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
            f"Out of memory on {self.settings.device}: training continues in smaller micro-batches (now "
            f"{self.micro_batch}); the effective batch_size stays {self.settings.batch_size}."
        )

    def _give_up(self, rows):
        self.optimizer_.zero_grad(set_to_none=True)
        longest = max(len(rows.dataset.tokens.input_ids[i]) for i in rows.indices)
        return OutOfMemoryError(too_large(self.module_, self.settings, longest))
