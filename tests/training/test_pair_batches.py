"""Which texts meet in a contrastive step."""

from collections import Counter

import numpy as np
import pytest
import torch

from skbert.training._contrastive_losses import unit_vectors
from skbert.training._pair_batches import BalancedBatches, DrawnPairs


def balanced(labels, size, seed=0):
    labels = torch.tensor(labels)
    return BalancedBatches(labels, torch.ones(len(labels)), size, "cosine", 0.1, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("counts", "size", "shares"),
    [
        ((20, 20), 32, {16}),
        ((8, 8), 32, {8}),
        ((20, 20, 20), 32, {10, 11}),
        ((50, 3), 16, {8, 3}),
        ((9, 1), 8, {4, 1}),
        ((4,) * 77, 32, {2}),
    ],
)
def test_batch__has_equally_many_texts_of_each_class(counts, size, shares):
    labels = np.repeat(np.arange(len(counts)), counts)
    source = balanced(labels, size)
    for _ in range(20):
        rows = source.draw()
        assert len(rows) == len(set(rows)) <= size
        assert set(Counter(labels[rows]).values()) == shares


def test_classes__take_turns_where_not_all_fit():
    labels = np.repeat(np.arange(77), 4)
    source = balanced(labels, 32)
    met = Counter(label for _ in range(77) for label in set(labels[source.draw()]))
    # 16 classes in each of 77 batches: every class is there equally often, up to one turn.
    assert set(met) == set(range(77))
    assert max(met.values()) - min(met.values()) <= 1


def test_texts__of_a_class_take_turns():
    labels = np.repeat([0, 1], [10, 25])
    source = balanced(labels, 8)
    met = Counter(row for _ in range(25) for row in source.draw())
    for label in (0, 1):
        times = [met[row] for row in np.flatnonzero(labels == label)]
        assert max(times) - min(times) <= 1


def test_draws__follow_the_generator():
    labels = np.repeat([0, 1, 2], 9)
    one, same, other = (balanced(labels, 6, seed) for seed in (0, 0, 1))
    batches = [[source.draw().tolist() for _ in range(4)] for source in (one, same, other)]
    assert batches[0] == batches[1] != batches[2]


def test_drawn_pairs__go_through_all_pairs_of_each_kind_in_turn():
    labels = np.repeat([0, 1, 2], [4, 3, 1])
    source = DrawnPairs(torch.tensor(labels), torch.ones(8), 6, np.random.default_rng(0))
    first, second = np.concatenate([source.draw().reshape(2, 6) for _ in range(40)], axis=1)
    assert ((labels[first] == labels[second]) == (np.arange(240) % 2 == 0)).all()
    # 10 + 6 + 1 pairs are alike, a text with itself among them, and 4 * 3 + 4 * 1 + 3 * 1 are not.
    for kind, n_pairs in ((0, 17), (1, 19)):
        met = Counter(zip(first[kind::2].tolist(), second[kind::2].tolist(), strict=True))
        assert len(met) == n_pairs
        assert max(met.values()) - min(met.values()) <= 1


def test_drawn_pairs__loss_is_the_mean_squared_error_of_their_cosines():
    labels = torch.tensor([0, 0, 1, 1])
    source = DrawnPairs(labels, torch.ones(4), 5, np.random.default_rng(0))
    rows = source.draw()
    vectors = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    cosines = torch.nn.functional.cosine_similarity(vectors[:5], vectors[5:])
    expected = torch.nn.functional.mse_loss(cosines, (labels[rows[:5]] == labels[rows[5:]]).float())
    assert float(source.loss_of(unit_vectors(vectors), rows)) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("size", [4, 5, 8])
def test_smallest_batch__has_two_classes_and_a_pair(size):
    for labels in (np.repeat(np.arange(9), 3), np.array([0, 0, 0, *range(1, 12)]), np.array([0] * 9 + [1])):
        source = balanced(labels, size)
        for _ in range(30):
            counts = Counter(labels[source.draw()])
            assert len(counts) > 1
            assert max(counts.values()) > 1
