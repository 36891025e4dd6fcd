"""One run of masked-language-model training."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from skbert.compute import autocast, giving_up
from skbert.estimators import as_arrays
from skbert.pretraining._held_out import mean_loss
from skbert.pretraining._net import load_copy, parameter_groups, state_copy, weights_of
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


def train(net, masking, held_out, settings, seeds, notice, checkpoint=None):
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
    checkpoint : Checkpoint, default=None
        Where the state of this run is kept. If it has one, the run goes on from there.

    Returns
    -------
    TrainResult
        History and losses of the held-out texts.
    """
    run = _Run(net, masking, held_out, settings, seeds, notice, checkpoint)
    if not run.finished:
        bar = tqdm(
            total=settings.max_steps,
            initial=len(run.history),
            desc="pretraining",
            leave=False,
            disable=settings.verbose < 1,
        )
        # The caller may have switched gradients off.
        with bar, torch.enable_grad():
            run.all_steps(bar)
    net.zero_grad(set_to_none=True)
    net.eval()
    return TrainResult(run.history, run.val_losses, run.diverged)


class _Run:
    """The state of a run: optimizer, random streams, history, and with early stopping the best weights."""

    def __init__(self, net, masking, held_out, settings, seeds, notice, checkpoint):
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
        self.finished = self.diverged = False
        # Number of steps before the last evaluation.
        self._evaluated_at = None
        self._best, self._best_state = math.inf, None
        self._checkpoint = checkpoint
        found = None if checkpoint is None else checkpoint.read()
        if found is not None:
            self._restore(*found)
        self._draws = self._draws_now()
        # Whether weights, optimizer and history are those of the same number of steps.
        self._consistent = True

    def all_steps(self, bar):
        """Train until the last step, an early stop or a non-finite loss."""
        try:
            self._all_steps(bar)
        except BaseException:
            if self._consistent and self.history:
                self._keep()
            raise
        if self._best_state is not None:
            load_copy(self.net, self._best_state)
        self.finished = True
        self._keep()

    def _all_steps(self, bar):
        settings = self.settings
        factor = linear_schedule(settings.max_steps, settings.warmup_ratio)
        every = math.ceil(settings.max_steps / _N_EVALUATIONS)
        self.net.train()
        while not self.diverged:
            n_steps = len(self.history)
            if n_steps % every == 0 or n_steps == settings.max_steps:
                self._evaluate(n_steps, bar)
                if n_steps == settings.max_steps or self._is_over():
                    return
            self._step(n_steps, settings.learning_rate * factor(n_steps))
            bar.update()
            if self._checkpoint is not None and self._checkpoint.is_due():
                self._keep()

    def _step(self, step, rate):
        """One step, after which the state is consistent again."""
        began = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        row = {"step": step + 1, "learning_rate": rate}
        row["train_loss"], self.diverged = self._learn(next(self.batches))
        row["dur"] = time.perf_counter() - began
        self._consistent = False
        self.history.append(row)
        self._draws = self._draws_now()
        self._consistent = True

    def _learn(self, rows):
        """Learn from one batch; return its loss, and whether loss or gradients were not finite."""
        masked = self.masking.draw(rows)
        n_masked = masked.n_masked
        if not n_masked:  # only possible if weights of 0 leave nothing to mask
            return 0.0, False
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
            return loss, True
        self._consistent = False
        # The first step creates the state of the optimizer, which is twice as large as the model.
        with giving_up(lambda: too_large(self.net, self.settings.device)):
            self.optimizer.step()
        if weights is not None:
            weights.note(*_noted(masked, torch.cat(outputs), self.micro_batches.size))
        return loss, False

    def _evaluate(self, n_steps, bar):
        """Measure the loss of the held-out texts, once after `n_steps` steps."""
        if self.held_out is None or self._evaluated_at == n_steps:
            return
        self.net.eval()
        loss = mean_loss(self.net, self.held_out, self.settings.device, self.settings.precision, self.notice)
        self.net.train()
        self._consistent = False
        self.val_losses.append(loss)
        if n_steps:
            self.history[-1]["val_loss"] = loss
            bar.set_postfix(val_loss=f"{loss:.3f}")
        if loss < self._best:
            self._best = loss
            if self.settings.patience is not None:
                self._best_state = state_copy(self.net)
        self._evaluated_at = n_steps
        self._consistent = True

    def _is_over(self):
        """Whether the last evaluations were all no better than the best one before them."""
        patience, losses = self.settings.patience, self.val_losses
        return patience is not None and len(losses) > patience and min(losses[-patience:]) > self._best

    # ---------------------------------------------------------------- what is kept on disk

    def _draws_now(self):
        """Where the streams of random numbers are."""
        return self.masking.generator.bit_generator.state, self.micro_batches.stream.position()

    def _keep(self):
        """Write the state before the next step, or the result if the run is finished."""
        if self._checkpoint is None:
            return
        generator, dropout = self._draws
        state = {
            "finished": self.finished,
            "diverged": self.diverged,
            "history": self.history,
            "val_losses": self.val_losses,
            "evaluated_at": self._evaluated_at,
            "generator": generator,
            "micro_batch": self.micro_batches.size,
        }
        tensors = {"net": weights_of(self.net)}
        if not self.finished:
            tensors["best"] = self._best_state or {}
            tensors["dropout"] = dict(enumerate(dropout or []))
            for index, found in self.optimizer.state_dict()["state"].items():
                tensors[f"optimizer/{index}"] = found
        parts = {group: as_arrays(part) for group, part in tensors.items()}
        if self.masking.weights is not None and not self.finished:
            parts["weights"] = self.masking.weights.noted()
        arrays = {f"{group}:{name}": array for group, part in parts.items() for name, array in part.items()}
        self._checkpoint.write(state, arrays)

    def _restore(self, state, arrays):
        """Go to the state that `_keep` wrote."""
        tensors: dict = {}
        for key, array in arrays.items():
            group, _, name = key.partition(":")
            tensors.setdefault(group, {})[name] = array if group == "weights" else torch.from_numpy(array)
        self.history, self.val_losses, self._evaluated_at = (
            state[name] for name in ("history", "val_losses", "evaluated_at")
        )
        self.finished, self.diverged = state["finished"], state["diverged"]
        self._best = min((loss for loss in self.val_losses if loss < math.inf), default=math.inf)
        load_copy(self.net, tensors["net"])
        if self.finished:
            return
        self._best_state = tensors.get("best")
        self.masking.generator.bit_generator.state = state["generator"]
        self.micro_batches.size = state["micro_batch"]
        dropout = tensors.get("dropout", {})
        self.micro_batches.stream.go_to([dropout[str(i)] for i in range(len(dropout))] or None)
        moments = {int(k.partition("/")[2]): found for k, found in tensors.items() if k.startswith("optimizer/")}
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        for name, array in tensors.get("weights", {}).items():
            self.masking.weights.noted()[name][:] = array
        for _ in self.history:
            next(self.batches)


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
