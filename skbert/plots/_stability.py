"""Pictures of the runs of a study: single runs, learning curves, the best of n runs, paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plots._style import (
    BLUE,
    COLOURS,
    GREY,
    MARKERS,
    RED,
    Picture,
    axes_for,
    finish,
    open_sides,
    rows_of_names,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from matplotlib.axes import Axes
    from pandas import DataFrame
    from typing_extensions import Self


class StabilityDisplay(Picture):
    """Pictures of a finished `StabilityStudy`.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run: ``variant``, ``size``, the column `score`, and ``status``.
    summary : pandas.DataFrame
        Result of `StabilityStudy.summary`.
    expected_max : pandas.DataFrame
        Result of `StabilityStudy.expected_max`.
    comparisons : list of Comparison
        Differences to one reference, for every training size.
    score : str
        Name of the score.
    baselines : collection of str, default=()
        Variants that are null models; drawn in grey.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure of the last picture.
    ax_ : matplotlib Axes
        The axes of the last picture.

    See Also
    --------
    skbert.StabilityStudy : Computes the numbers of these pictures.

    Examples
    --------
    >>> from skbert import StabilityStudy
    >>> from skbert.plots import StabilityDisplay
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.naive_bayes import MultinomialNB
    >>> from sklearn.pipeline import make_pipeline
    >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
    >>> bayes = make_pipeline(TfidfVectorizer(), MultinomialNB())
    >>> study = StabilityStudy(bayes, seeds=4, train_sizes=[4, 8], random_state=0).fit(texts, ["a", "b"] * 12)
    >>> StabilityDisplay.from_estimator(study).plot_learning_curve().ax_.get_xlabel()
    'training texts'
    """

    def __init__(
        self,
        runs: DataFrame,
        summary: DataFrame,
        expected_max: DataFrame,
        comparisons: Sequence[Any],
        *,
        score: str,
        baselines: Collection[str] = (),
    ) -> None:
        self.runs = runs
        self.summary = summary
        self.expected_max = expected_max
        self.comparisons = comparisons
        self.score = score
        self.baselines = baselines

    @classmethod
    def from_estimator(
        cls,
        study: Any,
        *,
        score: str | None = None,
        reference: str | None = None,
        ax: Axes | None = None,
        size: int | None = None,
        title: str | None = None,
    ) -> Self:
        """Make the display of a finished study, and draw its runs.

        Parameters
        ----------
        study : StabilityStudy
            A fitted study.
        score : str, default=None
            One of its scores; None is the first.
        reference : str, default=None
            Variant that is subtracted in the differences; None is the first.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        size : int, default=None
            Training size; None is the largest.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        StabilityDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        NotFittedError
            The study has not run.
        ValueError
            A score or variant is unknown, or no run of the study has finished.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> from skbert.plots import StabilityDisplay
        >>> display = StabilityDisplay.from_estimator(study, reference="flat", size=8)
        >>> [comparison.a for comparison in display.comparisons if comparison.size == 8]
        ['sharp']
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(study)
        if not len(study.results_):
            raise ValueError("No run of the study has finished yet, so there is nothing to draw.")
        score = study.scores_[0] if score is None else score
        reference = next(iter(study.variants_)) if reference is None else reference
        others = [name for name in study.variants_ if name != reference]
        display = cls(
            study.results_,
            study.summary(score),
            study.expected_max(score=score),
            [study.compare(name, reference, size=size, score=score) for size in study.train_sizes_ for name in others],
            score=score,
            baselines=study.baselines_,
        )
        return display.plot(ax, size=size, title=title)

    # ------------------------------------------------------------- pictures

    def plot(self, ax: Axes | None = None, *, size: int | None = None, title: str | None = None) -> Self:
        """Draw every run of one training size, with quartiles, one row per variant.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        size : int, default=None
            Training size; None is the largest.
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
            The study has no such training size.

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> from skbert.plots import StabilityDisplay
        >>> display = StabilityDisplay.from_estimator(study)
        >>> display.plot(size=8, title="Eight training texts").figure_ is display.ax_.figure
        True
        """
        size = self._size(size)
        chosen = self.runs[self.runs["size"] == size]
        names = self._names
        ax, own = axes_for(ax, (7.5, 1.5 + 0.5 * len(names)))
        labels = {"ok": "one run", "failed": "one run that failed"}
        for row, name in enumerate(names):
            runs = chosen[chosen["variant"] == name]
            values = runs[self.score].to_numpy(dtype=float)
            there = ~np.isnan(values)
            if not there.any():
                ax.annotate(
                    "no run has a score", (0.02, row), xycoords=("axes fraction", "data"), va="center", color=GREY
                )
                continue
            ax.boxplot(values[there], positions=[row], **_BOX)
            failed = (runs["status"] == "failed").to_numpy()
            offsets = _spread(len(values))
            for kind, part in (("ok", there & ~failed), ("failed", there & failed)):
                style = (
                    {"marker": "x", "color": RED} if kind == "failed" else {"marker": "o", "color": self._colour(name)}
                )
                label = labels.pop(kind, None) if part.any() else None
                ax.scatter(values[part], row + offsets[part], s=22, alpha=0.7, zorder=3, label=label, **style)
            mean = float(self._summary_of(name, size)["mean"])
            ax.plot(mean, row, "D", color="black", markersize=6, zorder=4, label=labels.pop("mean", None))
            ax.annotate(
                f"{mean:.3f}", (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=GREY
            )
        rows_of_names(ax, list(map(shown, names)))
        ax.set_xlabel(f"{self.score}, {size} training texts (diamond and number: mean; box: quartiles)")
        finish(ax, own, title)
        return self._done(ax)

    def plot_learning_curve(self, ax: Axes | None = None, *, title: str | None = None) -> Self:
        """Draw the mean score over training sizes, with the t interval of the mean on these texts as a band.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        self

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> from skbert.plots import StabilityDisplay
        >>> ax = StabilityDisplay.from_estimator(study).plot_learning_curve().ax_
        >>> [tick.get_text() for tick in ax.get_xticklabels()]
        ['4', '8']
        """
        ax, own = axes_for(ax, (7.5, 4.6))
        for name in self._names:
            table = self.summary[self.summary["variant"] == name]
            style = self._line(name)
            ax.plot(table["size"], table["mean"], label=shown(name), **style)
            if name not in self.baselines:
                ax.fill_between(
                    table["size"], table["low"], table["high"], color=style["color"], alpha=0.15, linewidth=0
                )
        self._size_axis(ax)
        ax.set_ylabel(f"{self.score} (band: 95% interval of the mean on these texts)")
        finish(ax, own, title)
        return self._done(ax)

    def plot_expected_max(self, ax: Axes | None = None, *, size: int | None = None, title: str | None = None) -> Self:
        """Draw the expected best score of n runs, if the best is known in hindsight.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        size : int, default=None
            Training size; None is the largest.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        self

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> from skbert.plots import StabilityDisplay
        >>> StabilityDisplay.from_estimator(study).plot_expected_max(size=8).ax_.get_ylabel()
        'expected best accuracy, 8 training texts'
        """
        size = self._size(size)
        ax, own = axes_for(ax, (7.5, 4.6))
        for name in self._names:
            table = self.expected_max
            table = table[(table["variant"] == name) & (table["size"] == size)]
            ax.plot(
                table["n"], table["expected_max"], label=shown(name), **self._line(name, every=max(1, len(table) // 8))
            )
        ax.set_xlabel("runs of which the best is kept, in hindsight")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel(f"expected best {self.score}, {size} training texts")
        self._open(ax)
        finish(ax, own, title)
        return self._done(ax)

    def plot_differences(self, ax: Axes | None = None, *, size: int | None = None, title: str | None = None) -> Self:
        """Draw the paired differences of every variant to the reference, and the intervals of their mean.

        The thick line is the interval for draws from these texts, the thin one that for other texts of the same kind.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        size : int, default=None
            Training size; None is the largest.
        title : str, default=None
            Title of the picture; None draws no title.

        Returns
        -------
        self

        Examples
        --------
        >>> from skbert import StabilityStudy
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = [f"{word} number {i}" for i in range(12) for word in ("refund", "parcel")]
        >>> model = make_pipeline(TfidfVectorizer(), MultinomialNB())
        >>> variants = {"flat": {}, "sharp": {"multinomialnb__alpha": 0.1}}
        >>> study = StabilityStudy(model, variants, seeds=4, train_sizes=[4, 8], baselines=(), random_state=0)
        >>> study = study.fit(texts, ["refund", "parcel"] * 12)
        >>> from skbert.plots import StabilityDisplay
        >>> ax = StabilityDisplay.from_estimator(study, reference="flat").plot_differences(size=8).ax_
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['sharp']
        """
        size = self._size(size)
        found = [comparison for comparison in self.comparisons if comparison.size == size]
        if not found:
            raise ValueError("There is only one variant; differences need a second.")
        ax, own = axes_for(ax, (7.5, 1.5 + 0.5 * len(found)))
        ax.axvline(0, color=GREY, linestyle="--", linewidth=1)
        for row, comparison in enumerate(found):
            first = row == 0
            d, colour = comparison.differences, self._colour(comparison.a)
            label = f"one pair of {comparison.unit}" if first else None
            ax.scatter(d, row + _spread(len(d)), s=22, color=colour, alpha=0.6, zorder=3, label=label)
            if comparison.n:
                self._draw_mean(ax, row, comparison, first)
            text = f"{comparison.difference:+.3f}"
            ax.annotate(text, (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=GREY)
        rows_of_names(ax, [shown(comparison.a) for comparison in found])
        ax.set_xlabel(f"{self.score} minus that of {shown(found[0].b)}, same draw and seed, {size} training texts")
        finish(ax, own, title)
        return self._done(ax)

    @staticmethod
    def _draw_mean(ax, row, comparison, first):
        """The mean difference, a thick line for what holds on these texts and a thin one for other texts."""
        mean, level = comparison.difference, f"{comparison.level:.0%}"
        where = "on these texts" if comparison.n_draws > 1 else "on this draw"
        intervals = (
            (comparison.low_here, comparison.high_here, 3.5, f"{level} interval of the mean {where}"),
            (comparison.low, comparison.high, 1.0, "the same for other texts of this kind"),
        )
        for low, high, width, label in intervals:
            if not np.isnan(low):
                ax.plot(
                    [low, high], [row, row], color="black", linewidth=width, label=label if first else None, zorder=4
                )
        ax.plot(mean, row, "D", color="black", markersize=6, markeredgecolor="white", zorder=5)

    # ------------------------------------------------------------- shared

    @property
    def _names(self):
        return list(dict.fromkeys(self.runs["variant"]))

    def _size(self, size):
        sizes = sorted(set(self.runs["size"].tolist()))
        if size is not None and size not in sizes:
            raise ValueError(f"size={size!r} is not one of the training sizes {sizes}.")
        return sizes[-1] if size is None else size

    def _summary_of(self, name, size):
        table = self.summary
        return table[(table["variant"] == name) & (table["size"] == size)].iloc[0]

    def _colour(self, name):
        return GREY if name in self.baselines else BLUE

    def _line(self, name, every=1):
        if name in self.baselines:
            style = (":", "--")[list(self.baselines).index(name) % 2]
            return {"color": GREY, "linestyle": style, "linewidth": 1.3}
        place = [other for other in self._names if other not in self.baselines].index(name)
        marker, colour = MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]
        # If there are more names than colours, the colours repeat with another line style.
        line = ("-", "--", "-.", ":")[place // len(COLOURS) % 4]
        return {
            "color": colour,
            "marker": marker,
            "markersize": 5,
            "markevery": every,
            "linewidth": 1.8,
            "linestyle": line,
        }

    def _size_axis(self, ax):
        sizes = sorted(set(self.runs["size"].tolist()))
        if len(sizes) > 1:
            ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("training texts")
        self._open(ax)

    @staticmethod
    def _open(ax):
        open_sides(ax, "top", "right")
        ax.grid(axis="y", color="0.92")
        ax.set_axisbelow(True)

    def _done(self, ax):
        self.ax_, self.figure_ = ax, ax.figure
        return self


_BOX = {
    "orientation": "horizontal",
    "widths": 0.5,
    "showfliers": False,
    "manage_ticks": False,
    "patch_artist": True,
    "boxprops": {"facecolor": "0.94", "edgecolor": "0.6"},
    "medianprops": {"color": "0.35", "linewidth": 1.5},
    "whiskerprops": {"color": "0.6"},
    "capprops": {"color": "0.6"},
}


def _spread(n):
    """Offsets that keep equal scores apart."""
    return np.linspace(-0.17, 0.17, n) if n > 1 else np.zeros(n)
