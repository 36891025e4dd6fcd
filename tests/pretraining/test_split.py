"""Which texts are held out."""

import numpy as np
import pytest

from skbert.pretraining._split import held_out_rows


@pytest.mark.parametrize(
    ("n", "fraction", "expected"), [(100, 0.05, 5), (3, 0.05, 1), (1, 0.5, 0), (2, 0.9, 1), (9, 0, 0)]
)
def test_held_out_rows__distinct_texts__are_rounded_up_but_never_all(n, fraction, expected):
    train, held_out = held_out_rows([str(i) for i in range(n)], fraction, 0)
    assert len(held_out) == expected
    assert sorted([*train, *held_out]) == list(range(n))


def test_held_out_rows__many_texts__are_at_most_five_hundred():
    assert len(held_out_rows(list(range(20_000)), 0.5, 0)[1]) == 500


def test_held_out_rows__text_that_occurs_often__is_on_one_side():
    rows = ["a", "b", "a", "c", "b", "a", "d"]
    for seed in range(20):
        train, held_out = held_out_rows(rows, 0.5, seed)
        assert not {rows[i] for i in train} & {rows[i] for i in held_out}
        assert len({rows[i] for i in held_out}) == len(held_out) == 2


def test_held_out_rows__seed__decides():
    rows = list(range(50))
    first, again, other = (held_out_rows(rows, 0.2, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
