"""Cross-validation scores of several estimators side by side."""

from __future__ import annotations

import numpy as np


class CVScoresDisplay:
    """Scores of each fold and their mean, one row an estimator.

    Parameters
    ----------
    scores : dict of str to array (n_folds,)
        Scores by estimator, in the order of the rows from top to bottom.
    score_name : str, default="score"
        Label of the axis, with its unit.
    reference : str, default=None
        Name of the row whose mean is drawn through all rows, e.g. a null model.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, scores, *, score_name="score", reference=None):
        self.scores = scores
        self.score_name = score_name
        self.reference = reference

    def plot(self, ax=None, *, title=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure of its own.
        title : str, default=None

        Returns
        -------
        self

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("Plots need matplotlib: pip install 'skbert[plots]'") from error
        names = list(self.scores)
        own = ax is None
        if own:
            # A Figure of its own, not pyplot's: nothing is left open and no window system is asked for.
            figure = Figure(figsize=(7.5, 1.4 + 0.45 * len(names)), layout="constrained")
            ax = figure.subplots()
        # Okabe and Ito's colours stay apart for colour-blind readers.
        blue, orange, grey = "#0072B2", "#D55E00", "#595959"
        if self.reference is not None:
            mean = float(np.mean(self.scores[self.reference]))
            ax.axvline(mean, color=grey, linestyle="--", linewidth=1, label=f"mean of {self.reference}")
        for row, name in enumerate(names):
            values = np.asarray(self.scores[name], dtype=float)
            # Equal scores are spread out a little, or else five folds would look like three.
            offsets = np.linspace(-0.16, 0.16, len(values))
            ax.scatter(values, row + offsets, s=26, color=blue, alpha=0.55, label="one fold" if row == 0 else None)
            ax.errorbar(
                values.mean(),
                row,
                xerr=values.std(),
                fmt="D",
                color=orange,
                markersize=7,
                capsize=4,
                label="mean ± standard deviation over folds" if row == 0 else None,
            )
            ax.annotate(
                f"{values.mean():.3f}",
                (1.01, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                color=grey,
            )
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel(self.score_name)
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(axis="y", length=0)
        if own:
            # Title and legend span the figure: the axes are narrow beside long names.
            if title:
                figure.suptitle(title, x=0.01, ha="left", fontsize=11)
            figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8)
        else:
            if title:
                ax.set_title(title, fontsize=11)
            ax.legend(frameon=False, fontsize=8)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
