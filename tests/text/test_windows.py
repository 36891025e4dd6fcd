"""windows: all rows in their order, no window larger than allowed unless it is of a single text."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbert.text import TextInput, TextsCutWarning, windows

texts = st.lists(st.text("ab", max_size=12), min_size=1, max_size=30)


@given(first=texts, pairs=st.booleans(), most_texts=st.integers(1, 8), most_characters=st.integers(1, 30))
def test_windows__are_all_rows_and_as_large_as_allowed(first, pairs, most_texts, most_characters):
    whole = TextInput(first, first[::-1] if pairs else None)
    cuts = list(windows(whole, most_texts, most_characters))
    parts = [whole.between(start, stop) for start, stop in cuts]
    assert [row for part in parts for row in part.rows()] == whole.rows()
    sizes = [sum(len(text) for text in [*part.first, *(part.second or [])]) for part in parts]
    for part, size in zip(parts, sizes, strict=True):
        assert len(part) <= most_texts
        assert size <= most_characters or len(part) == 1
    for k, (_, stop) in enumerate(cuts[:-1]):
        # The next text had no room.
        following = sum(map(len, whole.between(stop, stop + 1).first + (whole.between(stop, stop + 1).second or [])))
        assert len(parts[k]) == most_texts or sizes[k] + following > most_characters


def test_windows__of_no_texts_are_none():
    assert list(windows(TextInput([]))) == []


@pytest.mark.parametrize("copy", [lambda warning: warning, lambda warning: pickle.loads(pickle.dumps(warning))])
def test_warning_of_cuts__has_its_numbers(copy):
    warning = copy(TextsCutWarning(2, 30, 128))
    assert (warning.n_cut, warning.n_texts, warning.max_length) == (2, 30, 128)
    assert str(warning) == "2 of 30 texts are longer than max_length=128 tokens and were cut."
