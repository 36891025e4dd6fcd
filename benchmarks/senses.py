"""Word senses: how fast they are learned, and what they are good for, with null models beside each number.

python -m benchmarks.senses                          # speed, on generated text
python -m benchmarks.senses --senses-data DIR        # on 8 MB of Wikipedia text, and all tasks
python -m benchmarks.senses --senses-data DIR --bert # the hidden states of MiniLM on these, by layer

DIR has the folders wikipedia_en, word_similarity, hyperlex, entailment_baroni2012, scws, wsi_semeval2013, trec6, mr
and subj.
"""

import csv
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks import _senses_bert
from benchmarks import _senses_tasks as tasks
from benchmarks._main import run
from benchmarks._options import parse
from benchmarks._senses_data import corpus
from benchmarks._senses_rivals import ppmi_vectors, skip_gram, svd_vectors
from benchmarks._table import Line, missing
from benchmarks._timing import alternate, ratio_line
from skbert import Word2Sense
from skbert.senses import count_contexts, encode, fit_sklearn, lowercase_words, pair_counts, pair_log_likelihood

_K = 100
_SIZES = (2, 8)
_SEEDS = 3


def add_options(parser):
    parser.add_argument("--senses-data", type=Path, help="folder of the text and the test sets of word senses")
    parser.add_argument("--bert", action="store_true", help="only the hidden states of MiniLM on these test sets")


def lines(options):
    folder = options.senses_data
    if options.bert and folder is not None:
        yield from by_layer(folder, options)
        return
    texts = generated(20_000) if folder is None else corpus(folder, 2 if options.quick else 8)
    yield from speed(texts, options)
    if folder is not None:
        yield from evaluation(folder, options)


def generated(n):
    """Texts of 60 words in 40 topics, with the frequencies of Zipf's law within each."""
    rng = np.random.default_rng(0)
    topics = [rng.permutation(5000) for _ in range(40)]
    places = np.minimum(rng.zipf(1.3, size=(n, 60)), 5000) - 1
    return [" ".join(f"w{topics[i % 40][place]}" for place in row) for i, row in enumerate(places)]


# ------------------------------------------------------------------ speed


def speed(texts, options):
    contexts = count_contexts(texts, lowercase_words)
    yield counting(texts, contexts, options)
    yield learning(contexts)
    model = Word2Sense(_K, random_state=0).fit(texts)
    yield in_context(texts, model, options)


def counting(texts, contexts, options):
    """Counting alone: both candidates get the numbers of the tokens."""
    codes, ends = encode([lowercase_words(text) for text in texts], contexts.vocabulary)
    rows = [row.tolist() for row in np.split(codes, ends[:-1])]
    n_words = len(contexts.vocabulary)
    candidates = {"ours": lambda: pair_counts(codes, ends, n_words, 5), "loop": lambda: counted_by_loop(rows, 5)}
    seconds = alternate(candidates, options.repeats)
    note = f"{contexts.n_tokens} tokens, {n_words} words, window 5, nothing thinned out"
    return ratio_line(
        "context counts", "a plain Python loop over windows", seconds["ours"], seconds["loop"], 20, note=note
    )


def counted_by_loop(rows, window):
    counts = defaultdict(int)
    for row in rows:
        known = [code for code in row if code >= 0]
        for i, word in enumerate(known):
            for other in known[max(0, i - window) : i]:
                counts[word, other] += 1
                counts[other, word] += 1
    return counts


def learning(contexts):
    """Time to the log-likelihood of held-out pairs that five passes of gensim reach."""
    name, against, target = f"topics, K = {_K}", "gensim LdaModel to the same held-out log-likelihood", 1.5
    train, held_out = split(contexts.counts)
    start = time.perf_counter()
    theirs = by_gensim(train)
    if theirs is None:
        return missing(name, against, "gensim", target)
    their_seconds = time.perf_counter() - start
    goal = pair_log_likelihood(held_out, *theirs)
    for max_iter in range(1, 31):
        start = time.perf_counter()
        topics = fit_sklearn(train, _K, 0.1, 0.001, max_iter, seed=0)
        seconds = time.perf_counter() - start
        reached = pair_log_likelihood(held_out, topics.word_topics, topics.topic_words)
        if reached >= goal or topics.converged:
            break
    note = f"{seconds:.1f} s and {their_seconds:.1f} s, one run; "
    note += f"{topics.n_iter} passes reach {reached:.4f} nats per pair, gensim {goal:.4f}"
    return Line(name, against, "x", target, their_seconds / seconds if reached >= goal else None, note)


def split(counts, share=0.1):
    """Train and held-out counts: each pair is held out with this probability."""
    held = np.random.default_rng(0).binomial(counts.data, share)
    parts = []
    for data in (counts.data - held, held):
        part = sparse.csr_matrix((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
        part.eliminate_zeros()
        parts.append(part)
    return parts


def by_gensim(counts):
    """Distributions over topics and over words of gensim's LdaModel, five passes; None if it is not installed."""
    try:
        from gensim.matutils import Sparse2Corpus
        from gensim.models import LdaModel
    except ImportError:
        return None
    documents = Sparse2Corpus(counts.tocsr(), documents_columns=False)
    model = LdaModel(
        documents,
        num_topics=_K,
        id2word={i: i for i in range(counts.shape[1])},
        passes=5,
        chunksize=512,
        alpha=[0.1 / _K] * _K,
        eta=0.001,
        random_state=0,
    )
    gamma, _ = model.inference(list(documents))
    return gamma / gamma.sum(axis=1, keepdims=True), model.get_topics().astype(float)


def in_context(texts, model, options):
    """Contexts of frequent words, together and one at a time."""
    contexts = some_contexts(texts, model, 200 if options.quick else 2000)
    candidates = {
        "ours": lambda: model.contextualize(contexts),
        "loop": lambda: [model.contextualize([context]) for context in contexts],
    }
    seconds = alternate(candidates, options.repeats)
    against = "contextualize of one at a time"
    return ratio_line(f"{len(contexts)} contexts", against, seconds["ours"], seconds["loop"], 5, len(contexts))


def some_contexts(texts, model, n):
    """Words of the vocabulary with the 20 words to their left and right."""
    rng, found = np.random.default_rng(0), []
    while len(found) < n:
        words = lowercase_words(texts[rng.integers(len(texts))])
        if len(words) > 10 and (word := words[place := int(rng.integers(len(words)))]) in model.vocabulary_:
            found.append((" ".join(words[max(0, place - 20) : place]), word, " ".join(words[place + 1 : place + 21])))
    return found


# ------------------------------------------------------------- evaluation


def evaluation(folder, options):
    """A line for each score; all of them are also saved as senses.csv in the output folder."""
    scores = []
    for size in _SIZES[:1] if options.quick else _SIZES:
        texts = corpus(folder, size)
        start = time.process_time()
        models = [Word2Sense(_K, random_state=seed).fit(texts) for seed in range(1 if options.quick else _SEEDS)]
        print(f"{size} MB: {time.process_time() - start:.0f} CPU seconds for {len(models)} fits", flush=True)
        for score in _all_tasks(folder, texts, models, options.quick or size != _SIZES[-1]):
            scores.append((size, score))
            save_scores(scores, options.output)
            yield _line(size, score)


def by_layer(folder, options):
    """The hidden states of MiniLM on the pairs and lemmas that a model of the larger corpus knows."""
    vocabulary = count_contexts(corpus(folder, _SIZES[-1]), lowercase_words).vocabulary
    scores = []
    for task in (_senses_bert.similarity_in_context, _senses_bert.induction):
        for score in task(folder, vocabulary):
            scores.append((_SIZES[-1], score))
            save_scores(scores, options.output, "senses_bert.csv")
            yield _line(_SIZES[-1], score)


def _all_tasks(folder, texts, models, short):
    contexts = count_contexts(texts, lowercase_words)
    rivals = [ppmi_vectors(contexts), svd_vectors(contexts), skip_gram(texts, lowercase_words, contexts)]
    rivals = [rival for rival in rivals if rival is not None]
    yield from tasks.similarity(folder, models, rivals)
    yield from tasks.graded_entailment(folder, models)
    yield from tasks.binary_entailment(folder, models)
    yield from tasks.similarity_in_context(folder, models, rivals)
    yield from tasks.induction(folder, models)
    # Senses of one half of the texts, judged by the other half.
    halves = [Word2Sense(_K, random_state=model.random_state).fit(texts[::2]) for model in models]
    others = count_contexts(texts[1::2], lowercase_words)
    yield from tasks.intrusion(halves, [ppmi_vectors(others), svd_vectors(others)])
    if not short:
        yield from tasks.few_data(folder, models[0])


def _line(size, score):
    note = f"95 % interval {score.low:.3f} to {score.high:.3f}; {score.note}"
    return Line(f"{score.task}, {size} MB, {score.candidate}", "gold", score.measure, None, score.value, note)


def save_scores(scores, folder, name="senses.csv"):
    """All scores as a CSV file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["megabytes", "task", "measure", "candidate", "value", "low", "high", "note"])
        for size, s in scores:
            writer.writerow([size, s.task, s.measure, s.candidate, s.value, s.low, s.high, s.note])


if __name__ == "__main__":
    run([lines], parse(__doc__, add_options))
