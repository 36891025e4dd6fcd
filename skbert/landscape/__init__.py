"""What the loss looks like around a fine-tuned model: lines, surfaces, curvature and sharpness."""

from skbert.landscape._curvature import curvature_of
from skbert.landscape._landscape import LossLandscape
from skbert.landscape._loss_meter import LossMeter
from skbert.landscape._points import measure_surface
from skbert.landscape._scorers import distance_score, sharpness_score, top_eigenvalue_score, trace_score
from skbert.landscape._text_loss import TextLoss
from skbert.landscape._weights import Weights, as_tensors, difference

__all__ = [
    "LossLandscape",
    "LossMeter",
    "TextLoss",
    "Weights",
    "as_tensors",
    "curvature_of",
    "difference",
    "distance_score",
    "measure_surface",
    "sharpness_score",
    "top_eigenvalue_score",
    "trace_score",
]
