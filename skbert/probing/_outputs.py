"""What an estimator over an encoder predicts when layers of the encoder are skipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline

from skbert.estimators import LayerPoolFeaturizer, MaxPoolBERTClassifier, TextEstimator

# Smaller probabilities are replaced by this value, as in scikit-learn's log loss.
_LEAST_PROBABILITY = np.finfo(np.float64).eps

_WHAT_CAN_BE_PROBED = (
    "SkipLayerProbe needs a MaxPoolBERTClassifier, a Pipeline that ends in one, a Pipeline of a "
    "LayerPoolFeaturizer and a classifier with predict_proba, or a search such as GridSearchCV over one of these"
)


@dataclass(frozen=True)
class Parts:
    """The three parts of an estimator: the steps before the encoder, the encoder, and the steps after it.

    Attributes
    ----------
    before : Pipeline or None
        Turns `X` into texts; None if `X` already contains texts.
    reader : MaxPoolBERTClassifier or LayerPoolFeaturizer
        The estimator with the encoder.
    after : Pipeline or None
        Turns features into classes; None if the reader itself does this.
    """

    before: Pipeline | None
    reader: TextEstimator
    after: Pipeline | None


def split_estimator(estimator):
    """The `Parts` of an estimator, fitted or not; TypeError if its layers cannot be probed."""
    if isinstance(estimator, FrozenEstimator):
        return split_estimator(estimator.estimator)
    if isinstance(estimator, (GridSearchCV, RandomizedSearchCV)):
        return split_estimator(getattr(estimator, "best_estimator_", estimator.estimator))
    if isinstance(estimator, MaxPoolBERTClassifier):
        return Parts(None, estimator, None)
    if not isinstance(estimator, Pipeline):
        kind = type(estimator).__name__
        alone = " alone predicts no labels: put a classifier after it in a Pipeline"
        raise TypeError(f"{_WHAT_CAN_BE_PROBED}; {kind}{alone if isinstance(estimator, LayerPoolFeaturizer) else ''}.")
    steps = [step for _, step in estimator.steps]
    places = [i for i, step in enumerate(steps) if isinstance(step, (MaxPoolBERTClassifier, LayerPoolFeaturizer))]
    if len(places) != 1:
        raise TypeError(f"{_WHAT_CAN_BE_PROBED}; this Pipeline has {len(places)} steps with an encoder.")
    (place,) = places
    before = estimator[:place] if place else None
    after = estimator[place + 1 :] if place + 1 < len(steps) else None
    if isinstance(steps[place], LayerPoolFeaturizer):
        last = steps[-1]
        if after is None or not is_classifier(last) or not hasattr(last, "predict_proba"):
            raise TypeError(
                f"{_WHAT_CAN_BE_PROBED}; this Pipeline ends in {type(last).__name__}, which "
                f"{'has no predict_proba' if is_classifier(last) else 'is not a classifier'}."
            )
    elif after is not None:
        raise TypeError(f"{_WHAT_CAN_BE_PROBED}; in this Pipeline steps follow the MaxPoolBERTClassifier.")
    return Parts(before, steps[place], after)


def count_layers(estimator):
    """Return L, the number of layers of the encoder of a fit of `estimator`, before or after the fit.

    Raises
    ------
    TypeError
        The estimator cannot be probed.
    NotImplementedError
        skbert does not run this family layer by layer.
    ModelNotFoundError
        The encoder is unknown, not available or damaged.
    """
    return clone(split_estimator(estimator).reader).count_layers()


class SkippingEstimator:
    """A fitted estimator that can leave out layers of its encoder.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator; see `split_estimator`.

    Attributes
    ----------
    classes : array (n_classes,)
        Labels of the estimator.
    n_layers : int
        Number of layers of the encoder.

    Raises
    ------
    ValueError
        The estimator was fitted on multi-label targets.
    """

    def __init__(self, estimator):
        self._parts = split_estimator(estimator)
        reader = self._parts.reader
        self.n_layers = reader.count_layers()
        if getattr(reader, "multilabel_", False):
            raise ValueError("SkipLayerProbe compares single labels; this estimator was fitted on multi-label targets.")
        self.classes = estimator.classes_

    def outputs(self, X, skips, progress=False):
        """Compute predictions for `X` with every set of skipped layers.

        Parameters
        ----------
        X : texts, or input that the steps before the encoder turn into texts
            The samples.
        skips : sequence of collections of int
            Layers to leave out, 0-based.
        progress : bool, default=False
            Whether to show a progress bar.

        Returns
        -------
        predicted : int array (n_skips, n)
            Indices into ``classes``.
        log_proba : float64 array (n_skips, n, n_classes)
            Logarithms of the probabilities.
        """
        before, reader = self._parts.before, self._parts.reader
        X = X if before is None else before.transform(X)
        predicted, log_proba = reader.outputs_without_layers(X, skips, self._decide, progress=progress)
        return predicted.T, log_proba.swapaxes(0, 1)

    def _decide(self, values):
        """Class indices (n, n_skips) and log-probabilities (n, n_skips, n_classes) for outputs of the reader."""
        after = self._parts.after
        if after is None:
            return values.argmax(axis=-1), log_softmax(values.astype(np.float64), axis=-1)
        shape = values.shape[:2]
        features = values.reshape(-1, values.shape[-1])
        place = {label: i for i, label in enumerate(self.classes.tolist())}
        decided = np.array([place[label] for label in after.predict(features).tolist()])
        logs = np.log(np.maximum(after.predict_proba(features), _LEAST_PROBABILITY, dtype=np.float64))
        return decided.reshape(shape), logs.reshape(*shape, -1)
