"""Packages that only some features need: imported on first use, with advice where they are missing."""

from __future__ import annotations

from importlib import import_module

# The extra of skbert that installs each of them.
_EXTRAS = {"pandas": "study", "matplotlib": "plots"}


def pandas():
    """The module pandas; ImportError that says how to get it."""
    return _import("pandas")


def matplotlib_figure():
    """The class Figure of matplotlib; ImportError that says how to get matplotlib.

    Not pyplot's: nothing is left open, and no window system is asked for.
    """
    return _import("matplotlib.figure").Figure


def _import(module):
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"This needs {package}: pip install 'skbert[{_EXTRAS[package]}]'") from error
