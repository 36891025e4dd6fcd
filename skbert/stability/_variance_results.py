"""Results of a crossed study: where the variance of its scores comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skbert._shared import pandas
from skbert.stability._variance_table import components_table, of_components, score_and_factors

if TYPE_CHECKING:
    from pandas import DataFrame


class VarianceResults:
    """The part of `StudyResults` that is about sources of variance."""

    def variance_components(self, score: str | None = None) -> DataFrame:
        """Estimate the sources of variance in a crossed design.

        Parameters
        ----------
        score : str, default=None
            One of ``scores_``; None is the first.

        Returns
        -------
        pandas.DataFrame
            For every variant with both seeds and every size: ``source``, ``levels``, ``variance``, ``low`` and ``high``
            (its 95 % interval), ``std`` (in units of the score), ``share`` of the total, and ``test_sampling``: the
            part of the variance of the draw that exists only because the test set is small (accuracy only).
            Sources are "draw", "init", "order", their pairs such as "draw:init", and "interaction" for the rest, which
            includes dropout. The method is restricted maximum likelihood in a model of random effects. NaN for a source
            that was not varied or cannot be separated from the rest, and if too few runs have a score. Runs without a
            score are left out, and then there are no intervals.

        Raises
        ------
        ValueError
            The design is not crossed, or too small to separate the sources.

        Notes
        -----
        With one draw, "init" and "order" are the effects on this draw: "init" is then "init" and "draw:init" together.

        The draw also determines the test texts. If nothing else varies, the variance of the proportion p of right
        predictions on n_test of N texts is p (1 − p) / n_test · (1 − n_test / N).

        Examples
        --------
        >>> import numpy as np
        >>> from skbert import StabilityStudy
        >>> from sklearn.base import BaseEstimator, ClassifierMixin
        >>> class Lucky(ClassifierMixin, BaseEstimator):
        ...     def __init__(self, init_seed=None, order_seed=None):
        ...         self.init_seed, self.order_seed = init_seed, order_seed
        ...     def fit(self, X, y):
        ...         self.classes_ = np.unique(y)
        ...         return self
        ...     def predict(self, X):
        ...         rng = np.random.default_rng([self.init_seed, self.order_seed])
        ...         return rng.choice(self.classes_, len(X))
        >>> seeds = {"init": 3, "order": 3, "draw": 2}
        >>> study = StabilityStudy(Lucky(), seeds=seeds, baselines=(), random_state=0)
        >>> study = study.fit([f"text {i}" for i in range(40)], ["a", "b"] * 20)
        >>> table = study.variance_components()
        >>> table[["source", "levels"]].values.tolist()[:4]
        [['draw', 2], ['init', 3], ['order', 3], ['draw:init', 6]]
        >>> float(round(table["share"].sum(), 6))
        1.0
        """
        score = self._score(score)
        if not self.crossed_:
            raise ValueError(
                "Variance components need a crossed design; with an int for seeds everything varies at once. Use "
                "seeds={'init': 5, 'order': 5, 'draw': 3}."
            )
        crossed = self.results_[self.results_["init_seed"].notna()]
        tables, errors = [], []
        for (variant, size), group in crossed.groupby(["variant", "size"], sort=False):
            values, factors = score_and_factors(group, score)
            try:
                table = components_table(values, factors)
            except ValueError as error:
                errors.append(error)
                table = components_table(np.empty(0), {name: np.empty(0, dtype=int) for name in factors})
            tables.append(table.assign(variant=variant, size=size, test_sampling=np.nan))
            draw = (table["source"] == "draw") & (table["variance"] > 0)
            if score == "accuracy" and draw.any():
                by_chance = self._variance_of_test_texts(values)
                tables[-1].loc[draw, "test_sampling"] = (by_chance / table["variance"][draw]).clip(upper=1)
        if errors and len(errors) == len(tables):
            raise errors[0]
        frame = pandas().concat(tables, ignore_index=True)
        return frame[["variant", "size", *[name for name in frame if name not in ("variant", "size")]]]

    def _variance_of_test_texts(self, accuracies):
        n_test, n_texts = self._n_test, self._n_texts
        p = accuracies.mean()
        return p * (1 - p) / n_test * (1 - n_test / n_texts)

    def variance_conclusions(self, score: str | None = None, *, by: str | None = None) -> list[str]:
        """Explain the variance components in sentences.

        Parameters
        ----------
        score : str, default=None
            One of ``scores_``; None is the first.
        by : str, default=None
            The score in ``scores_`` by which one of several restarts would be chosen, such as a score on validation
            data.

        Returns
        -------
        list of str
            One sentence for each variant with both seeds and each size.

        Examples
        --------
        >>> import numpy as np
        >>> from skbert import StabilityStudy
        >>> from sklearn.base import BaseEstimator, ClassifierMixin
        >>> class Lucky(ClassifierMixin, BaseEstimator):
        ...     def __init__(self, init_seed=None, order_seed=None):
        ...         self.init_seed, self.order_seed = init_seed, order_seed
        ...     def fit(self, X, y):
        ...         self.classes_ = np.unique(y)
        ...         return self
        ...     def predict(self, X):
        ...         rng = np.random.default_rng([self.init_seed, self.order_seed])
        ...         return rng.choice(self.classes_, len(X))
        >>> seeds = {"init": 3, "order": 3, "draw": 2}
        >>> study = StabilityStudy(Lucky(), seeds=seeds, baselines=(), random_state=0)
        >>> study = study.fit([f"text {i}" for i in range(40)], ["a", "b"] * 20)
        >>> (sentences,) = study.variance_conclusions()
        >>> print(sentences.partition(":")[0])
        Lucky with 30 training texts
        """
        score = self._score(score)
        by = None if by is None else self._score(by)
        crossed = self.results_[self.results_["init_seed"].notna()]
        return [
            of_components(table, crossed[(crossed["variant"] == name) & (crossed["size"] == size)], score, by)
            for (name, size), table in self.variance_components(score).groupby(["variant", "size"], sort=False)
        ]
