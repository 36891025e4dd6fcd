"""An unfinished run on disk, so that an interrupted fit goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock

from skbert._shared import warn
from skbert.encoder import masked_lm_weights
from skbert.errors import SavedEstimatorError
from skbert.estimators import as_arrays
from skbert.saving import is_saved, read_folder, write_folder

# A killed process loses at most this much; an interrupted one loses at most the step that it was in.
_SECONDS = 300
_KIND = "pretraining run"
# Raised when the content of a checkpoint changes, so that older ones are not read.
_FORMAT = 2
# What a run does not depend on: entries of a config that say where it came from.
_ORIGIN = ("_name_or_path", "transformers_version")


class Checkpoint:
    """The state of one run, in a folder of its own.

    Parameters
    ----------
    folder : str or path
        Folder for all runs; created if it does not exist.
    name : str
        Name of the run; what another run has written is not touched.

    Raises
    ------
    NotADirectoryError
        `folder` is a file.
    """

    def __init__(self, folder, name):
        folder = Path(folder)
        try:
            # Now, because a folder that cannot be written should not be found out after hours.
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise NotADirectoryError(
                f"Cannot keep checkpoints in {folder}: there is a file in this path. Give the path of a folder."
            ) from None
        self.folder = folder / name
        self._written = time.monotonic()

    def alone(self):
        """A context that no two processes have for the same run: the second waits, and reads what the first wrote."""
        # Beside the run, since the processes may be jobs of a cluster, each with a temporary folder of its own.
        return FileLock(f"{self.folder}.lock")

    def read(self):
        """What `write` was given last, or None if there is nothing yet.

        Raises
        ------
        SavedEstimatorError
            The files are damaged.
        """
        if not is_saved(self.folder):
            return None
        try:
            return read_folder(self.folder, _KIND)
        except SavedEstimatorError as error:
            raise SavedEstimatorError(
                f"The checkpoint in {self.folder} cannot be read, so this fit cannot go on from it. Remove that folder "
                f"to begin anew. The reason: {error}"
            ) from error

    def is_due(self):
        """Whether the last one is so old that another should be written."""
        return time.monotonic() - self._written >= _SECONDS

    def write(self, state, tensors):
        """Replace what was written before, in one step.

        Parameters
        ----------
        state : dict
            JSON types only.
        tensors : dict of str to numpy array
            Arrays by name.
        """
        try:
            write_folder(self.folder, _KIND, state, tensors)
        except OSError as error:
            # A full disk is no reason to lose the training, too.
            warn(f"No checkpoint could be written to {self.folder} ({error}). Training is not affected.")
        self._written = time.monotonic()


def run_name(net, masking, held_out, settings, seeds):
    """Name of a run: a hash of all that it depends on, before its first step.

    Parameters
    ----------
    net : MaskedNet
        The model in its initial state.
    masking : Masking
        The training texts, and what draws their masks. Weights that a function gives are known by their values.
    held_out : MaskedTexts or None
        Texts that are not trained on, with their masks.
    settings : PretrainingSettings
        How to train.
    seeds : Seeds
        Seeds of the run.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    plain = asdict(settings) | {"device": settings.device.type, "verbose": None}
    config = {name: value for name, value in net.model.config.to_dict().items() if name not in _ORIGIN}
    corpus, weights = masking.corpus, masking.weights
    vocabulary = masking.vocabulary
    facts = [_FORMAT, plain, asdict(seeds), config, type(weights).__name__, vocabulary.size, vocabulary.mask]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, array in sorted(as_arrays(masked_lm_weights(net.model)).items()):
        digest.update(name.encode())
        _add(digest, [array])
    _add(digest, [vocabulary.special, vocabulary.replacing])
    _add_tokens(digest, corpus.tokens)
    _add(digest, corpus.places)
    _add(digest, corpus.units)
    if weights is not None:
        _add(digest, [weights.log_of(ids) for ids in corpus.ids_at_places()])
    if held_out is not None:
        _add_tokens(digest, held_out.tokens)
        _add(digest, held_out.places)
        _add(digest, held_out.targets)
    return digest.hexdigest()[:32]


def _add_tokens(digest, tokens):
    _add(digest, tokens.input_ids)
    _add(digest, tokens.token_type_ids)


def _add(digest, arrays):
    """Add arrays, or None, to a digest, with their types and shapes."""
    if arrays is None:
        digest.update(b"none")
        return
    arrays = [np.asarray(array) for array in arrays]
    digest.update(str([(array.dtype.str, array.shape) for array in arrays]).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())


def check_checkpoint(value, random_state):
    """Raise ValueError if `value` is no folder, or if no second fit could be the same run."""
    if value is None:
        return
    if not isinstance(value, (str, os.PathLike)) or value == "":
        raise ValueError(f"checkpoint must be None or the path of a folder, got {value!r:.80}")
    if random_state is None:
        raise ValueError(
            "checkpoint needs a seed: with random_state=None no two fits are the same run, so none could go on from "
            "another. Set random_state=0."
        )
