"""Blocks of rows in the memory of this process; the least recently used blocks are removed first."""

from __future__ import annotations

import threading
from collections import OrderedDict


class MemoryBlocks:
    """Named tensors by key, with a limit of `max_bytes`; several threads may share it.

    Parameters
    ----------
    max_bytes : int
        Maximum size of all tensors together.
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self.clear()

    def __getstate__(self):
        raise TypeError("A store in memory belongs to one process and cannot be pickled; use a folder to share it.")

    @property
    def n_bytes(self):
        """Current size in bytes."""
        return self._n_bytes

    def __len__(self):
        return len(self._records)

    def get(self, keys, parts):
        """The tensors called `parts`, for those of `keys` that have all of these parts.

        Parameters
        ----------
        keys : iterable of bytes
            Keys of texts.
        parts : sequence of str
            Names of the parts.

        Returns
        -------
        dict of bytes to list of tensors (n_rows, width), in the order of `parts`; do not write to them
        """
        found = {}
        with self._lock:
            for key in keys:
                record = self._records.get(key)
                if record is not None and all(part in record for part in parts):
                    self._records.move_to_end(key)
                    found[key] = [record[part] for part in parts]
        return found

    def put(self, records):
        """Keep tensors.

        Parameters
        ----------
        records : dict of bytes to dict of str to tensor (n_rows, width)
            Parts by key. Each tensor must own its memory, because a view would keep its whole base tensor in memory.
        """
        with self._lock:
            for key, parts in records.items():
                before = self._records.pop(key, {})
                self._records[key] = {**before, **parts}
                self._n_bytes += _size(self._records[key]) - _size(before)
        self.evict()

    def clear(self):
        """Forget everything."""
        with self._lock:
            self._records = OrderedDict()
            self._n_bytes = 0

    def evict(self):
        """Remove what was not used for the longest time, until at most `max_bytes` remain."""
        with self._lock:
            while self._n_bytes > self.max_bytes:
                _, oldest = self._records.popitem(last=False)
                self._n_bytes -= _size(oldest)


def _size(record):
    return sum(tensor.nbytes for tensor in record.values())
