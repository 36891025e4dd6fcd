"""Random streams of our own, so that the process-wide generators are neither seeded nor read."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

# torch's dropout kernels draw from the process-wide generator and take no other. While we
# borrow it, another thread that draws would disturb us and be disturbed, hence one lock.
_borrowing = threading.RLock()


@dataclass(frozen=True)
class Seeds:
    """Independent 63-bit seeds, one for each source of randomness in a fit."""

    init: int
    order: int
    dropout: int
    split: int


def derive_seeds(random_state=None, init_seed=None, order_seed=None):
    """Derive all seeds of one fit.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        Gives all four seeds. None takes fresh entropy from the operating system,
        not from numpy's global generator.
    init_seed, order_seed : int or None
        Override the seed of the new parameters, and of the data order.

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
    init, order, dropout, split = (int(child.generate_state(1, np.uint64)[0] >> 1) for child in root.spawn(4))
    for name, seed in (("init_seed", init_seed), ("order_seed", order_seed)):
        if seed is not None and not _is_seed(seed):
            raise ValueError(f"{name} must be None or an int in 0..2**32-1, got {seed!r}")
    # The tag keeps init_seed=1 and order_seed=1 from being one and the same stream.
    if init_seed is not None:
        init = int(np.random.SeedSequence([int(init_seed), 1]).generate_state(1, np.uint64)[0] >> 1)
    if order_seed is not None:
        order = int(np.random.SeedSequence([int(order_seed), 2]).generate_state(1, np.uint64)[0] >> 1)
    return Seeds(init, order, dropout, split)


def _is_seed(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < 2**32


class TorchStream:
    """One stream of torch's random numbers, of which the rest of the process sees nothing.

    Each ``with stream:`` block goes on where the last one stopped; on leaving it
    the generators of the process are as they were before.

    Parameters
    ----------
    seed : int
    device : torch.device or str, default="cpu"
        Also borrow the generator of this device, where it has one of its own.
    """

    def __init__(self, seed, device="cpu"):
        self._seed = seed
        self._device = torch.device(device)
        self._states = None
        self._outer = None

    def _generators(self):
        yield torch.get_rng_state, torch.set_rng_state
        if self._device.type == "cuda":
            yield (
                lambda: torch.cuda.get_rng_state(self._device),
                lambda state: torch.cuda.set_rng_state(state, self._device),
            )
        elif self._device.type == "mps":
            yield torch.mps.get_rng_state, torch.mps.set_rng_state

    def _seed_now(self):
        torch.default_generator.manual_seed(self._seed)
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                torch.cuda.manual_seed(self._seed)
        elif self._device.type == "mps":
            torch.mps.manual_seed(self._seed)

    def __enter__(self):
        _borrowing.acquire()
        self._outer = [get() for get, _ in self._generators()]
        if self._states is None:
            self._seed_now()
        else:
            self.set_state(self._states)
        return self

    def __exit__(self, *exc_info):
        try:
            self._states = self.state()
            for (_, set_state), outer in zip(self._generators(), self._outer, strict=True):
                set_state(outer)
        finally:
            self._outer = None
            _borrowing.release()
        return False

    def state(self):
        """The state inside a ``with`` block; give it to `set_state` to draw the same numbers again."""
        return [get() for get, _ in self._generators()]

    def set_state(self, states):
        """Go back to a state got from `state`, inside a ``with`` block."""
        for (_, set_state), state in zip(self._generators(), states, strict=True):
            set_state(state)


@contextmanager
def isolated(seed):
    """Run a block on its own stream of torch's random numbers (CPU), then put the old state back."""
    with TorchStream(seed):
        yield
