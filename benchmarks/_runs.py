"""Finished runs of a long benchmark as lines of JSON; each is on disk before the next run starts."""

import json
import os

import numpy as np


class RunFile:
    """A file to which finished runs are appended; an incomplete line of an interrupted process is removed.

    Only one process may write to it at a time.
    """

    def __init__(self, path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with open(path, "r+b") as file:
                file.truncate(len(whole))
        self.runs = []
        for number, line in enumerate(whole.decode("utf-8").splitlines(), start=1):
            try:
                self.runs.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} of {path} is not JSON; remove it to repeat its run") from error

    def has(self, key):
        """Whether there is a run with all entries of `key`."""
        return any(key.items() <= run.items() for run in self.runs)

    def append(self, run):
        """Write one run and wait until it is on disk."""
        line = json.dumps(run, ensure_ascii=False) + "\n"
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.runs.append(json.loads(line))


def pack(right):
    """Which test rows were right, four rows per hexadecimal digit."""
    return np.packbits(np.asarray(right, dtype=bool)).tobytes().hex()


def unpack(text, n_rows):
    """The array of bool that `pack` has made into `text`."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=n_rows).astype(bool)
