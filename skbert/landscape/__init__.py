"""What the loss looks like around a fine-tuned model: lines, surfaces, curvature and sharpness."""

from skbert.landscape._landscape import LossLandscape
from skbert.landscape._scorers import distance_score, sharpness_score, top_eigenvalue_score, trace_score
from skbert.landscape._weights import Weights

__all__ = [
    "LossLandscape",
    "Weights",
    "distance_score",
    "sharpness_score",
    "top_eigenvalue_score",
    "trace_score",
]
