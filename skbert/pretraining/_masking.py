"""Which tokens of a text are masked, and what stands in their places."""

from __future__ import annotations

import numpy as np

from skbert.pretraining._masked_texts import MaskedTexts
from skbert.text import TokenizedTexts

# Lengths of spans in SpanBERT (Joshi et al. 2020): geometric with this probability, up to this length; mean 3.797.
_SPAN_P, _LONGEST_SPAN = 0.2, 10
_SPAN_LENGTHS = np.arange(1, _LONGEST_SPAN + 1)
_SPAN_SHARES = _SPAN_P * (1 - _SPAN_P) ** (_SPAN_LENGTHS - 1)
_SPAN_SHARES = _SPAN_SHARES / _SPAN_SHARES.sum()

# What every held-out text is scored by, so that scores of differently trained models can be compared.
_FIXED_RATE, _FIXED_SEED = 0.15, 20181011


def n_to_mask(rate, n):
    """How many of `n` tokens are masked: the share `rate`, rounded, and at least one."""
    return max(1, round(rate * n))


def draw_tokens(n, log_weights, generator):
    """Draw `n` places without replacement, with probabilities in proportion to their weights, one after the other.

    The `n` largest of log w + Gumbel noise are such a draw (Efraimidis and Spirakis 2006; "Gumbel top-n").

    Parameters
    ----------
    n : int
        Number of places to draw.
    log_weights : float array (n_places,)
        Logarithms of the weights; -inf is never drawn, even if fewer than `n` places remain.
    generator : numpy Generator
        Source of randomness.

    Returns
    -------
    int64 array, ascending
    """
    keys = log_weights + generator.gumbel(size=len(log_weights))
    drawn = np.argsort(-keys, kind="stable")[:n]
    return np.sort(drawn[keys[drawn] > -np.inf])


def draw_units(n, units, log_weights, generator):
    """Draw whole units until at least `n` places are drawn.

    Parameters
    ----------
    n : int
        Number of places to reach; the last unit may go beyond it.
    units : int64 array (n_places,), ascending
        Number of the unit of each place.
    log_weights : float array (n_places,) or None
        Logarithms of the weights of the places; a unit has the mean weight of its places.
    generator : numpy Generator
        Source of randomness.

    Returns
    -------
    int64 array, ascending
    """
    _, starts, sizes = np.unique(units, return_index=True, return_counts=True)
    if log_weights is None:
        order = generator.permutation(len(sizes))
    else:
        with np.errstate(divide="ignore"):
            means = np.log(np.add.reduceat(np.exp(log_weights), starts) / sizes)
        keys = means + generator.gumbel(size=len(sizes))
        order = np.argsort(-keys, kind="stable")
        order = order[keys[order] > -np.inf]
    enough = int(np.searchsorted(np.cumsum(sizes[order]), n)) + 1
    chosen = order[:enough]
    return np.sort(np.concatenate([starts[unit] + np.arange(sizes[unit]) for unit in chosen] or [np.arange(0)]))


def draw_spans(n, n_places, log_weights, generator):
    """Draw spans until `n` places are drawn; the last span is cut.

    A span starts at a place that is not drawn yet, and ends where it meets one that is, or the end of the text.

    Parameters
    ----------
    n : int
        Number of places to draw.
    n_places : int
        Number of places of the text.
    log_weights : float array (n_places,) or None
        Logarithms of the weights with which a span starts at each place.
    generator : numpy Generator
        Source of randomness.

    Returns
    -------
    int64 array (n,), ascending
    """
    drawn = np.zeros(n_places, dtype=bool)
    if log_weights is None:
        starts = generator.permutation(n_places)
    else:
        starts = np.argsort(-(log_weights + generator.gumbel(size=n_places)), kind="stable")
        starts = starts[np.isfinite(log_weights[starts])]
    left = n
    for start in starts:
        if drawn[start]:
            continue
        for place in range(start, min(start + min(span_length(generator), left), n_places)):
            if drawn[place]:
                break
            drawn[place] = True
            left -= 1
        if not left:
            break
    return np.flatnonzero(drawn)


def span_length(generator):
    """Draw the length of one span."""
    return int(generator.choice(_SPAN_LENGTHS, p=_SPAN_SHARES))


class Masking:
    """Draws the masks of training batches.

    Parameters
    ----------
    corpus : Corpus
        The training texts.
    vocabulary : Vocabulary
        Their token ids.
    weights : TokenWeights or None
        How likely each token is to be masked; None means that all are equally likely.
    rate : float
        Share of the tokens of a text that are masked.
    spans : bool
        Whether spans of tokens are masked.
    replacement : tuple of three floats
        Shares of the masked tokens that are replaced by the mask token, replaced by a random token, and kept.
    drop : bool
        Whether no token attends to a mask token.
    generator : numpy Generator
        Source of randomness.
    """

    def __init__(self, corpus, vocabulary, weights, *, rate, spans, replacement, drop, generator):
        self.corpus, self.vocabulary, self.weights = corpus, vocabulary, weights
        self.rate, self.spans, self.generator = rate, spans, generator
        self.to_mask, self.to_random = replacement[0], replacement[0] + replacement[1]
        self.dropped = vocabulary.mask if drop else None

    def places(self, row):
        """Draw the positions of text `row` to mask; int64, ascending."""
        places = self.corpus.places[row]
        n, generator = n_to_mask(self.rate, len(places)), self.generator
        log_weights = None
        if self.weights is not None:
            log_weights = self.weights.log_of(self.corpus.tokens.input_ids[row][places])
        if self.spans:
            return places[draw_spans(n, len(places), log_weights, generator)]
        if self.corpus.units is not None:
            return places[draw_units(n, self.corpus.units[row], log_weights, generator)]
        if log_weights is None:
            return np.sort(generator.choice(places, n, replace=False, shuffle=False))
        return places[draw_tokens(n, log_weights, generator)]

    def draw(self, rows):
        """The texts `rows` with new masks, as `MaskedTexts`."""
        places = [self.places(row) for row in rows]
        return mask(self.corpus, rows, places, self._replaced, self.dropped)

    def _replaced(self, ids):
        """What stands in the places of the masked `ids`."""
        share = self.generator.random(len(ids))
        replaced = np.where(share < self.to_mask, self.vocabulary.mask, ids)
        is_random = (share >= self.to_mask) & (share < self.to_random)
        replaced[is_random] = self.generator.choice(self.vocabulary.replacing, is_random.sum())
        return replaced


def mask(corpus, rows, places, replaced, dropped):
    """The texts `rows` of a corpus with the tokens at `places` replaced by ``replaced(ids)``, as `MaskedTexts`."""
    tokens = corpus.tokens.take(rows)
    targets = [ids[found] for ids, found in zip(tokens.input_ids, places, strict=True)]
    new = replaced(np.concatenate(targets))
    ids = [row.copy() for row in tokens.input_ids]
    for row, found, part in zip(ids, places, np.split(new, np.cumsum([len(row) for row in places])[:-1]), strict=True):
        row[found] = part
    tokens = TokenizedTexts(ids, tokens.token_type_ids, tokens.pad_token_id)
    return MaskedTexts(tokens, places, targets, dropped)


def fixed_masks(corpus, vocabulary, drop=False):
    """The masks by which texts are scored: the same for a text in every call, whatever the other texts are.

    Of each text, 15 % of the tokens are masked, chosen with equal probabilities from a seed that its token ids give,
    and all of them are replaced by the mask token.
    """
    places = []
    for ids, found in zip(corpus.tokens.input_ids, corpus.places, strict=True):
        generator = np.random.default_rng([_FIXED_SEED, *ids.tolist()])
        places.append(np.sort(generator.choice(found, n_to_mask(_FIXED_RATE, len(found)), replace=False)))
    rows, dropped = range(len(corpus)), vocabulary.mask if drop else None
    return mask(corpus, rows, places, lambda ids: np.full_like(ids, vocabulary.mask), dropped)
