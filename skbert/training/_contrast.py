"""The contrastive phase: texts of one class are drawn together, others apart, before there is a head."""

from __future__ import annotations

import math
import time
from collections import deque

import numpy as np
from tqdm.auto import tqdm

from skbert._shared import warn
from skbert.compute import autocast
from skbert.training._center import center_of_directions
from skbert.training._contrastive_losses import unit_vectors
from skbert.training._dataset import Rows
from skbert.training._micro_batches import MicroBatches
from skbert.training._optimizers import linear_schedule
from skbert.training._pair_batches import BalancedBatches, DrawnPairs
from skbert.training._stepper import Diverged, Stepper

# SetFit (2022) takes this many alike and as many different pairs per text.
_SETFIT_ITERATIONS = 20

# With "auto", as many steps as the first number of passes over the texts takes, within these limits, or as the second
# one takes, if these are more. With 16 texts of mr, E5 has 71.6 % after 10 steps and 66.7 % after 30 (three draws).
_PASSES_OVER_FEW, _LEAST_STEPS, _MOST_STEPS, _PASSES_OVER_MANY = 20, 10, 30, 5

# All pairs of so many texts take about 200 MB.
_MOST_TEXTS_IN_PAIRS = 5000

# The phase ends when the loss of each of this many steps in a row is less than this above its smallest possible value.
_FLOOR_STEPS, _FLOOR = 5, 0.01


def contrast(module, train, objective, settings, seed, notice, *, targets, note_step):
    """Train `module` in place, except its head, so that texts with equal labels have vectors of equal direction.

    Parameters
    ----------
    module : PooledEncoder
        The module to train.
    train : TextDataset
        Training data.
    objective : Objective
        Says which targets are equal.
    settings : FineTuneSettings
        How to train.
    seed : int
        Seed of the batches and of dropout.
    notice : MemoryNotice
        Warns when memory runs out.
    targets, note_step
        See `Stepper`.

    Returns
    -------
    history : list of dict
        One row per step.
    diverged : bool
        Whether a loss or gradient became non-finite; the last row has the step in which it did.
    """
    # A row of weight 0 is not there.
    train = train.take(train.weight.nonzero()[:, 0])
    source = _source(train, objective, settings, np.random.default_rng(seed))
    if source is None:
        return [], False
    center = center_of_directions(module.eval(), train, objective, settings, notice)
    if settings.head_init == "logistic":
        # Any other head goes on with the origin that it has learnt with.
        module.head.set_center(center)
    rate = settings.contrastive_learning_rate
    pooling_rate = settings.contrastive_pooling_rate
    stepper = Stepper(module, settings, targets, note_step, learning_rate=rate, head_learning_rate=pooling_rate)
    n_steps = _n_steps(len(train), settings)
    factor = linear_schedule(n_steps, settings.warmup_ratio)
    micro_batches = MicroBatches(module, settings, "contrastive_batch_size", seed, notice)
    module.train()
    history, above = [], deque(maxlen=_FLOOR_STEPS)
    with tqdm(total=n_steps, desc="contrastive steps", leave=False, disable=settings.verbose < 1) as bar:
        for step in range(n_steps):
            began = time.perf_counter()
            stepper.scale_rates(factor(step))
            rows = Rows(train, source.draw())
            loss = _gradients(module, rows, source, center, micro_batches, settings)
            row = {"phase": "contrastive", "step": step + 1, "train_loss": loss, "learning_rate": rate * factor(step)}
            history.append(row)
            try:
                if not math.isfinite(loss):
                    raise Diverged
                stepper.step()
            except Diverged:
                return history, True
            finally:
                row["dur"] = time.perf_counter() - began
            bar.update()
            above.append(loss - source.floor(rows.indices))
            if len(above) == _FLOOR_STEPS and max(above) < _FLOOR:
                break
    return history, False


def _source(train, objective, settings, generator):
    """Where batches come from, or None, with a warning, if there are no two texts of one class."""
    groups = objective.groups(train.target)
    counts = groups.unique(return_counts=True)[1]
    if counts.max() < 2 or len(counts) < 2:
        warn(
            "contrastive_steps are left out: they need a class with two texts and a second class. "
            f"The training texts have {len(counts)} classes of at most {int(counts.max())} texts."
        )
        return None
    size = settings.contrastive_batch_size
    if settings.contrastive_pairs == "setfit" and len(train) > _MOST_TEXTS_IN_PAIRS:
        raise ValueError(
            f"contrastive_pairs='setfit' lists all pairs of texts, too many for {len(train)} texts; it takes up to "
            f"{_MOST_TEXTS_IN_PAIRS}. Use contrastive_pairs='batch'."
        )
    if settings.contrastive_pairs == "setfit":
        return DrawnPairs(groups, train.weight, size, generator)
    loss, temperature = settings.contrastive_loss, settings.contrastive_temperature
    return BalancedBatches(groups, train.weight, size, loss, temperature, generator)


def _n_steps(n_texts, settings):
    """Number of steps for `n_texts` training texts."""
    if settings.contrastive_steps != "auto":
        return settings.contrastive_steps
    if settings.contrastive_pairs == "setfit":
        return math.ceil(2 * _SETFIT_ITERATIONS * n_texts / settings.contrastive_batch_size)
    few, many = (
        math.ceil(passes * n_texts / settings.contrastive_batch_size)
        for passes in (_PASSES_OVER_FEW, _PASSES_OVER_MANY)
    )
    return max(min(max(few, _LEAST_STEPS), _MOST_STEPS), many)


def _gradients(module, rows, source, center, micro_batches, settings):
    """Compute the gradients of one step; return the loss."""

    def forward(part):
        with autocast(settings.device, settings.precision):
            return module.pool(part.tokens(settings.device), part.prefix(settings.device)), None

    def loss_of_all(pooled):
        return source.loss_of(unit_vectors(pooled - center), rows.indices)

    return micro_batches.backward(rows, forward, loss_of_all=loss_of_all)[0]
