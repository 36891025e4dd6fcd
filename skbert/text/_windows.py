"""Many texts in windows, so that what is made of them on the way is never in memory as a whole."""

from __future__ import annotations

# A window is large, so that batches are of similar length and most duplicates meet in one; token ids of a window and
# what the tokenizer makes on the way take at most about 300 MB.
MOST_TEXTS = 65_536
MOST_CHARACTERS = 4_000_000


def windows(texts, most_texts=MOST_TEXTS, most_characters=MOST_CHARACTERS):
    """Cut texts into windows, in their order.

    Parameters
    ----------
    texts : TextInput
        Texts, or pairs of texts.
    most_texts : int
        Maximum number of texts of a window.
    most_characters : int
        Maximum number of characters of a window; a longer text is a window of its own.

    Yields
    ------
    start, stop : int
        First row of the window, and the row after its last.
    """
    start = total = 0
    for row, length in enumerate(_lengths(texts)):
        if row > start and (row - start == most_texts or total + length > most_characters):
            yield start, row
            start, total = row, 0
        total += length
    if len(texts):
        yield start, len(texts)


def _lengths(texts):
    if texts.second is None:
        return map(len, texts.first)
    return (len(a) + len(b) for a, b in zip(texts.first, texts.second, strict=True))
