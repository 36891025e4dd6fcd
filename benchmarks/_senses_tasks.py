"""What word senses are good for: one function per task, which gives a value and an interval for each candidate."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer

from benchmarks._fuzzy import fuzzy_b_cubed, fuzzy_nmi, hard_memberships, memberships
from benchmarks._senses_data import SIMILARITY, contexts_of_pairs, lemmas, pairs
from benchmarks._sets import draw, load_set
from skbert.senses import SenseVectorizer, Word2Sense, intrusion_items, js_divergence

_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """One value: of which task and measure, by which candidate, with its 95 % interval."""

    task: str
    measure: str
    candidate: str
    value: float
    low: float
    high: float
    note: str = ""


def spearman(first, second):
    """Rank correlation along the last axis."""
    a, b = (rankdata(values, axis=-1) for values in (first, second))
    a, b = (values - values.mean(axis=-1, keepdims=True) for values in (a, b))
    return (a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))


def correlated(task, candidate, columns, labels, note=""):
    """Spearman of each column (one per seed) with the labels: the mean, and an interval by bootstrap over pairs."""
    columns, labels = np.atleast_2d(columns), np.asarray(labels)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(labels), size=(_RESAMPLES, len(labels)))
    values = [spearman(columns[:, rows], labels[rows]).mean() for rows in drawn]
    low, high = np.percentile(values, [2.5, 97.5])
    return Score(task, "Spearman", candidate, float(spearman(columns, labels).mean()), low, high, note)


def average_precision(task, candidate, columns, gold, note=""):
    """Average precision of each column (one per seed): the mean, and an interval by bootstrap over pairs."""
    drawn = np.random.default_rng(0).integers(len(gold), size=(_RESAMPLES, len(gold)))

    def value(rows):
        return np.mean([average_precision_score(gold[rows], column[rows]) for column in columns])

    low, high = np.percentile([value(rows) for rows in drawn], [2.5, 97.5])
    return Score(task, "average precision", candidate, float(value(slice(None))), low, high, note)


def averaged(task, measure, candidate, values, note=""):
    """The mean of values (n_seeds, n_items), and an interval by bootstrap over items."""
    values = np.atleast_2d(values).mean(axis=0)
    drawn = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return Score(task, measure, candidate, float(values.mean()), low, high, note)


def similarity(folder, models, rivals):
    """Similarity and relatedness of words; pairs with a word that is not in the vocabulary are left out and counted."""
    for name in SIMILARITY:
        asked, labels = pairs(folder / "word_similarity" / f"{name}.tsv")
        known = [i for i, pair in enumerate(asked) if all(word in models[0].vocabulary_ for word in pair)]
        asked_known, gold = [asked[i] for i in known], np.array(labels)[known]
        note = f"{len(known)} of {len(labels)} pairs"
        yield correlated(name, "Word2Sense", [m.similarity(asked_known) for m in models], gold, note)
        for rival in rivals:
            yield correlated(name, rival.name, rival.similarity(asked_known), gold, note)


def graded_entailment(folder, models):
    """HyperLex: how far the first word is a kind of the second; null: how much more frequent the second is."""
    asked, labels = pairs(folder / "hyperlex" / "all.tsv")
    known = [i for i, pair in enumerate(asked) if all(word in models[0].vocabulary_ for word in pair)]
    asked, gold = [asked[i] for i in known], np.array(labels)[known]
    note = f"{len(known)} of {len(labels)} pairs"
    for measure in ("clarke", "invcl", "kl"):
        yield correlated("HyperLex", measure, [m.entailment(asked, measure) for m in models], gold, note)
    yield correlated("HyperLex", "similarity", [m.similarity(asked) for m in models], gold, note)
    yield correlated("HyperLex", "frequency ratio", frequency_ratio(models[0], asked), gold, note)


def frequency_ratio(model, asked):
    """Logarithm of how much more frequent the second word of each pair is."""
    logs = np.log(model.word_counts_)
    return np.array([logs[model.vocabulary_[b]] - logs[model.vocabulary_[a]] for a, b in asked])


def binary_entailment(folder, models):
    """Baroni et al. (2012): average precision, and accuracy with a threshold from pairs without common words."""
    asked, labels = pairs(folder / "entailment_baroni2012" / "test.tsv")
    known = [i for i, pair in enumerate(asked) if all(word in models[0].vocabulary_ for word in pair)]
    asked, gold = [asked[i] for i in known], np.array(labels)[known].astype(int)
    note = f"{len(known)} of {len(labels)} pairs, {gold.mean():.2f} positive"
    folds = word_disjoint_folds(asked)
    columns = {m: [model.entailment(asked, m) for model in models] for m in ("clarke", "invcl", "kl")}
    columns["similarity"] = [model.similarity(asked) for model in models]
    columns["frequency ratio"] = [frequency_ratio(models[0], asked)]
    for name, values in columns.items():
        right = [right_by_threshold(column, gold, folds) for column in values]
        yield averaged("Baroni 2012", "accuracy", name, right, note)
        yield average_precision("Baroni 2012", name, values, gold, note)


def word_disjoint_folds(asked, n_folds=5):
    """Rows (train, test): a pair is tested in the fold of its first word; no training pair has a word of the test."""
    rng = np.random.default_rng(0)
    words = sorted({a for a, _ in asked})
    fold_of = dict(zip(words, rng.permutation(len(words)) % n_folds, strict=True))
    folds = []
    for fold in range(n_folds):
        test = [i for i, (a, _) in enumerate(asked) if fold_of[a] == fold]
        used = {word for i in test for word in asked[i]}
        train = [i for i, pair in enumerate(asked) if not used & set(pair)]
        folds.append((np.array(train, dtype=int), np.array(test, dtype=int)))
    return folds


def right_by_threshold(values, gold, folds):
    """For each pair, whether the threshold that is best on the training pairs of its fold is right about it."""
    right = np.zeros(len(gold))
    for train, test in folds:
        order = np.argsort(values[train])
        cuts, sorted_gold = values[train][order], gold[train][order]
        # Positive from position k on: negatives before it and positives after it are right.
        scores = np.cumsum(np.append(0, 1 - sorted_gold)) + np.append(np.cumsum(sorted_gold[::-1])[::-1], 0)
        best = int(scores.argmax())
        threshold = cuts[best] if best < len(cuts) else np.inf
        right[test] = (values[test] >= threshold) == gold[test]
    return right


def similarity_in_context(folder, models, rivals):
    """SCWS: with the contexts, without them, and the rivals, which know none; other pairs are left out and counted."""
    asked, first, second, labels = contexts_of_pairs(folder)
    known = [i for i, pair in enumerate(asked) if all(word in models[0].vocabulary_ for word in pair)]
    gold, note = np.array(labels)[known], f"{len(known)} of {len(labels)} pairs"
    asked = [asked[i] for i in known]
    sides = [
        [(side[i][0], word, side[i][2]) for i, word in zip(known, words, strict=True)]
        for side, words in zip((first, second), zip(*asked, strict=True), strict=True)
    ]
    yield correlated("SCWS", "Word2Sense, no context", [m.similarity(asked) for m in models], gold, note)
    for strength in (0.01, 0.1, 1.0):
        columns = [
            -js_divergence(*(m.contextualize(side, strength=strength).toarray() for side in sides)) for m in models
        ]
        yield correlated("SCWS", f"in context, strength {strength:g}", columns, gold, note)
    for rival in rivals:
        yield correlated("SCWS", rival.name, rival.similarity(asked), gold, note)


def induction(folder, models):
    """SemEval-2013 task 13: mean over lemmas, with two null clusterings, and clusters of the same sizes by chance."""
    known = [lemma for lemma in lemmas(folder) if lemma.word in models[0].vocabulary_]
    note = f"{len(known)} of {len(lemmas(folder))} lemmas"
    gold = [memberships(lemma.gold) for lemma in known]
    clusterings = {
        "one sense": [[np.zeros(len(lemma.gold)) for lemma in known]],
        "one cluster per instance": [[np.arange(len(lemma.gold)) for lemma in known]],
    }
    for n_clusters in (None, 7, 3):
        name = "Word2Sense" if n_clusters is None else f"Word2Sense, {n_clusters} clusters"
        clusterings[name] = [[m.induce_senses(x.word, x.contexts, n_clusters) for x in known] for m in models]
        clusterings[f"{name}, permuted"] = [list(map(permuted, run)) for run in clusterings[name]]
    for name, runs in clusterings.items():
        for measure, function in (("fuzzy NMI", fuzzy_nmi), ("fuzzy B-cubed", fuzzy_b_cubed)):
            values = [[function(hard_memberships(c), g) for c, g in zip(run, gold, strict=True)] for run in runs]
            yield averaged("SemEval-2013 task 13", measure, name, values, note)


def permuted(labels):
    """The same labels in random order: what clusters of these sizes reach by chance."""
    return np.random.default_rng(0).permutation(labels)


def intrusion(models, rivals, n=300):
    """Intruders found without people, by similarity in spaces that were made of other texts than the senses."""
    for rival in rivals:
        found = []
        for model in models:
            items = intrusion_items(model, n, random_state=0)
            found.append([is_found(item, rival) for item in items if all(w in rival.vocabulary for w in item.words)])
        shortest = min(map(len, found))
        note = f"{shortest} questions; by chance 0.167"
        yield averaged("intrusion", "found", f"judged by {rival.name}", [row[:shortest] for row in found], note)


def is_found(item, vectors):
    """Whether the intruder has the lowest mean similarity to the other words."""
    rows = vectors.rows[[vectors.vocabulary[word] for word in item.words]]
    similar = rows @ rows.T
    similar = np.asarray(similar.todense() if hasattr(similar, "todense") else similar)
    return float(item.words[int((similar.sum(axis=1) - similar.diagonal()).argmin())] == item.intruder)


def few_data(folder, model, names=("trec6", "mr", "subj"), sizes=(8, 16, 32, 64), draws=5):
    """Accuracy of logistic regression on a few labelled texts, by features; the draws are the items of the interval."""
    for name in names:
        text_set = load_set(folder, name)
        own = Word2Sense(n_topics=100, min_count=5, random_state=0).fit(list(text_set.pool_texts))
        # Unit vectors, as those of TF-IDF are, so that neither is drowned by the other.
        wiki, domain = (
            make_pipeline(SenseVectorizer(word2sense=FrozenEstimator(m)), Normalizer()) for m in (model, own)
        )
        candidates = {
            "TF-IDF": TfidfVectorizer(),
            "senses of Wikipedia": wiki,
            "senses of the unlabelled texts": domain,
            "TF-IDF + senses of the unlabelled texts": make_union(TfidfVectorizer(), domain),
        }
        for size in sizes:
            for candidate, features in candidates.items():
                scores = [_accuracy(features, text_set, draw(text_set, size, number)) for number in range(draws)]
                yield averaged(f"{name}, {size} per class", "accuracy", candidate, scores, f"{draws} draws")


def _accuracy(features, text_set, chosen):
    pipeline = make_pipeline(features, LogisticRegression(C=10, max_iter=1000))
    pipeline.fit([text_set.pool_texts[i] for i in chosen], text_set.pool_labels[chosen])
    return pipeline.score(text_set.test_texts, text_set.test_labels)
