"""Pictures of finished results, in the manner of scikit-learn's Display classes."""

from ._cv_scores import CVScoresDisplay
from ._skip_layers import SkipLayerDisplay

__all__ = ["CVScoresDisplay", "SkipLayerDisplay"]
