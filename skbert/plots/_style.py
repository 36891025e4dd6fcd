"""What all displays share: colours that colour-blind readers can tell apart, and figures of their own."""

from __future__ import annotations

import io
from typing import Any

from skbert._shared import matplotlib_figure

# Okabe and Ito's colours; markers help where colours do not.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7A7A7A")
MARKERS = "osD^vPXh"
BLUE, RED = COLOURS[:2]
GREY = "#595959"


class Picture:
    """Base of the displays: what was drawn last is what a notebook shows."""

    # A matplotlib Figure, once something is drawn.
    figure_: Any = None

    def _repr_png_(self):
        # The figures are not pyplot's, so notebooks would not show them by themselves.
        if self.figure_ is None:
            return None
        content = io.BytesIO()
        self.figure_.savefig(content, format="png", dpi=100)
        return content.getvalue()


def new_figure(size):
    """A matplotlib Figure of a size in inches.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    return matplotlib_figure()(figsize=size, layout="constrained")


def axes_for(ax, size):
    """The axes to draw on, and whether they are on a figure of our own."""
    return (new_figure(size).subplots(), True) if ax is None else (ax, False)


def open_sides(ax, *sides):
    """Leave out these sides of the frame."""
    for side in sides:
        ax.spines[side].set_visible(False)


def shown(name):
    """A name as matplotlib shows it to the letter: a dollar would begin a formula, a leading underscore hide it."""
    text = str(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def rows_of_names(ax, names):
    """Name rows 0, 1, … on the vertical axis, from top to bottom."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    open_sides(ax, "top", "right", "left")
    ax.tick_params(axis="y", length=0)


def finish(ax, own, title, *, columns=3):
    """Title and legend: they span a figure of our own, whose axes are narrow beside long names."""
    if own:
        if title:
            ax.figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        ax.figure.legend(loc="outside lower left", ncols=columns, frameon=False, fontsize=8)
        return
    if title:
        ax.set_title(title, fontsize=11)
    ax.legend(frameon=False, fontsize=8)
