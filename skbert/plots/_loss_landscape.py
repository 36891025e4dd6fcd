"""Pictures of a loss landscape: lines with bands, surfaces with the way of the training, groups, rollback, density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plots._style import BLUE, COLOURS, GREY, MARKERS, RED, Picture, new_figure, open_sides, rows_of_names, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from typing_extensions import Self

_PARTS = {"train": ("training texts", BLUE, "-"), "val": ("held-out texts", RED, "--")}
# From this ratio of the largest to the smallest loss, contours are spaced evenly in its logarithm.
_WIDE = 20.0
# Losses below this share of the largest have one colour; their differences mean nothing for predictions.
_LEAST = 1e-3
_N_LEVELS = 15


class LossLandscapeDisplay(Picture):
    """Pictures of a fitted `LossLandscape`.

    Parameters
    ----------
    landscape : LossLandscape
        A fitted landscape.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure of the last picture.
    ax_ : matplotlib Axes, or list of Axes if there are several
        The axes of the last picture.

    See Also
    --------
    skbert.LossLandscape : Computes the numbers of these pictures.

    Examples
    --------
    >>> from skbert import LossLandscape, MaxPoolBERTClassifier
    >>> from skbert.plots import LossLandscapeDisplay
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    >>> land = LossLandscape(clf, second=None, n_points=5, random_state=0).fit(texts, labels)
    >>> LossLandscapeDisplay(land).plot(kind="groups").ax_.get_ylabel()
    'loss of the training texts (nats)'
    """

    def __init__(self, landscape: Any) -> None:
        self.landscape = landscape

    def plot(self, kind: str = "line", ax: Axes | Sequence[Axes] | None = None, *, title: str | None = None) -> Self:
        """Draw one of the pictures.

        Parameters
        ----------
        kind : {"line", "surface", "groups", "rollback", "density"}, default="line"
            ``"line"``: the loss from start to end, with 95 % bands over texts, and the error below. ``"surface"``: the
            plane of two directions as contours, training and held-out texts side by side on one scale, with the way of
            the training. ``"groups"``: the loss when only one group of layers moves. ``"rollback"``: the recall of each
            label when a group of layers is set back to its start. ``"density"``: the spectral density of the last
            result of `LossLandscape.curvature`, which is computed if there is none.
        ax : matplotlib Axes or sequence of Axes, default=None
            Axes to draw on: one, or for ``"line"`` and ``"surface"`` also two. On a single axes, ``"line"`` draws the
            loss only, and ``"surface"`` the training texts only. None makes a new figure.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            The `kind` is unknown, or the landscape was computed without what it shows.
        NotFittedError
            The landscape is not fitted.

        Examples
        --------
        >>> from skbert import LossLandscape, MaxPoolBERTClassifier
        >>> from skbert.plots import LossLandscapeDisplay
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
        >>> land = LossLandscape(clf, second=None, n_points=5, random_state=0).fit(texts, labels)
        >>> display = LossLandscapeDisplay(land).plot(kind="line", title="Four texts")
        >>> [ax.get_ylabel() for ax in display.ax_]
        ['loss (nats)', 'error']
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self.landscape)
        drawn = {
            "line": (self._line, ((7, 4.8), 2, 1)),
            "surface": (self._surface, None),
            "groups": (self._groups, ((7, 3.8), 1, 1)),
            "rollback": (self._rollback, None),
            "density": (self._density, ((7, 3.6), 1, 1)),
        }
        if kind not in drawn:
            raise ValueError(f"kind must be one of {tuple(drawn)}, got {kind!r}")
        draw, shape = drawn[kind]
        shape = self._shape_of(kind) if shape is None else shape
        axes, own = _axes(ax, shape)
        draw(axes, own)
        self.ax_ = axes[0] if len(axes) == 1 else axes
        self.figure_ = axes[0].figure
        if title and own:
            self.figure_.suptitle(title, x=0.01, ha="left", fontsize=11)
        elif title:
            axes[0].set_title(title, fontsize=11)
        return self

    def _shape_of(self, kind):
        """Size of a new figure, its rows and its columns."""
        if kind == "surface":
            n = len(self._parts)
            return (1.0 + 4.2 * n, 3.9), 1, n
        n = len(self._recalls()[1])
        return (7, 1.6 + 0.42 * n), 1, 1

    @property
    def _parts(self):
        return [part for part in _PARTS if self.landscape.line_[f"{part}_loss"] is not None]

    @property
    def _unit(self):
        return "nats" if hasattr(self.landscape, "classes_") else "variances of y"

    # ------------------------------------------------------------- pictures

    def _line(self, axes, own):
        alphas, line = self.landscape.alphas_, self.landscape.line_
        for part in self._parts:
            name, colour, dash = _PARTS[part]
            axes[0].fill_between(
                alphas, line[f"{part}_low"], line[f"{part}_high"], color=colour, alpha=0.18, linewidth=0
            )
            axes[0].plot(alphas, line[f"{part}_loss"], dash, color=colour, linewidth=1.8, label=name)
            if len(axes) > 1:
                axes[1].plot(alphas, line[f"{part}_error"], dash, color=colour, linewidth=1.8)
        _mark_ends(axes)
        axes[0].set_ylabel(f"loss ({self._unit})")
        if len(axes) > 1:
            axes[1].set_ylabel("error" if hasattr(self.landscape, "classes_") else "squared error")
        _legend(axes[0], own, "band: 95 % over texts")

    def _surface(self, axes, own):
        surface = self.landscape.surface_
        if surface is None:
            raise ValueError('This landscape has no surface; fit it with second="seed", "data" or "random".')
        parts = self._parts[: len(axes)]
        levels = _levels(np.stack([surface[f"{part}_loss"] for part in parts]))
        for ax, part in zip(axes, parts, strict=True):
            image = self._draw_surface(ax, surface[f"{part}_loss"], levels)
            ax.set_title(_PARTS[part][0], fontsize=10)
            ax.set_xlabel("α (0 start, 1 end)")
        axes[0].set_ylabel(self._name_of_beta())
        if len(axes) > 1:
            axes[1].tick_params(labelleft=False)
        axes[0].figure.colorbar(image, ax=axes, label=f"loss ({self._unit})", format="%.3g", shrink=0.9)
        if own:
            axes[0].figure.legend(
                *axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False, fontsize=8
            )
        else:
            axes[0].legend(fontsize=8)

    def _name_of_beta(self):
        kind = getattr(self.landscape, "second", "seed")
        return "β " + {"seed": "(to the end of another seed)", "data": "(to the end on other texts)"}.get(
            kind, "(random direction)"
        )

    def _draw_surface(self, ax, values, levels):
        land = self.landscape
        image = ax.contourf(land.alphas_, land.betas_, values, levels=levels, cmap="viridis", extend="both")
        ax.contour(land.alphas_, land.betas_, values, levels=levels, colors="white", linewidths=0.4, alpha=0.6)
        way = land.trajectory_
        # Black with a white edge is visible on light and on dark parts.
        ax.plot(*way.T, color="white", linewidth=3.2)
        ax.plot(*way.T, color="black", linewidth=1.4, marker="o", markersize=3.5, label="training, by epoch")
        points = [("start", "s", (0.0, 0.0)), ("end", "*", (1.0, 0.0))]
        if land.surface_.second_beta is not None:
            points.append(("end of the other fit", "D", (0.0, land.surface_.second_beta)))
        for name, marker, place in points:
            size = 13 if marker == "*" else 8
            ax.plot(*place, marker, color="white", markeredgecolor="black", markersize=size, label=name, zorder=5)
        ax.set(xlim=_ends(land.alphas_), ylim=_ends(land.betas_))
        return image

    def _groups(self, axes, own):
        land = self.landscape
        if land.group_lines_ is None:
            raise ValueError("This landscape has no groups of layers; fit it with n_groups of at least 1.")
        part, ax = self._parts[-1], axes[0]
        ax.plot(land.alphas_, land.line_[f"{part}_loss"], ":", color=GREY, linewidth=1.6, label="all weights")
        for place, name in enumerate(land.group_lines_.names):
            values = land.group_lines_[f"{part}_loss"][place]
            style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            ax.plot(land.alphas_, values, linewidth=1.6, markersize=4, markevery=2, label=name, **style)
        _mark_ends(axes, "group at its start", "all at the end")
        ax.set_ylabel(f"loss of the {_PARTS[part][0]} ({self._unit})")
        _legend(ax, own)

    def _rollback(self, axes, own):
        land, ax = self.landscape, axes[0]
        part, names, whole, rolled = self._recalls()
        places = np.arange(len(names))
        groups = land.rollback_.names
        apart = np.linspace(-0.26, 0.26, len(groups)) if len(groups) > 1 else [0.0]
        for place, group in enumerate(groups):
            style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            rows = places + apart[place]
            ax.hlines(rows, rolled[place], whole, color=style["color"], linewidth=1.0, alpha=0.5)
            ax.plot(rolled[place], rows, linestyle="", markersize=6, label=group, **style)
        ax.vlines(whole, places - 0.4, places + 0.4, color="black", linewidth=1.6, label="whole model")
        rows_of_names(ax, names)
        low = min(0.0, float(np.nanmin(rolled)))
        if hasattr(land, "classes_"):
            ax.set(
                xlim=(low - 0.02, 1.02), xlabel=f"recall on the {_PARTS[part][0]}, group of layers back at its start"
            )
        else:
            ax.set_xlabel(f"squared error on the {_PARTS[part][0]}, group of layers back at its start")
        _legend(ax, own)

    def _recalls(self):
        """The texts, the names of the rows, and their values by the whole model and after each rollback."""
        land, part = self.landscape, self._parts[-1]
        if land.rollback_ is None:
            raise ValueError("This landscape has no rollback; fit it with n_groups of at least 1.")
        if not hasattr(land, "classes_"):
            error = f"{part}_error"
            return part, ["all texts"], np.array([land.rollback_[f"whole_{error}"]]), land.rollback_[error][:, None]
        names = [shown(label) for label in land.classes_.tolist()]
        return part, names, land.rollback_[f"whole_{part}_recall"], land.rollback_[f"{part}_recall"]

    def _density(self, axes, own):
        found = getattr(self.landscape, "curvature_", None)
        if found is None or found.density_nodes is None:
            found = self.landscape.curvature(n_probes=0)
        ax, weights = axes[0], np.maximum(found.density_weights, 1e-12)
        ax.vlines(found.density_nodes, 1e-12, weights, color=BLUE, linewidth=1.2)
        ax.plot(found.density_nodes, weights, "o", color=BLUE, markersize=4)
        ax.set(yscale="log", ylim=(max(1e-11, weights.min() / 5), 2.0))
        name = {"ggn": "generalised Gauss-Newton matrix", "hessian": "Hessian"}[found.kind]
        ax.set(xlabel=f"eigenvalue of the {name}", ylabel="share of the spectrum")
        open_sides(ax, "top", "right")


def _axes(ax, shape):
    """The axes to draw on, and whether they are on a new figure."""
    if ax is None:
        size, rows, columns = shape
        return list(new_figure(size).subplots(rows, columns, sharex=rows > 1, squeeze=False).ravel()), True
    axes = list(np.ravel(ax))
    if len(axes) > shape[1] * shape[2]:
        raise ValueError(f"At most {shape[1] * shape[2]} axes are needed, got {len(axes)}.")
    return axes, False


def _ends(values):
    return float(values[0]), float(values[-1])


def _levels(values):
    """Contour levels for all surfaces of a picture."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not high > low:
        return np.array([low - 0.5, low + 0.5])
    if low > 0 and high / low > _WIDE:
        return np.geomspace(max(low, _LEAST * high), high, _N_LEVELS)
    return np.linspace(low, high, _N_LEVELS)


def _mark_ends(axes, start="start", end="end"):
    for ax in axes:
        for place in (0.0, 1.0):
            ax.axvline(place, color="0.4", linewidth=0.8, linestyle=":")
        open_sides(ax, "top", "right")
        ax.margins(x=0.01)
    axes[-1].set_xlabel(f"α (0: {start}, 1: {end})")


def _legend(ax, own, note=None):
    handles, names = ax.get_legend_handles_labels()
    if own:
        ax.figure.legend(handles, names, loc="outside lower left", ncols=2, frameon=False, fontsize=8, title=note)
    else:
        ax.legend(handles, names, frameon=False, fontsize=8)
