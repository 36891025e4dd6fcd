"""Pictures of finished results, like the Display classes of scikit-learn."""

from skbert.plots._cv_scores import CVScoresDisplay
from skbert.plots._loss_landscape import LossLandscapeDisplay
from skbert.plots._senses import SensesDisplay
from skbert.plots._skip_layers import SkipLayerDisplay
from skbert.plots._stability import StabilityDisplay
from skbert.plots._style import Picture

__all__ = [
    "CVScoresDisplay",
    "LossLandscapeDisplay",
    "Picture",
    "SensesDisplay",
    "SkipLayerDisplay",
    "StabilityDisplay",
]
