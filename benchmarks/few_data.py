"""What helps with few data: TF-IDF, frozen features, or fine-tuning? With which recipe and which reading?

python -m benchmarks.few_data --data DIR            # the full grid; finished runs are kept, so you can stop it
python -m benchmarks.few_data --data DIR --quick    # a smaller grid, under an hour on two cores
python -m benchmarks.few_data --summary             # tables of the finished runs, as Markdown

A method is tfidf, features, sbert, or READING:RECIPE with READING cls or maxpool. Parameters of the estimator may
follow, as in maxpool:mosbach2021:learning_rate=2e-4,layer_decay=0.9. The letters a to g are short names of
tfidf, features, cls:devlin2019, maxpool:devlin2019, maxpool:few_data, sbert and cls:few_data.
"""

import argparse
import ast
import importlib.util
import itertools
import json
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skbert
from benchmarks._few_data_table import markdown
from benchmarks._runs import RunFile
from benchmarks._sets import draw, load_set
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, recipes
from skbert.compute import resolve_device
from skbert.encoder import load_encoder, make_runner

SETS = ("trec6", "mr", "subj", "cola", "rte", "tweet_emotion", "snips_intent")
LETTERS = {
    "a": "tfidf",
    "b": "features",
    "c": "cls:devlin2019",
    "d": "maxpool:devlin2019",
    "e": "maxpool:few_data",
    "f": "sbert",
    "g": "cls:few_data",
}
READINGS = {"cls": {"layers": 1, "token_pooling": "cls"}, "maxpool": {}}
QUICK = {"sets": ["trec6", "mr", "cola", "rte", "tweet_emotion"], "sizes": [8, 16], "seeds": 1, "test_rows": 300}


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder, one folder per set: train.tsv, test.tsv or validation.tsv")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16, 32, 64], help="training texts per class")
    parser.add_argument("--draws", type=int, default=5, help="number of training sets, the same for all methods")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds per draw, for methods with randomness")
    parser.add_argument("--methods", nargs="+", default=list(LETTERS), help="letters, or names as described above")
    parser.add_argument("--max-epochs", type=int, help="at most this many epochs, even if a recipe has more")
    parser.add_argument("--test-rows", type=int, default=1000, help="evaluate on at most this many rows")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help=f"values of options that are not given: {QUICK}")
    parser.add_argument("--summary", action="store_true", help="print the tables without running anything")
    parser.add_argument("--reference", default="c", help="method that is subtracted in paired differences")
    parser.add_argument("--output", type=Path, default=Path("benchmark-results/few_data.jsonl"))
    if parser.parse_args(arguments).quick:
        parser.set_defaults(**QUICK)
    options = parser.parse_args(arguments)
    options.methods = [LETTERS.get(name, name) for name in options.methods]
    options.reference = LETTERS.get(options.reference, options.reference)
    if options.data is None and not options.summary:
        parser.error("--data is required, except with --summary")
    return options


def missing(method):
    """The reason why `method` cannot run here, or None."""
    if method == "sbert" and importlib.util.find_spec("sentence_transformers") is None:
        return "sentence-transformers is not installed"
    if ":" in method and method.split(":")[1] not in recipes.names():
        return f"there is no recipe {method.split(':')[1]!r}"
    return None


def parameters_of(method, options):
    """The classifier parameters of a method READING:RECIPE[:parameters]."""
    reading, recipe, *rest = method.split(":")
    n_layers = make_runner(load_encoder(options.model).model).n_layers
    parameters = {**READINGS[reading], **recipes.get(recipe, n_layers=n_layers)}
    for item in filter(None, ":".join(rest).split(",")):
        name, value = item.split("=", 1)
        parameters[name] = _value(value)
    if options.max_epochs is not None:
        parameters["max_epochs"] = min(parameters["max_epochs"], options.max_epochs)
    return parameters


def _value(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


class Embedder:
    """Vectors of texts from one encoder; those of the evaluation texts are computed once per dataset."""

    def __init__(self, options):
        self.options = options
        self._sentence = None
        self._test = {}

    def vectors(self, method, texts):
        if method == "features":
            featurizer = LayerPoolFeaturizer(self.options.model, device=self.options.device)
            return featurizer.fit_transform(texts)
        model = self._sentence_transformer()
        if isinstance(texts[0], str):
            return model.encode(texts, show_progress_bar=False)
        # The usual features for a pair of sentence vectors.
        first, second = (model.encode(list(side), show_progress_bar=False) for side in zip(*texts, strict=True))
        return np.hstack([first, second, np.abs(first - second)])

    def _sentence_transformer(self):
        if self._sentence is None:
            from sentence_transformers import SentenceTransformer

            device = None if self.options.device == "auto" else self.options.device
            self._sentence = SentenceTransformer(_sentence_model(self.options.model), device=device)
        return self._sentence

    def test_vectors(self, method, text_set):
        key = (method, text_set.name)
        if key not in self._test:
            self._test[key] = self.vectors(method, text_set.test_texts)
        return self._test[key]


def _sentence_model(model):
    if model != "minilm":
        return model
    from skbert.encoder import minilm_folder

    return str(minilm_folder())


def predict(method, text_set, rows, seed, options, embedder):
    """Predictions for the evaluation texts, and the status of the training (None if there is no status)."""
    texts, labels = [text_set.pool_texts[i] for i in rows], text_set.pool_labels[rows]
    if method == "tfidf":
        joined = [
            [" ".join(text) if isinstance(text, tuple) else text for text in part]
            for part in (texts, text_set.test_texts)
        ]
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000))
        return model.fit(joined[0], labels).predict(joined[1]), None
    if method in ("features", "sbert"):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(embedder.vectors(method, texts), labels)
        return model.predict(embedder.test_vectors(method, text_set)), None
    parameters = parameters_of(method, options)
    model = MaxPoolBERTClassifier(options.model, **parameters, random_state=seed, device=options.device)
    with warnings.catch_warnings():
        # Without the warning: the status is recorded and counted instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(texts, labels)
    return model.predict(text_set.test_texts), model.training_status_


def plan(options, methods):
    """All runs in their order: whole draws first, so that an early table already compares all methods."""
    for number in range(options.draws):
        for name, size, method in itertools.product(options.sets, options.sizes, methods):
            for seed in range(options.seeds if ":" in method else 1):
                yield {"set": name, "size": size, "draw": number, "seed": seed, "method": method}


def run_all(options, store):
    methods = []
    for method in options.methods:
        reason = missing(method)
        if reason is None:
            methods.append(method)
        else:
            print(f"{method} is left out: {reason}")
    parameters = {m: json.dumps(parameters_of(m, options) if ":" in m else {}, sort_keys=True) for m in methods}
    settings = {
        "model": options.model,
        "device": resolve_device(options.device).type,
        "test_rows": options.test_rows,
        "max_epochs": options.max_epochs,
    }
    keys = ({**key, **settings, "parameters": parameters[key["method"]]} for key in plan(options, methods))
    todo = [key for key in keys if not store.has(key)]
    print(f"{len(todo)} runs to do, {len(store.runs)} in {store.path}")
    sets, embedder, start = {}, Embedder(options), time.perf_counter()
    for done, key in enumerate(todo):
        if key["set"] not in sets:
            sets[key["set"]] = load_set(options.data, key["set"], options.test_rows)
        text_set, began = sets[key["set"]], time.perf_counter()
        rows = draw(text_set, key["size"], key["draw"])
        # Every draw has its own seeds, and all methods use the same seeds.
        seed = 1000 * key["draw"] + key["seed"]
        predicted, status = predict(key["method"], text_set, rows, seed, options, embedder)
        truth = text_set.test_labels
        scores = {
            "accuracy": float(accuracy_score(truth, predicted)),
            "f1_macro": float(f1_score(truth, predicted, average="macro", zero_division=0)),
            "mcc": float(matthews_corrcoef(truth, predicted)),
        }
        seconds = time.perf_counter() - began
        store.append({**key, **scores, "status": status, "seconds": round(seconds, 2), "skbert": skbert.__version__})
        left = (time.perf_counter() - start) / (done + 1) * (len(todo) - done - 1)
        what = " ".join(str(key[name]) for name in ("set", "size", "method"))
        print(
            f"{done + 1}/{len(todo)}  {what}, draw {key['draw']}, seed {key['seed']}: "
            f"{scores['accuracy']:.3f} {status or ''} in {seconds:.1f} s, about {left / 60:.0f} min left",
            flush=True,
        )


def main(arguments=None):
    options = parse(arguments)
    store = RunFile(options.output)
    if not options.summary:
        run_all(options, store)
    print(markdown(store.runs, options.reference))


if __name__ == "__main__":
    main()
