"""What is public: the objects that `docs/api.md` lists, and their methods."""

import importlib
import inspect
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def listed_names():
    """Dotted names, in the order of the page."""
    module, names = "", []
    for line in (ROOT / "docs" / "api.md").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        elif found := re.match(r"   (\w+)$", line):
            names.append(f"{module}.{found[1]}")
    return names


def public_objects():
    """Classes, functions, methods and properties by dotted name; what a class inherits from another of them, once."""
    found = {}
    for name in listed_names():
        module, _, attribute = name.rpartition(".")
        value = getattr(importlib.import_module(module), attribute)
        found[name] = value
        if inspect.isclass(value):
            found |= {f"{name}.{method}": function for method, function in _methods(value)}
    first = {}
    for name, value in found.items():
        first.setdefault(value, name)
    return {name: value for value, name in first.items()}


def _methods(cls):
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(value) and value.__module__.startswith("skbert."):
            yield name, value
