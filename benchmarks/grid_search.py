"""How much time does a feature store save in a grid search over the pooling plane?

python -m benchmarks.grid_search

Every timed search starts with an empty store; the first candidate and fold that need a state fill the store.
"""

import tempfile

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from benchmarks._main import main
from benchmarks._peers import PlainFeatures
from benchmarks._texts import labels_for, texts_for
from benchmarks._timing import alternate, ratio_line
from skbert import LayerPoolFeaturizer
from skbert.encoder import minilm_folder

_GRID = {
    "features__layers": [(depth,) for depth in range(1, 7)],
    "features__token_pooling": ["cls", "mean", "max"],
}


def lines(options):
    from skbert import FeatureStore

    texts, folds = (texts_for(options, 12), 2) if options.quick else (texts_for(options, 60), 5)
    labels, scores = labels_for(texts), {}

    def search(name, store):
        featurizer = LayerPoolFeaturizer("minilm", store=store, max_length=128, device="cpu", precision="fp32")
        pipeline = Pipeline([("features", featurizer), ("head", LogisticRegression(max_iter=1000))])
        found = GridSearchCV(pipeline, _GRID, cv=folds).fit(texts, labels)
        scores[name] = found.cv_results_["mean_test_score"]

    def search_in_memory():
        FeatureStore("memory").clear()
        search("memory", "memory")

    def search_in_folder():
        with tempfile.TemporaryDirectory() as folder:
            search("folder", folder)

    def search_plainly():
        pipeline = Pipeline(
            [("features", PlainFeatures(str(minilm_folder()))), ("head", LogisticRegression(max_iter=1000))]
        )
        grid = {"features__layer": list(range(1, 7)), "features__token_pooling": ["cls", "mean", "max"]}
        scores["plain"] = GridSearchCV(pipeline, grid, cv=folds).fit(texts, labels).cv_results_["mean_test_score"]

    candidates = {
        "none": lambda: search("none", None),
        "plain": search_plainly,
        "memory": search_in_memory,
        "folder": search_in_folder,
    }
    seconds = alternate(candidates, options.repeats)
    for reference, name in (("plain", "a step over plain transformers"), ("none", "the same pipeline without a store")):
        yield from _lines(seconds, scores, reference, name, folds)


def _lines(seconds, scores, reference, against, folds):
    for name, label in (("memory", 'store="memory"'), ("folder", "store in a folder")):
        off = np.abs(scores[name] - scores[reference]).max()
        yield ratio_line(
            f"GridSearchCV, 18 points x {folds} folds, logistic head, {label}",
            against,
            seconds[name],
            seconds[reference],
            40,
            note=f"mean scores differ by at most {off:.1g}",
        )


if __name__ == "__main__":
    main(__doc__, lines)
