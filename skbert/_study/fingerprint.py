"""What a store of runs belongs to: data, design, variants and code, as JSON that can be compared entry by entry."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import BaseEstimator

import skbert
from skbert.store import to_json

_PACKAGES = ("torch", "transformers", "scikit-learn", "skorch", "numpy", "scipy")


def data_facts(keys, y, regression):
    """Rows, labels, and hashes of what stands in them.

    Parameters
    ----------
    keys : list
        What tells the rows apart; see `skbert._study.draws.row_keys`.
    y : array (n,)
    regression : bool
        Whether the targets are numbers.
    """
    labels = [] if regression else [[str(label), count] for label, count in sorted(Counter(y.tolist()).items())]
    return {
        "rows": len(keys),
        "distinct rows": len(set(keys)),
        "labels": labels,
        "X": _digest(map(repr, keys)),
        "y": _digest(map(repr, y.tolist())),
    }


def _digest(items):
    digest = hashlib.sha256()
    for item in items:
        content = item.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()[:32]


@cache
def code_facts():
    """Versions of skbert and of what computes under it, and a hash of skbert's own sources."""
    facts = {"skbert": skbert.__version__, "skbert sources": _source_digest()}
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = None
    return facts


def _source_digest():
    """Between two releases the version stays while the code moves; the sources tell."""
    folder = Path(skbert.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def describe(value):
    """A parameter as JSON types that are the same in every process.

    Estimators become their class and their parameters, arrays and other objects a
    hash of their content, functions and classes their names.
    """
    if isinstance(value, BaseEstimator):
        parameters = value.get_params(deep=False)
        return {"class": _name(type(value)), **{key: describe(item) for key, item in sorted(parameters.items())}}
    if isinstance(value, dict):
        return {"dict": [[describe(key), describe(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if inspect.isroutine(value) or inspect.isclass(value):
        return {"named": _name(value)}
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.str, "shape": list(value.shape), "hash": joblib.hash(value)}
    try:
        return to_json(value)
    except TypeError:
        return {"object": _name(type(value)), "hash": _hash(value)}


def _name(thing):
    return f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', repr(thing))}"


def _hash(value):
    try:
        return joblib.hash(value)
    except Exception:  # whatever cannot be pickled: its class has to do
        return None


def differences(stored, asked, path=""):
    """Places where two fingerprints differ, each as ``path: stored → asked``."""
    if isinstance(stored, dict) and isinstance(asked, dict):
        found = []
        for key in [*stored, *(key for key in asked if key not in stored)]:
            found += differences(stored.get(key, _ABSENT), asked.get(key, _ABSENT), f"{path}.{key}" if path else key)
        return found
    # As text, for a NaN is not equal to itself.
    same = json.dumps(stored) == json.dumps(asked)
    return [] if same else [f"{path}: {_shown(stored)} → {_shown(asked)}"]


_ABSENT = "(not there)"


def _shown(value):
    text = repr(value) if value is not _ABSENT else value
    return text if len(text) <= 60 else f"{text[:59]}…"
