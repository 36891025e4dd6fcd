"""Text datasets in folders of TSV files, and balanced small training sets that are drawn from them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TextSet:
    """Texts to draw training sets from, and texts to evaluate on; a text is a str or a pair of str."""

    name: str
    pool_texts: list
    pool_labels: np.ndarray
    test_texts: list
    test_labels: np.ndarray


def load_set(folder, name, n_test=1000):
    """The dataset in ``folder/name``: at most `n_test` random rows of its test (or validation) part for evaluation.

    The pool for training is `train.tsv`: each text once, and without the texts of the evaluation.
    """
    part = next((part for part in ("test", "validation") if (folder / name / f"{part}.tsv").is_file()), None)
    if part is None:
        raise FileNotFoundError(f"{folder / name} contains neither test.tsv nor validation.tsv")
    test_texts, test_labels = _read(folder / name / f"{part}.tsv")
    rows = np.sort(np.random.default_rng(0).permutation(len(test_texts))[:n_test])
    test_texts, test_labels = [test_texts[i] for i in rows], test_labels[rows]
    texts, labels = _read(folder / name / "train.tsv")
    seen, kept = set(test_texts), []
    for row, text in enumerate(texts):
        if text not in seen:
            seen.add(text)
            kept.append(row)
    return TextSet(name, [texts[i] for i in kept], labels[kept], test_texts, test_labels)


def largest_size(text_set):
    """The number of texts of the rarest class: no draw can have more per class."""
    return int(np.unique(text_set.pool_labels, return_counts=True)[1].min())


def draw(text_set, size, number):
    """Rows of the pool for one draw: `size` rows of each class, ascending by class.

    Draws with the same number are nested: a smaller training set is part of a larger one.
    """
    chosen = []
    for k, label in enumerate(np.unique(text_set.pool_labels)):
        rows = np.flatnonzero(text_set.pool_labels == label)
        if len(rows) < size:
            raise ValueError(f"{text_set.name} has {len(rows)} texts of class {label!r}, fewer than {size}")
        chosen.append(np.random.default_rng([number, k]).permutation(rows)[:size])
    return np.concatenate(chosen)


def _read(path):
    # Fields are never quoted, so a double quote is an ordinary character.
    header, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    columns = header.split("\t")
    rows = [line.split("\t") for line in lines]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"{path} has rows with another number of fields than its header")
    names = ["text"] if "text" in columns else ["text_a", "text_b"]
    places = [columns.index(name) for name in names]
    texts = [row[places[0]] if len(places) == 1 else tuple(row[i] for i in places) for row in rows]
    return texts, np.array([row[columns.index("label")] for row in rows])
