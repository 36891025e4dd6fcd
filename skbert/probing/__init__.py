"""Which layers matter for which label."""

from skbert.probing._skip_layer_probe import SkipLayerProbe
from skbert.probing._statistics import change_intervals, pattern_test

__all__ = ["SkipLayerProbe", "change_intervals", "pattern_test"]
