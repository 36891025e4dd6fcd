"""Gradients of a batch in parts: those of the whole batch, with the same dropout in both passes."""

import pytest
import torch

from skbert.compute import MemoryNotice
from skbert.training._contrastive_losses import CosineLoss, unit_vectors
from skbert.training._micro_batches import MicroBatches


class Part:
    """Rows of a table of vectors."""

    def __init__(self, vectors):
        self.vectors = vectors

    def __len__(self):
        return len(self.vectors)

    def parts(self, size):
        return (Part(self.vectors[start : start + size]) for start in range(0, len(self), size))


class Settings:
    device = torch.device("cpu")
    precision = "fp32"
    batch_size = 12


def computed(size, dropout=0.0):
    """Loss and gradients of a small module, in parts of `size`, and the vectors of every forward pass."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Dropout(dropout), torch.nn.Linear(7, 4)).double()
    head, seen = torch.nn.Linear(4, 3).double(), []
    vectors, groups = torch.randn(12, 5, dtype=torch.float64), torch.arange(12) % 3

    def forward(part):
        pooled = module(part.vectors)
        seen.append(pooled.detach().clone())
        return pooled, head(pooled)

    def loss_of_part(output, part):
        return output.square().mean() * (len(part) / 12)

    def loss_of_all(pooled):
        return CosineLoss(None)(unit_vectors(pooled).double(), groups, torch.ones(12).double())

    micro_batches = MicroBatches(module, Settings, "batch_size", 3, MemoryNotice())
    micro_batches.size = size
    loss, _ = micro_batches.backward(Part(vectors), forward, loss_of_part, loss_of_all)
    return loss, [p.grad.clone() for p in module.parameters()], seen


@pytest.mark.parametrize("size", [1, 4, 5, 11])
def test_gradients__in_parts_are_those_of_one_pass(size):
    loss, gradients, _ = computed(24)
    own, in_parts, _ = computed(size)
    assert own == pytest.approx(loss, abs=1e-6)
    for one, other in zip(gradients, in_parts, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-6)


def test_second_pass__has_the_dropout_of_the_first():
    _, _, seen = computed(4, dropout=0.5)
    assert len(seen) == 6
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(seen[0], seen[1])
