"""Warnings that point to the line of the user, even if functions of skbert and scikit-learn are in between."""

from __future__ import annotations

import os
import sys
import sysconfig
import warnings
from importlib.util import find_spec
from pathlib import Path


def _folder(path):
    return os.path.join(path, "")


_OURS = _folder(Path(__file__).parents[1])
# Packages that call skbert for the user: pipelines, searches, workers and training loops. They are found without
# an import, because the import of torch is slow.
_SPECS = [find_spec(name) for name in ("sklearn", "joblib", "skorch", "torch")]
_CALLERS = tuple(_folder(Path(spec.origin).parent) for spec in _SPECS if spec is not None and spec.origin)
_STANDARD_LIBRARY = _folder(sysconfig.get_paths()["stdlib"])
# Folders of installed packages, which may be inside the folder of the standard library.
_PACKAGES = ("site-packages", "dist-packages")


def warn(message, category=UserWarning):
    """Warn, with the line of the user's code that caused the warning.

        This is the innermost line outside skbert, scikit-learn, joblib, skorch, torch and the standard library. If
        there is no such line, as in a worker process, it is the innermost line outside skbert.

    Parameters
    ----------
    message : str or Warning
        Text of the warning, or the warning itself.
    category : type, default=UserWarning
        Class of the warning, if `message` is a text.
    """
    frame = _frame_of_user(sys._getframe(1))
    code, names = frame.f_code, frame.f_globals
    # Not with a stacklevel: a counted number becomes wrong as soon as another function is in between.
    warnings.warn_explicit(
        message,
        category,
        filename=code.co_filename,
        lineno=frame.f_lineno,
        module=names.get("__name__", "<unknown>"),
        registry=names.setdefault("__warningregistry__", {}),
    )


def _frame_of_user(frame):
    nearest = None
    while frame is not None:
        last, path = frame, frame.f_code.co_filename
        if not path.startswith(_OURS):
            nearest = nearest or frame
            if not (path.startswith(_CALLERS) or _is_standard(path)):
                return frame
        frame = frame.f_back
    return nearest or last


def _is_standard(path):
    """Whether a file belongs to Python itself; ``<frozen runpy>`` does, ``<stdin>`` belongs to the user."""
    if path.startswith("<frozen "):
        return True
    return path.startswith(_STANDARD_LIBRARY) and not any(f"{os.sep}{name}{os.sep}" in path for name in _PACKAGES)
