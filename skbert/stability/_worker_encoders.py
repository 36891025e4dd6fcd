"""The encoders of a study as one copy for all of its worker processes, so that no worker loads its own."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
from joblib.parallel import get_active_backend

from skbert.encoder import share_encoder
from skbert.stability._design import parts_of


@contextmanager
def encoders_for_workers(estimators, n_jobs):
    """Copies of the encoders that the variants name, in a temporary folder that is removed at the end of the block.

    Parameters
    ----------
    estimators : dict of str to estimator
        The variants.
    n_jobs : int or None
        As `joblib.Parallel` takes it.

    Yields
    ------
    tuple of SharedCopy
        Empty if no processes are started, or if there is no room for copies.
    """
    names = _names(estimators) if _starts_processes(n_jobs) else {}
    try:
        folder = TemporaryDirectory(prefix="skbert-", ignore_cleanup_errors=True) if names else None
    except OSError:
        folder = None
    if folder is None:
        yield ()
        return
    with folder as path:
        copies = [share_encoder(*name, Path(path) / str(number)) for number, name in enumerate(names)]
        yield tuple(copy for copy in copies if copy is not None)


def _starts_processes(n_jobs):
    # A backend of threads says so; others need not say anything.
    return joblib.effective_n_jobs(n_jobs) > 1 and not getattr(get_active_backend()[0], "supports_sharedmem", False)


def _names(estimators):
    """The encoders that the variants name, each once: pairs of name and revision."""
    parts = [part for estimator in estimators.values() for part in parts_of(estimator)]
    encoders = [(part.model, getattr(part, "revision", None)) for part in parts if hasattr(part, "encoder_hashes")]
    # Another model in place of a name is a part itself, and names what it starts from.
    return dict.fromkeys(found for found in encoders if isinstance(found[0], (str, Path)))
