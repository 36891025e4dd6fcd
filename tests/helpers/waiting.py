"""Waiting for what another thread or process does: for a condition, never for a time."""

from __future__ import annotations

import time

# Seconds after which a test gives up. No test waits so long unless something is broken, however busy the machine is.
LIMIT = 600


def wait_until(condition, *, limit=LIMIT):
    """Return once `condition()` is true; AssertionError where that never comes."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.01)
