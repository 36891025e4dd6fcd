"""Results from the outputs with skipped layers: by label, by layer, and with their uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skbert._shared import check_int, pandas, warn
from skbert.probing._spans import as_triangle
from skbert.probing._statistics import (
    analyse_errors,
    change_intervals,
    cluster_signatures,
    label_distance,
    label_means,
    layer_importance,
    pattern_test,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from skbert.probing._statistics import ErrorAnalysis, SignatureClusters


class ProbeResults:
    """The numbers of a `SkipLayerProbe`.

    Uses ``classes_``, ``n_layers_``, ``skipped_layers_``, ``spans_`` and ``n_permutations``, and of the fit ``_seed``,
    ``_gold`` (gold labels as indices into ``classes_``) and ``_parts`` (the number of the model that saw each sample).
    """

    def triangle(self, values: ArrayLike | None = None, label: Any = None) -> np.ndarray:
        """Arrange values by first skipped layer and stop.

        Parameters
        ----------
        values : array (n_spans,), or (n_classes, n_spans) with `label`; default=None
            None is ``scores_``, or with `label` its row of ``label_recall_``.
        label : one of ``classes_``, default=None
            The label whose row is used, if `values` has one row per label.

        Returns
        -------
        float array (n_layers, n_layers + 1)
            Rows are starts, columns are stops; NaN if this contiguous span was not skipped.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> triangle = probe.triangle(label="refund")
        >>> triangle.shape  # first skipped layer by stop
        (6, 7)
        >>> bool(triangle[0, 6] == probe.label_recall_[1, probe.spans_.tolist().index([0, 6])])
        True
        """
        check_is_fitted(self)
        if values is None:
            values = self.scores_ if label is None else self.label_recall_
        values = np.asarray(values, dtype=float)
        if label is not None and values.ndim == 2:
            values = values[self._index_of(label)]
        if values.shape != (len(self.skipped_layers_),):
            raise ValueError(
                f"values must have one number for each of the {len(self.skipped_layers_)} spans, got shape "
                f"{values.shape}. Give label= as well to take a row by label."
            )
        return as_triangle(values, self.skipped_layers_, self.n_layers_)

    def _index_of(self, label):
        found = np.flatnonzero(self.classes_ == label)
        if len(found) != 1:
            raise ValueError(f"label={label!r} is not among the classes {self.classes_.tolist()}.")
        return int(found[0])

    def to_frame(self) -> DataFrame:
        """Return a table with one row per span and label.

        Returns
        -------
        pandas.DataFrame
            ``span`` (name), ``start``, ``stop``, ``label``, ``n`` (samples), ``recall``, ``change`` (from the full
            model), ``low`` and ``high`` (95 % interval of the change), ``drop`` (mean fall of the gold
            log-probability, nats), ``constant``.

        Raises
        ------
        ImportError
            pandas is not installed.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> frame = probe.to_frame()
        >>> frame[["span", "start", "stop", "label", "n"]].head(2).values.tolist()
        [['skip_0_1', 0, 1, 'order', 2], ['skip_0_1', 0, 1, 'refund', 2]]
        """
        check_is_fitted(self)
        n_classes, n_spans = self.label_recall_.shape
        # Span by span, and within a span label by label.
        return pandas().DataFrame(
            {
                "span": np.repeat(self.get_feature_names_out(), n_classes),
                "start": np.repeat(self.spans_[:, 0], n_classes),
                "stop": np.repeat(self.spans_[:, 1], n_classes),
                "label": np.tile(self.classes_, n_spans),
                "n": np.tile(self.label_counts_, n_spans),
                "recall": self.label_recall_.T.ravel(),
                "change": (self.label_recall_ - self.label_baseline_[:, None]).T.ravel(),
                "low": self.recall_interval_[..., 0].T.ravel(),
                "high": self.recall_interval_[..., 1].T.ravel(),
                "drop": self.label_drop_.T.ravel(),
                "constant": np.repeat(self.constant_, n_classes),
            }
        )

    def signature_clusters(self, n: int) -> SignatureClusters:
        """Cluster the samples by their skip signatures, and compare the clusters with the gold labels.

        Parameters
        ----------
        n : int
            Number of clusters of k-means on ``signatures_``, without constant spans.

        Returns
        -------
        SignatureClusters
            ``labels``, ``agreement`` (adjusted mutual information with the gold labels),
            ``pvalue`` and ``null`` (agreement with permuted gold labels).

        Notes
        -----
        Signatures of different folds come from different models, so a cluster can be the samples of one fold.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> clusters = probe.signature_clusters(2)
        >>> clusters.labels.shape, len(set(clusters.labels.tolist()))
        ((4,), 2)
        """
        check_is_fitted(self)
        check_int("n", n, 1)
        if n > len(self._gold):
            raise ValueError(f"n={n} clusters are too many, because there are {len(self._gold)} samples.")
        return cluster_signatures(
            self._usable_signatures(), self._gold, self._blocks(), int(n), self.n_permutations, self._rng("clusters")
        )

    def error_analysis(self) -> ErrorAnalysis:
        """Test whether the skip signature distinguishes wrong predictions of the full model from right ones.

        Returns
        -------
        ErrorAnalysis
            ``auc`` of a logistic regression on ``signatures_`` (cross-validated), and for comparison
            ``confidence_auc`` of the confidence of the model itself.

        Examples
        --------
        >>> from skbert import LayerPoolFeaturizer, SkipLayerProbe
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
        >>> labels = ["order", "order", "refund", "refund"]
        >>> model = make_pipeline(LayerPoolFeaturizer("minilm"), LogisticRegression()).fit(texts, labels)
        >>> probe = SkipLayerProbe(model, cv="prefit", random_state=0).fit(texts, labels)
        >>> analysis = probe.error_analysis()
        >>> analysis.n_wrong, analysis.n_samples  # no prediction is wrong here
        (0, 4)
        """
        check_is_fitted(self)
        wrong = self.baseline_predictions_ != self.classes_[self._gold]
        return analyse_errors(self._usable_signatures(), wrong, self._confidence, self._rng("errors"))

    def _usable_signatures(self):
        if self.constant_.all():
            raise ValueError(
                "With every span, the same class is predicted for all samples; no signature is left to analyse."
            )
        return self.signatures_[:, ~self.constant_]

    # ---------------------------------------------------------------- computing them, at the end of `fit`

    def _adopt_outputs(self, predicted, log_proba):
        rows = np.arange(len(self._gold))
        self.baseline_predictions_, self.predictions_ = self.classes_[predicted[0]], self.classes_[predicted[1:]]
        gold = log_proba[:, rows, self._gold]
        own = log_proba[:, rows, predicted[0]]
        self.proba_drop_ = gold[0] - gold[1:]
        self.signatures_ = (own[0] - own[1:]).T.astype(np.float32)
        self._confidence = np.exp(own[0])
        constant = self._predicts_one_class(predicted)
        self.constant_ = constant[1:]
        if constant[0]:
            warn("The full model predicts one class for all samples, so no layer can be related to a label.")

    def _predicts_one_class(self, predicted):
        constant = np.ptp(predicted, axis=1) == 0
        parts = [rows for rows in map(self._rows_of, np.unique(self._parts)) if np.ptp(self._gold[rows])]
        if parts:
            constant |= np.all([np.ptp(predicted[:, rows], axis=1) == 0 for rows in parts], axis=0)
        return constant

    def _rows_of(self, part):
        return np.flatnonzero(self._parts == part)

    def _adopt_label_patterns(self):
        gold, n_classes = self._gold, len(self.classes_)
        right = self.predictions_ == self.classes_[gold]
        right_before = self.baseline_predictions_ == self.classes_[gold]
        self.label_counts_ = np.bincount(gold, minlength=n_classes)
        self.label_drop_ = label_means(self.proba_drop_, gold, n_classes)
        self.label_baseline_ = label_means(right_before, gold, n_classes)
        self.label_recall_ = label_means(right, gold, n_classes)
        changes = right.astype(float) - right_before
        self.recall_interval_ = change_intervals(changes, gold, n_classes)
        usable = np.flatnonzero(~self.constant_)
        patterns = self.label_drop_[:, usable]
        self.layer_importance_ = layer_importance(patterns, [self.skipped_layers_[i] for i in usable], self.n_layers_)
        self.label_distance_ = label_distance(patterns)
        self.pattern_test_ = pattern_test(
            self.proba_drop_[usable], gold, self._blocks(), self.n_permutations, self._rng("pattern")
        )

    def _blocks(self):
        """Groups in which labels may be permuted: the samples of one model, if they have more than one label."""
        if any(np.ptp(self._gold[self._rows_of(part)]) for part in np.unique(self._parts)):
            return self._parts
        return np.zeros_like(self._parts)

    def _rng(self, purpose):
        """A separate random stream for each statistic, so that computing one does not change another."""
        purposes = ("pattern", "clusters", "errors")
        return np.random.default_rng([self._seed, purposes.index(purpose)])
