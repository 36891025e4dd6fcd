"""A planted corpus: three topics without common words, and one word that is in two of them."""

import numpy as np
import pytest

from skbert import Word2Sense

TOPICS = {letter: [f"{letter}{i}" for i in range(8)] for letter in "abc"}
# The topics in which "bank" occurs.
WITH_BANK = ("a", "b")


def planted_texts(seed=0, n=300, length=12):
    rng = np.random.default_rng(seed)
    texts = []
    for i in range(n):
        letter = "abc"[i % 3]
        words = TOPICS[letter] + (["bank"] if letter in WITH_BANK else [])
        texts.append(" ".join(rng.choice(words, length)))
    return texts


@pytest.fixture(scope="session")
def planted():
    return planted_texts()


@pytest.fixture(scope="session")
def model(planted):
    """Fitted on the planted corpus; tests must not change it."""
    return Word2Sense(n_topics=3, random_state=0).fit(planted)
