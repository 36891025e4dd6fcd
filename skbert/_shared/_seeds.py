"""Seeds: one for each source of randomness in a fit, all derived from ``random_state``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seeds:
    """Independent 63-bit seeds, one for each source of randomness in a fit."""

    init: int
    order: int
    dropout: int
    split: int
    contrast: int
    masks: int
    nested: int


def derive_seeds(random_state=None, init_seed=None, order_seed=None):
    """Derive all seeds of one fit.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        Determines all seeds. None takes fresh entropy from the operating system,
        not from the global generator of numpy.
    init_seed, order_seed : int or None
        Replace the seed of new parameters, and the seed of the data order.

    Returns
    -------
    Seeds

    Raises
    ------
    ValueError
        A seed is negative or of the wrong type.
    """
    if random_state is None:
        root = np.random.SeedSequence()
    elif isinstance(random_state, np.random.RandomState):
        root = np.random.SeedSequence(random_state.randint(0, 2**32, size=4, dtype=np.uint32).tolist())
    elif _is_seed(random_state):
        root = np.random.SeedSequence(int(random_state))
    else:
        raise ValueError(
            f"random_state must be None, an int in 0..2**32-1 or a numpy RandomState, got {random_state!r}"
        )
    # A new source is added at the end, so that the seeds of the others stay what they were.
    init, order, dropout, split, contrast, masks, nested = (_seed_of(child) for child in root.spawn(7))
    for name, seed in (("init_seed", init_seed), ("order_seed", order_seed)):
        if seed is not None and not _is_seed(seed):
            raise ValueError(f"{name} must be None or an int in 0..2**32-1, got {seed!r}")
    # The tag keeps the streams of init_seed=1 and order_seed=1 different.
    if init_seed is not None:
        init = _seed_of(np.random.SeedSequence([int(init_seed), 1]))
    if order_seed is not None:
        order = _seed_of(np.random.SeedSequence([int(order_seed), 2]))
    return Seeds(init, order, dropout, split, contrast, masks, nested)


def _is_seed(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < 2**32


def _seed_of(sequence):
    """Return the first 63 bits of a SeedSequence."""
    # Shifted as a Python int: numpy 1 cannot shift a uint64 by one.
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1
