"""A saved estimator: a folder of JSON and safetensors, replaced in one step, checked when read.

The folder holds ``skbert.json``, which names two content files and their
SHA-256: ``state-<id>.json`` and ``weights-<id>.safetensors``. The content files
are complete on disk before ``skbert.json`` is moved into place in one step, so a
crash at any moment leaves the old estimator or the new one, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from skbert.errors import SavedEstimatorError

FORMAT = 1
_MANIFEST = "skbert.json"


def write_folder(folder, kind, state, tensors):
    """Write an estimator.

    Parameters
    ----------
    folder : str or path
        Made if it does not exist; an estimator already there is replaced.
    kind : str
        Name of the class.
    state : dict
        JSON types only.
    tensors : dict of str to numpy array

    Raises
    ------
    NotADirectoryError
        `folder` is a file.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"Cannot save to {folder}: it is a file. Give the path of a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(6)
    contents = {
        f"state-{name}.json": json.dumps(state, ensure_ascii=False, allow_nan=True).encode("utf-8"),
        f"weights-{name}.safetensors": save(tensors),
    }
    manifest = {
        "format": FORMAT,
        "class": kind,
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
    }
    written = []
    try:
        for file, content in contents.items():
            written.append(folder / file)
            _write(folder / file, content)
        temporary = folder / f"manifest-{name}.json"
        written.append(temporary)
        _write(temporary, json.dumps(manifest, indent=2).encode("utf-8"))
        os.replace(temporary, folder / _MANIFEST)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    _remove_leftovers(folder, keep={_MANIFEST, *contents})


def read_folder(folder, kind):
    """Read what `write_folder` wrote, without ever unpickling.

    Parameters
    ----------
    folder : str or path
    kind : str
        Name of the class that is wanted.

    Returns
    -------
    state : dict
    tensors : dict of str to numpy array

    Raises
    ------
    SavedEstimatorError
        Nothing was saved there, a file is missing or was changed, or the class or format is another.
    """
    from safetensors.numpy import load

    folder = Path(folder)
    if not (folder / _MANIFEST).is_file():
        raise SavedEstimatorError(
            f"There is no saved estimator in {folder}: {_MANIFEST} is missing. "
            "Either nothing was saved there, or the first save was interrupted."
        )
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        version, saved_kind, files = manifest["format"], manifest["class"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise SavedEstimatorError(f"{folder / _MANIFEST} is damaged. Save the estimator again.") from error
    if version != FORMAT:
        raise SavedEstimatorError(
            f"{folder} was saved in format {version}, this version of skbert reads format {FORMAT}. "
            "Load it with the version that saved it."
        )
    if saved_kind != kind:
        raise SavedEstimatorError(f"{folder} holds a {saved_kind}, not a {kind}; call {saved_kind}.load instead.")
    contents = {}
    for file, expected in files.items():
        try:
            # By name only: a manifest that was tampered with must not lead out of the folder.
            content = (folder / Path(file).name).read_bytes()
        except OSError as error:
            raise SavedEstimatorError(f"{folder} is incomplete: {file} cannot be read ({error}).") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise SavedEstimatorError(
                f"{folder} is damaged: {file} is not as it was saved (its SHA-256 differs). "
                "Restore it from a copy or save the estimator again."
            )
        contents[Path(file).suffix] = content
    try:
        return json.loads(contents[".json"]), load(contents[".safetensors"])
    except Exception as error:
        raise SavedEstimatorError(f"{folder} is damaged: its files cannot be read ({error}).") from error


def _write(path, content):
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove_leftovers(folder, keep):
    """Remove content files of earlier saves, finished or interrupted; never anything that is not ours."""
    for pattern in ("state-*.json", "weights-*.safetensors", "manifest-*.json"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                path.unlink(missing_ok=True)
