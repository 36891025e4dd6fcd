"""The methods of `few_data`: what their names mean, and one run of each."""

import ast
import importlib.util
import re
import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import _setfit
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, recipes
from skbert.encoder import load_encoder, make_runner, minilm_folder

LETTERS = {
    "a": "tfidf",
    "b": "features",
    "c": "cls:devlin2019",
    "d": "maxpool:devlin2019",
    "e": "maxpool:few_data",
    "f": "sbert",
    "g": "cls:few_data",
    "h": "setfit",
    "i": "setfit:20",
}
# Points of the pooling plane. A name says the pooling over layers, then that over tokens (one word where they are the
# same), then the number of layers (none for one layer). Any other point: by parameters, as in mean:few_data:layers=6.
READINGS = {
    "cls": {"layers": 1, "token_pooling": "cls"},
    "maxpool": {},
    "mean": {"layers": 1, "layer_pooling": "mean", "token_pooling": "mean"},
    "max": {"layers": 1, "layer_pooling": "max", "token_pooling": "max"},
    "mha": {"layers": 1, "token_pooling": "mha"},
    "mean3": {"layers": 3, "layer_pooling": "mean", "token_pooling": "mean"},
    "max3": {"layers": 3, "layer_pooling": "max", "token_pooling": "max"},
    "maxmean3": {"layers": 3, "layer_pooling": "max", "token_pooling": "mean"},
    "meanmax3": {"layers": 3, "layer_pooling": "mean", "token_pooling": "max"},
    "maxcls3": {"layers": 3, "layer_pooling": "max", "token_pooling": "cls"},
    "meanmha3": {"layers": 3, "layer_pooling": "mean", "token_pooling": "mha"},
}
# Not a recipe: a classifier of which only the reading is set.
DEFAULTS = "defaults"


def is_fine_tuned(method):
    """Whether `method` is READING:RECIPE."""
    return method.partition(":")[0] in READINGS


def is_setfit(method):
    return method.partition(":")[0] == "setfit"


def is_random(method):
    """Whether the result of `method` depends on a seed."""
    return is_fine_tuned(method) or is_setfit(method)


def missing(method, options):
    """The reason why `method` cannot run here, or None."""
    name, _, rest = method.partition(":")
    if is_setfit(method):
        if rest and not rest.isdecimal():
            return f"the number of iterations must be a whole number, got {rest!r}"
        return _setfit.missing(options.setfit_python)
    if is_fine_tuned(method):
        recipe = rest.partition(":")[0]
        known = recipe == DEFAULTS or recipe in recipes.names()
        return None if known else f"there is no recipe {recipe!r}"
    if method == "sbert" and importlib.util.find_spec("sentence_transformers") is None:
        return "sentence-transformers is not installed"
    return None if method in ("tfidf", "features", "sbert") else f"there is no method {name!r}"


def parameters_of(method, options):
    """What is set by the name of a method: parameters of the classifier or of SetFit, nothing for the others."""
    name, _, rest = method.partition(":")
    if is_setfit(method):
        return {"num_iterations": int(rest)} if rest else {}
    if not is_fine_tuned(method):
        return {}
    recipe, _, further = rest.partition(":")
    parameters = dict(READINGS[name])
    if recipe != DEFAULTS:
        n_layers = make_runner(load_encoder(options.model).model).n_layers
        parameters.update(recipes.get(recipe, n_layers=n_layers))
    # A comma inside brackets belongs to a value: layers=(4, 6).
    for item in filter(None, re.split(r",(?![^(\[]*[)\]])", further)):
        key, value = item.split("=", 1)
        parameters[key.strip()] = _value(value.strip())
    if options.max_epochs is not None:
        parameters["max_epochs"] = min(MaxPoolBERTClassifier(**parameters).max_epochs, options.max_epochs)
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
        self._warm = set()

    def prepare(self, method):
        """Keep what happens once per process out of the first fit: imports, and reading the weights from disk."""
        kind = "fine-tuned" if is_fine_tuned(method) else method
        if kind in self._warm:
            return
        self._warm.add(kind)
        texts, labels = ["a", "b", "c", "d"], [0, 1, 0, 1]
        if is_fine_tuned(method):
            _fit(MaxPoolBERTClassifier(self.options.model, max_epochs=1, device=self.options.device), texts, labels)
        else:
            self.vectors(method, texts)

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
    return str(minilm_folder()) if model == "minilm" else model


@dataclass(frozen=True)
class Outcome:
    """What one run gives.

    `cpu_seconds` are those of the fit, over all threads: from texts and labels to a model, without imports and
    without reading the weights from disk. `status` is that of the training, None where there is none.
    """

    predicted: np.ndarray
    cpu_seconds: float
    status: str | None = None


def predict(method, text_set, rows, seed, options, embedder, setfit):
    """Train on `rows` of the pool, and predict the evaluation texts."""
    texts, labels = [text_set.pool_texts[i] for i in rows], text_set.pool_labels[rows]
    if is_setfit(method):
        iterations = parameters_of(method, options).get("num_iterations")
        folder = _sentence_model(options.model)
        return Outcome(*setfit.predict(folder, texts, labels, text_set.test_texts, seed, iterations))
    if method == "tfidf":
        return _tfidf(texts, labels, text_set.test_texts)
    embedder.prepare(method)
    if method in ("features", "sbert"):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        began = time.process_time()
        model.fit(embedder.vectors(method, texts), labels)
        seconds = time.process_time() - began
        return Outcome(model.predict(embedder.test_vectors(method, text_set)), seconds)
    parameters = parameters_of(method, options)
    model = MaxPoolBERTClassifier(options.model, **parameters, random_state=seed, device=options.device)
    seconds = _fit(model, texts, labels)
    return Outcome(model.predict(text_set.test_texts), seconds, model.training_status_)


def _fit(model, texts, labels):
    """Fit `model`; gives the CPU seconds."""
    with warnings.catch_warnings():
        # Without the warning: the status is recorded and counted instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        began = time.process_time()
        model.fit(texts, labels)
        return time.process_time() - began


def _tfidf(texts, labels, test_texts):
    joined = [[" ".join(text) if isinstance(text, tuple) else text for text in part] for part in (texts, test_texts)]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000))
    seconds = _fit(model, joined[0], labels)
    return Outcome(model.predict(joined[1]), seconds)
