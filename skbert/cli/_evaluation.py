"""What a command says of an estimator: scores by label, and what a probe found."""

from __future__ import annotations

import numpy as np


def score(estimator, X, y):
    """Scores of a fitted estimator.

    Returns
    -------
    scores : dict
        For JSON.
    shown : str
        For people.
    """
    predicted = estimator.predict(X)
    if not hasattr(estimator, "classes_"):
        return _score_numbers(y, predicted)
    return _score_labels(y, predicted, estimator.classes_)


def _score_labels(y, predicted, classes):
    from sklearn.metrics import classification_report, confusion_matrix

    y, predicted, names = y.astype(str), predicted.astype(str), [str(label) for label in classes]
    names += sorted(set(y) - set(names))
    table = classification_report(y, predicted, labels=names, output_dict=True, zero_division=0)
    shown = classification_report(y, predicted, labels=names, digits=3, zero_division=0)
    matrix = confusion_matrix(y, predicted, labels=names)
    width = max(map(len, names))
    rows = [
        f"{name:>{width}}  {' '.join(f'{count:5d}' for count in row)}" for name, row in zip(names, matrix, strict=True)
    ]
    shown += "\nGold label (rows) against prediction (columns, in the same order):\n\n" + "\n".join(rows)
    accuracy = float((y == predicted).mean())
    by_label = {name: table[name] for name in names}
    averages = {name: row for name, row in table.items() if name in ("macro avg", "weighted avg") and name not in names}
    scores = {"n": len(y), "accuracy": accuracy, **averages, "by_label": by_label}
    return {**scores, "labels": names, "confusion": matrix.tolist()}, shown


def _score_numbers(y, predicted):
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    scores = {
        "n": len(y),
        "r2": float(r2_score(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mae": float(mean_absolute_error(y, predicted)),
    }
    return scores, "\n".join(f"{name:>4}  {value:.4g}" for name, value in scores.items())


def describe_probe(probe):
    """What a fitted `SkipLayerProbe` found, in a few lines."""
    test, lines = probe.pattern_test_, [f"full model: {probe.baseline_score_:.3f}"]
    spans = [f"{start} to {stop - 1}" if stop - start > 1 else str(start) for start, stop in probe.spans_]
    order = np.argsort(probe.scores_)
    single = [i for i in order if len(probe.skipped_layers_[i]) == 1]
    lines.append(f"the layer that is missed most: {spans[single[0]]} ({probe.scores_[single[0]]:.3f} without it)")
    lines.append(f"one class is predicted for all under {int(probe.constant_.sum())} of {len(spans)} spans")
    lines.append(f"do the falls differ by label more than by chance? W*d {test.statistic:.2f}, p = {test.pvalue:.3f}")
    recalls = probe.label_baseline_[~np.isnan(probe.label_baseline_)]
    lines.append(
        "  a label that is only harder gives this, too: recall of the full model is "
        f"{recalls.min():.2f} to {recalls.max():.2f} by label"
    )
    return "\n".join(lines)


def write_probe(probe, folder):
    """Tables and, where matplotlib is there, figures of a fitted `SkipLayerProbe`; yields what there is to say."""
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
