"""Which masking learns most, and does an encoder read labels better afterwards?

python -m benchmarks.pretraining_strategies --data DIR [--part adapt] [--seeds 3] [--summary]

Three parts; each finished run is a line of `pretraining.jsonl` in the output folder, so you can stop and start again.

- adapt: MiniLM goes on with each way of masking on texts of a set; loss of held-out texts, at the same masks for all.
- scratch: the same from random weights on wikipedia_en, and layers that pool (HybridBERT) against layers that attend.
- help: accuracy with few labels before and after, on frozen features and after fine-tuning, on the same draws.

DIR has one folder per set, with `train.tsv` and `test.tsv`; `wikipedia_en` has `train.txt` and `validation.txt`.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._options import quiet
from benchmarks._runs import RunFile
from benchmarks._sets import draw, load_set
from skbert import LayerPoolFeaturizer, MaskedLanguageModel, MaxPoolBERTClassifier

REFERENCE = "token, 15 %"
STRATEGIES = {
    REFERENCE: {},
    "token, 40 %": {"mask_rate": 0.4},
    "always [MASK]": {"replacement": (1.0, 0.0, 0.0)},
    "whole words": {"masking": "whole_word"},
    "spans": {"masking": "span"},
    "collocations": {"masking": "pmi"},
    "rare tokens": {"mask_weights": "frequency"},
    "hard tokens": {"mask_weights": "loss"},
    "DropMask": {"drop_mask": True},
    "random head": {"head": "random"},
}
_LAYERS = 4
MIXERS = {
    "pooling below": ["pooling"] * 2 + ["attention"] * 2,
    "pooling above": ["attention"] * 2 + ["pooling"] * 2,
    "alternating": ["attention", "pooling"] * 2,
}


def _size(options):
    """What a run is told from others by, beside its names."""
    return {"steps": options.steps, "batch": options.batch, "n_texts": options.texts}


def adapt(options, runs):
    for name in options.sets:
        text_set = load_set(options.data, name, n_test=options.held_out)
        texts = text_set.pool_texts[: options.texts]
        for seed in range(options.seeds):
            for strategy in options.strategies or STRATEGIES:
                parameters = STRATEGIES[strategy]
                key = {"part": "adapt", "set": name, "strategy": strategy, "seed": seed, **_size(options)}
                if not runs.has(key):
                    mlm = MaskedLanguageModel("minilm", max_steps=options.steps, batch_size=options.batch, **parameters)
                    runs.append(key | _trained(mlm.set_params(random_state=seed), texts, text_set.test_texts))


def scratch(options, runs):
    folder = options.data / "wikipedia_en"
    texts, held_out = (_long_lines(folder / f"{part}.txt") for part in ("train", "validation"))
    variants = {name: (parameters, None) for name, parameters in STRATEGIES.items()}
    variants |= {name: ({}, mixers) for name, mixers in MIXERS.items()}
    for seed in range(options.seeds):
        for strategy in options.strategies or variants:
            parameters, mixers = variants[strategy]
            key = {"part": "scratch", "set": "wikipedia_en", "strategy": strategy, "seed": seed, **_size(options)}
            if runs.has(key):
                continue
            architecture = {"n_layers": _LAYERS, "width": 128, "n_heads": 2, "mixers": mixers}
            mlm = MaskedLanguageModel(
                architecture=architecture,
                vocabulary=4000,
                max_steps=options.steps,
                batch_size=64,
                max_length=32,
                learning_rate=2e-3,
                random_state=seed,
                **parameters,
            )
            runs.append(key | _trained(mlm, texts[: options.texts], held_out[: options.held_out]))


def _long_lines(path):
    """The lines of more than five words; the others are headings."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if len(line.split()) > 5]


def _trained(mlm, texts, held_out):
    """What a run measured."""
    began, cpu = time.perf_counter(), time.process_time()
    mlm.fit(texts, X_val=held_out)
    found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    losses = {"before": mlm.val_loss_curve_[0], "after": mlm.val_loss_curve_[-1], "unigram": mlm.unigram_loss_}
    return {**found, **losses}


def help_(options, runs):
    for name in options.sets:
        text_set = load_set(options.data, name, n_test=300)
        texts = text_set.pool_texts[: options.texts]
        for seed in range(options.seeds):
            models = {"before": "minilm", "after": None}
            for state in models:
                key = {"part": "help", "set": name, "state": state, "seed": seed, **_size(options)}
                if runs.has(key):
                    continue
                if state == "after":
                    mlm = MaskedLanguageModel("minilm", max_steps=options.steps, batch_size=options.batch)
                    models[state] = mlm.set_params(random_state=seed, extra_texts=texts)
                runs.append(key | _accuracies(models[state], text_set, seed, options))


def _accuracies(model, text_set, seed, options):
    """Accuracy in percent, of frozen features and fine-tuned, for the draws that belong to a seed."""
    frozen, tuned = [], []
    if not isinstance(model, str):
        # Trained once, on all unlabelled texts; the labelled ones of a draw are among them.
        texts, model = model.extra_texts, model.set_params(extra_texts=None)
        model = FrozenEstimator(model.fit(texts))
    features = LayerPoolFeaturizer(model, store=None).fit(text_set.test_texts[:1])
    test = features.transform(text_set.test_texts)
    for number in range(seed * options.draws, (seed + 1) * options.draws):
        rows = draw(text_set, options.size, number)
        texts, labels = [text_set.pool_texts[i] for i in rows], text_set.pool_labels[rows]
        head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        frozen.append(100 * head.fit(features.transform(texts), labels).score(test, text_set.test_labels))
        if len(tuned) < options.tuned:
            settings = {"layers": 1, "token_pooling": "mean", "learning_rate": 2e-4, "max_epochs": 6}
            clf = MaxPoolBERTClassifier(model, **settings, random_state=number).fit(texts, labels)
            tuned.append(100 * clf.score(text_set.test_texts, text_set.test_labels))
    return {"frozen": frozen, "tuned": tuned, "size": options.size}


# ---------------------------------------------------------------- tables


def interval(differences):
    """Mean of paired differences with the half width of their 95 % t interval."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return f"{values.mean():+.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.3f} ± {half:.3f}"


def loss_table(runs, part):
    """Held-out loss of each strategy, and its difference from the reference over the same seeds."""
    rows = [
        "| set | steps | strategy | seeds | loss after | against token, 15 % | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    chosen = [run for run in runs if run["part"] == part]
    for group in sorted({(run["set"], run["steps"]) for run in chosen}):
        own = [run for run in chosen if (run["set"], run["steps"]) == group]
        losses = {(run["strategy"], run["seed"]): run["after"] for run in own}
        for strategy in dict.fromkeys(run["strategy"] for run in own):
            seeds = [seed for name, seed in losses if name == strategy and (REFERENCE, seed) in losses]
            differences = [losses[strategy, seed] - losses[REFERENCE, seed] for seed in seeds]
            cpu = np.median([run["cpu_seconds"] for run in own if run["strategy"] == strategy])
            mean = np.mean([losses[strategy, seed] for seed in seeds])
            shown = "" if strategy == REFERENCE else interval(differences)
            rows.append(f"| {group[0]} | {group[1]} | {strategy} | {len(seeds)} | {mean:.3f} | {shown} | {cpu:.0f} |")
        start = f"before {np.mean([run['before'] for run in own]):.2f}"
        unigram = np.mean([run["unigram"] for run in own])
        rows.append(f"| {group[0]} | {group[1]} | {start}, unigram model | | {unigram:.3f} | | |")
    return "\n".join(rows)


def help_table(runs):
    """Accuracy before and after, and the difference over draws."""
    rows = ["| set | read as | draws | before | after | after - before |", "|---|---|---|---|---|---|"]
    chosen = [run for run in runs if run["part"] == "help"]
    for name in dict.fromkeys(run["set"] for run in chosen):
        for reading in ("frozen", "tuned"):
            both = {}
            for run in chosen:
                if run["set"] == name:
                    both.setdefault(run["seed"], {})[run["state"]] = run[reading]
            pairs = [(found["before"], found["after"]) for found in both.values() if len(found) == 2]
            if not pairs:
                continue
            before, after = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
            # Draws of one seed share its pretraining, so the seed is the unit.
            shown = interval([np.mean(pair[1]) - np.mean(pair[0]) for pair in pairs])
            rows.append(f"| {name} | {reading} | {len(before)} | {before.mean():.1f} | {after.mean():.1f} | {shown} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"adapt": adapt, "scratch": scratch, "help": help_}
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--part", choices=parts, action="append", help="run only this part; can be given several times")
    parser.add_argument("--sets", nargs="+", default=["subj", "tweet_emotion"], help="sets of adapt and help")
    parser.add_argument("--strategies", nargs="+", choices=[*STRATEGIES, *MIXERS], help="of adapt and scratch; all")
    parser.add_argument("--held-out", type=int, default=300, help="texts to measure the loss on, of adapt and scratch")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each strategy")
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of each run")
    parser.add_argument("--batch", type=int, default=24, help="texts per step of adapt and help")
    parser.add_argument("--texts", type=int, default=2000, help="number of training texts without labels")
    parser.add_argument("--size", type=int, default=16, help="labelled texts per class, of help")
    parser.add_argument("--draws", type=int, default=7, help="draws of labelled texts per seed, of help")
    parser.add_argument("--tuned", type=int, default=2, help="of these, draws that are also fine-tuned")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results"), help="folder for the runs")
    parser.add_argument("--summary", action="store_true", help="print the tables of the finished runs only")
    options = parser.parse_args()
    quiet()
    runs = RunFile(options.output / "pretraining.jsonl")
    for name in [] if options.summary else options.part or parts:
        parts[name](options, runs)
    print("\n\n".join([loss_table(runs.runs, "adapt"), loss_table(runs.runs, "scratch"), help_table(runs.runs)]))


if __name__ == "__main__":
    main()
