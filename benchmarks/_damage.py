"""Bytes that flip, and files that are cut: a feature store, a saved estimator and a store of runs."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._study_to_kill import studied_texts, study
from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier
from skbert.errors import SkbertError
from skbert.stability import read_runs

_TEXTS = ["where is my parcel", "refund my lamp please", "my code does not work", "cancel the plan"]


def count_damage(folder, n_places, rng, say):
    """Damage each kind of file in turn, `n_places` times in all.

    Returns
    -------
    counts : dict of kind to Counter of what came of it
        "right": the result was as before; "error": one of skbert's own errors, which names the file; "wrong": another
        result, or an error that does not say what is wrong.
    wrong : list of str
        What "wrong" was, with the place.
    """
    things = {kind: make(folder / kind.replace(" ", "-")) for kind, make in _THINGS.items()}
    counts, wrong = {kind: Counter() for kind in things}, []
    for turn in range(n_places):
        kind = list(things)[turn % len(things)]
        place, read, expected, same = things[kind]
        path, at, way = _damage(place, rng)
        kept = path.with_name(f"{path.name}.kept") if place.is_file() else folder / "kept"
        shutil.copyfile(path, kept)
        way(path, at)
        outcome = _outcome(read, expected, place, same)
        counts[kind][outcome.partition(":")[0]] += 1
        if outcome.startswith("wrong"):
            wrong.append(f"{kind}, {path.name}, {way.__name__[1:]} at {at}: {outcome}")
        shutil.move(kept, path)
        if turn % 20 == 19:
            say(f"{turn + 1} of {n_places} places damaged")
    return counts, wrong


def _damage(place, rng):
    files = [place] if place.is_file() else [path for path in sorted(place.rglob("*")) if path.stat().st_size]
    files = [path for path in files if path.is_file()]
    path = files[rng.integers(len(files))]
    return path, int(rng.integers(path.stat().st_size)), (_flip if rng.random() < 0.7 else _cut)


def _flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << (at % 8))]))


def _cut(path, at):
    with open(path, "r+b") as file:
        file.truncate(at)


def _outcome(read, expected, place, same):
    try:
        found = read()
    except SkbertError as error:
        return "error" if str(place) in str(error) else f"wrong: {error} names no file"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    return "right" if same(found, expected) else "wrong: another result"


def _feature_store(folder):
    def read():
        return LayerPoolFeaturizer("minilm", layers=(2, 5), store=str(folder)).fit_transform(_TEXTS)

    expected = LayerPoolFeaturizer("minilm", layers=(2, 5)).fit_transform(_TEXTS)
    read()
    # Computed anew in another batch, sums come out a little different.
    return folder, read, expected, partial(np.allclose, atol=1e-5)


def _saved_estimator(folder):
    clf = MaxPoolBERTClassifier("minilm", max_epochs=1, freeze_layers=6, random_state=0)
    clf.fit(_TEXTS, ["order", "refund", "login", "refund"]).save(folder)
    expected = clf.predict_proba(_TEXTS)
    return folder, lambda: MaxPoolBERTClassifier.load(folder).predict_proba(_TEXTS), expected, np.array_equal


def _run_store(folder):
    folder.mkdir()
    path = Path(folder) / "runs.sqlite"
    study(path, n_jobs=1).fit(*studied_texts())

    def read():
        return read_runs(path).to_csv()

    return path, read, read(), np.array_equal


_THINGS = {"feature store": _feature_store, "saved estimator": _saved_estimator, "run store": _run_store}
