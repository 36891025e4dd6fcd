"""Packages that only some features need: imported on first use, with advice if they are missing."""

from __future__ import annotations

from importlib import import_module

# What to install for each of them.
_INSTALL = {
    "fugashi": "'skbert[ja]'",
    "matplotlib": "'skbert[plots]'",
    "pandas": "'skbert[study]'",
    "tomotopy": "tomotopy",
}


def pandas():
    """The module pandas; if it is missing, ImportError that says how to install it."""
    return _import("pandas")


def matplotlib_figure():
    """The class Figure of matplotlib; if it is missing, ImportError that says how to install it.

    It does not use pyplot, so no figure stays open and no window system is needed.
    """
    return _import("matplotlib.figure").Figure


def fugashi():
    """The module fugashi, which runs MeCab; if it is missing, ImportError that says how to install it."""
    return _import("fugashi")


def tomotopy():
    """The module tomotopy; if it is missing, ImportError that says how to install it."""
    return _import("tomotopy")


def _import(module):
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"This needs {package}: pip install {_INSTALL[package]}") from error
