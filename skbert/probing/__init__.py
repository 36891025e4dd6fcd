"""Which layers matter for which label."""

from skbert.probing._skip_layer_probe import SkipLayerProbe

__all__ = ["SkipLayerProbe"]
