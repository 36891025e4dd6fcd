"""What does a study cost beside training and prediction, and how fast is it against a loop of HF Trainer runs?

python -m benchmarks.study

Two learning rates with 20 seeds each, 48 training texts and 120 test texts, 10 epochs of 3 steps. The model is the one
that HF Trainer trains too. Each study starts its worker processes anew, one per core.
"""

import os
import time
from importlib.util import find_spec

import numpy as np
from joblib.externals.loky import get_reusable_executor

from benchmarks._main import main
from benchmarks._peers import BATCH_SIZE, LEARNING_RATE, MAX_LENGTH, fit_trainer
from benchmarks._table import Line, missing
from benchmarks._texts import labels_for, texts_for
from benchmarks._timing import ratio_line
from skbert import MaxPoolBERTClassifier, StabilityStudy
from skbert.encoder import load_encoder, minilm_folder

_N_TRAIN, _N_TEST = 48, 120
_OUTSIDE = "outside training and prediction"
_TRAINER = "a loop of HF Trainer runs, as many steps"
# Runs of HF Trainer per round; one run is like the other, so the rest is counted, not run.
_TRAINER_RUNS = 4


def lines(options):
    n_seeds, epochs, n_trainer = (2, 2, 1) if options.quick else (20, 10, _TRAINER_RUNS)
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    texts = texts_for(options, _N_TRAIN + _N_TEST)
    labels = labels_for(texts)
    name = f"study, 2 variants x {n_seeds} seeds, {_N_TRAIN} texts, {_N_TEST} test texts, {epochs} epochs"
    has_trainer = find_spec("accelerate") is not None
    rounds, ours, in_bf16, theirs = [], [], [], []
    if has_trainer:  # a loop imports once, and so does a study
        _seconds_of_trainer(texts, labels, 1, 1)
    for _ in range(options.repeats):
        rounds.append(_study(texts, labels, epochs, n_seeds, n_cores))
        ours.append(rounds[-1]["wall"])
        if has_trainer:
            in_bf16.append(_study(texts, labels, epochs, n_seeds, n_cores, precision="bf16")["wall"])
            theirs.append(len(rounds[-1]["runs"]) * _seconds_of_trainer(texts, labels, epochs, n_trainer))
    yield _share_line(f"{name}, {n_cores} processes", rounds)
    if has_trainer:
        n_runs = len(rounds[-1]["runs"])
        note = f"{n_trainer} of the {n_runs} runs of HF Trainer timed"
        yield ratio_line(name, _TRAINER, ours, theirs, 5, note=note)
        yield ratio_line(f"{name}, bf16", f"{_TRAINER}, in fp32", in_bf16, theirs, note=note)
    else:
        yield missing(name, _TRAINER, "accelerate, which HF Trainer needs,", 5)
        yield missing(f"{name}, bf16", f"{_TRAINER}, in fp32", "accelerate, which HF Trainer needs,", None)
    # In one process the runs are alike, so a few of them are enough.
    few = [_study(texts, labels, epochs, min(2, n_seeds), 1) for _ in range(options.repeats)]
    yield _share_line("the same with 2 seeds, in this process", few)
    few = [_study(texts, labels, epochs, min(2, n_seeds), 1, freeze_layers=4) for _ in range(options.repeats)]
    yield _share_line("the same, 4 of 6 layers frozen", few)


def _study(texts, labels, epochs, n_seeds, n_jobs, precision="fp32", **parameters):
    """Wall time of a study, and what its runs say of their own time."""
    clf = MaxPoolBERTClassifier(
        "minilm",
        layers=1,
        token_pooling="cls",
        head="pooler",
        max_length=MAX_LENGTH,
        max_epochs=epochs,
        batch_size=BATCH_SIZE,
        device="cpu",
        precision=precision,
        **parameters,
    )
    variants = {f"{rate:g}": {"learning_rate": rate} for rate in (LEARNING_RATE, 2 * LEARNING_RATE)}
    design = {"seeds": n_seeds, "train_sizes": [_N_TRAIN], "test_size": _N_TEST, "baselines": (), "random_state": 0}
    study = StabilityStudy(clf, variants, **design, scoring=_CLOCKS, n_jobs=n_jobs)
    get_reusable_executor(max_workers=n_jobs).shutdown()
    start = time.perf_counter()
    runs = study.fit(texts, labels).results_
    return {"wall": time.perf_counter() - start, "runs": runs, "n_jobs": n_jobs}


def _training(clf, X, y):
    """Seconds of all epochs."""
    return sum(row["dur"] for row in clf.history_)


def _prediction(clf, X, y):
    """Seconds of predicting the test texts, without making tokens of them."""
    start = time.perf_counter()
    clf.predict(X)
    middle = time.perf_counter()
    load_encoder(clf.model).tokenizer(list(X))
    return 2 * middle - start - time.perf_counter()


_CLOCKS = {"training": _training, "prediction": _prediction}


def _share_line(name, rounds):
    """The share of the time of all processes in which they neither train nor predict."""
    shares, details = [], []
    for found in rounds:
        runs, whole = found["runs"], found["wall"] * found["n_jobs"]
        training, prediction, seconds = (float(runs[name].sum()) for name in ("training", "prediction", "seconds"))
        shares.append(100 * (1 - (training + prediction) / whole))
        details.append((found["wall"], training, prediction, seconds - training - prediction, whole - seconds))
    wall, *parts = np.median(details, axis=0)
    detail = "{:.1f} s; in all processes {:.1f} s training, {:.1f} s prediction, {:.2f} s else in the runs, ".format(
        wall, *parts[:3]
    )
    detail += f"{parts[3]:.2f} s outside of runs; shares {min(shares):.1f} to {max(shares):.1f} in {len(rounds)} rounds"
    return Line(name, _OUTSIDE, "%", 10, float(np.median(shares)), detail)


def _seconds_of_trainer(texts, labels, epochs, n_runs):
    """Mean seconds of a run of HF Trainer."""
    train, test = slice(_N_TRAIN), slice(_N_TRAIN, None)
    start = time.perf_counter()
    for _ in range(n_runs):
        data = texts[train], labels[train], epochs
        fit_trainer(str(minilm_folder()), *data, test=(texts[test], labels[test]))
    return (time.perf_counter() - start) / n_runs


if __name__ == "__main__":
    main(__doc__, lines)
