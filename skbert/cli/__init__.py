"""The ``skbert`` command: the estimators, the study and the probe, on files."""

from skbert.cli._commands import main

__all__ = ["main"]
