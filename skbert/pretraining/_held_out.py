"""Losses of masked tokens without training, and the null model that knows how frequent each token is."""

from __future__ import annotations

import numpy as np
import torch

from skbert.compute import MemoryNotice, autocast, in_parts, n_compute_threads, token_budget
from skbert.text import batches_by_length

# A token that was never seen counts as this many (add-0.1 smoothing).
_UNSEEN = 0.1


def in_batches(compute, lengths, device, precision, notice=None):
    """Call ``compute(rows)`` on batches of texts of similar length, without gradients.

    Parameters
    ----------
    compute : callable
        Takes the rows of a batch.
    lengths : int array (n,)
        Number of tokens of each text.
    device : torch.device
        The device on which `compute` runs.
    precision : {"fp32", "bf16"}
        Number format of matrix products.
    notice : MemoryNotice, default=None
        Warns when memory runs out; with None, there is one warning per call.

    Yields
    ------
    rows : int array
        Rows of the batch.
    result
        The result of `compute` for them.
    """

    def run(rows):
        with torch.inference_mode(), autocast(device, precision):
            return compute(rows)

    def give_up(row):
        return (
            f"Out of memory on {device} with a single text of {lengths[row]} tokens. Lower max_length, use a smaller "
            "encoder, or free memory on the device."
        )

    batches = batches_by_length(lengths, token_budget(device))
    n_threads = n_compute_threads(device) if len(batches) > 1 else 1
    notice = MemoryNotice() if notice is None else notice
    yield from in_parts(batches, run, device, notice, give_up, n_threads=n_threads)


def text_losses(net, masked, device, precision, notice=None):
    """Losses of the masked tokens of each text.

    Parameters
    ----------
    net : MaskedNet
        The model, in eval mode on `device`.
    masked : MaskedTexts
        Texts with masks.
    device, precision, notice
        As in `in_batches`.

    Returns
    -------
    list of float64 arrays (n_masked,)
        In nats, in the order of ``masked.places``.
    """

    def compute(rows):
        part = masked.take(rows)
        batch, places, targets, order = part.batch(device)
        return net.losses(batch, places, targets), order

    found = [None] * len(masked)
    for rows, (losses, order) in in_batches(compute, masked.tokens.lengths, device, precision, notice):
        packed = rows[order]
        ends = np.cumsum([len(masked.places[row]) for row in packed])[:-1]
        for row, part in zip(packed, np.split(losses.double().cpu().numpy(), ends), strict=True):
            found[row] = part
    return found


def mean_loss(net, masked, device, precision, notice=None):
    """Mean loss of all masked tokens, in nats."""
    return float(np.concatenate(text_losses(net, masked, device, precision, notice)).mean())


def unigram_loss(counts, targets):
    """Mean loss, in nats, of a model that predicts every token by its frequency.

    Parameters
    ----------
    counts : int array (vocabulary,)
        How often each token occurs in the training texts.
    targets : list of int arrays
        The tokens to predict.
    """
    shares = (counts + _UNSEEN) / (counts + _UNSEEN).sum()
    return float(-np.log(shares[np.concatenate(targets)]).mean())
