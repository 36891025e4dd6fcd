"""Does fine-tuning in bf16 cost accuracy? The same draws and seeds in fp32 and in bf16.

python -m benchmarks.precision --data DIR            # finished runs are kept, so you can stop it and start it again
python -m benchmarks.precision --data DIR --summary

Each finished run is a line of `precision.jsonl` in the output folder. The two runs of a pair have the same training
texts and the same seed, and differ in `precision` alone, in training and in prediction. DIR has one folder per set.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

from benchmarks._options import quiet
from benchmarks._runs import RunFile
from benchmarks._sets import draw, load_set
from benchmarks.pretraining_strategies import interval
from skbert import MaxPoolBERTClassifier, recipes

READINGS = {"MaxPoolBERT": {}, "mean": {"layers": 1, "token_pooling": "mean"}}
PRECISIONS = ("fp32", "bf16")


def settings_of(options):
    """What a run is told from others by, beside set, reading, seed and precision."""
    return {"texts": options.texts, "epochs": options.epochs, "test_rows": options.test_rows}


def measure(options, runs):
    """Make the runs that are not there yet: whole seeds first, so that an early table compares all sets."""
    sets = {name: load_set(options.data, name, n_test=options.test_rows) for name in options.sets}
    for seed, name, reading in itertools.product(range(options.seeds), sets, options.readings):
        for precision in PRECISIONS:
            key = {"set": name, "reading": reading, "seed": seed, "precision": precision, **settings_of(options)}
            if not runs.has(key):
                runs.append(key | _run(sets[name], reading, seed, precision, options))


def _run(text_set, reading, seed, precision, options):
    rows = draw(text_set, options.texts // len(set(text_set.pool_labels)), seed)
    texts, labels = [text_set.pool_texts[i] for i in rows], text_set.pool_labels[rows]
    parameters = {**recipes.get("few_data_joint"), **READINGS[reading], "max_epochs": options.epochs}
    clf = MaxPoolBERTClassifier("minilm", **parameters, random_state=seed, device="cpu", precision=precision)
    began = time.process_time()
    clf.fit(texts, labels)
    seconds = time.process_time() - began
    right = clf.predict(text_set.test_texts) == text_set.test_labels
    return {"accuracy": 100 * float(right.mean()), "loss": float(clf.loss_curve_[-1]), "cpu_seconds": seconds}


def table(runs):
    """Accuracy and last training loss in both precisions, with paired differences, by set and of all sets."""
    columns = ["set", "reading", "pairs", "accuracy, fp32", "bf16", "bf16 - fp32"]
    columns += ["last training loss, fp32", "bf16 - fp32", "CPU s, fp32", "bf16"]
    rows = [columns, ["---"] * len(columns)]
    for reading in dict.fromkeys(run["reading"] for run in runs):
        names = dict.fromkeys(run["set"] for run in runs if run["reading"] == reading)
        found = {name: _pairs(runs, reading, name) for name in names}
        if len(found) > 1:
            found["all"] = [pair for pairs in found.values() for pair in pairs]
        rows += [_row(name, reading, pairs) for name, pairs in found.items() if pairs]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _pairs(runs, reading, name):
    """The runs of each seed in the order of `PRECISIONS`, where both are there."""
    by_seed = {}
    for run in runs:
        if (run["set"], run["reading"]) == (name, reading):
            by_seed.setdefault(run["seed"], {})[run["precision"]] = run
    return [[both[precision] for precision in PRECISIONS] for both in by_seed.values() if len(both) == 2]


def _row(name, reading, pairs):
    accuracy, loss, cpu = (
        np.array([[run[what] for run in pair] for pair in pairs]) for what in ("accuracy", "loss", "cpu_seconds")
    )
    means = [f"{mean:.2f}" for mean in accuracy.mean(axis=0)]
    of_accuracy, of_loss = (interval(np.diff(values)[:, 0]) for values in (accuracy, loss))
    middle = [f"{seconds:.1f}" for seconds in np.median(cpu, axis=0)]
    return [name, reading, str(len(pairs)), *means, of_accuracy, f"{loss[:, 0].mean():.3f}", of_loss, *middle]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=["trec6", "mr", "subj"])
    parser.add_argument("--readings", nargs="+", choices=READINGS, default=list(READINGS))
    parser.add_argument("--seeds", type=int, default=20, help="pairs of runs per set and reading")
    parser.add_argument("--texts", type=int, default=48, help="training texts, the same number of each class")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--test-rows", type=int, default=300, help="evaluate on at most this many rows")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder for the runs")
    parser.add_argument("--summary", action="store_true", help="print the table of the finished runs only")
    options = parser.parse_args()
    quiet()
    runs = RunFile(options.output / "precision.jsonl")
    if not options.summary:
        measure(options, runs)
    wanted = settings_of(options).items()
    print(table([run for run in runs.runs if wanted <= run.items()]))


if __name__ == "__main__":
    main()
