"""A saved estimator: a folder of JSON and safetensors, replaced in one step, checked when read.

The folder contains ``skbert.json``, which names two content files and their
SHA-256: ``state-<id>.json`` and ``weights-<id>.safetensors``. The content files
are complete on disk before ``skbert.json`` is moved into place in one step. So after
a crash at any moment, the folder holds the old estimator or the new one, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tempfile
from pathlib import Path

from filelock import FileLock

from skbert.errors import SavedEstimatorError

FORMAT = 1
_MANIFEST = "skbert.json"
_OURS = re.compile(r"(state|manifest)-[0-9a-f]{12}\.json|weights-[0-9a-f]{12}\.safetensors")
_READ_TRIES = 20


def write_folder(folder, kind, state, tensors):
    """Write an estimator.

    Parameters
    ----------
    folder : str or path
        Created if it does not exist. If it already holds an estimator, that one is replaced.
    kind : str
        Name of the class.
    state : dict
        Parameters and attributes; JSON types only.
    tensors : dict of str to numpy array
        Weights by name.

    Raises
    ------
    NotADirectoryError
        `folder` is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"Cannot save to {folder}: it is a file. Give the path of a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with lock_on(folder):
        _replace(folder, kind, state, tensors)


def _replace(folder, kind, state, tensors):
    from safetensors.numpy import save

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
    manifest = json.dumps(manifest, indent=2).encode("utf-8")
    written = []
    try:
        for file, content in contents.items():
            written.append(folder / file)
            _write(folder / file, content)
        temporary = folder / f"manifest-{name}.json"
        written.append(temporary)
        _write(temporary, manifest)
        os.replace(temporary, folder / _MANIFEST)
    except BaseException:
        # If the interrupt came after the manifest was moved into place, the new files are the estimator.
        if not _stands(folder, manifest):
            for path in written:
                path.unlink(missing_ok=True)
        raise
    _remove_leftovers(folder, keep={_MANIFEST, *contents})


def read_folder(folder, kind):
    """Read an estimator that `write_folder` wrote; nothing is unpickled.

    Parameters
    ----------
    folder : str or path
    kind : str
        Name of the expected class.

    Returns
    -------
    state : dict
        Parameters and attributes.
    tensors : dict of str to numpy array
        Weights by name.

    Raises
    ------
    SavedEstimatorError
        The folder has no saved estimator, a file is missing or was changed, or the class or the format is different.
    """
    folder = Path(folder)
    for _ in range(_READ_TRIES):
        manifest = _read_manifest(folder)
        try:
            return _read_contents(folder, kind, manifest)
        except SavedEstimatorError:
            # Another process may have saved the estimator again and removed the files that this manifest names.
            if _stands(folder, manifest):
                raise
    raise SavedEstimatorError(f"{folder} was replaced again at each attempt to read it; it could not be read.")


def is_saved(folder):
    """Whether `folder` holds something that was saved completely, even if it was damaged since."""
    return (Path(folder) / _MANIFEST).is_file()


def sha256_of_saved(folder):
    """Hash of what was saved in `folder`, whatever else lies there; SavedEstimatorError if there is nothing."""
    # The manifest names the files of the content with their hashes.
    return hashlib.sha256(_read_manifest(Path(folder))).hexdigest()


def saved_class(folder):
    """Name of the class of the estimator in `folder`; SavedEstimatorError if there is no estimator."""
    folder = Path(folder)
    try:
        return json.loads(_read_manifest(folder))["class"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, SavedEstimatorError):
            raise
        raise SavedEstimatorError(f"{folder / _MANIFEST} is damaged. Save the estimator again.") from error


def _read_manifest(folder):
    if not is_saved(folder):
        raise SavedEstimatorError(
            f"There is no saved estimator in {folder}: {_MANIFEST} is missing. "
            "Either nothing was saved there, or the first save was interrupted."
        )
    return (folder / _MANIFEST).read_bytes()


def _stands(folder, manifest):
    """Whether `manifest` is still the one in the folder."""
    try:
        return (folder / _MANIFEST).read_bytes() == manifest
    except OSError:
        return False


def _read_contents(folder, kind, manifest):
    from safetensors.numpy import load

    try:
        manifest = json.loads(manifest)
        version, saved_kind, files = manifest["format"], manifest["class"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
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
            # By name only: a manipulated manifest must not refer to a file outside the folder.
            content = (folder / Path(file).name).read_bytes()
        except OSError as error:
            raise SavedEstimatorError(f"{folder} is incomplete: {file} cannot be read ({error}).") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise SavedEstimatorError(
                f"{folder} is damaged: {file} has changed since it was saved (its SHA-256 differs). "
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
    """Remove content files of earlier saves, complete or interrupted; never remove files of others."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in keep:
            path.unlink(missing_ok=True)


def lock_on(path):
    """A lock that separates two processes that write to this path; its file is outside, in the temporary folder.

    `write_folder` takes it, because two processes that save at the same place would remove each other's files. Do not
    call `write_folder` on a path whose lock you hold.
    """
    name = hashlib.sha256(os.fsencode(Path(path).resolve())).hexdigest()[:24]
    # With the user id in the name, because a lock file that another user created could not be opened.
    user = os.getuid() if hasattr(os, "getuid") else ""
    return FileLock(Path(tempfile.gettempdir()) / f"skbert-{user}-{name}.lock")
