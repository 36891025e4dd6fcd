"""Paired differences of two variants, and all that is computed of their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skbert.stability._intervals import FEWEST_RUNS, error_of_mean
from skbert.stability._paired_tests import sign_flip_pvalue, smallest_pvalue, wilcoxon_pvalue


@dataclass(frozen=True)
class Differences:
    """Paired differences of two variants, and what is said of their mean.

    Attributes
    ----------
    values : float array (n,)
    scale : float
        Size of the largest score.
    draws : int array (n,)
    factors : list of arrays (n,)
        Draw, initialisation and order of each pair where pairs share draws; empty where each has a draw of its own.
    share : float
        Test texts over all others; NaN where nothing can be said of new texts.
    """

    values: np.ndarray
    scale: float
    draws: np.ndarray
    factors: list
    share: float

    @classmethod
    def of(cls, scores_a, scores_b, factors, test_share):
        """Those of pairs of which both have a score."""
        d = scores_a - scores_b
        there = ~np.isnan(d)
        scale = max(np.abs(scores_a[there]).max(initial=0), np.abs(scores_b[there]).max(initial=0))
        # Differences that are nothing but rounding of the scores are none.
        d = np.where(np.abs(d[there]) <= 1e-12 * scale, 0.0, d[there])
        factors = [np.asarray(each)[there] for each in factors]
        draws = factors[0] if factors else np.flatnonzero(there)
        n_draws = len(np.unique(draws))
        share = float("nan") if test_share is None or n_draws < 2 else float(test_share)
        return cls(d, scale, draws, factors if n_draws < len(d) else [], share)

    @property
    def mean(self):
        """Mean difference; NaN without pairs."""
        return float(self.values.mean()) if len(self.values) else float("nan")

    @property
    def error_here(self):
        """Standard error of the mean on these texts."""
        return error_of_mean(self.values, self.factors)

    @property
    def error_new(self):
        """Standard error of the mean for other texts of the same kind."""
        return error_of_mean(self.values, self.factors, overlap=self.share)

    @property
    def effect_size(self):
        """Mean over standard deviation."""
        if len(self.values) < 2:
            return float("nan")
        spread = self.values.std(ddof=1)
        if spread <= 1e-12 * self.scale:
            return float(np.copysign(np.inf, self.mean)) if self.values.any() else 0.0
        return self.mean / float(spread)

    def statistics(self, level, bounds, rng):
        """The fields of `Comparison` that follow from the differences alone, a dict."""
        d, n = self.values, len(self.values)
        low, high, low_here, high_here = self.intervals(level, bounds)
        return {
            "differences": d,
            "draws": self.draws,
            "n": n,
            "unit": "cells" if self.factors else "runs",
            "n_draws": len(np.unique(self.draws)),
            "difference": self.mean,
            "pvalue": self.pvalue_new(rng),
            "low": low,
            "high": high,
            "low_here": low_here,
            "high_here": high_here,
            "permutation_pvalue": self.pvalue_of_flips(rng),
            "wilcoxon_pvalue": self.pvalue_of_ranks(rng),
            "t_pvalue": self.pvalue_of(self.error_here, rng),
            "smallest_pvalue": smallest_pvalue(n),
            "effect_size": self.effect_size,
            "wins": int((d > 0).sum()),
            "ties": int((d == 0).sum()),
            "losses": int((d < 0).sum()),
            "test_share": self.share,
        }

    def intervals(self, level, bounds):
        """low, high for new texts; low, high for these."""
        nothing = float("nan"), float("nan")
        if len(self.values) < FEWEST_RUNS or self.error_here.error == 0:
            return *nothing, *nothing
        new = nothing if np.isnan(self.share) else self.error_new.interval(self.mean, level, bounds)
        return *new, *self.error_here.interval(self.mean, level, bounds)

    def pvalue_of(self, error, rng):
        """Of the t-test with this error; where all differences are equal, of the sign flips."""
        if len(self.values) < 2:
            return float("nan")
        if not self.values.any():
            return 1.0
        return self.pvalue_of_flips(rng) if error.error == 0 else error.pvalue(self.mean)

    def pvalue_new(self, rng):
        """Of the corrected resampled t-test."""
        return float("nan") if np.isnan(self.share) else self.pvalue_of(self.error_new, rng)

    def pvalue_of_flips(self, rng):
        """Of the sign flips; NaN where pairs share draws."""
        few = len(self.values) < 2 or self.factors
        return float("nan") if few else sign_flip_pvalue(self.values, rng)

    def pvalue_of_ranks(self, rng):
        """Of Wilcoxon's test; NaN where pairs share draws."""
        few = len(self.values) < 2 or self.factors
        return float("nan") if few else wilcoxon_pvalue(self.values, self.scale, rng)
