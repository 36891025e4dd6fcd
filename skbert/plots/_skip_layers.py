"""Pictures of what each label loses when layers are skipped: triangles, differences and layer importance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plots._style import COLOURS, MARKERS, RED, Picture, new_figure, open_sides

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from typing_extensions import Self

_MOST_LINES = len(COLOURS)
_PALE = "#BDBDBD"
_CROSSED = "one class is predicted for all"
_STOP, _START = "stop (layers up to stop − 1 are skipped)", "first skipped layer"


class SkipLayerDisplay(Picture):
    """Pictures of a fitted `SkipLayerProbe`.

    Parameters
    ----------
    triangles : float array (n_classes, n_layers, n_layers + 1)
        One value per label, first skipped layer and stop; NaN where nothing was skipped.
    importance : float array (n_classes, n_layers)
        Fall of the gold log-probability per skipped layer, in nats.
    classes : sequence, (n_classes,)
        Labels.
    value_name : str, default="change of recall"
        Name of the values in the triangles, with their unit.
    counts : sequence of int, default=None
        Number of samples of each label, for the titles.
    recalls : sequence of float, default=None
        Recall of each label with the full model, for the titles, because a harder label falls differently.
    constant : bool array (n_layers, n_layers + 1), default=None
        Spans with which the same class is predicted for all samples. They are crossed out: a gain or loss of a label
        there only shows that the encoder no longer works, not which layers matter for the label.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure of the last picture.
    ax_ : matplotlib Axes, or list of Axes if there are several
        The axes of the last picture.

    See Also
    --------
    skbert.SkipLayerProbe : Computes the numbers of these pictures.

    Examples
    --------
    >>> import numpy as np
    >>> from skbert.plots import SkipLayerDisplay
    >>> triangle = np.array([[np.nan, -0.2, -0.5], [np.nan, np.nan, -0.1]])
    >>> display = SkipLayerDisplay(np.stack([triangle, triangle / 2]), np.ones((2, 2)), ["order", "refund"])
    >>> len(display.plot().ax_)
    2
    """

    def __init__(
        self,
        triangles: np.ndarray,
        importance: np.ndarray,
        classes: Sequence[Any],
        *,
        value_name: str = "change of recall",
        counts: Sequence[int] | None = None,
        recalls: Sequence[float] | None = None,
        constant: np.ndarray | None = None,
    ) -> None:
        self.triangles = triangles
        self.importance = importance
        self.classes = classes
        self.value_name = value_name
        self.counts = counts
        self.recalls = recalls
        self.constant = constant

    @classmethod
    def from_estimator(
        cls,
        probe: Any,
        *,
        value: str = "recall",
        ax: Axes | Sequence[Axes] | None = None,
        labels: Sequence[Any] | None = None,
        title: str | None = None,
    ) -> Self:
        """Make the display of a fitted probe, and draw its triangles.

        Parameters
        ----------
        probe : SkipLayerProbe
            A fitted probe.
        value : {"recall", "log_proba"}, default="recall"
            The change of the recall of each label, or of its mean gold log-probability (nats), compared with the full
            model.
        ax : matplotlib Axes or sequence of Axes, default=None
            One for each label, or a single one, which is divided among the labels; None makes a new figure.
        labels : sequence, default=None
            Labels to draw; None draws all.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        SkipLayerDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            The `value` is unknown.
        NotFittedError
            The probe is not fitted.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> from skbert.plots import SkipLayerDisplay
        >>> display = SkipLayerDisplay.from_estimator(probe, value="log_proba", title="Two labels")
        >>> [ax.get_title().splitlines()[0] for ax in display.ax_]
        ['order', 'refund']
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(probe)
        frame_of = {"recall": "change of recall", "log_proba": "change of gold log-probability (nats)"}
        if value not in frame_of:
            raise ValueError(f"value must be one of {tuple(frame_of)}, got {value!r}")
        if value == "recall":
            changes = probe.label_recall_ - probe.label_baseline_[:, None]
        else:
            changes = -probe.label_drop_
        triangles = np.stack([probe.triangle(row) for row in changes])
        display = cls(
            triangles,
            probe.layer_importance_,
            probe.classes_.tolist(),
            value_name=frame_of[value],
            counts=probe.label_counts_.tolist(),
            recalls=probe.label_baseline_.tolist(),
            constant=probe.triangle(probe.constant_) == 1,
        )
        return display.plot(ax, labels=labels, title=title)

    # ------------------------------------------------------------- triangles

    def plot(
        self, ax: Axes | Sequence[Axes] | None = None, *, labels: Sequence[Any] | None = None, title: str | None = None
    ) -> Self:
        """Draw one triangle per label, all with the same colour scale.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            One for each label, or a single one, which is divided among the labels; None makes a new figure.
        labels : sequence, default=None
            Labels to draw; None draws all.
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
            A label is unknown, or the number of axes is neither one nor the number of labels.

        Examples
        --------
        >>> import numpy as np
        >>> from skbert.plots import SkipLayerDisplay
        >>> triangle = np.array([[np.nan, -0.2, -0.5], [np.nan, np.nan, -0.1]])
        >>> importance = np.array([[0.3, 0.1], [0.1, 0.2]])
        >>> display = SkipLayerDisplay(np.stack([triangle, triangle / 2]), importance, ["order", "refund"])
        >>> display.plot(labels=["refund"]).ax_.get_title()
        'refund'
        """
        labels = list(self.classes if labels is None else labels)
        grids = [self.triangles[self._index_of(label)] for label in labels]
        axes, figure, host = _axes_for(ax, len(labels), _triangle_size(self._n_layers, len(labels)))
        limit = max((np.nanmax(np.abs(grid), initial=0.0) for grid in grids), default=0.0) or 1.0
        shared = len(labels) > 1 and host is not None
        for each, label, grid in zip(axes, labels, grids, strict=True):
            image = _draw_triangle(each, grid, limit, self.constant, axis_names=not shared)
            each.set_title(self._titled(label, small=shared), fontsize=9 if shared else 11)
            if shared:
                each.label_outer()
        figure.colorbar(image, ax=axes, label=self.value_name, shrink=0.8, aspect=30)
        # The parts of divided axes are too small for a legend.
        in_name = shared and host is not figure
        if shared:
            _name_grid(axes, host, f"{_STOP}\n× {_CROSSED}" if in_name and self._has_crosses else _STOP, _START)
        if not in_name:
            self._explain_crosses(axes, host)
        return self._finish(axes, host, title)

    def plot_difference(self, first: Any, second: Any, ax: Axes | None = None, *, title: str | None = None) -> Self:
        """Draw the triangle of one label minus the triangle of another label.

        Red means below zero: skipping the span hurts `first` more than `second`.

        Parameters
        ----------
        first, second : str, int or any other label
            Two of the labels of the display.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        title : str, default=None
            Title of the picture; None uses the names of the two labels.

        Returns
        -------
        self

        Examples
        --------
        >>> import numpy as np
        >>> from skbert.plots import SkipLayerDisplay
        >>> triangle = np.array([[np.nan, -0.2, -0.5], [np.nan, np.nan, -0.1]])
        >>> importance = np.array([[0.3, 0.1], [0.1, 0.2]])
        >>> display = SkipLayerDisplay(np.stack([triangle, triangle / 2]), importance, ["order", "refund"])
        >>> display.plot_difference("order", "refund").ax_.get_title()
        'order minus refund'
        """
        grid = self.triangles[self._index_of(first)] - self.triangles[self._index_of(second)]
        axes, figure, host = _axes_for(ax, 1, _triangle_size(self._n_layers, 1))
        limit = np.nanmax(np.abs(grid), initial=0.0) or 1.0
        image = _draw_triangle(axes[0], grid, limit, self.constant, axis_names=True)
        figure.colorbar(image, ax=axes, label=f"difference of {self.value_name}", shrink=0.8, aspect=30)
        axes[0].set_title(f"{first} minus {second}" if title is None else title, fontsize=11)
        self._explain_crosses(axes, host)
        return self._finish(axes, host, None)

    # ------------------------------------------------------------- importance

    def plot_importance(
        self, ax: Axes | Sequence[Axes] | None = None, *, labels: Sequence[Any] | None = None, title: str | None = None
    ) -> Self:
        """Draw the importance of each layer, one line per label.

        If there are more than eight labels, their colours would be hard to distinguish.
        Then each label has its own small axes, with the other labels in grey behind it.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, default=None
            Axes to draw on. More than eight labels divide a single axes among them, or need one axes per label. None
            makes a new figure.
        labels : sequence, default=None
            Labels to draw; None draws all.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        self

        Examples
        --------
        >>> import numpy as np
        >>> from skbert.plots import SkipLayerDisplay
        >>> triangle = np.array([[np.nan, -0.2, -0.5], [np.nan, np.nan, -0.1]])
        >>> importance = np.array([[0.3, 0.1], [0.1, 0.2]])
        >>> display = SkipLayerDisplay(np.stack([triangle, triangle / 2]), importance, ["order", "refund"])
        >>> display.plot_importance().ax_.get_xlabel()
        'layer'
        """
        labels = list(self.classes if labels is None else labels)
        rows = np.array([self.importance[self._index_of(label)] for label in labels])
        small = len(labels) > _MOST_LINES
        size = (_columns(len(labels)) * 2.1, math.ceil(len(labels) / _columns(len(labels))) * 1.6) if small else (7, 4)
        axes, figure, host = _axes_for(ax, len(labels) if small else 1, size)
        shared = small and host is not None
        layers = np.arange(self._n_layers)
        for place, (label, row) in enumerate(zip(labels, rows, strict=True)):
            each = axes[place] if small else axes[0]
            if small:
                each.plot(layers, rows.T, color=_PALE, linewidth=0.7)
                each.set_title(self._titled(label, small=True), fontsize=9)
            style = {"color": RED} if small else {"color": COLOURS[place], "marker": MARKERS[place]}
            each.plot(layers, row, markersize=5, linewidth=1.8, label=self._titled(label), **style)
        for each in axes:
            each.axhline(0, color="0.4", linewidth=0.8, linestyle=":")
            each.set_ylim(*_padded(rows))
            each.set_xticks(_ticks(self._n_layers))
            open_sides(each, "top", "right")
            if shared:
                each.label_outer()
        name = "fall of gold log-probability per skipped layer (nats)"
        # Only a new figure is high enough for the long name.
        name = name if shared and host is figure else name.replace(" per", "\nper")
        if shared:
            _name_grid(axes, host, "layer", name)
        else:
            axes[0].set(xlabel="layer", ylabel=name)
        if not small:
            _legend(axes[0], host, len(labels))
        return self._finish(axes, host, title)

    # ------------------------------------------------------------- shared

    @property
    def _n_layers(self):
        return self.triangles.shape[1]

    def _index_of(self, label):
        try:
            return list(self.classes).index(label)
        except ValueError:
            raise ValueError(f"{label!r} is not among the labels {list(self.classes)}.") from None

    def _titled(self, label, small=False):
        """Name of a label with its samples and its recall by the full model; on two lines where there is no room."""
        name, place = str(label) if len(str(label)) <= 18 else f"{str(label)[:17]}…", self._index_of(label)
        known = [] if self.counts is None else [f"n = {self.counts[place]}"]
        if self.recalls is not None and not np.isnan(self.recalls[place]):
            known.append(f"recall {self.recalls[place]:.2f}")
        between = "\n" if small and len(known) > 1 else " "
        return f"{name}{between}({', '.join(known)})" if known else name

    @property
    def _has_crosses(self):
        return self.constant is not None and bool(np.any(self.constant))

    def _explain_crosses(self, axes, host):
        if not self._has_crosses:
            return
        handles = axes[0].get_legend_handles_labels()[0][:1]
        where = {"loc": "upper right"} if host is None else {"loc": "outside lower right"}
        (host or axes[0]).legend(handles, [_CROSSED], frameon=False, fontsize=8, handletextpad=0, **where)

    def _finish(self, axes, host, title):
        self.ax_ = axes[0] if len(axes) == 1 else axes
        self.figure_ = axes[0].figure
        if title and host is self.figure_:
            host.suptitle(title, x=0.01, ha="left", fontsize=11)
        elif title and host is not None:  # away from the titles of the parts
            host.set_title(title, fontsize=11, pad=22)
        elif title:
            axes[0].set_title(title, fontsize=11)
        return self


def _columns(n):
    return n if n <= 3 else min(5, math.ceil(math.sqrt(n)) + (n > 9))


def _triangle_size(n_layers, n_labels):
    """Width and height in inches of a figure of triangles."""
    if n_labels == 1:
        side = 3.6 + 0.12 * n_layers
        return side + 1.0, side
    columns = _columns(n_labels)
    side = 2.1 if n_layers <= 12 else 2.5
    return columns * side + 1.2, math.ceil(n_labels / columns) * side + 0.6


def _axes_for(ax, n, size):
    """Find or make axes to draw on.

    Returns
    -------
    axes : list of Axes, (n,)
        The axes.
    figure : Figure
        Their figure.
    host : Figure, Axes or None
        Where the axes were made: a new figure, or the single axes of the user, which was divided. It has the title, the
        legend and the axis names of all parts. None if the user gave one axes for each part.
    """
    columns = _columns(n)
    shape = math.ceil(n / columns), columns
    if ax is None:
        figure = host = new_figure(size)
        grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
    elif n > 1 and np.ndim(ax) == 0 and ax.get_subplotspec() is not None:
        figure, host = ax.figure, ax
        parts = ax.get_subplotspec().subgridspec(*shape, hspace=0.35, wspace=0.15)
        grid = parts.subplots(sharex=True, sharey=True, squeeze=False).ravel()
        # The original axes, now empty, has the title.
        ax.set(xticks=[], yticks=[])
        ax.patch.set_visible(False)
        open_sides(ax, *ax.spines)
    else:
        axes = list(np.ravel(ax))
        if len(axes) != n:
            raise ValueError(f"{n} axes are needed, got {len(axes)}; leave ax=None for a new figure.")
        return axes, axes[0].figure, None
    for unused in grid[n:]:
        unused.set_axis_off()
    # If the place below is empty, the axes above it shows its ticks; otherwise the column would have none.
    for above in grid[max(0, n - columns) : n]:
        above.tick_params(labelbottom=True)
    return list(grid[:n]), figure, host


def _draw_triangle(ax, grid, limit, constant, axis_names):
    n_layers = grid.shape[0]
    # Stop 0 skips nothing, so its column is left out.
    image = ax.imshow(
        grid[:, 1:],
        cmap="RdBu",
        vmin=-limit,
        vmax=limit,
        extent=(0.5, n_layers + 0.5, n_layers - 0.5, -0.5),
        interpolation="nearest",
    )
    # Without it, a span that changes nothing would look like an empty cell.
    ax.set_facecolor("0.88")
    if constant is not None:
        starts, stops = np.nonzero(constant)
        size = min(6.0, 60 / n_layers)
        # Black with a white edge is visible on light and on dark cells.
        ax.plot(stops, starts, "x", color="white", markersize=size, markeredgewidth=size / 2.2)
        ax.plot(stops, starts, "x", color="black", markersize=size, markeredgewidth=size / 5, label=_CROSSED)
    ax.set_xticks([tick + 1 for tick in _ticks(n_layers)])
    ax.set_yticks(_ticks(n_layers))
    ax.tick_params(length=2, labelsize=8)
    open_sides(ax, *ax.spines)
    if axis_names:
        ax.set(xlabel=_STOP, ylabel=_START)
    return image


def _name_grid(axes, host, x, y):
    """Draw the axis names of a grid once: on its figure, or in divided axes at the middle of two sides."""
    if host is axes[0].figure:
        host.supxlabel(x, fontsize=10)
        host.supylabel(y, fontsize=10)
        return
    columns = _columns(len(axes))
    last, first = axes[(len(axes) - 1) // columns * columns :], axes[::columns]
    last[(len(last) - 1) // 2].set_xlabel(x)
    first[(len(first) - 1) // 2].set_ylabel(y)


def _ticks(n_layers):
    return range(0, n_layers, max(1, math.ceil(n_layers / 8)))


def _padded(rows):
    finite = rows[np.isfinite(rows)]
    low, high = (min(0.0, finite.min()), max(0.0, finite.max())) if finite.size else (0.0, 1.0)
    pad = 0.06 * (high - low or 1.0)
    return low - pad, high + pad


def _legend(ax, host, n):
    if host is not None:
        host.legend(loc="outside right upper", frameon=False, fontsize=9)
    else:
        ax.legend(frameon=False, fontsize=8, ncols=1 + (n > 4))
