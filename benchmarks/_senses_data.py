"""Corpora and test sets for word senses, from a folder of TSV files."""

from dataclasses import dataclass

SIMILARITY = ("men", "ws353", "simlex999", "mturk771")


def corpus(folder, megabytes):
    """The first paragraphs of the Wikipedia text, up to a size."""
    lines, size = [], 0
    with open(folder / "wikipedia_en" / "train.txt", encoding="utf-8") as file:
        for line in file:
            size += len(line.encode())
            if size > megabytes * 1e6:
                break
            if line.strip():
                lines.append(line.strip())
    return lines


def rows(path):
    """Rows of a TSV file as dicts; fields are never quoted."""
    header, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    names = header.split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


def pairs(path):
    """Pairs of words in lower case, and their labels as numbers."""
    found = rows(path)
    return [(row["text_a"].lower(), row["text_b"].lower()) for row in found], [float(row["label"]) for row in found]


def contexts_of_pairs(folder):
    """SCWS: pairs of words, the context (left, word, right) of each, and labels."""
    found = rows(folder / "scws" / "test.tsv")
    words = [(row["text_a"].lower(), row["text_b"].lower()) for row in found]
    sides = [[_marked(row[f"context_{side}"]) for row in found] for side in "ab"]
    return words, *sides, [float(row["label"]) for row in found]


def _marked(text):
    left, _, rest = text.partition("<b>")
    word, _, right = rest.partition("</b>")
    return left, word.strip(), right


@dataclass(frozen=True)
class Lemma:
    """A word of SemEval-2013 task 13: its occurrences as (text, start, end), and their gold senses with weights."""

    word: str
    contexts: list
    gold: list


def lemmas(folder):
    """The lemmas of SemEval-2013 task 13."""
    found = {}
    for row in rows(folder / "wsi_semeval2013" / "test.tsv"):
        lemma = found.setdefault(row["lemma"], Lemma(row["lemma"], [], []))
        lemma.contexts.append((row["text"], int(row["token_start"]), int(row["token_end"])))
        senses = (entry.rpartition("/") for entry in row["gold_senses"].split())
        lemma.gold.append({name or weight: float(weight) if name else 1.0 for name, _, weight in senses})
    return list(found.values())
