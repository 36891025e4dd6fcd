"""The benchmark of senses: its measures are what their names say, and its nulls follow their formulae."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics.pairwise import cosine_similarity

from benchmarks import senses
from benchmarks._senses_data import Lemma, lemmas
from benchmarks._senses_rivals import ppmi, ppmi_vectors, svd_vectors
from benchmarks._senses_tasks import averaged, correlated, is_found, right_by_threshold, spearman, word_disjoint_folds
from skbert.senses import IntrusionItem, count_contexts, pair_counts
from tests.senses.conftest import planted_texts


@pytest.fixture(scope="module")
def contexts():
    return count_contexts(planted_texts(), str.split)


def test_spearman__as_scipy_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (3, 40)), rng.integers(0, 5, 40)
    np.testing.assert_allclose(spearman(a, b), [stats.spearmanr(row, b).statistic for row in a])


def test_scores__have_intervals_around_their_values():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=200)
    score = correlated("task", "a", labels + rng.normal(size=(3, 200)), labels)
    assert score.low < score.value < score.high
    score = averaged("task", "accuracy", "a", rng.integers(0, 2, (3, 100)))
    assert score.low < score.value < score.high


def test_ppmi__by_the_formula(contexts):
    counts = contexts.counts.toarray().astype(float)
    words = counts.sum(axis=1)
    share = words**0.75 / (words**0.75).sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(np.log(counts / words[:, None] / share), 0)
    np.testing.assert_allclose(ppmi(contexts).toarray(), expected)


def test_rivals__cosines_of_their_rows_and_words_of_a_topic_are_near(contexts):
    matrix = ppmi(contexts).toarray()
    place = contexts.vocabulary
    asked = [("a1", "a2"), ("a1", "c1")]
    expected = [cosine_similarity(matrix[[place[a]]], matrix[[place[b]]])[0, 0] for a, b in asked]
    np.testing.assert_allclose(ppmi_vectors(contexts).similarity(asked), expected)
    near, far = svd_vectors(contexts, width=3).similarity(asked)
    assert near > 0.9
    assert far < 0.1


def test_intruder__is_the_word_that_is_least_like_the_others(contexts):
    vectors = svd_vectors(contexts, width=3)
    assert is_found(IntrusionItem(0, ("a1", "a2", "b7", "a3", "a4", "a5"), "b7"), vectors) == 1
    assert is_found(IntrusionItem(0, ("a1", "a2", "b7", "a3", "a4", "a5"), "a5"), vectors) == 0


def test_folds__test_each_pair_once_and_share_no_word_with_the_training_pairs():
    rng = np.random.default_rng(0)
    asked = [(f"w{a}", f"w{b}") for a, b in rng.integers(0, 60, (80, 2))]
    folds = word_disjoint_folds(asked)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(80))
    for train, test in folds:
        assert not {w for i in train for w in asked[i]} & {w for i in test for w in asked[i]}


def test_threshold__is_learned_from_the_training_pairs():
    gold = np.array([0, 0, 1, 1, 0, 1])
    values = np.array([0.1, 0.2, 0.6, 0.7, 0.5, 0.9])
    folds = [(np.arange(4), np.array([4, 5])), (np.array([4, 5]), np.arange(4))]
    # Thresholds 0.6 and 0.9, so the two larger values below 0.9 are missed in the second fold.
    np.testing.assert_array_equal(right_by_threshold(values, gold, folds), [1, 1, 0, 0, 1, 1])
    # If everything is negative, nothing is above the threshold.
    np.testing.assert_array_equal(right_by_threshold(values, np.zeros(6, dtype=int), folds), 1)


def test_loop_over_windows__counts_what_ours_counts():
    rows = [[0, 1, -1, 2, 0], [2, 2], []]
    ours = pair_counts(np.array([0, 1, -1, 2, 0, 2, 2], dtype=np.int32), np.array([5, 7, 7]), 3, 2).tocoo()
    expected = {(int(i), int(j)): int(n) for i, j, n in zip(ours.row, ours.col, ours.data, strict=True)}
    assert dict(senses.counted_by_loop(rows, 2)) == expected


def test_split__adds_up(contexts):
    train, held_out = senses.split(contexts.counts)
    np.testing.assert_array_equal((train + held_out).toarray(), contexts.counts.toarray())
    assert 0.08 < held_out.sum() / contexts.counts.sum() < 0.12


def test_lemmas__are_read_with_their_graded_senses(tmp_path):
    (tmp_path / "wsi_semeval2013").mkdir()
    rows = [
        "text\tlabel\tid\tlemma\tpos\ttoken\ttoken_start\ttoken_end\tgold_senses",
        "he adds it\tadd%1\tadd.v.1\tadd\tv\tadds\t3\t7\tadd%1/4 add%2/1",
    ]
    (tmp_path / "wsi_semeval2013" / "test.tsv").write_text("\n".join(rows) + "\n")
    assert lemmas(tmp_path) == [Lemma("add", [("he adds it", 3, 7)], [{"add%1": 4.0, "add%2": 1.0}])]
