"""Studies in which MiniLM is really fine-tuned, on many small pools of texts: is what they say of new texts true?

Two variants are the same algorithm with other seeds, so that neither is better, on these texts or on others.
"""

import warnings

import numpy as np

from benchmarks._runs import RunFile
from benchmarks._sets import load_set
from skbert import MaxPoolBERTClassifier, StabilityStudy
from skbert.datasets import load_helpdesk

# MiniLM is small and distilled: it takes, and needs, a higher rate than BERT-base.
_TRAINING = {"layers": 1, "token_pooling": "cls", "max_epochs": 4, "learning_rate": 3e-4, "device": "cpu"}
N_TEXTS, N_RUNS = 60, 8


class OtherSeeds(MaxPoolBERTClassifier):
    """The same algorithm, with another seed in every run."""

    def fit(self, X, y):
        given = self.random_state
        self.random_state = given + 1
        try:
            return super().fit(X, y)
        finally:
            self.random_state = given


def population(folder):
    """Texts, labels and a name: the training texts of the first set in `folder`, or the helpdesk texts."""
    if folder is None:
        X, y = load_helpdesk(return_X_y=True)
        return np.array(X, dtype=object), np.array(y), "helpdesk"
    name = next(name for name in ("trec6", "sst2", "mr") if (folder / name).is_dir())
    found = load_set(folder, name)
    labels, counts = np.unique(found.pool_labels, return_counts=True)
    # A label that pools of 60 texts may not hold twice is no part of the question.
    kept = np.isin(found.pool_labels, labels[counts > 0.05 * counts.sum()])
    return np.array(found.pool_texts, dtype=object)[kept], found.pool_labels[kept], name


def run(folder, output, n_pools, jobs):
    """Do the studies that are not in the file yet.

    Returns
    -------
    str, list of float arrays (n_runs,)
        Name of the texts, and the differences of accuracy on each pool.
    """
    X, y, name = population(folder)
    file = RunFile(output / f"claims_fine_tuned_{name}.jsonl")
    for pool in range(n_pools):
        if not file.has({"pool": pool}):
            file.append({"pool": pool, "accuracy": _study(X, y, pool, jobs)})
    found = [run["accuracy"] for run in file.runs if run["pool"] < n_pools]
    return name, [np.array(each["one"]) - np.array(each["other"]) for each in found]


def _study(X, y, pool, jobs):
    rows = np.random.default_rng([13, pool]).permutation(len(X))[:N_TEXTS]
    variants = {"one": MaxPoolBERTClassifier("minilm", **_TRAINING), "other": OtherSeeds("minilm", **_TRAINING)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = StabilityStudy(
            variants=variants, seeds=N_RUNS, scoring="accuracy", baselines=(), n_jobs=jobs, random_state=pool
        ).fit(X[rows].tolist(), y[rows])
    scores = study.results_.pivot(index="draw", columns="variant", values="accuracy")
    return {name: scores[name].tolist() for name in variants}
