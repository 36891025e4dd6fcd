"""Ideas that may help with few data, each tried once on the sets on which `few_data` was chosen.

python -m benchmarks.few_data_ideas --data DIR            # finished runs are kept, so you can stop it
python -m benchmarks.few_data_ideas --data DIR --only "five seeds, probabilities averaged" --draws 2
"""

import argparse
import copy
import itertools
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize
from sklearn.semi_supervised import SelfTrainingClassifier
from skorch.callbacks import Callback

from benchmarks._few_data_methods import READINGS
from benchmarks._runs import RunFile
from benchmarks._sets import draw, load_set
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, recipes

SETS = ("trec6", "mr", "cola")
# Number of texts without labels for self-training, and the probability from which their predicted label is taken.
_N_UNLABELLED, _SURE = 200, 0.8


class AveragedWeights(Callback):
    """At the end, the weights are the mean of those after each of the last epochs."""

    def __init__(self, n_epochs=5):
        self.n_epochs = n_epochs

    def on_train_begin(self, net, **kwargs):
        self._states = []

    def on_epoch_end(self, net, **kwargs):
        self._states = [*self._states, copy.deepcopy(net.module_.state_dict())][-self.n_epochs :]

    def on_train_end(self, net, **kwargs):
        means = {
            name: torch.stack([state[name].float() for state in self._states]).mean(dim=0) for name in self._states[0]
        }
        net.module_.load_state_dict(means)


def classifier(recipe, seed, **changes):
    """A classifier that reads by the mean of the last layer, unless `changes` say otherwise."""
    parameters = {**READINGS["mean"], **recipes.get(recipe, n_layers=6), **changes}
    return MaxPoolBERTClassifier("minilm", **parameters, random_state=seed)


def one(recipe, **changes):
    """One classifier with a recipe, of which some parameters are changed."""

    def fit(texts, labels, unlabelled, seed):
        return classifier(recipe, seed, **changes).fit(texts, labels).predict

    return fit


def several(recipe, n_seeds=5):
    """The mean of the probabilities of several seeds."""

    def fit(texts, labels, unlabelled, seed):
        models = [classifier(recipe, 100_000 * k + seed).fit(texts, labels) for k in range(n_seeds)]
        classes = models[0].classes_
        return lambda new: classes[sum(model.predict_proba(new) for model in models).argmax(axis=1)]

    return fit


def partly(recipe, share):
    """Weights a share of the way from the pretrained to the trained ones (Wortsman et al. 2022), then a new head."""

    def fit(texts, labels, unlabelled, seed):
        model = classifier(recipe, seed).fit(texts, labels)
        trained, pretrained = model.weights(), model.pretrained_weights()
        with torch.no_grad():
            for name, start in pretrained.items():
                trained[name].copy_(torch.lerp(start, trained[name], share))
        head = LogisticRegression(max_iter=1000).fit(normalize(model.transform(texts)), labels)
        return lambda new: head.predict(normalize(model.transform(new)))

    return fit


def beside_frozen(recipe):
    """Logistic regression on the trained vectors beside those of the pretrained encoder."""

    def fit(texts, labels, unlabelled, seed):
        readers = [classifier(recipe, seed).fit(texts, labels), LayerPoolFeaturizer("minilm").fit(texts)]

        def vectors(new):
            return np.hstack([normalize(reader.transform(new)) for reader in readers]) / np.sqrt(2)

        head = LogisticRegression(max_iter=1000).fit(vectors(texts), labels)
        return lambda new: head.predict(vectors(new))

    return fit


def self_training(recipe):
    """Pseudo-labels for texts without labels, where the model is sure; then a second fit on all of them."""

    def fit(texts, labels, unlabelled, seed):
        classes, codes = np.unique(labels, return_inverse=True)
        all_texts = np.array([*texts, *unlabelled], dtype=object)
        look_up = FunctionTransformer(lambda rows: all_texts[np.asarray(rows)[:, 0].astype(int)].tolist())
        model = make_pipeline(look_up, classifier(recipe, seed))
        search = SelfTrainingClassifier(model, threshold=_SURE, max_iter=1)
        known = np.concatenate([codes, np.full(len(unlabelled), -1)])
        search.fit(np.arange(len(all_texts))[:, None], known)
        return lambda new: classes[search.estimator_[-1].predict(new)]

    return fit


IDEAS = {
    "few_data": one("few_data"),
    "the last three layers, mean": one("few_data", layers=3),
    "batch of 64": one("few_data", contrastive_steps=30, contrastive_batch_size=64),
    "supervised contrastive loss": one("few_data", contrastive_loss="supcon"),
    "no dropout": one("few_data", dropout=0.0),
    "60 steps at 5e-5": one("few_data", contrastive_steps=60, contrastive_learning_rate=5e-5),
    "then 10 epochs of fine-tuning": one("few_data", max_epochs=10, learning_rate=1e-4, contrastive_weight=1.0),
    "pairs of setfit2022": one("setfit2022"),
    "five seeds, probabilities averaged": several("few_data"),
    "weights 0.75 of the way": partly("few_data", 0.75),
    "weights half of the way": partly("few_data", 0.5),
    "beside frozen features": beside_frozen("few_data"),
    "from the centre of the classes": one("few_data", contrastive_center=True),
    "30 steps": one("few_data", contrastive_steps=30),
    "15 steps": one("few_data", contrastive_steps=15),
    "30 steps at 5e-5": one("few_data", contrastive_steps=30, contrastive_learning_rate=5e-5),
    "pseudo-labels for 200 texts": self_training("few_data"),
    "few_data_joint": one("few_data_joint"),
    "few_data_joint, labels smoothed by 0.1": one("few_data_joint", label_smoothing=0.1),
    "few_data_joint, weights of 5 epochs averaged": one("few_data_joint", callbacks=[AveragedWeights()]),
    "few_data_joint, without the contrastive loss": one("few_data_joint", contrastive_weight=0.0),
}


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder, one folder per set, as for few_data")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--size", type=int, default=8, help="training texts per class")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first-draw", type=int, default=0, help="number of the first draw")
    parser.add_argument("--only", nargs="+", choices=list(IDEAS), default=list(IDEAS), metavar="IDEA")
    parser.add_argument("--test-rows", type=int, default=600)
    parser.add_argument("--summary", action="store_true", help="print the table without running anything")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results/few_data_ideas.jsonl"))
    options = parser.parse_args(arguments)
    if options.data is None and not options.summary:
        parser.error("--data is required, except with --summary")
    return options


def run_all(options, store):
    sets, numbers = {}, range(options.first_draw, options.first_draw + options.draws)
    for number, name, idea in itertools.product(numbers, options.sets, options.only):
        key = {"set": name, "size": options.size, "draw": number, "idea": idea, "test_rows": options.test_rows}
        if store.has(key):
            continue
        if name not in sets:
            sets[name] = load_set(options.data, name, options.test_rows)
        text_set = sets[name]
        rows = draw(text_set, options.size, number)
        texts, labels = [text_set.pool_texts[i] for i in rows], text_set.pool_labels[rows]
        others = np.setdiff1d(np.arange(len(text_set.pool_texts)), rows)
        chosen = np.random.default_rng(number).choice(others, min(_N_UNLABELLED, len(others)), replace=False)
        unlabelled = [text_set.pool_texts[i] for i in chosen]
        began = time.process_time()
        predict = IDEAS[idea](texts, labels, unlabelled, 1000 * number)
        seconds = time.process_time() - began
        accuracy = float((predict(text_set.test_texts) == text_set.test_labels).mean())
        store.append({**key, "accuracy": accuracy, "cpu_seconds": round(seconds, 2)})
        print(f"{name}, draw {number}, {idea}: {accuracy:.3f} in {seconds:.1f} CPU seconds", flush=True)


def markdown(runs, reference="few_data"):
    """One row per idea: mean accuracy by set, and the difference from the reference over all sets, draw by draw."""
    names = list(dict.fromkeys(run["set"] for run in runs))
    scores = {(run["idea"], run["set"], run["draw"]): 100 * run["accuracy"] for run in runs}
    lines = ["| idea | " + " | ".join(names) + f" | minus {reference} | draws won | CPU s |"]
    lines.append("|---|" + "---:|" * (len(names) + 3))
    for idea in dict.fromkeys(run["idea"] for run in runs):
        cells = []
        for name in names:
            own = [score for (found, where, _), score in scores.items() if (found, where) == (idea, name)]
            cells.append(f"{np.mean(own):.1f}" if own else "")
        pairs = [
            score - scores[reference, where, number]
            for (found, where, number), score in scores.items()
            if found == idea and (reference, where, number) in scores
        ]
        gain = f"{np.mean(pairs):+.1f}" if pairs else ""
        won = f"{sum(pair > 0 for pair in pairs)} of {len(pairs)}" if idea != reference else ""
        seconds = np.mean([run["cpu_seconds"] for run in runs if run["idea"] == idea])
        lines.append(f"| {idea} | " + " | ".join(cells) + f" | {gain} | {won} | {seconds:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments=None):
    options = parse(arguments)
    torch.set_num_threads(1)
    store = RunFile(options.output)
    if not options.summary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run_all(options, store)
    print(markdown(store.runs))


if __name__ == "__main__":
    main()
