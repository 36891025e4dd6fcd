"""What helps with few data: TF-IDF, frozen features, SetFit, or fine-tuning? With which recipe and which reading?

python -m benchmarks.few_data --data DIR            # the full grid; finished runs are kept, so you can stop it
python -m benchmarks.few_data --data DIR --quick    # a smaller grid, under an hour on two cores
python -m benchmarks.few_data --summary             # tables of the finished runs, as Markdown
python -m benchmarks.few_data --summary --compare maxpool:few_data setfit setfit:20

A method is tfidf, features, sbert, setfit (its defaults), setfit:N (num_iterations=N), or READING:RECIPE. RECIPE is a
name of skbert.recipes, or `defaults` for the classifier with nothing but its reading set. Parameters of the estimator
may follow, as in maxpool:mosbach2021:learning_rate=2e-4,layer_decay=0.9 or in "mean:few_data:layers=(4,6)".
"""

import argparse
import itertools
import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from threadpoolctl import threadpool_limits

import skbert
from benchmarks._few_data_goals import comparison
from benchmarks._few_data_methods import LETTERS, READINGS, Embedder, is_random, missing, parameters_of, predict
from benchmarks._few_data_table import markdown
from benchmarks._runs import RunFile, pack
from benchmarks._setfit import SetFit
from benchmarks._sets import draw, largest_size, load_set
from skbert.compute import resolve_device

SETS = ("trec6", "mr", "subj", "cola", "rte", "tweet_emotion", "snips_intent")
QUICK = {"sets": ["trec6", "mr", "cola", "rte", "tweet_emotion"], "sizes": [8, 16], "seeds": 1, "test_rows": 300}


def parse(arguments=None):
    names = [f"{letter} = {method}" for letter, method in LETTERS.items()]
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"READING: {', '.join(READINGS)}.\nShort names: {', '.join(names)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="folder, one folder per set: train.tsv, test.tsv or validation.tsv")
    parser.add_argument("--sets", nargs="+", default=list(SETS), help="folders in DIR, such as banking77 (77 classes)")
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16, 32, 64], help="training texts per class")
    parser.add_argument("--draws", type=int, default=5, help="number of training sets, the same for all methods")
    parser.add_argument("--first-draw", type=int, default=0, help="number of the first of them")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds per draw, for methods with randomness")
    parser.add_argument("--methods", nargs="+", default=list(LETTERS), help="names as described, or short names")
    parser.add_argument("--max-epochs", type=int, help="at most this many epochs, even if a recipe has more")
    parser.add_argument("--test-rows", type=int, default=1000, help="evaluate on at most this many rows")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="threads of every method, so that costs can be compared")
    parser.add_argument("--setfit-python", metavar="PATH", help="interpreter of an environment that has setfit")
    parser.add_argument("--quick", action="store_true", help=f"values of options that are not given: {QUICK}")
    parser.add_argument("--summary", action="store_true", help="print the tables without running anything")
    parser.add_argument("--reference", default="c", help="method that is subtracted in paired differences")
    parser.add_argument(
        "--compare",
        nargs="+",
        action="append",
        default=[],
        metavar=("METHOD", "RIVAL"),
        help="differences to each rival and to the better one, and their mean over --sets; may be repeated",
    )
    parser.add_argument("--output", type=Path, default=Path("benchmark-results/few_data.jsonl"))
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    options = parser.parse_args(arguments)
    options.methods = [LETTERS.get(name, name) for name in options.methods]
    options.reference = LETTERS.get(options.reference, options.reference)
    options.compare = [[LETTERS.get(name, name) for name in names] for names in options.compare]
    if any(len(names) < 2 or len(set(names)) < len(names) for names in options.compare):
        parser.error("--compare needs a method and at least one rival, all different")
    if options.data is None and not options.summary:
        parser.error("--data is required, except with --summary")
    return options


@contextmanager
def limited_threads(n_threads):
    """Torch and the libraries of linear algebra use `n_threads` threads inside the block."""
    before = torch.get_num_threads()
    with threadpool_limits(limits=n_threads):
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def plan(options, methods):
    """All runs in their order: whole draws first, so that an early table already compares all methods."""
    for number in range(options.first_draw, options.first_draw + options.draws):
        for name, size, method in itertools.product(options.sets, options.sizes, methods):
            for seed in range(options.seeds if is_random(method) else 1):
                yield {"set": name, "size": size, "draw": number, "seed": seed, "method": method}


def todo(options, sets, store):
    """The runs that are neither in `store` nor impossible; what is impossible is printed with its reason."""
    reasons = {method: missing(method, options) for method in options.methods}
    for method, reason in reasons.items():
        if reason is not None:
            print(f"{method} is left out: {reason}")
    methods = [method for method in options.methods if reasons[method] is None]
    for name, size in itertools.product(options.sets, options.sizes):
        if size > largest_size(sets[name]):
            print(f"{name} is left out at {size}: its rarest class has {largest_size(sets[name])} texts")
    parameters = {method: json.dumps(parameters_of(method, options), sort_keys=True) for method in methods}
    settings = {
        "model": options.model,
        "device": resolve_device(options.device).type,
        "test_rows": options.test_rows,
        "max_epochs": options.max_epochs,
        "threads": options.threads,
    }
    keys = ({**key, **settings, "parameters": parameters[key["method"]]} for key in plan(options, methods))
    return [key for key in keys if key["size"] <= largest_size(sets[key["set"]]) and not store.has(key)]


def result_of(key, text_set, outcome):
    """What a finished run keeps, besides its key."""
    truth, predicted = text_set.test_labels, outcome.predicted
    return {
        **key,
        "accuracy": float(accuracy_score(truth, predicted)),
        "f1_macro": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "mcc": float(matthews_corrcoef(truth, predicted)),
        "right": pack(np.asarray(predicted) == truth),
        "n_rows": len(truth),
        "status": outcome.status,
        "cpu_seconds": round(outcome.cpu_seconds, 3),
    }


def run_all(options, store, setfit):
    sets = {name: load_set(options.data, name, options.test_rows) for name in options.sets}
    keys = todo(options, sets, store)
    print(f"{len(keys)} runs to do, {len(store.runs)} in {store.path}")
    embedder, start = Embedder(options), time.perf_counter()
    for done, key in enumerate(keys):
        text_set, began = sets[key["set"]], time.perf_counter()
        rows = draw(text_set, key["size"], key["draw"])
        # Every draw has its own seeds, and all methods use the same seeds.
        seed = 1000 * key["draw"] + key["seed"]
        run = result_of(key, text_set, predict(key["method"], text_set, rows, seed, options, embedder, setfit))
        seconds = time.perf_counter() - began
        store.append({**run, "seconds": round(seconds, 2), "skbert": skbert.__version__})
        left = (time.perf_counter() - start) / (done + 1) * (len(keys) - done - 1)
        what = " ".join(str(key[name]) for name in ("set", "size", "method"))
        print(
            f"{done + 1}/{len(keys)}  {what}, draw {key['draw']}, seed {key['seed']}: "
            f"{run['accuracy']:.3f} {run['status'] or ''} in {seconds:.1f} s, about {left / 60:.0f} min left",
            flush=True,
        )


def main(arguments=None):
    options = parse(arguments)
    store = RunFile(options.output)
    if not options.summary:
        device = resolve_device(options.device).type
        with limited_threads(options.threads), SetFit(options.setfit_python, options.threads, device) as setfit:
            run_all(options, store, setfit)
    print(markdown(store.runs, options.reference))
    for method, *rivals in options.compare:
        print(comparison(store.runs, method, rivals, options.sets))


if __name__ == "__main__":
    main()
