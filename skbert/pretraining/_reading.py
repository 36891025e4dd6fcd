"""Reading hidden states with the output layer of a masked language model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from skbert.pretraining._held_out import in_batches
from skbert.text import collate

# Logits of this many tokens are in memory at once: 60 MB for a vocabulary of 30,000.
_AT_ONCE = 512


def read_layers(net, corpus, device, precision):
    """How well the output layer finds the tokens of a text, without masks, in each hidden state.

    Parameters
    ----------
    net : MaskedNet
        The model, in eval mode on `device`.
    corpus : Corpus
        The texts; special tokens do not count.
    device : torch.device
        The device on which `net` is.
    precision : {"fp32", "bf16"}
        Number format of matrix products.

    Returns
    -------
    accuracy, loss : float64 arrays (L + 1,)
        Share of the tokens with the largest logit, and mean cross-entropy in nats.
    """
    depths = range(net.runner.n_layers + 1)

    def compute(rows):
        batch = collate(corpus.tokens, rows).to(device)
        states, _ = net.runner.hidden_states(batch, depths)
        starts = np.cumsum([0, *batch.lengths[:-1]])
        order = batch.order.cpu().numpy()
        found = [start + corpus.places[rows[text]] for start, text in zip(starts, order, strict=True)]
        places = torch.from_numpy(np.concatenate(found)).to(device)
        return np.array([_sums(net.output, state, batch.input_ids, places) for state in states]), len(places)

    sums, n = np.zeros((len(depths), 2)), 0
    for _, (part, size) in in_batches(compute, corpus.tokens.lengths, device, precision):
        sums += part
        n += size
    return sums[:, 0] / n, sums[:, 1] / n


def _sums(output, state, ids, places):
    """Number of tokens found, and sum of their losses."""
    found, loss = 0, 0.0
    for part in places.split(_AT_ONCE):
        logits = output(state[part]).float()
        found += int((logits.argmax(dim=1) == ids[part]).sum())
        loss += float(F.cross_entropy(logits, ids[part], reduction="sum"))
    return found, loss


def fill(net, tokens, k, tokenizer, drop, device, precision):
    """The `k` most probable tokens for each mask token of each text.

    Parameters
    ----------
    net : MaskedNet
        The model, in eval mode on `device`.
    tokens : TokenizedTexts
        The texts; each has at least one mask token.
    k : int
        Number of tokens.
    tokenizer : transformers tokenizer
        Knows the mask token, and gives the tokens their names.
    drop : bool
        Whether no token attends to a mask token, as in training.
    device, precision
        As in `read_layers`.

    Returns
    -------
    list of lists of lists of tuple (str, float)
        For each text and each of its mask tokens: tokens with their probabilities, the most probable one first.
    """
    found, mask = [None] * len(tokens), tokenizer.mask_token_id

    def compute(rows):
        batch = collate(tokens, rows).to(device)
        is_mask = batch.input_ids == mask
        places = is_mask.nonzero()[:, 0]
        if drop:
            batch = replace(batch, attended=~is_mask)
        return net(batch, places).float().softmax(dim=1).topk(k), batch.order.cpu().numpy()

    for rows, (best, order) in in_batches(compute, tokens.lengths, device, precision):
        shares, ids = best.values.cpu().tolist(), best.indices.cpu().tolist()
        for row in rows[order]:
            n = int((tokens.input_ids[row] == mask).sum())
            names = [tokenizer.convert_ids_to_tokens(each) for each in ids[:n]]
            found[row] = [list(zip(*pair, strict=True)) for pair in zip(names, shares[:n], strict=True)]
            shares, ids = shares[n:], ids[n:]
    return found
