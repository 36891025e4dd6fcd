"""Our own random streams, so that skbert neither seeds nor reads the process-wide generators of torch."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import torch

# torch's dropout kernels can draw only from the process-wide generator. While we use it, draws of
# another thread would change our numbers, and ours would change its numbers. So there is one lock.
_borrowing = threading.RLock()


class TorchStream:
    """One stream of torch's random numbers that does not affect the rest of the process.

    Each ``with stream:`` block continues where the last one stopped. At the end of the
    block, the generators of the process have the same state as before.

    Parameters
    ----------
    seed : int
        Seed of the stream.
    device : torch.device or str, default="cpu"
        The generator of this device is used too, if the device has its own.
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

    def position(self):
        """Where the next ``with`` block will start: as `state`, or None before the first block."""
        return self._states

    def go_to(self, position):
        """Let the next ``with`` block start at what `position` returned."""
        self._states = position

    def state(self):
        """The state inside a ``with`` block; pass it to `set_state` to draw the same numbers again."""
        return [get() for get, _ in self._generators()]

    def set_state(self, states):
        """Return to a state that `state` returned, inside a ``with`` block."""
        for (_, set_state), state in zip(self._generators(), states, strict=True):
            set_state(state)


@contextmanager
def isolated(seed):
    """Run a block with its own stream of torch's random numbers (CPU), then restore the old state."""
    with TorchStream(seed):
        yield
