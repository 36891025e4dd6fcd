"""One run of masked-language-model training."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from skbert.compute import autocast, giving_up
from skbert.pretraining._held_out import mean_loss
from skbert.pretraining._net import parameter_groups, state_copy
from skbert.training import MicroBatches, linear_schedule

# As in the recipe of Mosbach et al. (2021), which the other estimators use.
_BETAS, _EPS, _MAX_GRAD_NORM = (0.9, 0.999), 1e-6, 1.0

# The held-out texts are scored before the first step, and this many times during training.
_N_EVALUATIONS = 10

_REMEDY = "Lower max_length, or use a smaller encoder."


@dataclass(frozen=True)
class TrainResult:
    """Result of a run, in addition to the trained module.

    Attributes
    ----------
    history : list of dict
        One row per step.
    val_losses : list of float
        Loss of the held-out texts before the first step and at each evaluation.
    diverged : bool
        Whether training stopped because of a non-finite loss or gradient.
    """

    history: list[dict]
    val_losses: list[float]
    diverged: bool


def train(net, masking, held_out, settings, seeds, notice):
    """Train `net` in place.

    Parameters
    ----------
    net : MaskedNet
        The model to train, on ``settings.device``.
    masking : Masking
        The training texts, and what draws their masks.
    held_out : MaskedTexts or None
        Texts that are not trained on, with their masks.
    settings : PretrainingSettings
        How to train.
    seeds : Seeds
        Seeds of the run.
    notice : MemoryNotice
        Warns when memory runs out.

    Returns
    -------
    TrainResult
        History and losses of the held-out texts.
    """
    run = _Run(net, masking, held_out, settings, seeds, notice)
    bar = tqdm(total=settings.max_steps, desc="pretraining", leave=False, disable=settings.verbose < 1)
    # The caller may have switched gradients off.
    with bar, torch.enable_grad():
        diverged = run.all_steps(bar)
    run.restore_best()
    net.zero_grad(set_to_none=True)
    net.eval()
    return TrainResult(run.history, run.val_losses, diverged)


class _Run:
    """The state of a run: optimizer, history, and with early stopping the best weights."""

    def __init__(self, net, masking, held_out, settings, seeds, notice):
        self.net, self.masking, self.held_out, self.settings, self.notice = net, masking, held_out, settings, notice
        self.micro_batches = MicroBatches(net, settings, "batch_size", seeds.dropout, notice, _REMEDY)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(net, settings.weight_decay),
            lr=settings.learning_rate,
            betas=_BETAS,
            eps=_EPS,
            fused=settings.device.type in ("cpu", "cuda"),
        )
        self.batches = _endless_batches(len(masking.corpus), settings.batch_size, np.random.default_rng(seeds.order))
        self.history, self.val_losses = [], []
        self._best, self._best_state = math.inf, None

    def all_steps(self, bar):
        """Train until the last step, an early stop or a non-finite loss; return whether it became non-finite."""
        settings = self.settings
        factor = linear_schedule(settings.max_steps, settings.warmup_ratio)
        every = math.ceil(settings.max_steps / _N_EVALUATIONS)
        self._evaluate()
        self.net.train()
        for step in range(settings.max_steps):
            began = time.perf_counter()
            rate = settings.learning_rate * factor(step)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            row = {"step": step + 1, "learning_rate": rate}
            self.history.append(row)
            row["train_loss"], finite = self._step()
            row["dur"] = time.perf_counter() - began
            if not finite:
                return True
            bar.update()
            if (step + 1) % every == 0 or step + 1 == settings.max_steps:
                if self.held_out is not None:
                    row["val_loss"] = self._evaluate()
                    bar.set_postfix(val_loss=f"{row['val_loss']:.3f}")
                if self._is_over():
                    break
        return False

    def _step(self):
        """One step; return its loss, and whether loss and gradients were finite."""
        masked = self.masking.draw(next(self.batches))
        n_masked = masked.n_masked
        if not n_masked:  # only possible if weights of 0 leave nothing to mask
            return 0.0, True
        weights = self.masking.weights

        def forward(part):
            batch, places, targets, _ = part.batch(self.settings.device)
            with autocast(self.settings.device, self.settings.precision):
                losses = self.net.losses(batch, places, targets)
            return None, losses

        def loss_of_part(losses, part):
            return losses.sum() / n_masked

        loss, outputs = self.micro_batches.backward(masked, forward, loss_of_part)
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), _MAX_GRAD_NORM)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return loss, False
        # The first step creates the state of the optimizer, which is twice as large as the model.
        with giving_up(lambda: too_large(self.net, self.settings.device)):
            self.optimizer.step()
        if weights is not None:
            weights.note(*_noted(masked, torch.cat(outputs), self.micro_batches.size))
        return loss, True

    def _evaluate(self):
        if self.held_out is None:
            return None
        self.net.eval()
        loss = mean_loss(self.net, self.held_out, self.settings.device, self.settings.precision, self.notice)
        self.net.train()
        self.val_losses.append(loss)
        if loss < self._best:
            self._best = loss
            if self.settings.patience is not None:
                self._best_state = state_copy(self.net)
        return loss

    def _is_over(self):
        """Whether the last evaluations were all no better than the best one before them."""
        patience, losses = self.settings.patience, self.val_losses
        return patience is not None and len(losses) > patience and min(losses[-patience:]) > self._best

    def restore_best(self):
        """With early stopping, return to the weights of the best evaluation."""
        if self._best_state is not None:
            self.net.load_state_dict(self._best_state)


def too_large(net, device):
    """Message of an `OutOfMemoryError` if the model itself does not fit."""
    n_parameters = sum(p.numel() for p in net.parameters())
    return (
        f"Out of memory on {device}: {n_parameters / 1e6:.1f} million parameters take about "
        f"{n_parameters * 16 / 2**30:.2f} GiB with gradients and optimizer state. Use a smaller encoder."
    )


def _noted(masked, losses, size):
    """Masked ids and their losses, in the order in which the parts of a batch were computed."""
    targets = [part.batch("cpu")[2] for part in masked.parts(size)]
    return torch.cat(targets).numpy(), losses.float().cpu().numpy()


def _endless_batches(n, size, generator):
    """Batches of rows, in a new random order for each pass; the last batch of a pass may be smaller."""
    while True:
        order = generator.permutation(n)
        for start in range(0, n, size):
            yield order[start : start + size]
