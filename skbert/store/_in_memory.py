"""Blocks of rows in this process's memory, the least recently used going first."""

from __future__ import annotations

import threading
from collections import OrderedDict


class MemoryBlocks:
    """Named tensors by key, at most `max_bytes` of them; threads may share it.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self.clear()

    def __getstate__(self):
        raise TypeError("What lies in memory belongs to one process and is not pickled; use a folder to share it.")

    @property
    def n_bytes(self):
        """Bytes held now."""
        return self._n_bytes

    def __len__(self):
        return len(self._records)

    def get(self, keys, parts):
        """The tensors called `parts` of those `keys` that have them all.

        Parameters
        ----------
        keys : iterable of bytes
        parts : sequence of str

        Returns
        -------
        dict of bytes to list of tensors (n_rows, width), in the order of `parts`; not to be written to
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
            Tensors with memory of their own: a view would keep alive what it is a view of.
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
        """Drop what was not used for the longest time until `max_bytes` is kept."""
        with self._lock:
            while self._n_bytes > self.max_bytes:
                _, oldest = self._records.popitem(last=False)
                self._n_bytes -= _size(oldest)


def _size(record):
    return sum(tensor.nbytes for tensor in record.values())
