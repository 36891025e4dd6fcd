"""The shared part of all displays: colours that colour-blind readers can distinguish, and figures without pyplot."""

from __future__ import annotations

import io
from typing import Any

from skbert._shared import matplotlib_figure

# The colours of Okabe and Ito; markers help if the colours are not enough.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A7A7A")
MARKERS = "osD^vPXh"
BLUE, RED = COLOURS[:2]
GREY = "#595959"


class Picture:
    """Base class of the displays; a notebook shows the last picture."""

    # A matplotlib Figure, once something is drawn.
    figure_: Any = None

    def _repr_png_(self):
        # The figures do not belong to pyplot, so a notebook would not show them without this method.
        if self.figure_ is None:
            return None
        content = io.BytesIO()
        self.figure_.savefig(content, format="png", dpi=100)
        return content.getvalue()


def new_figure(size):
    """Make a matplotlib Figure; `size` is in inches.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    return matplotlib_figure()(figsize=size, layout="constrained")


def axes_for(ax, size):
    """The axes to draw on, and whether they are on a new figure."""
    return (new_figure(size).subplots(), True) if ax is None else (ax, False)


def open_sides(ax, *sides):
    """Hide these sides of the frame."""
    for side in sides:
        ax.spines[side].set_visible(False)


def shown(name):
    """A name that matplotlib shows unchanged: a dollar would start a formula, a leading underscore would hide it."""
    text = str(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def rows_of_names(ax, names):
    """Label rows 0, 1, … on the vertical axis, from top to bottom."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    open_sides(ax, "top", "right", "left")
    ax.tick_params(axis="y", length=0)


def finish(ax, own, title, *, columns=3):
    """Draw title and legend; on a new figure they use its full width, because long names make the axes narrow."""
    if own:
        if title:
            ax.figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        ax.figure.legend(loc="outside lower left", ncols=columns, frameon=False, fontsize=8)
        return
    if title:
        ax.set_title(title, fontsize=11)
    ax.legend(frameon=False, fontsize=8)
