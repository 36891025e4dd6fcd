"""What a store of runs belongs to: data, design, variants, encoders and code, as JSON that can be compared."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import platform
import types
from collections import Counter
from collections.abc import Mapping, Set
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import BaseEstimator

from skbert._shared import to_json
from skbert._version import __version__
from skbert.stability._design import parts_of

_PACKAGES = ("torch", "transformers", "scikit-learn", "skorch", "numpy", "scipy")


def data_facts(keys, y, regression, groups=None):
    """Rows, labels, and hashes of what stands in them.

    Parameters
    ----------
    keys : list
        What tells the rows apart; see `skbert.stability._draws.row_keys`.
    y : array (n,)
    regression : bool
        Whether the targets are numbers.
    groups : list, default=None
        Of the user.
    """
    labels = [] if regression else [[_plain(str(label)), n] for label, n in sorted(Counter(y.tolist()).items())]
    facts = {} if groups is None else {"groups": _digest(map(repr, groups))}
    return facts | {
        "rows": len(keys),
        "distinct rows": len(set(keys)),
        "labels": labels,
        "X": _digest(map(repr, keys)),
        "y": _digest(map(repr, y.tolist())),
    }


def _plain(text):
    """Text that any file can hold: half of a surrogate pair, which an exotic input may bring, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _digest(items):
    digest = hashlib.sha256()
    for item in items:
        content = item.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()[:32]


@cache
def code_facts():
    """Versions of Python, of skbert and of what computes under it, and a hash of skbert's own sources."""
    facts = {"skbert": __version__, "skbert sources": _source_digest()}
    facts["Python"] = ".".join(platform.python_version_tuple()[:2])
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = None
    return facts


def _source_digest():
    """Between two releases the version stays while the code moves; the sources tell."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def encoder_facts(estimators):
    """Hashes of weights and tokenizer of every encoder that the variants name, which may change under its name.

    Returns
    -------
    dict of str to str or None
        None where it could not be loaded; its runs will say why.
    """
    facts = {}
    for estimator in estimators.values():
        for part in parts_of(estimator):
            if not hasattr(part, "encoder_hashes"):
                continue
            name = str(part.model) if part.revision is None else f"{part.model} @ {part.revision}"
            if name not in facts:
                facts[name] = _encoder_digest(part)
    return facts


def _encoder_digest(estimator):
    try:
        return _digest(estimator.encoder_hashes())
    except Exception:
        return None


# ---------------------------------------------------------------- parameters


def describe(value, _outer=()):
    """A parameter as JSON types that are the same in every process.

    Estimators become their class and their parameters, functions their name and their
    code, other objects their class and what they hold. What cannot be told from
    others of its kind becomes a dict with the entry ``"unknown"``; see `unknown_in`.
    """
    if any(value is other for other in _outer):
        return {"cycle": len(_outer)}
    inner = functools.partial(describe, _outer=(*_outer, value))
    if isinstance(value, BaseEstimator) and not isinstance(value, type):
        parameters = value.get_params(deep=False)
        return {"class": _name(type(value)), **{key: inner(item) for key, item in sorted(parameters.items())}}
    if isinstance(value, Mapping):
        return {"dict": sorted(([inner(key), inner(item)] for key, item in value.items()), key=_as_text)}
    if isinstance(value, Set):
        return {"set": sorted((inner(item) for item in value), key=_as_text)}
    if isinstance(value, (list, tuple)):
        return [inner(item) for item in value]
    if isinstance(value, np.ndarray):
        content = [inner(item) for item in value.ravel()] if value.dtype.hasobject else value.tobytes()
        return {"array": value.dtype.str, "shape": list(value.shape), "hash": _hash(content)}
    try:
        return to_json(value)
    except TypeError:
        return _describe_object(value, inner)


def _describe_object(value, inner):
    if inspect.isclass(value) or inspect.isbuiltin(value) or isinstance(value, np.ufunc):
        return {"named": _name(value)}
    if inspect.ismethod(value):
        return {"method": inner(value.__func__), "of": inner(value.__self__)}
    if inspect.isfunction(value):
        held = [inner(cell.cell_contents) for cell in value.__closure__ or ()]
        held += [inner(value.__defaults__), inner(value.__kwdefaults__)]
        return {"named": _name(value), "code": _hash(_code(value.__code__)), "holds": held}
    if isinstance(value, functools.partial):
        return {"partial": inner(value.func), "args": inner(value.args), "keywords": inner(value.keywords)}
    if all(hasattr(value, name) for name in ("dist", "args", "kwds")):  # a frozen distribution of scipy
        return {"distribution": value.dist.name, "args": inner(value.args), "keywords": inner(value.kwds)}
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor
        return {"tensor": inner(value.detach().cpu().numpy())}
    if isinstance(getattr(value, "__dict__", None), dict) and vars(value):
        return {"object": _name(type(value)), "holds": inner(vars(value))}
    try:
        return {"object": _name(type(value)), "hash": joblib.hash(value)}
    except Exception:
        return {"unknown": _name(type(value))}


def _name(thing):
    return f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _code(code):
    """What a function does, without where it stands: its lines may move."""
    constants = [_code(item) if isinstance(item, types.CodeType) else repr(item) for item in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), constants]


def _hash(content):
    if not isinstance(content, bytes):
        content = _as_text(content).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:32]


def _as_text(described):
    return json.dumps(described, sort_keys=True)


def unknown_in(described):
    """Classes of objects in a description that could not be told from others of their kind."""
    if isinstance(described, dict):
        found = [described["unknown"]] if "unknown" in described else []
        return found + [name for item in described.values() for name in unknown_in(item)]
    return [name for item in described for name in unknown_in(item)] if isinstance(described, list) else []


# ---------------------------------------------------------------- comparing


def differences(stored, asked, path=""):
    """Places where two fingerprints differ, each as ``path: stored → asked``."""
    if isinstance(stored, dict) and isinstance(asked, dict):
        found = []
        for key in [*stored, *(key for key in asked if key not in stored)]:
            found += differences(stored.get(key, _ABSENT), asked.get(key, _ABSENT), f"{path}.{key}" if path else key)
        return found
    if isinstance(stored, list) and isinstance(asked, list) and len(stored) == len(asked):
        pairs = enumerate(zip(stored, asked, strict=True))
        found = [item for i, pair in pairs for item in differences(*pair, f"{path}[{i}]")]
        # Lists of plain values are read as a whole.
        plain = not any(isinstance(item, (dict, list)) for item in [*stored, *asked])
        return found if not (plain and found) else [f"{path}: {_shown(stored)} → {_shown(asked)}"]
    # As text, for a NaN is not equal to itself.
    same = _as_text(stored) == _as_text(asked)
    return [] if same else [f"{path}: {_shown(stored)} → {_shown(asked)}"]


_ABSENT = "(not there)"


def _shown(value):
    text = repr(value) if value is not _ABSENT else value
    return text if len(text) <= 60 else f"{text[:59]}…"
