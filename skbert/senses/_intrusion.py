"""Word intrusion: questions that show whether one can see what does not belong to a sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_int, derive_seeds

if TYPE_CHECKING:
    from skbert.senses._word2sense import Word2Sense

_N_OWN = 5
_TOP_SHARE = 0.1


@dataclass(frozen=True)
class IntrusionItem:
    """The question which of six words does not belong to the others.

    Attributes
    ----------
    sense : int
        The sense whose most frequent words they are.
    words : tuple of str, (6,)
        Five words of the sense and the intruder, in random order.
    intruder : str
        The right answer.
    """

    sense: int
    words: tuple[str, ...]
    intruder: str


def intrusion_items(
    model: Word2Sense, n: int = 100, *, random_state: int | np.random.RandomState | None = None
) -> list[IntrusionItem]:
    """Questions that tell whether the senses of a model can be read (Chang et al. 2009; Panigrahi et al. 2019).

    Each question has the five most frequent words of a sense and an intruder: a word of the less frequent half of this
    sense that is among the most frequent tenth of another sense. Who understands the sense finds the intruder. By
    chance, one in six is found.

    Parameters
    ----------
    model : Word2Sense
        A fitted model with at least two senses.
    n : int, default=100
        Number of questions. Each sense has one before any has a second one.
    random_state : int, RandomState instance or None, default=None
        Seed of the choice of senses and intruders, and of the order of the words.

    Returns
    -------
    list of IntrusionItem, (n,)
        Each has `sense`, `words` (six) and `intruder`.

    Raises
    ------
    ValueError
        There are too few words, or no sense has words that can intrude.
    NotFittedError
        The model is not fitted.

    Examples
    --------
    >>> from skbert import Word2Sense
    >>> from skbert.senses import intrusion_items
    >>> texts = ["red green blue white black"] * 20 + ["one two three four five"] * 20
    >>> model = Word2Sense(n_topics=2, random_state=0).fit(texts)
    >>> item = intrusion_items(model, 1, random_state=0)[0]
    >>> sorted(set(item.words) - {item.intruder}) == sorted(model.sense_words(item.sense, 5))
    True
    """
    check_is_fitted(model)
    check_int("n", n, 1)
    rng = np.random.default_rng(derive_seeds(random_state).order)
    words = np.array(list(model.vocabulary_), dtype=object)
    if len(words) < 2 * _N_OWN:
        raise ValueError(f"Intrusion needs a vocabulary of at least {2 * _N_OWN} words, got {len(words)}.")
    candidates = _intruders(model.sense_distributions_)
    usable = np.array([sense for sense, intruders in enumerate(candidates) if len(intruders)], dtype=int)
    if not len(usable):
        raise ValueError("No sense has a word of its lower half in the top of another sense; are there two senses?")
    rounds = [rng.permutation(usable) for _ in range(-(-n // len(usable)))]
    return [_item(model, int(sense), candidates[sense], words, rng) for sense in np.concatenate(rounds)[:n]]


def _intruders(distributions):
    """For each sense, the words of its lower half that are in the top tenth of another sense."""
    n_words = distributions.shape[1]
    # Place of each word in each sense; 0 is the most frequent.
    places = np.argsort(np.argsort(-distributions, axis=1, kind="stable"), axis=1)
    is_top = places < max(1, int(_TOP_SHARE * n_words))
    n_tops = is_top.sum(axis=0)
    return [
        np.flatnonzero((place >= n_words / 2) & (n_tops - top > 0)) for place, top in zip(places, is_top, strict=True)
    ]


def _item(model, sense, candidates, words, rng):
    intruder = words[rng.choice(candidates)]
    shown = np.array([*model.sense_words(sense, _N_OWN), intruder], dtype=object)
    return IntrusionItem(sense, tuple(rng.permutation(shown).tolist()), str(intruder))
