"""Did a change of the code change a number? Every kind of result on MiniLM, for fixed seeds, to the last bit.

Run it before the change and after it, on the same machine:

    python -m benchmarks.same_numbers --write numbers.json
    python -m benchmarks.same_numbers --against numbers.json

It uses public names only, so the same file runs before and after a change. If a number differs, it names the result
and exits with 1. `--model` selects another encoder. The numbers are valid for one model and one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from skbert import (
    FeatureStore,
    LayerPoolFeaturizer,
    MaxPoolBERTClassifier,
    MaxPoolBERTRegressor,
    SkipLayerProbe,
    StabilityStudy,
    recipes,
)
from skbert.datasets import load_helpdesk

FITS = {
    "defaults": {},
    "[CLS]": {"layers": 1, "token_pooling": "cls"},
    "pooler": {"layers": 1, "token_pooling": "cls", "head": "pooler", "layer_decay": 0.8},
    "weighted mean": {"layer_pooling": "weighted", "token_pooling": "mean", "reinit_layers": 1},
    "concat max": {"layers": (0, 3, 6), "layer_pooling": "concat", "token_pooling": "max", "bias_correction": False},
    "sum mha": {"layer_pooling": "sum", "token_pooling": "mha", "n_heads": 2, "label_smoothing": 0.1},
    "mean cls": {"layer_pooling": "mean", "token_pooling": "cls", "class_weight": "balanced", "dropout": 0.3},
    "frozen": {"freeze_layers": 3, "layers": (2, 4, 6)},
    "path": {"layer_path": (0, 1, 3, 3, 5), "layers": 2},
    "mixout": {"mixout": 0.3, "pretrained_decay": 0.1},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.25, "max_epochs": 3},
    "few_data": recipes.get("few_data", regression=True) | {"max_epochs": 2},
    "bf16": {"precision": "bf16"},
    "short": {"max_length": 8, "head_learning_rate": 1e-3, "max_grad_norm": None},
}
POINTS = [
    {"layers": layers, "layer_pooling": over_layers, "token_pooling": over_tokens}
    for layers in (1, (0, 3, 6))
    for over_layers in ("max", "mean", "sum", "concat")
    for over_tokens in ("cls", "mean", "max")
]
BRIEF = {"learning_rate": 2e-4, "max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu"}


def main(arguments=None):
    """Compute every number, then write or compare the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the numbers to this JSON file")
    parser.add_argument("--against", type=Path, help="compare with the numbers in this JSON file")
    parser.add_argument("--model", default="minilm", help="Hub id or folder of the encoder")
    options = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numbers = {name: _digest(value) for name, value in _results(options.model)}
    if options.write:
        options.write.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    if not options.against:
        print(f"{len(numbers)} results computed.")
        return 0
    before = json.loads(options.against.read_text(encoding="utf-8"))
    differing = [name for name in before.keys() | numbers.keys() if before.get(name) != numbers.get(name)]
    for name in sorted(differing):
        print(f"differs: {name}: {before.get(name)} before, {numbers.get(name)} now")
    print(f"{len(numbers) - len(differing)} of {len(numbers)} results are the same to the last bit.")
    return int(bool(differing))


def _digest(value):
    """Shape, type and SHA-256 of an array; anything else is returned unchanged."""
    if not isinstance(value, np.ndarray):
        return value
    content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    return f"{value.dtype.str} {value.shape} {content[:24]}"


def _results(model):
    """Pairs of name and result."""
    X, y = load_helpdesk(return_X_y=True)
    X, y = list(X[:48]), np.asarray(y[:48])
    train, test = slice(0, 32), slice(32, 48)
    for name, parameters in FITS.items():
        clf = MaxPoolBERTClassifier(model, **{**BRIEF, **parameters}).fit(X[train], y[train])
        yield f"fit {name}: probabilities", clf.predict_proba(X[test])
        yield f"fit {name}: vectors", clf.transform(X[test])
        yield f"fit {name}: losses", np.array(clf.loss_curve_)
        yield f"fit {name}: shares", clf.layer_share_
        yield f"fit {name}: status", [clf.training_status_, clf.best_epoch_, clf.n_iter_]
    yield from _other_targets(model, X, y, train, test)
    yield from _features(model, X)
    yield from _subjects(model, X, y)


def _other_targets(model, X, y, train, test):
    weights = np.linspace(0, 2, 32)
    clf = MaxPoolBERTClassifier(model, warm_start=True, **BRIEF)
    clf.fit(X[train], y[train], weights, X_val=X[test], y_val=y[test]).fit(X[train], y[train])
    yield "warm start: probabilities", clf.predict_proba(X[test])
    yield "warm start: losses", np.array([row["valid_loss"] for row in clf.history_[:2]])
    several = np.stack([y == label for label in np.unique(y)[:3]], axis=1).astype(int)
    clf = MaxPoolBERTClassifier(model, **BRIEF).fit(X[train], several[train])
    yield "multi-label: probabilities", clf.predict_proba(X[test])
    pairs = list(zip(X, X[::-1], strict=True))
    clf = MaxPoolBERTClassifier(model, **BRIEF).fit(pairs[train], y[train])
    yield "pairs: probabilities", clf.predict_proba(pairs[test])
    with tempfile.TemporaryDirectory() as folder:
        clf.save(folder)
        yield "pairs: probabilities after save and load", MaxPoolBERTClassifier.load(folder).predict_proba(pairs[test])
    lengths = np.array([float(len(text)) for text in X])
    regressor = MaxPoolBERTRegressor(model, **BRIEF).fit(X[train], lengths[train])
    yield "regressor: values", regressor.predict(X[test])


def _features(model, X):
    FeatureStore().clear()
    with tempfile.TemporaryDirectory() as folder:
        for point in POINTS:
            name = " ".join(map(str, point.values()))
            for store in (None, "memory", folder):
                kind = store if store in (None, "memory") else "folder"
                featurizer = LayerPoolFeaturizer(model, **point, store=store, device="cpu").fit(X)
                yield f"features {name}, store {kind}", featurizer.transform(X)
    for name, parameters in {
        "bf16": {"precision": "bf16"},
        "normalised": {"normalize": True},
        "path": {"layer_path": (0, 2, 4, 4), "layers": 2},
    }.items():
        yield f"features {name}", LayerPoolFeaturizer(model, device="cpu", **parameters).fit_transform(X)


def _subjects(model, X, y):
    clf = MaxPoolBERTClassifier(model, **BRIEF)
    variants = {"[CLS]": {"layers": 1, "token_pooling": "cls"}, "MaxPoolBERT": {}, "frozen": {"freeze_layers": 5}}
    study = StabilityStudy(clf, variants, seeds=3, train_sizes=[24], random_state=0).fit(X, y)
    runs = study.results_
    for score in ("accuracy", "f1_macro"):
        yield f"study: {score}", runs[score].to_numpy(dtype=float)
    probe = SkipLayerProbe(clf, cv=3, n_permutations=99, random_state=0).fit(X, y)
    yield "probe: recall", np.asarray(probe.label_recall_)
    yield "probe: importance", np.asarray(probe.layer_importance_)
    yield "probe: pattern p", float(probe.pattern_test_.pvalue)
    yield "probe: signatures", probe.transform(X[:12])


if __name__ == "__main__":
    sys.exit(main())
