"""Packages that may be missing: one advice, and nothing is imported before it is needed."""

import sys

import matplotlib.figure
import pandas as pd
import pytest

from skbert._shared import matplotlib_figure, pandas
from skbert.plots import CVScoresDisplay
from skbert.stability import summarize


def test_installed__the_module_and_the_class():
    assert pandas() is pd
    assert matplotlib_figure() is matplotlib.figure.Figure


def test_pandas_is_missing__says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas: pip install 'skbert\[study\]'"):
        summarize(None)


def test_matplotlib_is_missing__says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'skbert\[plots\]'"):
        CVScoresDisplay({"a": [0.5, 0.6]}).plot()
