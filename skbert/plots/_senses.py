"""Pictures of the senses of a word: without a context, and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skbert.plots._style import BLUE, COLOURS, GREY, Picture, axes_for, open_sides, rows_of_names, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from typing_extensions import Self

# Colours of senses; the last two are for the rest.
_MOST = len(COLOURS) - 2
_REST = "#D0D0D0"
_LONGEST = 46


class SensesDisplay(Picture):
    """Pictures of the senses of a word.

    Parameters
    ----------
    word : str
        The word.
    senses : sequence of (int, float, sequence of str)
        Number, weight and most frequent words of each sense, as `Word2Sense.senses_of` gives them.
    contexts : float array (n_contexts, n_senses), default=None
        Weights of all senses in each context, as `Word2Sense.contextualize` gives them, dense.
    labels : sequence of str, (n_contexts,), default=None
        Names of the contexts; None numbers them.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the last picture.
    figure_ : matplotlib Figure
        The figure of the last picture.

    See Also
    --------
    skbert.Word2Sense : Computes the numbers of these pictures.

    Examples
    --------
    >>> from skbert.plots import SensesDisplay
    >>> senses = [(4, 0.7, ["money", "loan"]), (9, 0.3, ["river", "water"])]
    >>> display = SensesDisplay("bank", senses).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['sense 4: money, loan', 'sense 9: river, water']
    """

    def __init__(
        self,
        word: str,
        senses: Sequence[tuple[int, float, Sequence[str]]],
        *,
        contexts: np.ndarray | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.word = word
        self.senses = senses
        self.contexts = contexts
        self.labels = labels

    @classmethod
    def from_estimator(
        cls, model: Any, word: str, *, n_words: int = 5, ax: Axes | None = None, title: str | None = None
    ) -> Self:
        """Make the display of a word of a fitted `Word2Sense`, and draw its senses.

        Parameters
        ----------
        model : Word2Sense
            A fitted model.
        word : str
            A word of its vocabulary.
        n_words : int, default=5
            Number of words that describe a sense.
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        title : str, default=None
            Title of the picture; None is the word.

        Returns
        -------
        SensesDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            The word is not in the vocabulary.

        Examples
        --------
        >>> from skbert import Word2Sense
        >>> from skbert.plots import SensesDisplay
        >>> model = Word2Sense(n_topics=2, random_state=0).fit(["bank loan"] * 30 + ["bank river"] * 30)
        >>> SensesDisplay.from_estimator(model, "bank").ax_.get_xlabel()
        'weight of the sense'
        """
        return cls(word, model.senses_of(word, n_words)).plot(ax, title=title)

    def plot(self, ax: Axes | None = None, *, title: str | None = None) -> Self:
        """Draw a bar for each sense, with its words.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        title : str, default=None
            Title of the picture; None is the word.

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
        >>> from skbert.plots import SensesDisplay
        >>> ax = Figure().subplots()
        >>> SensesDisplay("bank", [(4, 0.7, ["money"])]).plot(ax).ax_ is ax
        True
        """
        ax, own = axes_for(ax, (7.5, 1.1 + 0.32 * len(self.senses)))
        weights = [weight for _, weight, _ in self.senses]
        ax.barh(range(len(weights)), weights, height=0.7, color=BLUE)
        for row, weight in enumerate(weights):
            ax.annotate(f" {weight:.2f}", (weight, row), va="center", fontsize=9, color=GREY)
        rows_of_names(ax, [self._name(*sense) for sense in self.senses])
        # Room for the number at the end of the longest bar.
        ax.set_xlim(0, 1.12 * max(weights))
        ax.set_xlabel("weight of the sense")
        return self._finish(ax, own, f"Senses of “{shown(self.word)}”" if title is None else title)

    def plot_contexts(self, ax: Axes | None = None, *, title: str | None = None) -> Self:
        """Draw how the senses share each context: one bar for each context, a colour for each sense.

        The six senses with the largest weight over all contexts have a colour; the others are grey together.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None makes a new figure.
        title : str, default=None
            Title of the picture; None is the word.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            The display has no contexts.

        Examples
        --------
        >>> import numpy as np
        >>> from skbert.plots import SensesDisplay
        >>> senses = [(0, 0.6, ["money"]), (1, 0.4, ["river"])]
        >>> display = SensesDisplay("bank", senses, contexts=np.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> len(display.plot_contexts().ax_.patches)
        4
        """
        if self.contexts is None:
            raise ValueError("This display has no contexts; give the result of contextualize as contexts.")
        contexts = np.asarray(self.contexts)
        labels = range(1, len(contexts) + 1) if self.labels is None else self.labels
        ax, own = axes_for(ax, (8.5, 1.6 + 0.32 * len(contexts)))
        largest = [int(k) for k in np.argsort(-contexts.sum(axis=0), kind="stable")[:_MOST] if contexts[:, k].any()]
        left = np.zeros(len(contexts))
        for colour, sense in zip(COLOURS, largest, strict=False):
            self._bars(ax, contexts[:, sense], left, colour, self._name_of(sense))
            left = left + contexts[:, sense]
        rest = contexts.sum(axis=1) - left
        if (rest > 1e-6).any():
            self._bars(ax, rest, left, _REST, "other senses")
        rows_of_names(ax, [_short(shown(label)) for label in labels])
        ax.set_xlim(0, 1)
        ax.set_xlabel("weight of the sense in the context")
        if own:
            ax.figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=8)
        else:
            # Under the axes, because the bars fill them.
            ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, -0.2))
        return self._finish(ax, own, f"Senses of “{shown(self.word)}” in its contexts" if title is None else title)

    @staticmethod
    def _bars(ax, widths, left, colour, label):
        # A white edge parts neighbours whose colours look alike in print.
        ax.barh(range(len(widths)), widths, left=left, height=0.7, color=colour, edgecolor="white", label=label)

    def _name_of(self, sense):
        return next((self._name(*known) for known in self.senses if known[0] == sense), f"sense {sense}")

    @staticmethod
    def _name(sense, weight, words):
        kept = list(words)
        # Whole words only: half a word says nothing about a sense.
        while len(kept) > 1 and len(", ".join(kept)) > _LONGEST:
            kept.pop()
        return f"sense {sense}: {_short(shown(', '.join(kept)))}"

    def _finish(self, ax, own, title):
        if own:
            ax.figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        else:
            ax.set_title(title, fontsize=11)
            open_sides(ax, "top")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _short(text):
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
