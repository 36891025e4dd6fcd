"""Landscapes of fine-tuning on real texts: from pretrained and from random weights, and what flatness is worth.

python -m benchmarks.landscapes --data DIR                 # DIR as for few_data; finished parts are kept
python -m benchmarks.landscapes --data DIR --sets trec6 --figures docs/images
python -m benchmarks.landscapes --summary                  # tables of what is finished, as Markdown
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._options import quiet
from benchmarks._runs import RunFile
from benchmarks._sets import draw, load_set
from benchmarks._table import machine, versions
from skbert import LossLandscape, MaxPoolBERTClassifier, StabilityStudy
from skbert.landscape import distance_score, sharpness_score, trace_score
from skbert.plots import LossLandscapeDisplay

SETS = ("trec6", "mr", "subj")
STARTS = {"pretrained": {}, "random": {"reinit_layers": "all"}}
FLATNESS = {
    "sharpness": sharpness_score,
    "trace": partial(trace_score, n_probes=4),
    "distance": distance_score,
}


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder, one folder per set, as for few_data")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--parts", nargs="+", choices=[*STARTS, "flatness"], default=[*STARTS, "flatness"])
    parser.add_argument("--size", type=int, default=64, help="training texts per class")
    parser.add_argument("--points", type=int, default=11, help="points of each axis")
    parser.add_argument("--texts", type=int, default=128, help="texts of each set whose losses are computed")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20, help="runs of each set for flatness")
    parser.add_argument("--test-rows", type=int, default=600, help="held-out texts, at most")
    parser.add_argument("--figures", type=Path, help="folder for pictures of the landscapes")
    parser.add_argument("--summary", action="store_true", help="print the tables without running anything")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results/landscapes.jsonl"))
    options = parser.parse_args(arguments)
    if options.data is None and not options.summary:
        parser.error("--data is required, except with --summary")
    return options


def classifier(options, **parameters):
    """[CLS] of MiniLM, trained the same way from either start."""
    return MaxPoolBERTClassifier(
        "minilm", layers=1, token_pooling="cls", max_epochs=options.epochs, learning_rate=1e-4, random_state=0
    ).set_params(**parameters)


def training_texts(text_set, options):
    rows = draw(text_set, options.size, 0)
    return [text_set.pool_texts[row] for row in rows], text_set.pool_labels[rows]


def landscape(options, text_set, start):
    """One landscape, its numbers as a dict, and its pictures if they are asked for."""
    began = time.process_time()
    land = LossLandscape(
        classifier(options, **STARTS[start]), n_points=options.points, max_texts=options.texts, random_state=0
    )
    land.fit(*training_texts(text_set, options), X_val=text_set.test_texts, y_val=text_set.test_labels)
    curvature = land.curvature(3, 8)
    if options.figures is not None:
        for kind in ("line", "surface", "groups", "rollback"):
            display = LossLandscapeDisplay(land).plot(kind=kind, title=f"{text_set.name}, from {start} weights")
            display.figure_.savefig(options.figures / f"landscape_{text_set.name}_{start}_{kind}.png", dpi=100)
    places = [int(np.flatnonzero(land.alphas_ == value)[0]) for value in (0.0, 1.0)]
    ends = {name: land.line_[name][places].tolist() for name in ("train_loss", "val_loss", "train_error", "val_error")}
    width = land.alphas_[land.line_.train_loss < 0.5 * (land.line_.train_loss[places[0]] + land.line_.train_loss.min())]
    return {
        **ends,
        "lowest_val": [float(land.alphas_[land.line_.val_loss.argmin()]), float(land.line_.val_loss.min())],
        "low_from": float(width.min()),
        "consistency": land.consistency_,
        "error_consistency": land.error_consistency_,
        "cosine": land.surface_.cosine,
        "barrier": land.barrier_,
        "distance": land.start_.distance_to(land.end_),
        "groups": land.rollback_.names,
        "rollback": land.rollback_.val_error.tolist(),
        "group_range": np.ptp(land.group_lines_.train_loss[:, places[0] : places[1] + 1], axis=1).tolist(),
        "trace": curvature.trace,
        "trace_error": curvature.trace_error,
        "trace_by_layer": curvature.trace_by_layer.tolist(),
        "eigenvalues": curvature.eigenvalues.tolist(),
        "sharpness": land.sharpness(),
        "status": land.estimator_.training_status_,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def flatness(options, text_set):
    """Seeds of one recipe on one draw of training texts; rank correlations of flatness with held-out accuracy."""
    began = time.process_time()
    n_train, n_test = options.size * len(np.unique(text_set.pool_labels)), len(text_set.test_labels)
    rows = np.random.default_rng(0).permutation(len(text_set.pool_texts))[: n_train + n_test]
    study = StabilityStudy(
        classifier(options),
        # One factor varies on one draw, so that runs of a draw are independent.
        seeds={"init": options.seeds, "order": 1},
        train_sizes=[n_train],
        test_size=n_test,
        scoring="accuracy",
        train_scoring=FLATNESS,
        baselines=(),
        store=options.output.with_name(f"{options.output.stem}_{text_set.name}.sqlite"),
        random_state=0,
        verbose=1,
    ).fit([text_set.pool_texts[row] for row in rows], text_set.pool_labels[rows])
    runs = study.results_
    return {
        "accuracy": runs["accuracy"].tolist(),
        "found": {name: str(study.correlate(name, "accuracy")) for name in FLATNESS},
        "values": {name: runs[f"train_{name}"].tolist() for name in FLATNESS},
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run_all(options, store):
    for name in options.sets:
        text_set = load_set(options.data, name, options.test_rows)
        every = {start: partial(landscape, options, text_set, start) for start in STARTS}
        every["flatness"] = partial(flatness, options, text_set)
        for part, compute in every.items():
            if part not in options.parts:
                continue
            key = {"set": name, "part": part, "size": options.size, "points": options.points, "texts": options.texts}
            key |= {"epochs": options.epochs, "seeds": options.seeds if part == "flatness" else None}
            if store.has(key):
                continue
            found = compute()
            store.append({**key, **found})
            print(f"{name}, {part}: {found['cpu_seconds']} CPU seconds", flush=True)


def landscape_table(runs):
    """One row per landscape."""
    head = ["set", "start", "train loss, start → end", "held-out loss, start → end", "held-out error, start → end"]
    head += ["lowest held-out loss at α", "low from α", "consistency, loss", "consistency, error"]
    head += ["cosine of two seeds", "barrier (nats)"]
    head += ["length", "trace", "sharpness"]
    rows = []
    for run in runs:
        if run["part"] == "flatness":
            continue
        pairs = (f"{run[key][0]:.2f} → {run[key][1]:.2f}" for key in ("train_loss", "val_loss", "val_error"))
        lowest, value = run["lowest_val"]
        row = [run["set"], run["part"], *pairs, f"{lowest:.1f} ({value:.2f})", f"{run['low_from']:.1f}"]
        row += [f"{run[key]:.2f}" for key in ("consistency", "error_consistency", "cosine")] + [f"{run['barrier']:.3f}"]
        row += [f"{run['distance']:.2f}", f"{run['trace']:.1f} ± {run['trace_error']:.1f}", f"{run['sharpness']:.4f}"]
        rows.append(row)
    return _markdown(head, rows)


def rollback_table(runs):
    """One row per landscape: the held-out error with each group of layers set back, and how far each line ranges."""
    rows, names = [], None
    for run in runs:
        if run["part"] == "flatness":
            continue
        names = run["groups"]
        cells = [
            f"{error:.2f} ({height:.2f})" for error, height in zip(run["rollback"], run["group_range"], strict=True)
        ]
        rows.append([run["set"], run["part"], f"{run['val_error'][1]:.2f}", *cells])
    return _markdown(["set", "start", "whole model", *(names or [])], rows)


def flatness_list(runs):
    """What was found between flatness and accuracy, as a list."""
    found = []
    for run in runs:
        if run["part"] == "flatness":
            accuracy = np.array(run["accuracy"])
            found.append(
                f"- **{run['set']}**, {len(accuracy)} runs: accuracy {accuracy.mean():.3f} ± "
                f"{accuracy.std(ddof=1):.3f} ({accuracy.min():.3f} to {accuracy.max():.3f})"
            )
            found += [f"  - {sentence}" for sentence in run["found"].values()]
    return "\n".join(found)


def _markdown(head, rows):
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def main():
    options = parse()
    quiet()
    store = RunFile(options.output)
    if not options.summary:
        if options.figures is not None:
            options.figures.mkdir(parents=True, exist_ok=True)
        run_all(options, store)
    runs = [run for run in store.runs if run["set"] in options.sets]
    print(f"\n{machine()}; {versions()}\n")
    print(landscape_table(runs), rollback_table(runs), flatness_list(runs), sep="\n\n")


if __name__ == "__main__":
    main()
