"""The feature store: hidden states of texts, kept in memory or in a folder."""

from __future__ import annotations

import json
import os
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from skbert._shared import check_int, warn
from skbert.store._in_folder import FolderBlocks
from skbert.store._in_memory import MemoryBlocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch

MEMORY = "memory"
_MEMORY_BYTES = 1024**3
_FOLDER_BYTES = 8 * 1024**3
_SETTINGS = "store.json"

_memory = MemoryBlocks(_MEMORY_BYTES)
_folders: dict[str, FolderBlocks] = {}
_opening = threading.Lock()


class FeatureStore:
    """Hidden states of texts, kept so that no text goes through an encoder twice.

    ``LayerPoolFeaturizer(store=...)`` opens the store by itself, and fits with
    ``freeze_layers`` keep the states of frozen layers in ``"memory"``. This class is
    for looking into a store, bounding and emptying it.

    Parameters
    ----------
    where : "memory" or path, default="memory"
        A folder, shared by all processes that can reach it, or the memory of this
        process. A folder is made when something is first stored.
    max_bytes : int, default=None
        Bound of the store from now on; when it is passed, what was not used for the longest time goes.
        A folder remembers its bound. None leaves it: at first 8 GiB for a folder, 1 GiB in memory.

    Raises
    ------
    ValueError, TypeError
        `where` is neither ``"memory"`` nor the path of a folder, or `max_bytes` is no positive int.

    Notes
    -----
    A text takes ``(3 (L + 1) + (L + 1) n) d`` numbers in a folder for n tokens, L layers and
    width d: all hidden states, and their first token, mean and maximum, which
    answer most poolings without reading the states. In fp32 that is 32 KiB and 10.5 KiB a token for
    MiniLM (L = 6, d = 384).

    A store trusts its folder as little as a disk deserves, and as much as its owner: damage by
    accident is found by checksums and computed anew, but who may write to the folder may forge features.

    Examples
    --------
    >>> from skbert import FeatureStore
    >>> store = FeatureStore("memory", max_bytes=500_000_000)
    >>> store.clear()
    >>> store.n_bytes
    0
    """

    def __init__(self, where: str | os.PathLike[str] = MEMORY, *, max_bytes: int | None = None) -> None:
        self.where = check_store(where)
        self._blocks = _memory if self.where == MEMORY else _open_folder(self.where)
        if max_bytes is not None:
            self.max_bytes = max_bytes

    def __repr__(self):
        return f"FeatureStore({str(self.where)!r}, max_bytes={self.max_bytes})"

    @property
    def max_bytes(self) -> int:
        """Most bytes that the store may take.

        Examples
        --------
        >>> from skbert import FeatureStore
        >>> store = FeatureStore("memory")
        >>> store.max_bytes = 500_000_000
        >>> store
        FeatureStore('memory', max_bytes=500000000)
        """
        return self._blocks.max_bytes

    @max_bytes.setter
    def max_bytes(self, value: int) -> None:
        value = check_int("max_bytes", value, 1)
        if isinstance(self._blocks, FolderBlocks):
            _write_bound(self._blocks.folder, value)
        self._blocks.max_bytes = value
        self._blocks.evict()

    @property
    def n_bytes(self) -> int:
        """Bytes that the store takes now.

        Examples
        --------
        >>> from skbert import FeatureStore, LayerPoolFeaturizer
        >>> store = FeatureStore("memory")
        >>> store.clear()
        >>> _ = LayerPoolFeaturizer("minilm", store="memory").fit_transform(["where is my parcel"])
        >>> len(store), store.n_bytes > 0
        (1, True)
        """
        return self._blocks.n_bytes

    def __len__(self) -> int:
        """Number of stored texts, counted once for every encoder and precision."""
        return len(self._blocks)

    def clear(self) -> None:
        """Remove all that is stored.

        Examples
        --------
        >>> from skbert import FeatureStore, LayerPoolFeaturizer
        >>> store = FeatureStore("memory")
        >>> _ = LayerPoolFeaturizer("minilm", store="memory").fit_transform(["where is my parcel"])
        >>> store.clear()
        >>> len(store)
        0
        """
        self._blocks.clear()

    def get(self, keys: Iterable[bytes], parts: Sequence[str]) -> dict[bytes, list[torch.Tensor]]:
        """Stored tensors of some texts.

        Parameters
        ----------
        keys : iterable of bytes
            Of the texts: 16 bytes each, a hash of the encoder and of the token ids.
        parts : sequence of str
            Names of tensors, such as "mean".

        Returns
        -------
        dict of bytes to list of tensor (n_rows, width)
            In the order of `parts`; of those keys only that have all of them. Not to be written to.

        Examples
        --------
        >>> import torch
        >>> from skbert import FeatureStore
        >>> store = FeatureStore("memory")
        >>> store.put({b"hash of one text": {"mean": torch.ones(7, 384)}})
        >>> found = store.get([b"hash of one text", b"another, unseen."], ["mean"])
        >>> [(key, mean.shape) for key, (mean,) in found.items()]
        [(b'hash of one text', torch.Size([7, 384]))]
        >>> store.clear()
        """
        try:
            return self._blocks.get(keys, parts)
        except OSError as error:
            self._warn("read from", error)
            return {}

    def put(self, records: Mapping[bytes, Mapping[str, torch.Tensor]]) -> None:
        """Keep tensors of some texts.

        Parameters
        ----------
        records : dict of bytes to dict of str to tensor (n_rows, width)
            By key and by name of the part; see `get`. Tensors with memory of their own: a view would keep alive
            what it is a view of.

        Examples
        --------
        >>> import torch
        >>> from skbert import FeatureStore
        >>> store = FeatureStore("memory")
        >>> store.clear()
        >>> store.put({b"hash of one text": {"mean": torch.ones(7, 384), "max": torch.ones(7, 384)}})
        >>> store.n_bytes  # 2 parts × 7 rows × 384 numbers × 4 bytes
        21504
        >>> store.clear()
        """
        try:
            self._blocks.put(records)
        except OSError as error:
            self._warn("written to", error)

    def _warn(self, what, error):
        # What was computed is not lost with the store: the caller has it already.
        warn(
            # Without the name of the file, which is another one each time: so Python warns once.
            f"The feature store {str(self.where)!r} cannot be {what} ({error.strerror or type(error).__name__}); its "
            "texts are computed anew each time. "
            "Free space there, or give another folder as store.",
            RuntimeWarning,
        )


def check_store(where):
    """``"memory"``, or the absolute path of a folder.

    Raises
    ------
    ValueError, TypeError
        Something else.
    """
    if not isinstance(where, (str, os.PathLike)):
        raise TypeError(f"store must be None, 'memory' or the path of a folder, got {type(where).__name__}")
    if isinstance(where, str) and where == MEMORY:
        return MEMORY
    if not os.fspath(where):
        raise ValueError("store is an empty path; give a folder, 'memory' or None.")
    path = Path(where).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise ValueError(f"store={str(where)!r} is a file; give a folder, 'memory' or None.")
    return path


def _open_folder(path):
    with _opening:
        # One index a process, however many estimators use the folder.
        blocks = _folders.setdefault(str(path), FolderBlocks(path, _FOLDER_BYTES))
    blocks.max_bytes = _read_bound(path)
    return blocks


def _read_bound(folder):
    """The bound that the folder remembers; a file that is missing or damaged means the usual one."""
    try:
        bound = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))["max_bytes"]
        return check_int("max_bytes", bound, 1)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return _FOLDER_BYTES


def _write_bound(folder, value):
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"store-{secrets.token_hex(8)}.part"
    temporary.write_text(json.dumps({"max_bytes": value}), encoding="utf-8")
    os.replace(temporary, folder / _SETTINGS)
