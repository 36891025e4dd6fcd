"""What a command says of an estimator: how it was trained, its scores by label, and results of a probe."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
from sklearn.metrics import precision_recall_fscore_support
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from skbert.cli._cells import as_values
from skbert.cli._estimators import is_multilabel
from skbert.cli._labels import unlearned


def score(estimator, X, y):
    """Compute scores of a fitted estimator.

    Parameters
    ----------
    estimator : fitted classifier or regressor
        The estimator.
    X : texts
        The texts.
    y : array (n,) or (n, n_labels)
        Labels in the type of the classes; see `skbert.cli._labels.match`.

    Returns
    -------
    scores : dict
        Scores for JSON. Scores of a class are only under "by_label", so that the name of a class cannot be confused
        with the name of an average.
    shown : str
        Scores as text for people.
    """
    predicted = estimator.predict(X)
    if not hasattr(estimator, "classes_"):
        return _score_numbers(y, predicted)
    if is_multilabel(estimator):
        return _score_indicators(y, predicted, estimator.classes_)
    return _score_labels(y, predicted, estimator.classes_)


def _score_labels(y, predicted, classes):
    from sklearn.metrics import classification_report, confusion_matrix

    # Classes of any type are scored by number; classes that were never learned come last.
    values = [*as_values(classes), *unlearned(y, classes)]
    numbers = {value: number for number, value in enumerate(values)}
    y, predicted = ([numbers[value] for value in as_values(labels)] for labels in (y, predicted))
    names, every = [str(value) for value in values], list(range(len(values)))
    shown = classification_report(y, predicted, labels=every, target_names=names, digits=3, zero_division=0)
    matrix = confusion_matrix(y, predicted, labels=every)
    width = max(map(len, names))
    rows = [
        f"{name:>{width}}  {' '.join(f'{count:5d}' for count in row)}" for name, row in zip(names, matrix, strict=True)
    ]
    shown += "\nGold label (rows) against prediction (columns, in the same order):\n\n" + "\n".join(rows)
    scores = {"n": len(y), "accuracy": float(np.mean(np.equal(y, predicted)))}
    scores |= _averages(y, predicted, every, ("macro", "weighted"))
    return {**scores, "by_label": _by_label(y, predicted, every, names), **_counts(names, matrix)}, shown


def _score_indicators(y, predicted, classes):
    from sklearn.metrics import classification_report, multilabel_confusion_matrix

    names, every = [str(label) for label in classes.tolist()], list(range(len(classes)))
    shown = classification_report(y, predicted, labels=every, target_names=names, digits=3, zero_division=0)
    accuracy = float((y == predicted).all(axis=1).mean())
    shown += f"\nTexts with all labels right: {accuracy:.3f}"
    scores = {"n": len(y), "accuracy": accuracy}
    scores |= _averages(y, predicted, every, ("micro", "macro", "weighted"))
    matrix = multilabel_confusion_matrix(y, predicted, labels=every)
    return {**scores, "by_label": _by_label(y, predicted, every, names), **_counts(names, matrix)}, shown


_MEASURES = ("precision", "recall", "f1-score", "support")


def _by_label(y, predicted, every, names):
    found = precision_recall_fscore_support(y, predicted, labels=every, zero_division=0)
    rows = zip(*(values.tolist() for values in found), strict=True)
    return {name: dict(zip(_MEASURES, row, strict=True)) for name, row in zip(names, rows, strict=True)}


def _averages(y, predicted, every, kinds):
    found = {}
    for kind in kinds:
        values = precision_recall_fscore_support(y, predicted, labels=every, average=kind, zero_division=0)
        row = [*map(float, values[:3]), int(np.sum(y) if np.ndim(y) == 2 else len(y))]
        found[f"{kind} avg"] = dict(zip(_MEASURES, row, strict=True))
    return found


def _counts(names, matrix):
    return {"labels": names, "confusion": matrix.tolist()}


def _score_numbers(y, predicted):
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    scores = {
        "n": len(y),
        "r2": float(r2_score(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mae": float(mean_absolute_error(y, predicted)),
    }
    return scores, "\n".join(f"{name:>4}  {value:.4g}" for name, value in scores.items())


def write_scores(scores, path):
    """Write scores as JSON; a score that could not be computed is null, because JSON has no NaN."""
    content = json.dumps(_finite(scores), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(content + "\n", encoding="utf-8")


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def held_out(X, y, share, seed, *, stratify):
    """Texts and targets for training, and those that are held out; with a share of 0, (None, None) for the latter."""
    if not share:
        return (X, y), (None, None)
    rows = np.arange(len(y))
    try:
        train, val = train_test_split(rows, test_size=share, random_state=seed, stratify=y if stratify else None)
    except ValueError as error:
        raise ValueError(f"--held-out {share:g} cannot divide these texts: {error}") from None
    return (_safe_indexing(X, train), y[train]), (_safe_indexing(X, val), y[val])


def describe_training(estimator):
    """How a fitted estimator was trained, in words, and the last training loss."""
    counts = Counter(row["phase"] for row in estimator.history_)
    words = {"contrastive": "{} contrastive steps", "head": "logistic regression", "fine_tuning": "{} epochs"}
    trained = ", ".join(words[phase].format(n) for phase, n in counts.items())
    return trained, estimator.history_[-1]["train_loss"]


def describe_probe(probe):
    """The results of a fitted `SkipLayerProbe` in a few lines."""
    test, lines = probe.pattern_test_, [f"full model: {probe.baseline_score_:.3f}"]
    spans = [f"{start} to {stop - 1}" if stop - start > 1 else str(start) for start, stop in probe.spans_]
    order = np.argsort(probe.scores_)
    single = [i for i in order if len(probe.skipped_layers_[i]) == 1]
    lines.append(f"most important single layer: {spans[single[0]]} ({probe.scores_[single[0]]:.3f} without it)")
    lines.append(f"one class is predicted for all texts with {int(probe.constant_.sum())} of {len(spans)} spans")
    lines.append(f"do falls differ between labels more than by chance? W*d {test.statistic:.2f}, p = {test.pvalue:.3f}")
    recalls = probe.label_baseline_[~np.isnan(probe.label_baseline_)]
    lines.append(
        "  a label that is only harder also gives this: recall of the full model is "
        f"{recalls.min():.2f} to {recalls.max():.2f} by label"
    )
    return "\n".join(lines)


def write_probe(probe, folder):
    """Write tables and, with matplotlib, figures of a fitted `SkipLayerProbe`; yield the lines to print."""
    from skbert._shared import pandas
    from skbert.cli._files import write_table
    from skbert.plots import SkipLayerDisplay

    write_table(probe.to_frame(), folder / "spans.csv")
    yield f"Spans by label: {folder / 'spans.csv'}"
    importance = pandas().DataFrame(probe.layer_importance_, index=probe.classes_).rename_axis("label").reset_index()
    write_table(importance, folder / "importance.csv")
    yield f"Layer importance by label: {folder / 'importance.csv'}"
    try:
        display = SkipLayerDisplay.from_estimator(probe)
        display.figure_.savefig(folder / "triangles.png", dpi=150)
        display.plot_importance().figure_.savefig(folder / "importance.png", dpi=150)
    except ImportError as error:
        yield f"No figures: {error}"
        return
    yield f"Figures: {folder / 'triangles.png'}, {folder / 'importance.png'}"
