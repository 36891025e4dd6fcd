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

    ``LayerPoolFeaturizer(store=...)`` opens the store itself, and fits with
    ``freeze_layers`` keep the states of frozen layers in ``"memory"``. Use this class to
    inspect a store, to limit its size, or to empty it.

    Parameters
    ----------
    where : "memory" or path, default="memory"
        ``"memory"`` is the memory of this process. A path is a folder, which all processes that
        can access it share; it is created when something is stored for the first time.
    max_bytes : int, default=None
        Maximum size of the store from now on. When the store is larger, it removes what was not used for the longest
        time. A folder remembers its limit. None keeps the limit: initially 8 GiB for a folder, 1 GiB in memory.

    Raises
    ------
    ValueError, TypeError
        `where` is neither ``"memory"`` nor the path of a folder, or `max_bytes` is not a positive int.

    Notes
    -----
    A text of n tokens takes ``(3 (L + 1) + (L + 1) n) d`` numbers in a folder, for L layers of
    width d. These are all hidden states, and the first token, mean and maximum of each, from
    which most poolings can be computed without reading the states. In fp32 with MiniLM
    (L = 6, d = 384), this is 32 KiB per text and 10.5 KiB per token.

    A store does not trust the disk, but it trusts the owner of the folder. Accidental damage is detected by
    checksums, and the states are computed again. But a person who can write to the folder can forge features.

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
        """Maximum size of the store in bytes.

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
        """Current size of the store in bytes.

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
        """Number of stored texts; a text counts once per encoder and precision."""
        return len(self._blocks)

    def clear(self) -> None:
        """Remove everything that is stored.

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
        """Return stored tensors of some texts.

        Parameters
        ----------
        keys : iterable of bytes
            Keys of the texts: 16 bytes each, a hash of the encoder and of the token ids.
        parts : sequence of str
            Names of tensors, such as "mean".

        Returns
        -------
        dict of bytes to list of tensor (n_rows, width)
            Tensors in the order of `parts`, only for keys that have all of these parts. Do not write to the tensors.

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
        # The results are not lost if the store fails, because the caller already has them.
        warn(
            # Without the file name, which differs each time, so that Python shows the warning only once.
            f"The feature store {str(self.where)!r} cannot be {what} ({error.strerror or type(error).__name__}); its "
            "texts are computed again each time. "
            "Free space there, or give another folder as store.",
            RuntimeWarning,
        )


def check_store(where):
    """Return ``"memory"``, or the absolute path of a folder.

    Raises
    ------
    ValueError, TypeError
        `where` is something else.
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
        # One index per process, even if several estimators use the folder.
        blocks = _folders.setdefault(str(path), FolderBlocks(path, _FOLDER_BYTES))
    blocks.max_bytes = _read_bound(path)
    return blocks


def _read_bound(folder):
    """The size limit that is stored in the folder; if the file is missing or damaged, the default limit."""
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
