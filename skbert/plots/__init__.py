"""Pictures of finished results, in the manner of scikit-learn's Display classes."""

from ._cv_scores import CVScoresDisplay
from ._skip_layers import SkipLayerDisplay
from ._stability import StabilityDisplay

__all__ = ["CVScoresDisplay", "SkipLayerDisplay", "StabilityDisplay"]
