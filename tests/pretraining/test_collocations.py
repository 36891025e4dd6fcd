"""Collocations, against a plain count of planted ones."""

import math
from collections import Counter

import numpy as np
import pytest

from skbert.pretraining._collocations import collocation_numbers


def planted(seed=0, n_texts=400):
    """Texts of 12 random tokens in 20..59, with (1, 2, 3) in every fourth and (7, 8) in every fifth."""
    generator, texts = np.random.default_rng(seed), []
    for text in range(n_texts):
        ids = generator.integers(20, 60, 12).tolist()
        if text % 4 == 0:
            ids[5:5] = [1, 2, 3]
        if text % 5 == 0:
            ids[2:2] = [7, 8]
        texts.append(np.array(ids))
    return texts


def test_collocation_numbers__planted_sequences__are_units_and_all_else_is_single():
    texts = planted()
    for ids, numbers in zip(texts, collocation_numbers(texts), strict=True):
        units = [tuple(ids[numbers == number].tolist()) for number in range(numbers.max() + 1)]
        assert np.array_equal(numbers, np.sort(numbers))
        together = {unit for unit in units if len(unit) > 1}
        assert together == ({(1, 2, 3)} if 1 in ids else set()) | ({(7, 8)} if 7 in ids else set())


def score_by_hand(texts, sequence):
    """The minimum over the ways to divide `sequence`, from counts of tuples."""
    counts = {n: Counter(tuple(t[i : i + n].tolist()) for t in texts for i in range(len(t) - n + 1)) for n in (1, 2, 3)}
    share = {
        n: {key: math.log(count / sum(found.values())) for key, count in found.items()} for n, found in counts.items()
    }
    a, b, c = sequence
    whole = share[3][sequence]
    ways = [[(a,), (b, c)], [(a, b), (c,)], [(a,), (b,), (c,)]]
    return min(whole - sum(share[len(part)][part] for part in way) for way in ways)


def test_collocation_numbers__score__is_the_minimum_over_all_divisions():
    texts = planted()
    score = score_by_hand(texts, (1, 2, 3))

    def is_unit(least_score):
        numbers = collocation_numbers(texts, least_score=least_score)[0]
        ids = texts[0].tolist()
        first = ids.index(1)
        return len({numbers[first], numbers[first + 1], numbers[first + 2]}) == 1

    # Shares are of all n-grams that do not cross a text, by hand and there.
    assert is_unit(score - 0.01)
    assert not is_unit(score + 0.01)


def test_collocation_numbers__across_texts__are_not_found():
    texts = planted()
    for first, second in zip(texts[::10], texts[1::10], strict=True):
        first[-1], second[0] = 11, 12
    for numbers in collocation_numbers(texts)[1::10]:
        assert numbers[0] < numbers[1]
    joined = [np.concatenate(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    ids, numbers = joined[0], collocation_numbers(joined)[0]
    assert numbers[ids == 11] == numbers[ids == 12]  # within one text it is a collocation


@pytest.mark.parametrize("least_count", [10, 101])
def test_collocation_numbers__rare_sequence__is_none(least_count):
    texts = planted()
    numbers = collocation_numbers(texts, least_count=least_count)
    assert bool(numbers[0].max() + 1 < len(texts[0])) is (least_count == 10)
