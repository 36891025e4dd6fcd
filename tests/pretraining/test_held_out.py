"""Losses of held-out tokens, against transformers and by hand."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from skbert.compute import MemoryNotice
from skbert.encoder import load_masked_lm
from skbert.pretraining import _held_out
from skbert.pretraining._held_out import mean_loss, text_losses, unigram_loss
from skbert.pretraining._masking import fixed_masks
from skbert.pretraining._net import MaskedNet
from tests.helpers.masked import corpus_of, padded, write_with_head
from tests.helpers.tiny import FAMILIES

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_mean_loss__same_masks__is_the_loss_of_transformers(tiny, tmp_path, family):
    folder = write_with_head(tmp_path, tiny(family))
    corpus, vocabulary = corpus_of(folder)
    masked = fixed_masks(corpus, vocabulary)
    ours = mean_loss(MaskedNet(load_masked_lm(folder).model).eval(), masked, CPU, "fp32")
    theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()(**padded(masked)).loss
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_text_losses__of_each_text__are_its_own(tiny, monkeypatch):
    corpus, vocabulary = corpus_of(tiny())
    masked = fixed_masks(corpus, vocabulary)
    net = MaskedNet(load_masked_lm(tiny()).model).eval()
    monkeypatch.setattr(_held_out, "token_budget", lambda device: 40)  # many batches
    together = text_losses(net, masked, CPU, "fp32")
    for row in range(len(masked)):
        (alone,) = text_losses(net, masked.take([row]), CPU, "fp32")
        assert together[row] == pytest.approx(alone, abs=1e-5)


def test_text_losses__out_of_memory__are_computed_in_smaller_batches(tiny):
    corpus, vocabulary = corpus_of(tiny())
    masked = fixed_masks(corpus, vocabulary)
    net = MaskedNet(load_masked_lm(tiny()).model).eval()
    expected, losses = mean_loss(net, masked, CPU, "fp32"), net.losses

    def with_little_memory(batch, places, targets):
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return losses(batch, places, targets)

    net.losses = with_little_memory
    with pytest.warns(RuntimeWarning, match="Out of memory"):
        assert mean_loss(net, masked, CPU, "fp32", MemoryNotice()) == pytest.approx(expected, abs=1e-5)


def test_unigram_loss__by_hand():
    counts = np.array([3, 0, 1])
    shares = [3.1 / 4.3, 0.1 / 4.3, 1.1 / 4.3]
    expected = -(math.log(shares[0]) + math.log(shares[2]) + math.log(shares[1])) / 3
    assert unigram_loss(counts, [np.array([0, 2]), np.array([1])]) == pytest.approx(expected)
