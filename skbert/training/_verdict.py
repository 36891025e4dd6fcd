"""Decides whether a fine-tuning run worked or failed, and says what to try."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from skbert.compute import run_batches

_ADVICE = {
    "diverged": (
        "loss or gradient became non-finite in {moment} and training stopped. Do not use the predictions. Try a "
        "lower {rate}, a longer warm-up (warmup_ratio), or precision='fp32'."
    ),
    "constant": (
        "the model gives the same prediction for every training text. Try a lower learning_rate, warmup_ratio=0.1, "
        "bias_correction=True, more epochs (max_epochs), or another init_seed."
    ),
    "underfit": (
        "the training loss {loss:.3f} is not below {reference:.3f}, that of a model that ignores the text. Try more "
        "epochs (max_epochs), another learning_rate (2e-5 to 1e-4 suits most encoders), or bias_correction=True."
    ),
}

# Where there was no epoch of fine-tuning, epochs are no remedy.
_ADVICE_WITHOUT_EPOCHS = {
    **_ADVICE,
    "constant": (
        "the model gives the same prediction for every training text. Try class_weight='balanced', more "
        "contrastive_steps, or epochs of fine-tuning (max_epochs)."
    ),
    "underfit": (
        "the training loss {loss:.3f} is not below {reference:.3f}, that of a model that ignores the text. Try more "
        "contrastive_steps, or epochs of fine-tuning (max_epochs)."
    ),
}


@dataclass(frozen=True)
class Verdict:
    """How well the trained model fits its own training texts.

    Attributes
    ----------
    status : {"converged", "constant", "diverged", "underfit"}
    layer_share : float64 array (n_chosen_layers,)
        Share of the pooled elements that comes from each of the chosen layers.
    advice : str
        What went wrong and what to try; empty if the run converged.
    """

    status: str
    layer_share: np.ndarray
    advice: str


def judge(module, train, objective, settings, notice, result):
    """Apply a trained model once more to its own training texts, and judge the run.

    Parameters
    ----------
    module : PooledEncoder
        The trained module, in eval mode.
    train : TextDataset
        The training texts.
    objective : Objective
        The loss that was minimised.
    settings : FineTuneSettings
        The settings of the run.
    notice : MemoryNotice
        Warns when memory runs out.
    result : FineTuneResult
        The result of the run.

    Returns
    -------
    Verdict
        Status, layer shares and advice.
    """
    outputs = torch.empty(len(train), module.head.n_outputs)
    shares = torch.zeros(len(module.layers), dtype=torch.float64)
    for indices, (output, of_batch) in run_batches(
        module.forward_with_shares, train.tokens, settings.device, settings.precision, notice, result.prefixes
    ):
        outputs[indices] = output.float().cpu()
        shares += of_batch.cpu().double()
    status, loss, reference = training_status(objective, outputs, train.target, train.weight, result.diverged)
    is_tuned = any(row["phase"] == "fine_tuning" for row in result.history)
    advice, rate = (_ADVICE, "learning_rate") if is_tuned else (_ADVICE_WITHOUT_EPOCHS, "contrastive_learning_rate")
    facts = {"loss": loss, "reference": reference, "rate": rate, "moment": _moment(result.history)}
    advice = advice.get(status, "").format(**facts)
    return Verdict(status, (shares / shares.sum()).numpy(), advice)


def _moment(history):
    """When the last row of a history was recorded."""
    steps = [row for row in history if row["phase"] != "head"]
    if not steps:
        return "the vectors of the encoder"
    return f"epoch {steps[-1]['epoch']}" if "epoch" in steps[-1] else f"contrastive step {steps[-1]['step']}"


def training_status(objective, output, target, weight, diverged):
    """Judge a run by its predictions for its own training data, in eval mode.

    Parameters
    ----------
    objective : Objective
        The loss that was minimised.
    output : tensor (n, k)
        Outputs for the training texts.
    target, weight : tensors (n, ...), (n,)
        Targets and sample weights of the training texts.
    diverged : bool
        Whether training stopped because of a non-finite loss or gradient.

    Returns
    -------
    status : {"converged", "constant", "diverged", "underfit"}
        The judgement.
    loss : float
        Weighted mean loss on the training data, without label smoothing.
    reference : float
        The same loss for the best prediction that ignores the text.
    """
    per_example = objective.plain(output, target).double()
    loss = float((per_example * weight.double()).sum() / weight.double().sum())
    reference = objective.uninformed(target, weight)
    if diverged or not math.isfinite(loss):
        return "diverged", loss, reference
    # If all targets are equal, a constant prediction is correct.
    if reference > 0 and objective.is_constant(output):
        return "constant", loss, reference
    if reference > 0 and loss >= reference:
        return "underfit", loss, reference
    return "converged", loss, reference
