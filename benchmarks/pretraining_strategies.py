"""Which masking learns most, and does an encoder read labels better afterwards?

python -m benchmarks.pretraining_strategies --data DIR [--part adapt] [--seeds 3] [--summary]

Four parts; each finished run is a line of `pretraining.jsonl` in the output folder, so you can stop and start again.

- adapt: MiniLM goes on with each way of masking on texts of a set; loss of held-out texts, at the same masks for all.
- scratch: the same from random weights on wikipedia_en, and layers that pool (HybridBERT) against layers that attend.
- memory: bytes of all tensors that are alive at once in a few steps of each model of scratch.
- help: accuracy with few labels before and after, on frozen features and after fine-tuning, on the same draws.

DIR has one folder per set, with `train.tsv` and `test.tsv`; `wikipedia_en` has `train.txt` and `validation.txt`.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import stats
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._options import quiet
from benchmarks._runs import RunFile
from benchmarks._sets import draw, load_set
from benchmarks._tensor_memory import peak_bytes
from skbert import LayerPoolFeaturizer, MaskedLanguageModel, MaxPoolBERTClassifier

REFERENCE = "token, 15 %"
STRATEGIES = {
    REFERENCE: {},
    "token, 30 %": {"mask_rate": 0.3},
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
# The model before its first step; its run also measures the model that knows how frequent each token is.
START = "not trained"

# From scratch: the strategies are compared in the first of these models, because attention alone takes many times as
# many steps to learn anything from its neighbours; the others have the masks of the reference.
MIXERS = {
    "alternating": ["pooling", "attention", "pooling"],
    "pooling below": ["pooling", "pooling", "attention"],
    "pooling above": ["attention", "pooling", "pooling"],
    "attention only": ["attention"] * 3,
}
_BASE, *_OTHERS = MIXERS
_SIZES = {"n_layers": 3, "width": 64, "n_heads": 4}
_SCRATCH = {"vocabulary": 1000, "batch_size": 64, "max_length": 16, "learning_rate": 5e-3, "precision": "fp32"}
# Lines of the corpus are paragraphs; the texts are pieces of so many words of them, of which nearly all have 16 tokens.
_PIECE = 14
_MEMORY_STEPS = 5


# Runs that differ in any of these are never compared.
_TOLD_APART = ("set", "steps", "batch", "n_texts", "held_out", "precision")


def _size(options):
    """What a run is told from others by, beside its names."""
    sizes = {"steps": options.steps, "batch": options.batch, "n_texts": options.texts}
    return sizes | {"held_out": options.held_out, "precision": options.precision}


def adapt(options, runs):
    for name in options.sets:
        text_set = load_set(options.data, name, n_test=options.held_out)
        texts = text_set.pool_texts[: options.texts]
        settings = {"max_steps": options.steps, "batch_size": options.batch, "precision": options.precision}
        for seed in range(options.seeds):
            for strategy in [START, *(options.strategies or STRATEGIES)]:
                key = {"part": "adapt", "set": name, "strategy": strategy, "seed": seed, **_size(options)}
                if strategy in (START, *STRATEGIES) and not runs.has(key):
                    mlm = MaskedLanguageModel("minilm", random_state=seed, **settings, **STRATEGIES.get(strategy, {}))
                    runs.append(key | _measured(strategy, mlm, texts, text_set.test_texts))


def scratch(options, runs):
    texts, held_out = (_pieces(options.data / "wikipedia_en" / f"{part}.txt") for part in ("train", "validation"))
    texts, held_out = texts[: options.texts], held_out[: options.held_out]
    for seed in range(options.seeds):
        for strategy in [START, *(options.strategies or [*STRATEGIES, *_OTHERS])]:
            key = {"part": "scratch", "set": "wikipedia_en", "strategy": strategy, "seed": seed, **_size(options)}
            if not runs.has(key):
                mlm = _from_scratch(strategy, options.steps, random_state=seed)
                runs.append(key | _measured(strategy, mlm, texts, held_out))


def _from_scratch(strategy, steps, **more):
    architecture = {**_SIZES, "mixers": MIXERS[strategy if strategy in _OTHERS else _BASE]}
    settings = {**_SCRATCH, "max_steps": steps, **STRATEGIES.get(strategy, {}), **more}
    return MaskedLanguageModel(architecture=architecture, **settings)


def _pieces(path):
    """The words of all lines that are no headings, in pieces of equal length."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    words = [word for line in lines if len(line) > 5 for word in line]
    return [" ".join(words[start : start + _PIECE]) for start in range(0, len(words) - _PIECE + 1, _PIECE)]


def _measured(strategy, mlm, texts, held_out):
    """Loss of the held-out texts, and the seconds of the training alone."""
    if strategy == START:
        mlm.set_params(max_steps=1, learning_rate=0.0).fit(texts, X_val=held_out)
        return {"loss": mlm.val_loss_curve_[0], "unigram": mlm.unigram_loss_}
    mlm.set_params(validation_fraction=0.0)
    began, cpu = time.perf_counter(), time.process_time()
    mlm.fit(texts)
    found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    found["loss"] = -mlm.score(held_out)
    if mlm.drop_mask:
        found["loss_seen"] = _loss_with_seen_masks(mlm, held_out)
    return found


def _loss_with_seen_masks(mlm, held_out):
    """Loss of the weights of a DropMask model if the other tokens attend to mask tokens, as in transformers."""
    with TemporaryDirectory() as folder:
        mlm.to_transformers(folder)
        # Cut as in training, because other cuts would give other masks.
        same = {"max_length": mlm.max_length, "precision": mlm.precision}
        seen = MaskedLanguageModel(folder, max_steps=1, learning_rate=0.0, random_state=0, **same)
        return seen.fit(held_out, X_val=held_out).val_loss_curve_[0]


def memory(options, runs):
    texts = _pieces(options.data / "wikipedia_en" / "train.txt")[: 10 * _SCRATCH["batch_size"]]
    for strategy in options.strategies or [*STRATEGIES, *_OTHERS]:
        key = {"part": "memory", "set": "wikipedia_en", "strategy": strategy}
        if not runs.has(key):
            mlm = _from_scratch(strategy, _MEMORY_STEPS, random_state=0, validation_fraction=0.0)
            runs.append(key | {"bytes": peak_bytes(lambda mlm=mlm: mlm.fit(texts))})


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
    """Held-out loss of each strategy, its difference from the reference over the same seeds, and what it costs."""
    rows = [
        "| set | steps | strategy | seeds | loss | against token, 15 % | CPU s | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    chosen = [run for run in runs if run["part"] == part]
    peaks = {run["strategy"]: run["bytes"] / 1e6 for run in runs if run["part"] == "memory" and part == "scratch"}
    for group in sorted({tuple(run[name] for name in _TOLD_APART) for run in chosen}):
        own = [run for run in chosen if tuple(run[name] for name in _TOLD_APART) == group]
        first = f"| {own[0]['set']} | {own[0]['steps']} |"
        losses = {(run["strategy"], run["seed"]): run["loss"] for run in own}
        for strategy in dict.fromkeys(run["strategy"] for run in own):
            trained = [run for run in own if run["strategy"] == strategy]
            if strategy == START:
                start, unigram = (np.mean([run[name] for run in trained]) for name in ("loss", "unigram"))
                rows.append(f"{first} {START} | {len(trained)} | {start:.3f} | | | |")
                rows.append(f"{first} unigram model | {len(trained)} | {unigram:.3f} | | | |")
                continue
            cpu = np.median([run["cpu_seconds"] for run in trained])
            peak = f"{peaks[strategy]:.1f}" if strategy in peaks else ""
            rows.append(f"{first} {strategy} | {_compared(losses, strategy, losses)} | {cpu:.1f} | {peak} |")
            seen = {(strategy, run["seed"]): run["loss_seen"] for run in trained if "loss_seen" in run}
            if seen:
                rows.append(f"{first} {strategy}, masks seen | {_compared(seen, strategy, losses)} | | |")
    return "\n".join(rows)


def _compared(found, strategy, losses):
    """Number of seeds, mean loss, and difference from the reference, of the seeds that both have."""
    seeds = [seed for name, seed in found if name == strategy and (REFERENCE, seed) in losses]
    mean = np.mean([found[strategy, seed] for seed in seeds])
    differences = [found[strategy, seed] - losses[REFERENCE, seed] for seed in seeds]
    return f"{len(seeds)} | {mean:.3f} | {'' if strategy == REFERENCE else interval(differences)}"


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
    parts = {"adapt": adapt, "scratch": scratch, "memory": memory, "help": help_}
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--part", choices=parts, action="append", help="run only this part; can be given several times")
    parser.add_argument("--sets", nargs="+", default=["subj", "tweet_emotion"], help="sets of adapt and help")
    parser.add_argument("--strategies", nargs="+", choices=[*STRATEGIES, *_OTHERS], help="of all parts but help; all")
    parser.add_argument("--held-out", type=int, default=300, help="texts to measure the loss on, of adapt and scratch")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each strategy")
    parser.add_argument("--steps", type=int, default=200, help="optimizer steps of each run")
    parser.add_argument("--batch", type=int, default=24, help="texts per step of adapt and help")
    parser.add_argument("--precision", default="fp32", help="number format of adapt: fp32 or bf16")
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
