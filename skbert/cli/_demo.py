"""The main task in one command: compare ways of reading the encoder on few texts, and check how much is luck."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

import skbert.recipes as recipes
from skbert.cli._estimators import READINGS
from skbert.datasets import load_helpdesk

NULL_MODEL = "TF-IDF + logistic regression"

# MiniLM is small and distilled, so it needs a higher learning rate than BERT-base.
_TRAINING = {"max_epochs": 6, "learning_rate": 2e-4}
_FEW_DATA = "mean, recipe few_data"

_COMPARED = ("baseline [CLS]", "MaxSeq+MHA (MaxPoolBERT)", _FEW_DATA)


def _methods():
    """The points of the pooling plane that the paper names, trained alike, and what we advise for few texts."""
    return {
        "baseline [CLS]": {**READINGS["baseline"], **_TRAINING},
        "MaxCLS": {**READINGS["maxcls"], **_TRAINING},
        "MHA": {**READINGS["mha"], **_TRAINING},
        "MaxSeq+MHA (MaxPoolBERT)": {**READINGS["maxpool"], **_TRAINING},
        _FEW_DATA: {**READINGS["mean"], **recipes.get("few_data", n_layers=6)},
    }


def draw(X, y, n_per_class, seed):
    """Draw `n_per_class` random texts of each class, shuffled."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(np.flatnonzero(y == label), n_per_class, replace=False) for label in np.unique(y.astype(str))]
    rows = rng.permutation(np.concatenate(rows))
    return X[rows], y[rows]


def run_demo(output, quick=False, random_state=0, say=print):
    """Cross-validate ways of reading and training on a small draw from the helpdesk dataset, then study three of them.

    Parameters
    ----------
    output : str or path
        Folder for the scores, the figure, and the store and report of the study. Runs of the study that are already
        there are not done again.
    quick : bool
        Three ways, 12 texts per class and 3 folds instead of all ways, 20 texts and 5 folds, and a smaller study.
    random_state : int
        Seed of the draw, of the folds, of every fit and of the study.
    say : callable
        Function that prints a line of the report.

    Returns
    -------
    dict of str to array
        Accuracy of each fold by estimator.
    """
    from tqdm.auto import tqdm

    from skbert.estimators import MaxPoolBERTClassifier

    # First, so that no work is lost because the folder cannot be created.
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    all_texts, all_labels = load_helpdesk(return_X_y=True)
    n_per_class, n_folds = (12, 3) if quick else (20, 5)
    X, y = draw(all_texts, all_labels, n_per_class, random_state)
    methods = _methods()
    compared = {name: methods[name] for name in _COMPARED}
    if quick:
        methods = compared
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    estimators = {NULL_MODEL: make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))}
    for name, parameters in methods.items():
        estimators[name] = MaxPoolBERTClassifier("minilm", random_state=random_state, **parameters)
    say(
        f"helpdesk, English: {len(X)} texts ({n_per_class} per class, {len(np.unique(y.astype(str)))} classes), "
        f"{folds.get_n_splits()} stratified folds, encoder all-MiniLM-L6-v2, "
        f"{_TRAINING['max_epochs']} epochs at {_TRAINING['learning_rate']:g} except with a recipe"
    )
    scores, seconds = {}, {}
    with tqdm(total=len(estimators) * folds.get_n_splits(), unit="fit", smoothing=0) as bar:

        def accuracy(estimator, X, y):
            bar.update()
            return accuracy_score(y, estimator.predict(X))

        for name, estimator in estimators.items():
            bar.set_description(name)
            start = time.perf_counter()
            scores[name] = cross_val_score(estimator, X, y, cv=folds, scoring=accuracy)
            seconds[name] = (time.perf_counter() - start) / folds.get_n_splits()
    table = _write_scores(output / "scores.csv", scores, seconds)
    _report(scores, seconds, say)
    say(f"Scores of every fold: {table}")
    title = f"Ways to read and train MiniLM: helpdesk, {len(X)} texts, {n_folds}-fold cross-validation"
    say(_figure(output / "pooling_plane.png", scores, title))
    _study(output, all_texts, all_labels, compared, quick, random_state, say)
    return scores


def _report(scores, seconds, say):
    width = max(map(len, scores))
    say("")
    say(f"{'':{width}}  accuracy  std over folds  seconds per fit")
    for name, values in scores.items():
        say(f"{name:{width}}  {values.mean():8.3f}  {values.std():14.3f}  {seconds[name]:15.1f}")
    say("")
    say("One draw of texts and one seed: differences smaller than the standard deviation mean little.")


def _study(output, X, y, compared, quick, random_state, say):
    """Check whether one of the compared ways is better than another on these texts, or was lucky."""
    from skbert.errors import RunStoreError
    from skbert.estimators import MaxPoolBERTClassifier
    from skbert.stability import StabilityStudy

    sizes, seeds = ([24], 3) if quick else ([24, 72], 6)
    say("")
    say(f"Was it luck? {seeds} draws and seeds, {' and '.join(map(str, sizes))} training texts, 120 test texts:")
    try:
        study = StabilityStudy(
            MaxPoolBERTClassifier("minilm"),
            compared,
            seeds=seeds,
            train_sizes=sizes,
            test_size=120,
            store=output / "study.sqlite",
            n_jobs=-1,
            random_state=random_state,
            verbose=1,
        ).fit(X, y)
    except (ImportError, RunStoreError) as error:
        say(f"No study: {error}")
        return
    table = study.summary()[["variant", "size", "n", "mean", "std", "min", "max"]]
    say(table.to_string(index=False, float_format="{:.3f}".format))
    say("")
    for size in sizes:
        say("\n".join(study.conclusions(size=size)))
    try:
        title = "MiniLM on few texts: which way of reading and training is better?"
        say(f"Report: {study.report(output / 'report.html', title=title)}")
    except ImportError as error:
        say(f"No report: {error}")


def _write_scores(path, scores, seconds):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["estimator", "fold", "accuracy", "seconds_per_fit"])
        for name, values in scores.items():
            for fold, value in enumerate(values):
                writer.writerow([name, fold, f"{value:.6f}", f"{seconds[name]:.3f}"])
    return path


def _figure(path, scores, title):
    from skbert.plots import CVScoresDisplay

    try:
        display = CVScoresDisplay(scores, score_name="accuracy", reference=NULL_MODEL).plot(title=title)
    except ImportError as error:
        return f"No figure: {error}"
    display.figure_.savefig(path, dpi=150)
    return f"Figure: {path}"
