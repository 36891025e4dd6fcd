"""One HTML page that holds everything and fetches nothing, from a template of the room that writes it."""

from __future__ import annotations

import base64
import io
from datetime import datetime, timezone
from importlib.resources import files

import numpy as np

from skbert._version import __version__


def render_page(package, template, title, **values):
    """The page of a template in `package`, which extends ``"page"``, as text.

    Parameters
    ----------
    package : str
        The package that holds the template.
    template : str
        Name of its file.
    title : str
        Title of the page.
    **values
        What the template uses. The filters ``number``, ``pvalue`` and ``share`` write numbers.
    """
    from jinja2 import DictLoader, Environment

    sources = {
        "page": (files(__package__) / "page.html.jinja").read_text(encoding="utf-8"),
        "own": (files(package) / template).read_text(encoding="utf-8"),
    }
    environment = Environment(loader=DictLoader(sources), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "pvalue": pvalue, "share": share}
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return environment.get_template("own").render(title=title, made=made, version=__version__, **values)


def figure_uri(figure):
    """A matplotlib figure as an SVG in a data URI."""
    content = io.BytesIO()
    # Without a date the same numbers give the same picture.
    figure.savefig(content, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(content.getvalue()).decode()


def number(value, digits=3):
    """A number for a cell; nothing where there is none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}".replace(",", "\u202f")
    if np.isinf(value):
        return "∞" if value > 0 else "\u2212∞"
    return f"{value:.{digits}f}".replace("-", "\u2212")


def pvalue(value):
    """A p-value for a cell."""
    if np.isnan(value):
        return number(value)
    return "<\u202f0.0001" if value < 0.0001 else number(value, 4)


def share(value):
    """A share as a percentage for a cell."""
    percent = 100 * value
    # A single failed run of many is not none.
    return "<\u202f1\u00a0%" if 0 < percent < 1 else f"{percent:.0f}\u00a0%"
