"""Cross-validation scores of several estimators side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skbert.plots._style import BLUE, GREY, RED, Picture, axes_for, finish, rows_of_names, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from typing_extensions import Self


class CVScoresDisplay(Picture):
    """Scores of each fold and their mean, one row per estimator.

    Parameters
    ----------
    scores : dict of str to array (n_folds,)
        Scores by estimator, in the order of the rows from top to bottom.
    score_name : str, default="score"
        Label of the axis, with its unit.
    reference : str, default=None
        Name of the row whose mean is drawn as a line through all rows, for example a null model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last picture.
    figure_ : matplotlib Figure
        The figure of the last picture.

    Examples
    --------
    >>> from skbert.plots import CVScoresDisplay
    >>> scores = {"TF-IDF": [0.3, 0.2, 0.4], "MaxPoolBERT": [0.6, 0.5, 0.7]}
    >>> display = CVScoresDisplay(scores, score_name="accuracy", reference="TF-IDF").plot()
    >>> display.ax_.get_xlabel()
    'accuracy'
    """

    def __init__(
        self,
        scores: Mapping[str, Sequence[float] | np.ndarray],
        *,
        score_name: str = "score",
        reference: str | None = None,
    ) -> None:
        self.scores = scores
        self.score_name = score_name
        self.reference = reference

    def plot(self, ax: Axes | None = None, *, title: str | None = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            matplotlib is not installed.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skbert.plots import CVScoresDisplay
        >>> display = CVScoresDisplay({"TF-IDF": [0.3, 0.2, 0.4]})
        >>> ax = Figure().subplots()
        >>> display.plot(ax, title="Three folds").ax_ is ax
        True
        """
        names = list(self.scores)
        ax, own = axes_for(ax, (7.5, 1.4 + 0.45 * len(names)))
        if self.reference is not None:
            mean = float(np.mean(self.scores[self.reference]))
            ax.axvline(mean, color=GREY, linestyle="--", linewidth=1, label=f"mean of {self.reference}")
        for row, name in enumerate(names):
            values = np.asarray(self.scores[name], dtype=float)
            # Equal scores are spread out a little; otherwise five folds could look like three.
            offsets = np.linspace(-0.16, 0.16, len(values))
            ax.scatter(values, row + offsets, s=26, color=BLUE, alpha=0.55, label="one fold" if row == 0 else None)
            ax.errorbar(
                values.mean(),
                row,
                xerr=values.std(),
                fmt="D",
                color=RED,
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
                color=GREY,
            )
        rows_of_names(ax, list(map(shown, names)))
        ax.set_xlabel(self.score_name)
        finish(ax, own, title)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
