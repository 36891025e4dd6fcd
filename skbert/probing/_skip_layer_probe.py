"""SkipLayerProbe: which layers of a fine-tuned encoder matter for which label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import check_is_fitted

from skbert._shared import (
    check_int,
    check_not_a_string,
    check_not_empty,
    check_targets_given,
    check_verbose,
    derive_seeds,
    reads_texts,
)
from skbert.estimators import MaxPoolBERTClassifier, as_labels, class_codes
from skbert.probing._held_out import held_out_models, held_out_splits, make_scorer_of_outputs
from skbert.probing._outputs import SkippingEstimator, count_layers, split_estimator
from skbert.probing._results import ProbeResults
from skbert.probing._spans import bounds, resolve_spans, span_names
from skbert.text import check_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Self


class SkipLayerProbe(ProbeResults, ClassifierMixin, TransformerMixin, BaseEstimator):
    """Replace layers of a fine-tuned encoder by the identity and measure which labels suffer.

    This is the method of Kiyuna, Oka and Komachi [1]_. Layers start … stop - 1 of a
    fine-tuned encoder become the identity, nothing is trained again, and the change of
    the predictions is measured for each gold label. All spans run together: a layer runs
    only once on each distinct state below it.

    Parameters
    ----------
    estimator : estimator, default=None
        A `MaxPoolBERTClassifier`, a Pipeline that ends in one, a Pipeline of a `LayerPoolFeaturizer` and a
        classifier with ``predict_proba``, or GridSearchCV over one of these. None is ``MaxPoolBERTClassifier()``.
    spans : {"contiguous", "single"} or list, default="contiguous"
        The layers to skip. ``"contiguous"``: all L(L+1)/2 spans of consecutive layers;
        ``"single"``: each layer alone. A list contains pairs (start, stop) of layers, 0-based,
        stop excluded, or tuples of layer indices, if none of them has length two. Both kinds
        of list may also contain sets of layer indices, such as ``{0, 3}``.
    cv : int, splitter, iterable of splits or "prefit", default=5
        Every sample is scored once, by a clone of `estimator` that was fitted without it.
        With ``"prefit"``, the estimator is already fitted, and the data of `fit` are the
        evaluation data; use held-out texts.
    scoring : str, callable or None, default="accuracy"
        Scorer for ``scores_``. None is the accuracy.
    n_permutations : int, default=999
        Number of permutations of the gold labels in ``pattern_test_`` and `signature_clusters`.
    random_state : int, RandomState instance or None, default=None
        Seed of permutations and clusters. `estimator` has its own seed.
    verbose : int, default=0
        1 shows a progress bar for each fold.

    Attributes
    ----------
    estimator_ : estimator
        The estimator, fitted on all samples; with ``cv="prefit"`` the given estimator.
    classes_ : array (n_classes,)
        Labels in sorted order.
    n_layers_ : int
        L, the number of layers.
    spans_ : int array (n_spans, 2)
        First skipped layer, and last skipped layer plus one.
    skipped_layers_ : list of tuples of int, (n_spans,)
        The layers that are skipped; they differ from ``range(*span)`` for sets with gaps.
    baseline_score_ : float
        Score of the full model, over all samples at once.
    scores_ : float array (n_spans,)
        Score with each span skipped, over all samples at once.
    label_baseline_ : float array (n_classes,)
        Recall of each label by the full model. NaN for a label without samples.
    label_recall_ : float array (n_classes, n_spans)
        Recall of each label with each span skipped.
    recall_interval_ : float array (n_classes, n_spans, 2)
        95 % interval of the change of recall compared with the full model, for the samples of
        the label and fixed models. It is the interval of Agresti and Min [3]_ for paired proportions.
    baseline_predictions_ : array (n_samples,)
        Labels predicted by the full model.
    predictions_ : array (n_spans, n_samples)
        Labels predicted with each span skipped.
    proba_drop_ : float array (n_spans, n_samples)
        Fall of the log-probability of the gold label, in nats; positive if the skipped span
        made the gold label less probable.
    label_drop_ : float array (n_classes, n_spans)
        Mean of ``proba_drop_`` over the samples of each label.
    label_counts_ : int array (n_classes,)
        Number of samples of each label.
    signatures_ : float32 array (n_samples, n_spans)
        Fall of the log-probability of the label that the full model predicts, in nats. It is
        the result of `transform`, but from the model that was not trained on the sample.
    constant_ : bool array (n_spans,)
        Spans with which the same class is predicted for all samples (of each held-out part
        that has more than one label). They only show that the encoder no longer works, not
        which layers matter for a label. The five attributes and methods that follow do not
        use them.
    layer_importance_ : float array (n_classes, n_layers)
        Mean fall of the gold log-probability per skipped layer, in nats. The fall of a span
        of m layers is divided equally among them. The mean is first over the spans of the same
        length that contain the layer, then over lengths.
    label_distance_ : float array (n_classes, n_classes)
        Root mean square difference, over spans, between the mean falls of two labels, after
        the mean over spans was subtracted from each; in nats.
    pattern_test_ : PatternTest
        ``statistic``, ``pvalue`` and ``null`` of the permutation test of "falls differ by
        gold label more than by chance" (W*d of Hamidi et al. [2]_ on ``proba_drop_`` minus the
        mean of each sample; labels are permuted within held-out parts). A label that is only
        harder also gives a small p-value, so look at ``label_baseline_`` too.
    n_features_in_, feature_names_in_
        Those of ``estimator_``.

    Raises
    ------
    TypeError
        The estimator predicts no labels, or has no encoder whose layers can be skipped.
    NotImplementedError
        skbert does not run this family layer by layer.

    See Also
    --------
    skbert.plots.SkipLayerDisplay : Draws triangles, differences and layer importance.

    Notes
    -----
    *Pooling over skipped layers.* Hidden states keep the indices of the full model. A
    skipped layer is the identity, so its hidden state repeats the state below. For example,
    with ``layers=3`` and the last two layers skipped, the maximum is over three times the
    same state, and ``layer_pooling="mean"`` counts this state three times. In ModernBERT, the
    final LayerNorm is applied to the state after the last layer, skipped or not.

    *What you can conclude.* If a layer is skipped, the layers above it get inputs that they
    have never seen. A fall shows that this trained model needs the layer. It does not show
    that the layer holds the knowledge, or what a model that was trained without the layer
    would do. Damaged models often predict only one or two classes. This raises the recall of
    these classes and lowers the others, and the test can reject for this reason alone. So
    look at ``predictions_`` before you read a pattern as the location of a label.
    It also rejects if one label is only harder than another, because the possible fall of a text
    depends on how sure the model was. skbert has no statistic yet that separates the two.
    Another seed of the fine-tuning gives another model: repeat the analysis before you generalise.

    References
    ----------
    .. [1] Kiyuna, Oka, Komachi (2022). Analysis of BERT Using Skipping Layers Method. IPSJ SIG
       Technical Report 2022-NL-253 No. 9 (in Japanese).
    .. [2] Hamidi, Wallace, Vasu, Alekseyenko (2019). W*d-test: robust distance-based multivariate analysis
       of variance. Microbiome 7, 51.
    .. [3] Agresti, Min (2005). Simple improved confidence intervals for comparing matched proportions.
       Statistics in Medicine 24, 729-740.

    Examples
    --------
    >>> from skbert import MaxPoolBERTClassifier, SkipLayerProbe
    >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    >>> labels = ["order", "order", "refund", "refund"]
    >>> clf = MaxPoolBERTClassifier("minilm", learning_rate=1e-4, max_epochs=2, random_state=0)
    >>> probe = SkipLayerProbe(clf, cv=2, n_permutations=19, random_state=0).fit(texts, labels)
    >>> probe.label_recall_.shape
    (2, 21)
    >>> probe.transform(["please refund my speaker"]).shape
    (1, 21)
    >>> probe.get_feature_names_out()[:3]
    array(['skip_0_1', 'skip_0_2', 'skip_0_3'], dtype=object)
    """

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        spans: str | Sequence[Any] = "contiguous",
        cv: Any = 5,
        scoring: str | Callable[..., float] | None = "accuracy",
        n_permutations: int = 999,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.spans = spans
        self.cv = cv
        self.scoring = scoring
        self.n_permutations = n_permutations
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = reads_texts(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "pattern_test_")

    # ---------------------------------------------------------------- fit

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Probe the estimator on labelled texts.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str, (n,)
            Texts or pairs of texts, or the input of the first step of a Pipeline.
        y : array-like (n,)
            Gold labels.
        groups : array-like (n,), default=None
            For splitters such as GroupKFold: samples of one group are held out together.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            The input is wrong, a parameter is out of its range, or the estimator cannot be probed.
        NotFittedError
            With ``cv="prefit"``, the estimator is not fitted.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> probe.n_layers_, probe.spans_.shape  # 6 · 7 / 2 spans of consecutive layers
        (6, (21, 2))
        >>> probe.baseline_predictions_.tolist()
        ['order', 'order', 'refund', 'refund']
        """
        check_int("n_permutations", self.n_permutations, 0)
        check_verbose(self.verbose)
        seed = derive_seeds(self.random_state).split
        score = make_scorer_of_outputs(self.scoring)
        estimator = MaxPoolBERTClassifier() if self.estimator is None else self.estimator
        # Checked before anything is trained, so that no fit is wasted on an estimator that cannot be probed.
        if split_estimator(estimator).before is None:
            check_texts(X, type(self).__name__)
        X, y, groups = self._check_data(X, y, groups)
        if isinstance(self.cv, str) and self.cv == "prefit":
            check_is_fitted(estimator)
            classes, models = np.asarray(estimator.classes_), [(estimator, np.arange(len(y)))]
        else:
            resolve_spans(self.spans, count_layers(estimator))
            classes, models = np.unique(y), held_out_models(estimator, held_out_splits(self.cv, X, y, groups), X, y)
        gold = class_codes(y, classes)
        if (gold < 0).any():
            unknown, known = min(y[gold < 0].tolist(), key=str), classes.tolist()
            raise ValueError(f"y contains the label {unknown!r}, but the fitted estimator knows only {known}.")
        skips, parts, predicted, log_proba = self._run_models(models, X, classes, len(y))
        fitted = estimator if isinstance(models, list) else clone(estimator).fit(X, y)

        self.estimator_, self.classes_ = fitted, classes
        self._seed, self._gold, self._parts = seed, gold, parts
        self.skipped_layers_, self.spans_ = skips, bounds(skips)
        self._adopt_input_of(fitted)
        self._adopt_outputs(predicted, log_proba)
        scores = [score(classes, p, q, X, y) for p, q in zip(predicted, log_proba, strict=True)]
        self.baseline_score_, self.scores_ = scores[0], np.array(scores[1:])
        self._adopt_label_patterns()
        return self

    def _check_data(self, X, y, groups):
        check_targets_given(y, type(self).__name__)
        check_not_a_string(X)
        y = as_labels(y, "y")
        if y.ndim != 1:
            raise ValueError("SkipLayerProbe compares single labels; y must be one-dimensional, not multi-label.")
        X, y, groups = indexable(X, y, groups)
        check_not_empty(len(y), type(self).__name__)
        return X, y, groups

    def _run_models(self, models, X, classes, n):
        """The spans, the number of the model that scored each sample, and its outputs with no span and each span."""
        part_of, skips = np.empty(n, dtype=int), None
        for number, (fitted, rows) in enumerate(models):
            model = SkippingEstimator(fitted)
            if skips is None:
                skips = resolve_spans(self.spans, model.n_layers)
                predicted = np.empty((1 + len(skips), n), dtype=int)
                log_proba = np.empty((1 + len(skips), n, len(classes)))
                self.n_layers_ = model.n_layers
            if model.n_layers != self.n_layers_:
                raise ValueError(
                    f"The models of the folds have {self.n_layers_} and {model.n_layers} layers, so their spans are "
                    "not the same; do not search over layer_path."
                )
            part = _safe_indexing(X, rows)
            predicted[:, rows], log_proba[:, rows] = model.outputs(part, [(), *skips], progress=self.verbose > 0)
            part_of[rows] = number
        return skips, part_of, predicted, log_proba

    def _adopt_input_of(self, fitted):
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(fitted, name):
                setattr(self, name, getattr(fitted, name))
            elif hasattr(self, name):
                delattr(self, name)

    # ---------------------------------------------------------------- estimator

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict labels with ``estimator_`` and all its layers.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            As in `fit`.

        Returns
        -------
        array (n,)
            Labels of the type of ``classes_``.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> probe.predict(["please refund my speaker"]).tolist()
        ['refund']
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Compute the probability of each class with ``estimator_`` and all its layers.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            As in `fit`.

        Returns
        -------
        float array (n, n_classes)
            Columns in the order of ``classes_``.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> probe.predict_proba(["please refund my speaker"]).shape
        (1, 2)
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Compute the skip signatures of texts.

        Parameters
        ----------
        X : list, array, Series or DataFrame of str
            As in `fit`.

        Returns
        -------
        float32 array (n, n_spans)
            Fall of the log-probability of the label that the full model predicts, with each span skipped, in nats.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> signatures = probe.transform(["please refund my speaker", "my parcel is late"])
        >>> signatures.shape, signatures.dtype
        ((2, 21), dtype('float32'))
        """
        check_is_fitted(self)
        model = SkippingEstimator(self.estimator_)
        predicted, log_proba = model.outputs(X, [(), *self.skipped_layers_], progress=self.verbose > 0)
        own = log_proba[:, np.arange(log_proba.shape[1]), predicted[0]]
        return (own[0] - own[1:]).T.astype(np.float32)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : object, default=None
            Ignored; texts have no columns.

        Returns
        -------
        object array of str (n_spans,)
            ``skip_0_3`` if layers 0 to 2 are skipped, ``skip_layers_0_3`` if layers 0 and 3 are skipped.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> probe.get_feature_names_out()[:3].tolist()
        ['skip_0_1', 'skip_0_2', 'skip_0_3']
        """
        check_is_fitted(self)
        return np.array(span_names(self.skipped_layers_), dtype=object)
