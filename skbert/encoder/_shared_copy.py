"""A copy of an encoder from which several processes map the weights into memory, instead of each keeping its own.

The files of the user are not mapped: one that is overwritten in place would change an encoder in use. Nobody writes to
the copy, and the pages that a process maps are its own as soon as it writes to them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch

# In bytes. Memory that torch takes itself begins at such a multiple; elsewhere, sums could differ in their last bit.
_ALIGNMENT = 64
# The names of the types in a safetensors file.
_TYPES = {torch.float32: "F32", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}


@dataclass(frozen=True)
class SharedCopy:
    """Where the copy of an encoder is, for another process.

    Attributes
    ----------
    key : tuple
        The encoder of which it is a copy: its folder, and the state of the files in it.
    folder : str
        Folder of the copy.
    weights_sha256 : str
        Hash of the weights file of the original.
    """

    key: tuple
    folder: str
    weights_sha256: str


_copies: dict[tuple, SharedCopy] = {}


def use_shared_copies(copies):
    """Load encoders from these copies from now on, as long as the copies are there and the originals unchanged.

    Parameters
    ----------
    copies : iterable of SharedCopy
        From `share_encoder`, in another process.
    """
    _copies.update({copy.key: copy for copy in copies})


def shared_copy(key):
    """The `SharedCopy` of the encoder with this key; None if there is none, or if it has been removed."""
    copy = _copies.get(key)
    return copy if copy is not None and Path(copy.folder).is_dir() else None


def can_share():
    """Whether files can be removed while they are mapped, so that no copy is left behind."""
    return os.name == "posix"


def write_copy(loaded, folder):
    """Write a `LoadedEncoder` to a new folder, with weights in fp32 that can be used where they are in the file.

    Raises
    ------
    OSError
        The folder cannot be made or written to, or the disk is full.
    KeyError
        A tensor is of a type that encoders do not have.
    """
    folder = Path(folder)
    folder.mkdir()
    for name, content in loaded.tokenizer_files.items():
        (folder / name).write_bytes(content)
    tensors, header, end = loaded.model.state_dict(), {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    # As safetensors does, with more blanks after the header.
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def leave_mapped(model):
    """Leave the weights of `model` in the file of a copy, except those that do not begin as memory of torch does."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()
