"""Telling a failed fine-tuning run from one that worked, and what to try."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from skbert.compute import run_batches

_ADVICE = {
    "diverged": (
        "loss or gradient became non-finite in epoch {epoch} and training stopped. Do not use the predictions. Try a "
        "lower learning_rate, a longer warm-up (warmup_ratio), or precision='fp32'."
    ),
    "constant": (
        "the model gives the same prediction for every training text. Try a lower learning_rate, warmup_ratio=0.1, "
        "bias_correction=True, more epochs (max_epochs), or another init_seed."
    ),
    "underfit": (
        "the training loss {loss:.3f} is not below {reference:.3f}, that of a model which ignores the text. Try more "
        "epochs (max_epochs), another learning_rate (2e-5 to 1e-4 suits most encoders), or bias_correction=True."
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What the trained model shows on its own training texts.

    Attributes
    ----------
    status : {"converged", "constant", "diverged", "underfit"}
    layer_share : float64 array (n_chosen_layers,)
        Share of the pooled elements that come from each of the chosen layers.
    advice : str
        What went wrong and what to try; empty where the run converged.
    """

    status: str
    layer_share: np.ndarray
    advice: str


def judge(module, train, objective, settings, notice, result):
    """Look at a trained model once more over its own training texts.

    Parameters
    ----------
    module : PooledEncoder
        In eval mode.
    train : TextDataset
    objective : Objective
    settings : FineTuneSettings
    notice : MemoryNotice
        Warns when memory runs out.
    result : FineTuneResult
        Of the run that trained it.

    Returns
    -------
    Verdict
    """
    outputs = torch.empty(len(train), module.head.n_outputs)
    shares = torch.zeros(len(module.layers), dtype=torch.float64)
    for indices, (output, of_batch) in run_batches(
        module.forward_with_shares, train.tokens, settings.device, settings.precision, notice, result.prefixes
    ):
        outputs[indices] = output.float().cpu()
        shares += of_batch.cpu().double()
    status, loss, reference = training_status(objective, outputs, train.target, train.weight, result.diverged)
    advice = _ADVICE.get(status, "").format(loss=loss, reference=reference, epoch=len(result.history))
    return Verdict(status, (shares / shares.sum()).numpy(), advice)


def training_status(objective, output, target, weight, diverged):
    """Judge a run by its predictions on its own training data, in eval mode.

    Parameters
    ----------
    objective : Objective
    output : tensor (n, k)
        Outputs for the training texts.
    target, weight : tensors (n, ...), (n,)
    diverged : bool
        Whether a non-finite loss or gradient stopped the training.

    Returns
    -------
    status : {"converged", "constant", "diverged", "underfit"}
    loss : float
        Weighted mean loss on the training data, without label smoothing.
    reference : float
        The same of the best prediction that does not look at the text.
    """
    per_example = objective.plain(output, target).double()
    loss = float((per_example * weight.double()).sum() / weight.double().sum())
    reference = objective.uninformed(target, weight)
    if diverged or not math.isfinite(loss):
        return "diverged", loss, reference
    # With nothing to tell apart (all targets alike) a constant prediction is the right one.
    if reference > 0 and objective.is_constant(output):
        return "constant", loss, reference
    if reference > 0 and loss >= reference:
        return "underfit", loss, reference
    return "converged", loss, reference
