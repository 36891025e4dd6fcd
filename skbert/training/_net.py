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

from skbert.compute import autocast, in_parts, token_budget
from skbert.training._callbacks import Progress, Schedule, silent
from skbert.training._contrastive_losses import SupConLoss, unit_vectors
from skbert.training._dataset import OrderedBatches, Rows, ShuffledBatches
from skbert.training._micro_batches import MicroBatches, too_large
from skbert.training._optimizers import BertAdam
from skbert.training._stepper import Diverged, Stepper


class StopTraining(Exception):
    """A callback asked to stop the training."""


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
        self.joint_loss = SupConLoss(settings.contrastive_temperature) if settings.contrastive_weight else None
        self.n_steps = settings.max_epochs * -(-n_train // settings.batch_size)
        self.order = np.random.default_rng(seeds.order)
        self.micro_batches = MicroBatches(module, settings, "batch_size", seeds.dropout, notice)

    def initialize_optimizer(self, triggered_directly=None):
        """Create the optimizer with our own parameter groups."""
        settings = self.settings
        rates = {"learning_rate": settings.learning_rate, "head_learning_rate": settings.head_learning_rate}
        self.stepper = Stepper(self.module_, settings, self.targets, self.note_step, **rates)
        self.optimizer_ = self.stepper.optimizer
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
        self.stepper.step()
        return {"loss": torch.tensor(loss), "y_pred": outputs[0] if len(outputs) == 1 else torch.cat(outputs)}

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

        def loss_of_part(output, part):
            loss = self.get_loss(output, None, X=part)
            return loss if len(part) == len(rows) else loss * (len(part) / len(rows))

        def loss_of_all(pooled):
            groups = self.criterion_.groups(rows.target(pooled.device))
            loss = self.joint_loss(unit_vectors(pooled), groups, rows.weight(pooled.device))
            return self.settings.contrastive_weight * loss

        if self.joint_loss is None:
            return self.micro_batches.backward(rows, lambda part: (None, self.infer(part)), loss_of_part)
        return self.micro_batches.backward(rows, self._pool_and_infer, loss_of_part, loss_of_all)

    def _pool_and_infer(self, rows):
        """Pooled vectors and outputs for `Rows`."""
        with autocast(self.settings.device, self.settings.precision):
            pooled = self.module_.pool(rows.tokens(self.settings.device), rows.prefix(self.settings.device))
            return pooled, self.module_.head(pooled)
