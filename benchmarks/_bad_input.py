"""Sixty kinds of bad input to every public entry: is it refused, by the right type, with the row and with advice?"""

import datetime
import io
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pandas as pd

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor, SkipLayerProbe, StabilityStudy
from skbert.cli import main

_TEXTS = [f"{opening} {topic}" for opening in ("where is", "please send", "why no") for topic in ("parcel", "refund")]
_LABELS = ["order", "refund"] * 3
_NUMBERS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
_NAN = float("nan")


def _with(bad, row=2, good=_TEXTS):
    return [*good[:row], bad, *good[row + 1 :]]


# What stands for the texts: value, type of the error, and what its message must hold. Row 2 is the bad one.
TEXTS = {
    "None among texts": (_with(None), ValueError, ["row 2", "1 of 6"]),
    "NaN among texts": (_with(_NAN), ValueError, ["row 2", "1 of 6"]),
    "NA in a nullable column": (pd.Series(_with(pd.NA), dtype="string"), ValueError, ["row 2", "Drop these rows"]),
    "NaT among texts": (_with(pd.NaT), ValueError, ["row 2"]),
    "an int among texts": (_with(7), TypeError, ["row 2", "int"]),
    "a float among texts": (_with(7.5), TypeError, ["row 2", "float"]),
    "a truth value among texts": (_with(True), TypeError, ["row 2", "bool"]),
    "bytes among texts": (_with(b"text"), TypeError, ["row 2", "bytes"]),
    "a list among texts": (_with(["a", "b", "c"]), TypeError, ["row 2", "list"]),
    "a dict among texts": (_with({"a": 1}), TypeError, ["row 2", "dict"]),
    "a date among texts": (_with(datetime.date(2024, 1, 2)), TypeError, ["row 2", "date"]),
    "half of a surrogate pair": (_with("half \ud83d"), ValueError, ["row 2", "valid Unicode"]),
    "a bare text": ("where is my parcel", ValueError, ["raw text documents", "string object"]),
    "no rows": ([], ValueError, ["0 sample"]),
    "nothing at all": (None, TypeError, ["NoneType", "list"]),
    "a generator": ((text for text in _TEXTS), TypeError, ["generator", "list(X)"]),
    "a set": (set(_TEXTS), TypeError, ["set", "list(X)"]),
    "a dict": (dict.fromkeys(_TEXTS), TypeError, ["dict", "list(X)"]),
    "bytes": (b"text", TypeError, ["bytes"]),
    "a number": (7, TypeError, ["int"]),
    "an array of numbers": (np.zeros((6, 1)), TypeError, ["row 0", "float"]),
    "an array of no dimension": (np.array("text"), ValueError, ["scalar"]),
    "an array of three dimensions": (np.full((6, 1, 1), "a"), ValueError, ["3 dimensions"]),
    "three columns": (np.full((6, 3), "a"), ValueError, ["3 columns", "pairs"]),
    "a frame of three columns": (pd.DataFrame([["a", "b", "c"]] * 6), ValueError, ["3 columns", "pairs"]),
    "a frame of a column of numbers": (pd.DataFrame({"text": range(6)}), TypeError, ["row 0", "int"]),
    "ragged pairs": ([("a", "b")] * 2 + [("a",)] + [("a", "b")] * 3, ValueError, ["row 2", "pair"]),
    "pairs of three": ([("a", "b")] * 2 + [("a", "b", "c")] + [("a", "b")] * 3, ValueError, ["row 2", "pair"]),
    "a text among pairs": ([("a", "b")] * 2 + ["a"] + [("a", "b")] * 3, ValueError, ["row 2", "pair"]),
    "None in a pair": ([("a", "b")] * 2 + [("a", None)] + [("a", "b")] * 3, ValueError, ["row 2", "column 1"]),
}
# What stands for the labels of a classifier.
LABELS = {
    "no labels": (None, ValueError, ["requires y"]),
    "too few labels": (_LABELS[:5], ValueError, ["6", "5"]),
    "too many labels": ([*_LABELS, "order"], ValueError, ["6", "7"]),
    "one class": (["order"] * 6, ValueError, ["class", "'order'"]),
    "None among labels": (_with(None, good=_LABELS), ValueError, ["row 2"]),
    "NaN among labels": (_with(_NAN, good=_LABELS), ValueError, ["row 2"]),
    "NaN among numbers as labels": (np.array([0, 1, _NAN, 1, 0, 1]), ValueError, ["NaN"]),
    "infinity among labels": (np.array([0, 1, np.inf, 1, 0, 1]), ValueError, ["infinity"]),
    "fractions as labels": (np.array([0.5, 1.5] * 3), ValueError, ["continuous", "classifier"]),
    "a number among texts as labels": (_with(3, good=_LABELS), ValueError, ["row 2", "texts"]),
    "a truth value among numbers as labels": ([0, 1, True, 1, 0, 1], ValueError, ["row 2", "numbers"]),
    "whole floats beyond int64": (np.array([1e20, 2e20] * 3), ValueError, ["row 0", "texts"]),
    "lists of several lengths": ([[0], [0, 1], [1]] * 2, ValueError, []),
    "labels of three dimensions": (np.zeros((6, 2, 2), dtype=int), ValueError, []),
}
# What stands for the numbers of a regressor.
NUMBERS = {
    "no numbers": (None, ValueError, ["requires y"]),
    "texts as numbers": (["one"] * 6, ValueError, ["numbers"]),
    "NaN among numbers": (_with(_NAN, good=_NUMBERS), ValueError, ["NaN"]),
    "infinity among numbers": (_with(np.inf, good=_NUMBERS), ValueError, ["infinity"]),
    "dates as numbers": (pd.date_range("2024-01-01", periods=6), ValueError, ["dates"]),
    "two columns of numbers": (np.zeros((6, 2)), ValueError, ["1d array"]),
}
# Files for the command: name, content, and what it must say.
FILES = {
    "an empty file": ("t.csv", b"", ["first row must name the columns"]),
    "a header alone": ("t.csv", b"text,label\n", ["no rows"]),
    "a row with a field too many": ("t.csv", b"text,label\na,b\nc,d,e\n", ["row 1", "quotes"]),
    "a quote that is never closed": ("t.csv", b'text,label\na,b\n"c,d\n', ["row 1", "never closed"]),
    "two columns of one name": ("t.csv", b"text,text,label\na,b,c\n", ["'text'", "rename"]),
    "another encoding": ("t.csv", "text,label\nZo\u00eb,b\n".encode("latin-1"), ["not utf-8", "--encoding"]),
    "a column that is not there": ("t.csv", b"body,label\na,b\n", ["no column 'text'", "body"]),
    "an unknown ending": ("t.xlsx", b"text", [".csv, .tsv, .jsonl"]),
    "a line that is no JSON": ("t.jsonl", b'{"text": "a", "label": "b"}\n{no}\n', ["line 2"]),
    "a line that is no object": ("t.jsonl", b'{"text": "a", "label": "b"}\nnull\n', ["line 2", "object"]),
    "a key that stands twice": ("t.jsonl", b'{"text": "a", "text": "b"}\n', ["line 1", "'text'"]),
    "a damaged Parquet file": ("t.parquet", b"PAR1 and no more", ["cannot be read as parquet"]),
    "a number where a text should stand": ("t.jsonl", b'{"text": 3, "label": "b"}\n', ["row 0", "'text'"]),
    "no file": ("t.csv", None, ["There is no file"]),
}


def count_bad_input(folder, say):
    """Feed every kind to every entry that takes such a thing.

    Returns
    -------
    counts : dict of group to Counter
        "kinds", "entries" and "checks", and of the checks "refused" as wanted and "wrong".
    wrong : list of str
    """
    tried = {
        "texts": (TEXTS, _text_entries()),
        "labels": (LABELS, _label_entries()),
        "numbers": (NUMBERS, {"MaxPoolBERTRegressor.fit": lambda y: MaxPoolBERTRegressor("minilm").fit(_TEXTS, y)}),
    }
    counts, wrong = {}, []
    for group, (kinds, entries) in tried.items():
        count = counts[group] = Counter(kinds=len(kinds), entries=len(entries))
        for kind, (value, error, words) in kinds.items():
            for entry, call in entries.items():
                reason = _refusal_is_wrong(call, value, error, words)
                count["checks"] += 1
                count["wrong" if reason else "refused"] += 1
                wrong += [f"{entry}, {kind}: {reason}"] if reason else []
        say(f"{group}: {count['checks']} checks")
    counts["files"], more = _count_files(folder)
    return counts, wrong + more


def _refusal_is_wrong(call, value, error, words):
    try:
        call(value)
    except error as caught:
        missing = [word for word in words if word not in str(caught)]
        return f"{caught} does not say {missing}" if missing else ""
    except Exception as caught:
        return f"{type(caught).__name__} in place of {error.__name__}: {caught}"
    return "was not refused"


def _text_entries():
    clf = MaxPoolBERTClassifier("minilm", max_epochs=1, freeze_layers=6, random_state=0).fit(_TEXTS, _LABELS)
    regressor = MaxPoolBERTRegressor("minilm", max_epochs=1, freeze_layers=6, random_state=0).fit(_TEXTS, _NUMBERS)
    featurizer = LayerPoolFeaturizer("minilm").fit(_TEXTS)
    return {
        "MaxPoolBERTClassifier.fit": lambda X: MaxPoolBERTClassifier("minilm").fit(X, _LABELS),
        "MaxPoolBERTRegressor.fit": lambda X: MaxPoolBERTRegressor("minilm").fit(X, _NUMBERS),
        "LayerPoolFeaturizer.fit": lambda X: LayerPoolFeaturizer("minilm").fit(X),
        "LayerPoolFeaturizer.transform": featurizer.transform,
        "MaxPoolBERTClassifier.predict": clf.predict,
        "MaxPoolBERTClassifier.predict_proba": clf.predict_proba,
        "MaxPoolBERTClassifier.decision_function": clf.decision_function,
        "MaxPoolBERTClassifier.transform": clf.transform,
        "MaxPoolBERTClassifier.score": lambda X: clf.score(X, _LABELS),
        "MaxPoolBERTRegressor.predict": regressor.predict,
        "SkipLayerProbe.fit": lambda X: SkipLayerProbe(clf, cv="prefit").fit(X, _LABELS),
        "StabilityStudy.fit": lambda X: StabilityStudy(clf, seeds=1).fit(X, _LABELS),
    }


def _label_entries():
    clf = MaxPoolBERTClassifier("minilm")
    return {
        "MaxPoolBERTClassifier.fit": lambda y: clf.fit(_TEXTS, y),
        "SkipLayerProbe.fit": lambda y: SkipLayerProbe(clf, cv=3).fit(_TEXTS, y),
        "StabilityStudy.fit": lambda y: StabilityStudy(clf, seeds=1).fit(_TEXTS, y),
    }


def _count_files(folder):
    saved = folder / "saved"
    MaxPoolBERTClassifier("minilm", max_epochs=1, freeze_layers=6, random_state=0).fit(_TEXTS, _LABELS).save(saved)
    commands = {
        "skbert fit": ["fit", "DATA", "--output", folder / "new"],
        "skbert predict": ["predict", saved, "DATA"],
        "skbert evaluate": ["evaluate", saved, "DATA"],
        "skbert features": ["features", "DATA", "--output", folder / "f.npy"],
        "skbert probe": ["probe", "DATA", "--folder", saved, "--output", folder / "probe"],
        "skbert study": ["study", "DATA", "--variants", "features", "--seeds", "1"],
    }
    count, wrong = Counter(kinds=len(FILES), entries=len(commands)), []
    for kind, (name, content, words) in FILES.items():
        path = folder / name
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        for entry, command in commands.items():
            status, said = _run([str(path) if word == "DATA" else str(word) for word in command])
            missing = [word for word in words if word not in said]
            reason = f"status {status}, no {missing} in {said!r}" if status != 1 or missing else ""
            count["checks"] += 1
            count["wrong" if reason else "refused"] += 1
            wrong += [f"{entry}, {kind}: {reason}"] if reason else []
    return count, wrong


def _run(words):
    """Exit status and errors of the command."""
    before, said = sys.argv, io.StringIO()
    sys.argv = ["skbert", *words]
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            main()
    except SystemExit as stop:
        return stop.code or 0, said.getvalue()
    except Exception as error:
        return f"{type(error).__name__}: {error}", said.getvalue()
    finally:
        sys.argv = before
    return 0, said.getvalue()
