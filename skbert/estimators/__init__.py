"""scikit-learn estimators over an encoder, one class per file."""

from skbert.estimators._base import TextEstimator
from skbert.estimators._classifier import MaxPoolBERTClassifier
from skbert.estimators._featurizer import LayerPoolFeaturizer
from skbert.estimators._fitted_model import FittedModel, as_arrays
from skbert.estimators._nested_model import clear_trained
from skbert.estimators._parameters import RECIPE_PARAMETERS
from skbert.estimators._persistence import PersistenceMixin
from skbert.estimators._regressor import MaxPoolBERTRegressor
from skbert.estimators._targets import as_labels, as_numbers, class_codes

__all__ = [
    "RECIPE_PARAMETERS",
    "FittedModel",
    "LayerPoolFeaturizer",
    "MaxPoolBERTClassifier",
    "MaxPoolBERTRegressor",
    "PersistenceMixin",
    "TextEstimator",
    "as_arrays",
    "as_labels",
    "as_numbers",
    "class_codes",
    "clear_trained",
]
