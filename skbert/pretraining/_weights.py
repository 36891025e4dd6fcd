"""How likely each token is to be masked."""

from __future__ import annotations

import numpy as np


class TokenWeights:
    """Weights by token id.

    Parameters
    ----------
    values : float array (vocabulary,)
        The weights, at least 0.
    """

    def __init__(self, values):
        self._log = _log(values)

    def log_of(self, ids):
        """Logarithms of the weights of `ids`."""
        return self._log[ids]

    def note(self, ids, losses):
        """Take note of the losses (n,) of masked tokens `ids`; has no effect on these weights."""

    def noted(self):
        """What `note` has changed, as arrays by name, which are not copies; nothing for these weights."""
        return {}


class CallableWeights(TokenWeights):
    """Weights that a function of the user gives for the token ids of a text."""

    def __init__(self, function):
        self._function = function

    def log_of(self, ids):
        """Logarithms of the weights of `ids`; ValueError if the function returns anything but weights."""
        try:
            values = np.asarray(self._function(ids), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"mask_weights failed on the token ids of a text: {error}") from error
        if values.shape != ids.shape or not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(
                "mask_weights must return one finite number of at least 0 for each of the token ids that it is given; "
                f"for {len(ids)} ids it returned {values!r:.80}"
            )
        return _log(values)


class LossWeights(TokenWeights):
    """The mean of the losses of each token so far; a token that was never masked has the mean of all losses.

    So the tokens that the model predicts worst are masked most. Zhang et al. (2023) weight tokens by their training
    loss; their formula is not known to us, and this one is ours.

    Parameters
    ----------
    size : int
        Number of token ids.
    """

    def __init__(self, size):
        self._sums, self._counts = np.zeros(size), np.zeros(size, dtype=np.int64)

    def log_of(self, ids):
        """Logarithms of the weights of `ids`."""
        n = self._counts.sum()
        mean = self._sums.sum() / n if n else 1.0
        counts = self._counts[ids]
        return _log(np.where(counts > 0, self._sums[ids] / np.maximum(counts, 1), mean))

    def note(self, ids, losses):
        """Take note of the losses (n,) of masked tokens `ids`."""
        np.add.at(self._sums, ids, losses)
        np.add.at(self._counts, ids, 1)

    def noted(self):
        """Sums and counts of the losses of each token id."""
        return {"sums": self._sums, "counts": self._counts}


def frequency_weights(counts):
    """Weights in proportion to 1 / √count, so that rare tokens are masked more.

    Zhang et al. (2023) weight tokens by their frequency; their formula is not known to us, and this one is ours.

    Parameters
    ----------
    counts : int array (vocabulary,)
        How often each token occurs; a token that does not occur counts as one that occurs once.
    """
    return TokenWeights(1.0 / np.sqrt(np.maximum(counts, 1)))


def _log(values):
    with np.errstate(divide="ignore"):
        return np.log(values)
