"""Decides whether a masked language model learned more than the frequencies of the tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

_ADVICE = {
    "diverged": (
        "loss or gradient became non-finite in step {step} and training stopped. Do not use the model. Try a lower "
        "learning_rate, a longer warm-up (warmup_ratio), or precision='fp32'."
    ),
    "underfit": (
        "the loss of {texts} is {loss:.2f} nats per masked token, not below {null:.2f}, that of a model that only "
        "knows how frequent each token is. Try more steps (max_steps), more texts (extra_texts), or another "
        "learning_rate."
    ),
}


@dataclass(frozen=True)
class Verdict:
    """How well a trained model predicts.

    Attributes
    ----------
    status : {"converged", "diverged", "underfit"}
    null : float
        Loss of the unigram model, in nats.
    advice : str
        What went wrong and what to try; empty if the run converged.
    """

    status: str
    null: float
    advice: str


def judge(result, loss, null, n_held_out):
    """The status of a run, and what went wrong and what to try.

    Parameters
    ----------
    result : TrainResult
        The result of the run.
    loss : float
        Loss of the trained model at masked tokens, in nats.
    null : float
        Loss of the unigram model at the same tokens.
    n_held_out : int
        Number of held-out texts; 0 if both losses are those of training texts.

    Returns
    -------
    Verdict
    """
    if result.diverged or not math.isfinite(loss):
        status = "diverged"
    else:
        status = "converged" if loss < null else "underfit"
    texts = f"{n_held_out} held-out texts" if n_held_out else "the training texts"
    facts = {"step": len(result.history), "texts": texts, "loss": loss, "null": null}
    return Verdict(status, null, _ADVICE.get(status, "").format(**facts))
