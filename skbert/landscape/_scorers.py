"""Sharpness, curvature and distance of a fitted estimator as scorers.

They are meant for ``train_scoring`` of `StabilityStudy`, and for `cross_validate`: a scorer takes a fitted estimator,
texts and targets, and returns a number. Larger is not better here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.utils.validation import check_is_fitted

from skbert.landscape._checks import check_labelled, check_subject
from skbert.landscape._curvature import curvature_of, sharpness_of
from skbert.landscape._text_loss import TextLoss
from skbert.landscape._weights import as_tensors, difference, norm

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator


def sharpness_score(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, *, rho: float = 0.05, adaptive: bool = True
) -> float:
    """Rise of the mean loss when the weights take one step up the gradient (SAM, ASAM).

    Parameters
    ----------
    estimator : estimator
        A fitted `MaxPoolBERTClassifier` or `MaxPoolBERTRegressor`, or a Pipeline that ends in one.
    X : as for `fit`
        Texts, usually those of the training.
    y : as for `fit`
        Their targets.
    rho : float, default=0.05
        Length of the step.
    adaptive : bool, default=True
        Whether the step is measured in units of each weight's own size (ASAM, Kwon et al. [2]_), which does not depend
        on rescalings that change no output, instead of plain units (SAM, Foret et al. [1]_).

    Returns
    -------
    float
        In nats for a classifier, else in the standardised squared unit of `y`.

    References
    ----------
    .. [1] Foret, Kleiner, Mobahi, Neyshabur (2021). Sharpness-Aware Minimization. ICLR 2021. arXiv:2010.01412.
    .. [2] Kwon, Kim, Park, Choi (2021). ASAM: Adaptive Sharpness-Aware Minimization. ICML 2021. arXiv:2102.11600.

    Examples
    --------
    >>> from skbert import MaxPoolBERTClassifier
    >>> from skbert.landscape import sharpness_score
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    >>> clf = clf.fit(texts, labels)
    >>> sharpness_score(clf, texts, labels) > 0
    True
    """
    return sharpness_of(_loss(estimator, X, y), rho, adaptive)


def top_eigenvalue_score(estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, *, kind: str = "ggn") -> float:
    """Largest eigenvalue of the curvature of the mean loss at the fitted weights.

    Parameters
    ----------
    estimator : estimator
        A fitted `MaxPoolBERTClassifier` or `MaxPoolBERTRegressor`, or a Pipeline that ends in one.
    X : as for `fit`
        Texts, usually those of the training.
    y : as for `fit`
        Their targets.
    kind : {"ggn", "hessian"}, default="ggn"
        The generalised Gauss-Newton matrix, or the Hessian.

    Returns
    -------
    float

    See Also
    --------
    skbert.LossLandscape.curvature : More eigenvalues, with their residuals.

    Examples
    --------
    >>> from skbert import MaxPoolBERTClassifier
    >>> from skbert.landscape import top_eigenvalue_score
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    >>> clf = clf.fit(texts, labels)
    >>> top_eigenvalue_score(clf, texts, labels) > 0
    True
    """
    return float(curvature_of(_loss(estimator, X, y), kind, 1, 0, seed=0).eigenvalues[0])


def trace_score(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, *, kind: str = "ggn", n_probes: int = 16
) -> float:
    """Trace of the curvature of the mean loss at the fitted weights, by Hutchinson's estimate.

    Parameters
    ----------
    estimator : estimator
        A fitted `MaxPoolBERTClassifier` or `MaxPoolBERTRegressor`, or a Pipeline that ends in one.
    X : as for `fit`
        Texts, usually those of the training.
    y : as for `fit`
        Their targets.
    kind : {"ggn", "hessian"}, default="ggn"
        The generalised Gauss-Newton matrix, or the Hessian.
    n_probes : int, default=16
        Number of random vectors; they are the same for every estimator.

    Returns
    -------
    float

    See Also
    --------
    skbert.LossLandscape.curvature : The trace with its standard error, and by layer.

    Examples
    --------
    >>> from skbert import MaxPoolBERTClassifier
    >>> from skbert.landscape import trace_score
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    >>> clf = clf.fit(texts, labels)
    >>> trace_score(clf, texts, labels) > 0
    True
    """
    return curvature_of(_loss(estimator, X, y), kind, 0, n_probes, seed=0).trace


def distance_score(estimator: BaseEstimator, X: ArrayLike | None = None, y: ArrayLike | None = None) -> float:
    """Euclidean distance of the encoder's weights from their pretrained values.

    New parameters (the head, a learned pooling, re-initialised layers) have no pretrained value and take no part.

    Parameters
    ----------
    estimator : estimator
        A fitted `MaxPoolBERTClassifier` or `MaxPoolBERTRegressor`, or a Pipeline that ends in one.
    X : ignored, default=None
        Not used; a scorer has this parameter.
    y : ignored, default=None
        Not used; a scorer has this parameter.

    Returns
    -------
    float

    Examples
    --------
    >>> from skbert import MaxPoolBERTClassifier
    >>> from skbert.landscape import distance_score
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    >>> distance_score(clf.fit(texts, labels)) > 0
    True
    """
    check_is_fitted(estimator)
    reader = check_subject(estimator).reader
    weights, pretrained = (as_tensors(found) for found in (reader.weights(), reader.pretrained_weights()))
    return norm(difference(weights, pretrained))


def _loss(estimator, X, y):
    check_is_fitted(estimator)
    subject = check_subject(estimator)
    X, y = check_labelled(X, y, "X", subject)
    return TextLoss(subject.reader, X if subject.before is None else subject.before.transform(X), y)
