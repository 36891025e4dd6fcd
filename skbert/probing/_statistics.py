"""Statistics of skipped layers: the loss of each label, and whether it is more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import xlogy
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score, roc_auc_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbert._shared import permutation_pvalue, permutations_within


@dataclass(frozen=True)
class PatternTest:
    """Permutation test of "falls differ by gold label".

    Attributes
    ----------
    statistic : float
        W*d (Welch's F for distances) of the falls of the gold log-probability, with the samples grouped by gold label.
    pvalue : float
        Share of permutations with at least this statistic, the observed one included.
        NaN without permutations, or if there is nothing to compare.
    null : float array (n_permutations,)
        The statistic with permuted labels.
    """

    statistic: float
    pvalue: float
    null: np.ndarray


@dataclass(frozen=True)
class SignatureClusters:
    """Samples clustered by their skip signature, and how well the clusters agree with the gold labels.

    Attributes
    ----------
    labels : int array (n_samples,)
        Cluster of each sample.
    agreement : float
        Adjusted mutual information with the gold labels; 0 is chance, 1 the same partition.
    pvalue : float
        Share of permutations of the gold labels with at least this agreement; NaN without permutations.
    null : float array (n_permutations,)
        Agreement with permuted gold labels.
    """

    labels: np.ndarray
    agreement: float
    pvalue: float
    null: np.ndarray


@dataclass(frozen=True)
class ErrorAnalysis:
    """Whether the skip signature distinguishes wrong predictions from right ones.

    Attributes
    ----------
    auc : float
        Area under the ROC curve of a logistic regression on the signature, cross-validated
        (mean over folds); 0.5 is chance. NaN with fewer than two wrong or two right predictions.
    confidence_auc : float
        The same area for the confidence of the full model, which is the probability of its
        prediction. The signature is useful only if its area is larger.
    n_wrong, n_samples : int
        Number of wrong predictions, and of all samples.
    """

    auc: float
    confidence_auc: float
    n_wrong: int
    n_samples: int


def label_means(values, gold, n_classes):
    """Mean over the samples of each gold label: (..., n_samples) → (n_classes, ...); NaN if a label has no samples."""
    means = np.full((n_classes, *values.shape[:-1]), np.nan)
    for label in np.unique(gold):
        means[label] = values[..., gold == label].mean(axis=-1)
    return means


def layer_importance(patterns, skips, n_layers):
    """Compute the loss of each label per skipped layer, without the effect of the span length.

    The fall of a span of m layers is divided equally among them: fall / m. The mean of
    these shares is taken first over all spans of the same length that contain the layer,
    then over the lengths. The reason is that a layer in the middle is in more long spans
    than a layer at the ends, so a plain mean would compare different lengths.

    Parameters
    ----------
    patterns : float array (n_classes, n_spans)
        Mean fall of the gold log-probability of each label.
    skips : list of tuples of int, (n_spans,)
        The layers of each span.
    n_layers : int
        L, the number of layers.

    Returns
    -------
    float array (n_classes, n_layers)
        In nats; NaN for a layer that is in no span.
    """
    importance = np.full((len(patterns), n_layers), np.nan)
    lengths = np.array([len(layers) for layers in skips], dtype=int)
    for layer in range(n_layers):
        holds = np.array([layer in layers for layers in skips], dtype=bool)
        shares = [patterns[:, holds & (lengths == m)].mean(axis=1) / m for m in np.unique(lengths[holds])]
        if shares:
            importance[:, layer] = np.mean(shares, axis=0)
    return importance


def label_distance(patterns):
    """Compute the root mean square difference between the patterns of labels.

    From each pattern, its own mean over spans is subtracted first.

    Parameters
    ----------
    patterns : float array (n_classes, n_spans)
        Mean fall of the gold log-probability of each label.

    Returns
    -------
    float array (n_classes, n_classes)
        In nats. If one label loses more than another by the same amount with every span, their distance is 0.
    """
    if patterns.shape[1] == 0:
        return np.full((len(patterns), len(patterns)), np.nan)
    profiles = patterns - patterns.mean(axis=1, keepdims=True)
    return np.sqrt(((profiles[:, None] - profiles[None]) ** 2).mean(axis=-1))


def pattern_test(drops, gold, blocks, n_permutations, rng):
    """Test by permutation whether falls differ by gold label more than by chance.

    From the falls of every sample, their own mean over spans is subtracted. So it does not
    count if a sample loses more with all spans equally. The statistic is W*d of Hamidi et al. [1]_,
    Welch's F for distances; gold labels are permuted within `blocks`. The pseudo-F of Anderson (2001) would
    also be large if a rare label only varies more than the others.

    A label that is only harder also gives a large statistic, because the possible fall of a sample depends on how sure
    the model was.

    Parameters
    ----------
    drops : float array (n_spans, n_samples)
        Fall of the gold log-probability.
    gold : int array (n_samples,)
        Gold label of each sample. Labels with one sample have no variance, and are left out of the statistic.
    blocks : int array (n_samples,)
        Block of each sample.
    n_permutations : int
        Number of permutations.
    rng : numpy Generator
        Source of the permutations.

    Returns
    -------
    PatternTest

    References
    ----------
    .. [1] Hamidi, Wallace, Vasu, Alekseyenko (2019). W*d-test: robust distance-based multivariate analysis of variance.
       Microbiome 7, 51.
    """
    profiles = (drops - drops.mean(axis=0)).T if len(drops) else drops.T
    profiles = profiles - profiles.mean(axis=0)
    squares = (profiles**2).sum(axis=1)
    labels, gold, counts = np.unique(gold, return_inverse=True, return_counts=True)
    members = np.eye(len(labels))[gold][:, counts > 1]
    counts = counts[counts > 1]
    if len(counts) < 2 or squares.sum() <= 0:
        return PatternTest(float("nan"), float("nan"), np.empty(0))
    # Labels without any variance would have an infinite weight.
    floor = np.finfo(float).eps * squares.mean()

    def statistic(members):
        means = members.T @ profiles / counts[:, None]
        within = (members.T @ squares - counts * (means**2).sum(axis=1)) / (counts - 1)
        return _welch_f(means, np.maximum(within, floor), counts)

    observed = statistic(members)
    null = np.array([statistic(members[permuted]) for permuted in permutations_within(blocks, n_permutations, rng)])
    return PatternTest(float(observed), permutation_pvalue(observed, null), null)


def _welch_f(means, variances, counts):
    """Welch's F of `k` group means (k, dimensions), with the total variance (k,) and the size (k,) of each group."""
    k, weights = len(means), counts / variances
    shares = weights / weights.sum()
    between = (weights * ((means - shares @ means) ** 2).sum(axis=1)).sum() / (k - 1)
    return between / (1 + 2 * (k - 2) / (k**2 - 1) * ((1 - shares) ** 2 / (counts - 1)).sum())


def change_intervals(changes, gold, n_classes, level=0.95):
    """Compute intervals of the change of recall of each label: those of Agresti and Min [1]_ for paired proportions.

    Half a sample is added to each of the four combinations of right and wrong, before and after. Unlike a bootstrap,
    this gives an interval even if no prediction changed, and it has the stated coverage from five samples on.

    Parameters
    ----------
    changes : float array (n_spans, n_samples)
        1 if a span makes a prediction right, -1 if it makes it wrong, 0 if it changes nothing.
    gold : int array (n_samples,)
        Gold label of each sample.
    n_classes : int
        Number of labels.
    level : float, default=0.95
        Level of the intervals.

    Returns
    -------
    float array (n_classes, n_spans, 2)
        NaN for labels without samples.

    References
    ----------
    .. [1] Agresti, Min (2005). Simple improved confidence intervals for comparing matched proportions. Statistics in
       Medicine 24, 729-740.
    """
    intervals = np.full((n_classes, len(changes), 2), np.nan)
    for label in np.unique(gold):
        own = changes[:, gold == label]
        n, gained, lost = own.shape[1] + 2, (own > 0).sum(axis=1) + 0.5, (own < 0).sum(axis=1) + 0.5
        change = (gained - lost) / n
        reach = stats.norm.isf((1 - level) / 2) * np.sqrt(((gained + lost) / n - change**2) / n)
        intervals[label] = np.clip(np.column_stack([change - reach, change + reach]), -1, 1)
    return intervals


def cluster_signatures(signatures, gold, blocks, n_clusters, n_permutations, rng):
    """Cluster samples by their signatures and compare with gold labels; see `SignatureClusters`."""
    seed = int(rng.integers(2**32))
    clusters = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(signatures.astype(np.float64))
    agreement = adjusted_mutual_info_score(gold, clusters)
    table = contingency_matrix(gold, clusters)
    expected = expected_mutual_information(table, len(gold))
    # Permuted labels keep their counts, so only the mutual information itself changes.
    upper = (_entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0))) / 2
    null = np.array(
        [
            (mutual_info_score(None, None, contingency=contingency_matrix(gold[order], clusters)) - expected)
            / max(upper - expected, np.finfo(float).eps)
            for order in permutations_within(blocks, n_permutations, rng)
        ]
    )
    return SignatureClusters(clusters, float(agreement), permutation_pvalue(agreement, null), null)


def _entropy(counts):
    shares = counts / counts.sum()
    return -xlogy(shares, shares).sum()


def analyse_errors(signatures, wrong, confidence, rng):
    """See `ErrorAnalysis`; `wrong` bool (n_samples,), `confidence` (n_samples,)."""
    n_wrong = int(wrong.sum())
    n_folds = min(5, n_wrong, len(wrong) - n_wrong)
    auc = confidence_auc = float("nan")
    if n_folds >= 2:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**32)))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        auc = float(cross_val_score(model, signatures, wrong, cv=folds, scoring="roc_auc").mean())
        confidence_auc = float(roc_auc_score(wrong, -confidence))
    return ErrorAnalysis(auc, confidence_auc, n_wrong, len(wrong))
