"""scikit-learn compatible estimators over BERT-family encoders, for few labelled texts.

Public names are imported on first use: ``import skbert`` itself loads neither
torch nor transformers.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from skbert._version import __version__ as __version__

_HOME = {
    "CVScoresDisplay": "skbert.plots",
    "FeatureStore": "skbert.store",
    "LayerPoolFeaturizer": "skbert.estimators",
    "MaskedLanguageModel": "skbert.pretraining",
    "MaxPoolBERTClassifier": "skbert.estimators",
    "MaxPoolBERTRegressor": "skbert.estimators",
    "LossLandscape": "skbert.landscape",
    "LossLandscapeDisplay": "skbert.plots",
    "ModelNotFoundError": "skbert.errors",
    "OutOfMemoryError": "skbert.errors",
    "RunStoreError": "skbert.errors",
    "SavedEstimatorError": "skbert.errors",
    "SenseVectorizer": "skbert.senses",
    "SensesDisplay": "skbert.plots",
    "SkbertError": "skbert.errors",
    "SkipLayerDisplay": "skbert.plots",
    "SkipLayerProbe": "skbert.probing",
    "StabilityDisplay": "skbert.plots",
    "StabilityStudy": "skbert.stability",
    "Word2Sense": "skbert.senses",
}
_SUBPACKAGES = frozenset(
    "compute datasets encoder errors estimators landscape networks pages plots pooling pretraining probing recipes "
    "saving senses stability store text training".split()
)

__all__ = sorted([*_HOME, "__version__"])

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from skbert.errors import ModelNotFoundError as ModelNotFoundError
    from skbert.errors import OutOfMemoryError as OutOfMemoryError
    from skbert.errors import RunStoreError as RunStoreError
    from skbert.errors import SavedEstimatorError as SavedEstimatorError
    from skbert.errors import SkbertError as SkbertError
    from skbert.estimators import LayerPoolFeaturizer as LayerPoolFeaturizer
    from skbert.estimators import MaxPoolBERTClassifier as MaxPoolBERTClassifier
    from skbert.estimators import MaxPoolBERTRegressor as MaxPoolBERTRegressor
    from skbert.landscape import LossLandscape as LossLandscape
    from skbert.plots import CVScoresDisplay as CVScoresDisplay
    from skbert.plots import LossLandscapeDisplay as LossLandscapeDisplay
    from skbert.plots import SensesDisplay as SensesDisplay
    from skbert.plots import SkipLayerDisplay as SkipLayerDisplay
    from skbert.plots import StabilityDisplay as StabilityDisplay
    from skbert.pretraining import MaskedLanguageModel as MaskedLanguageModel
    from skbert.probing import SkipLayerProbe as SkipLayerProbe
    from skbert.senses import SenseVectorizer as SenseVectorizer
    from skbert.senses import Word2Sense as Word2Sense
    from skbert.stability import StabilityStudy as StabilityStudy
    from skbert.store import FeatureStore as FeatureStore


def __getattr__(name):
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _SUBPACKAGES:
        return import_module(f"skbert.{name}")
    raise AttributeError(f"module 'skbert' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_SUBPACKAGES})
