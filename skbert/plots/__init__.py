"""Pictures of finished results, in the manner of scikit-learn's Display classes."""

from ._cv_scores import CVScoresDisplay

__all__ = ["CVScoresDisplay"]
