"""Blocks of rows in a folder that several processes share: immutable segments, checked at every read.

A segment is a safetensors file with the records of one batch. It is written under a
temporary name, moved into place, and never changed again. So writers need no lock, and
if a process is killed at any moment, only complete segments remain. Later damage by the
disk (a flipped byte, a truncated file) is detected: the name of a segment holds a
checksum of its table, and the table holds a checksum of every block. A damaged segment
is removed, and its records count as missing.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KEY_BYTES = 16
_SEGMENT = re.compile(r"segment-[0-9a-f]{16}-([0-9a-f]{8})\.safetensors")
_UNFINISHED = re.compile(r"segment-[0-9a-f]{16}\.part")
# Age after which files of a killed writer are removed; a living writer finishes long before.
_UNFINISHED_SECONDS = 3600
# Number formats by their name in safetensors: their name in torch, and their size in bytes.
_FORMATS = {"F32": ("float32", 4), "BF16": ("bfloat16", 2)}


@dataclass(frozen=True)
class _Table:
    """Where each block of a segment is. One is in memory for every segment, so its numbers are short.

    Attributes
    ----------
    keys : list of bytes, (n_records,)
        Key of each record.
    parts : dict of str to int
        Column of each part in the arrays below.
    start : int
        First byte of the blocks in the file.
    n_rows, checksums : 32-bit arrays (n_records, n_parts)
        For every block: its number of rows, and its CRC-32.
    format : str
        Number format, by its name in safetensors.
    row_bytes : int
        Bytes of one row of a block.
    """

    keys: list[bytes]
    parts: dict[str, int]
    start: int
    n_rows: np.ndarray
    checksums: np.ndarray
    format: str
    row_bytes: int


class _Damaged(Exception):
    """The file has changed since it was written."""


class FolderBlocks:
    """Named tensors by key in the segments of a folder, with a limit of `max_bytes`.

    Several processes may read, write and evict at the same time. Eviction removes the
    segments that were not read for the longest time.

    Parameters
    ----------
    folder : path
        Created at the first `put`.
    max_bytes : int
        Maximum size of all segments together.
    """

    def __init__(self, folder, max_bytes):
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tables: dict[str, _Table] = {}
        self._places: dict[bytes, tuple[str, int]] = {}

    @property
    def n_bytes(self):
        """Size of all segments now, in bytes."""
        return sum(size for _, size, _ in self._list())

    def __len__(self):
        with self._lock:
            self._refresh()
            return len(self._places)

    def get(self, keys, parts):
        """The undamaged tensors called `parts`, for those of `keys` that have all of these parts.

        Parameters
        ----------
        keys : iterable of bytes
            Keys of texts.
        parts : sequence of str
            Names of the parts.

        Returns
        -------
        dict of bytes to list of tensors (n_rows, width), in the order of `parts`
        """
        with self._lock:
            self._refresh()
            by_segment = {}
            for key in keys:
                if key in self._places:
                    name, row = self._places[key]
                    by_segment.setdefault(name, []).append((key, row))
            found = {}
            for name, wanted in by_segment.items():
                table = self._tables[name]
                if not all(part in table.parts for part in parts):
                    continue
                try:
                    found.update(_read_blocks(self.folder / name, table, wanted, parts))
                except _Damaged:
                    self._remove(name)
                except OSError:
                    self._forget(name)  # evicted by another process just now, or not ours to read
            return found

    def put(self, records):
        """Write the records as one segment, then evict segments if the limit is exceeded.

        Parameters
        ----------
        records : dict of bytes to dict of str to tensor (n_rows, width)
            Parts by key; all records have the same parts, dtype and width.

        Raises
        ------
        OSError
            The folder cannot be written to, or the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        head, checksum, blocks = _as_segment(records)
        name = f"segment-{secrets.token_hex(8)}"
        temporary = self.folder / f"{name}.part"
        try:
            with open(temporary, "wb") as file:
                file.write(head)
                for block in blocks:
                    file.write(_bytes(block))
            os.replace(temporary, self.folder / f"{name}-{checksum:08x}.safetensors")
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.evict()

    def clear(self):
        """Remove all segments."""
        with self._lock:
            for name, _, _ in self._list():
                self._remove(name)

    def evict(self):
        """Remove the segments that were not read for the longest time, until at most `max_bytes` remain."""
        with self._lock:
            segments = sorted(self._list(), key=lambda segment: segment[2])
            excess = sum(size for _, size, _ in segments) - self.max_bytes
            for name, size, _ in segments:
                if excess <= 0:
                    return
                if self._remove(name):
                    excess -= size

    def _list(self):
        """(name, bytes, time of last use) of every segment in the folder."""
        segments = []
        try:
            entries = list(os.scandir(self.folder))
        except FileNotFoundError:
            return []
        for entry in entries:
            try:
                if _SEGMENT.fullmatch(entry.name):
                    stat = entry.stat()
                    segments.append((entry.name, stat.st_size, stat.st_mtime_ns))
                elif _UNFINISHED.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _UNFINISHED_SECONDS:
                    os.unlink(entry.path)
            except OSError:
                continue  # another process was faster, or has rights here that this process does not have
        return segments

    def _refresh(self):
        """Read the tables of segments that other processes wrote; forget segments that other processes removed."""
        try:
            present = {name for name in os.listdir(self.folder) if _SEGMENT.fullmatch(name)}
        except FileNotFoundError:
            present = set()
        for name in self._tables.keys() - present:
            self._forget(name)
        for name in present - self._tables.keys():
            try:
                table = _read_table(self.folder / name)
            except _Damaged:
                self._remove(name)
                continue
            except OSError:
                continue  # just evicted by another process, or not readable for this user
            self._tables[name] = table
            self._places.update((key, (name, row)) for row, key in enumerate(table.keys))

    def _forget(self, name):
        table = self._tables.pop(name, None)
        for row, key in enumerate(table.keys if table else ()):
            if self._places.get(key) == (name, row):
                del self._places[key]

    def _remove(self, name):
        """Remove a segment; return whether it is gone, because the system may not allow its removal."""
        self._forget(name)
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:
            return False
        return True


def _as_segment(records):
    """The bytes of a segment before its data, their checksum, and the blocks that are the data."""
    parts = list(next(iter(records.values())))
    blocks = [record[part].contiguous() for record in records.values() for part in parts]
    kinds = {(block.dtype, block.shape[1]) for block in blocks}
    if len(kinds) > 1:
        raise ValueError(f"The blocks of a segment must have the same dtype and width, got {kinds}.")
    shape = (len(records), len(parts))
    table = {
        "keys": np.frombuffer(b"".join(records), dtype=np.uint8).reshape(-1, KEY_BYTES),
        "n_rows": np.array([len(block) for block in blocks]).reshape(shape),
        "checksums": np.array([zlib.crc32(_bytes(block)) for block in blocks]).reshape(shape),
    }
    header, place = {"__metadata__": {"parts": json.dumps(parts)}}, 0
    for name, array in table.items():
        dtype = {"uint8": "U8", "int64": "I64"}[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (place, place + array.nbytes)}
        place += array.nbytes
    n_bytes = sum(block.nbytes for block in blocks)
    header["data"] = {
        "dtype": next(name for name, (dtype, _) in _FORMATS.items() if str(blocks[0].dtype) == f"torch.{dtype}"),
        "shape": (sum(map(len, blocks)), blocks[0].shape[1]),
        "data_offsets": (place, place + n_bytes),
    }
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    head = b"".join([len(header).to_bytes(8, "little"), header, *(array.tobytes() for array in table.values())])
    return head, zlib.crc32(head), blocks


def _bytes(block):
    import torch

    # As plain bytes, because numpy has no bfloat16.
    return memoryview(block.view(torch.uint8).numpy()).cast("B")


def _read_table(path):
    expected = int(_SEGMENT.fullmatch(path.name)[1], 16)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            length = int.from_bytes(file.read(8), "little")
            # A damaged length could ask for more memory than the machine has.
            if length > size:
                raise _Damaged
            file.seek(0)
            head = file.read(8 + length)
            header = json.loads(head[8:])
            n_bytes = header["data"]["data_offsets"][0]
            if not 0 <= n_bytes <= size:
                raise _Damaged
            table = file.read(n_bytes)
            if zlib.crc32(table, zlib.crc32(head)) != expected:
                raise _Damaged
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _Damaged from error
    return _make_table(header, len(head), table)


def _make_table(header, start, content):
    def array(name, dtype):
        begin, end = header[name]["data_offsets"]
        return np.frombuffer(content[begin:end], dtype=dtype).reshape(header[name]["shape"])

    number_format, width = header["data"]["dtype"], header["data"]["shape"][1]
    row_bytes = width * _FORMATS[number_format][1]
    return _Table(
        keys=[key.tobytes() for key in array("keys", np.uint8)],
        parts={part: column for column, part in enumerate(json.loads(header["__metadata__"]["parts"]))},
        start=start + header["data"]["data_offsets"][0],
        n_rows=array("n_rows", np.int64).astype(np.int32),
        checksums=array("checksums", np.int64).astype(np.uint32),
        format=number_format,
        row_bytes=row_bytes,
    )


def _read_blocks(path, table, wanted, parts):
    """The blocks of the rows `wanted`, each a pair (key, row); raise `_Damaged` if a block has changed."""
    found = {}
    columns = [table.parts[part] for part in parts]
    ends = np.cumsum(table.n_rows, dtype=np.int64).reshape(table.n_rows.shape)
    offsets = table.start + (ends - table.n_rows) * table.row_bytes
    with open(path, "rb") as file:
        for key, row in wanted:
            found[key] = [_read_block(file, table, row, column, int(offsets[row, column])) for column in columns]
    with suppress(OSError):  # a folder may be read-only
        os.utime(path)  # time of last use, for eviction
    return found


def _read_block(file, table, row, column, offset):
    import torch  # not at the top: saving an estimator imports this package, but needs no torch

    n_rows = int(table.n_rows[row, column])
    content = bytearray(n_rows * table.row_bytes)
    file.seek(offset)
    # Read instead of memory-mapped: if a mapped file is truncated, the process is killed.
    n_read = file.readinto(content)
    if n_read != len(content) or zlib.crc32(content) != table.checksums[row, column]:
        raise _Damaged
    return torch.frombuffer(content, dtype=getattr(torch, _FORMATS[table.format][0])).view(n_rows, -1)
