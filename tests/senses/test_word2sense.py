"""Word2Sense on a corpus whose senses are known."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import jensenshannon
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skbert import Word2Sense
from skbert.senses import _word_vectors, js_divergence
from skbert.senses._learning import nonzero_senses
from tests.senses.conftest import TOPICS, planted_texts
from tests.senses.test_counts import pairs_by_loop


def main_sense(model, letter):
    return int(model.embedding_[model.vocabulary_[f"{letter}0"]].toarray().argmax())


# ---------------------------------------------------------------- planted


@pytest.mark.parametrize("seed", range(5))
def test_ambiguous_word__has_exactly_its_two_senses(seed):
    model = Word2Sense(n_topics=3, random_state=seed).fit(planted_texts(seed))
    assert sorted(model.sense_words(main_sense(model, "c"), 8)) == TOPICS["c"]
    (first, w1, _), (second, w2, _) = model.senses_of("bank")
    assert {first, second} == {main_sense(model, "a"), main_sense(model, "b")}
    assert w1 + w2 == pytest.approx(1)
    for letter in "abc":
        for word in TOPICS[letter]:
            assert model.senses_of(word)[0][0] == main_sense(model, letter)


def test_matrices__rows_sum_to_one(model):
    n_words = 25
    assert isinstance(model.embedding_, sparse.csr_matrix)
    assert model.embedding_.shape == (n_words, 3)
    assert model.topic_words_.shape == model.sense_distributions_.shape == (3, n_words)
    assert model.word_topics_.shape == (n_words, 3)
    for matrix in (model.embedding_, model.topic_words_, model.word_topics_, model.sense_distributions_):
        np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    assert model.sense_shares_.sum() == pytest.approx(1)
    assert model.n_senses_ == 3
    assert model.n_features_in_ == 1


def test_embedding__by_the_formulae_of_the_paper(planted):
    model = Word2Sense(n_topics=6, n_senses=4, n_nonzero=3, subsample=None, random_state=0).fit(planted)
    theta, phi, n_words = model.word_topics_, model.topic_words_, 25
    pairs = pairs_by_loop([text.split() for text in planted], model.vocabulary_, 5)
    p_w = np.array([sum(pairs[w, c] for c in range(n_words)) for w in range(n_words)]) / sum(pairs.values())
    p_k = sum(p_w[w] * theta[w] for w in range(n_words))
    both = [[theta[w, k] + phi[k, w] * p_k[k] / p_w[w] for k in range(6)] for w in range(n_words)]
    distances = [jensenshannon(phi[k], phi[j]) for k in range(6) for j in range(k + 1, 6)]
    clusters = fcluster(linkage(distances, "average"), 4, "maxclust")
    # Clusters are numbered in another way; each has one of our senses.
    assert len(set(zip(clusters, model.topic_senses_, strict=True))) == 4
    for w in range(n_words):
        expected = np.zeros(4)
        for sense in range(4):
            inside = np.flatnonzero(model.topic_senses_ == sense)
            expected[sense] = sum(both[w][k] for k in inside) / sum(p_k[k] for k in inside)
        # int(4 senses · 3 / 6 topics) = 2 entries stay.
        expected[np.argsort(-expected)[2:]] = 0
        np.testing.assert_allclose(model.embedding_[w].toarray()[0], expected / expected.sum(), rtol=1e-6)


def test_weights_of_topics__added_up_by_sense_are_the_embedding(planted):
    model = Word2Sense(n_topics=6, n_senses=4, random_state=0).fit(planted)
    by_sense = np.zeros((25, 4))
    for k, sense in enumerate(model.topic_senses_):
        by_sense[:, sense] += model._topic_weights.toarray()[:, k]
    np.testing.assert_allclose(by_sense, model.embedding_.toarray())


@pytest.mark.parametrize(
    ("n_senses", "n_topics", "n_nonzero", "expected"),
    [(100, 100, None, 10), (300, 300, None, 30), (3, 3, None, 3), (1, 1, None, 1), (75, 100, 40, 30), (2, 300, 10, 1)],
)
def test_number_of_senses_of_a_word(n_senses, n_topics, n_nonzero, expected):
    assert nonzero_senses(n_senses, n_topics, n_nonzero) == expected


def test_single_topic__gives_all_words_the_same_vector(planted):
    model = Word2Sense(n_topics=1, random_state=0).fit(planted)
    np.testing.assert_array_equal(model.embedding_.toarray(), 1)
    np.testing.assert_array_equal(model.similarity([("bank", "c1")]), 0)


def test_frequent_word_of_a_larger_corpus__is_thinned_out_and_a_rare_word_left_out():
    texts = [f"the {text} the" for text in planted_texts()] + ["rare words a1"]
    model = Word2Sense(n_topics=3, random_state=0).fit(texts)
    assert "the" in model.vocabulary_
    assert "rare" not in model.vocabulary_
    assert model.word_counts_[model.vocabulary_["the"]] == 600
    assert model.n_tokens_ == 300 * 14 + 3


# ------------------------------------------------------- words and pairs


def test_transform__rows_of_the_embedding_in_the_order_asked(model):
    words = ["bank", "C3", "a0", "bank"]
    found = model.transform(words)
    assert isinstance(found, sparse.csr_matrix)
    expected = model.embedding_[[model.vocabulary_[word.lower()] for word in words]]
    assert (found != expected).nnz == 0
    for container in (np.array(words), pd.Series(words), pd.DataFrame({"word": words})):
        assert (model.transform(container) != expected).nnz == 0


def test_unknown_word__is_uniform_with_a_warning_that_counts_or_an_error(model):
    with pytest.warns(UserWarning, match=r"2 of 3 words are not in the vocabulary.*'qua', 'two words'"):
        found = model.transform(["qua", "a1", "two words"])
    np.testing.assert_allclose(found.toarray()[[0, 2]], 1 / 3)
    with pytest.raises(ValueError, match="Not in the vocabulary: 'qua'"):
        model.transform(["qua", "a1"], oov="error")
    with pytest.raises(ValueError, match="Not in the vocabulary: 'qua'"):
        model.similarity([("a1", "qua")], oov="error")
    with pytest.raises(ValueError, match="oov must be one of"):
        model.transform(["a1"], oov="zero")


def test_similarity__is_minus_the_divergence(model):
    pairs = [("a1", "a2"), ("a1", "c2"), ("bank", "a1"), ("bank", "bank")]
    vectors = [model.transform(list(words)).toarray() for words in zip(*pairs, strict=True)]
    found = model.similarity(pairs)
    np.testing.assert_allclose(found, -js_divergence(*vectors))
    assert found[3] == 0
    assert (found >= -np.log(2)).all()
    assert found[0] > found[2] > found[1]
    np.testing.assert_array_equal(model.similarity(pd.DataFrame(pairs)), found)


def test_entailment__a_word_of_one_sense_entails_one_that_has_it_among_two(model):
    forward, back = ("a1", "bank"), ("bank", "a1")
    for measure in ("clarke", "invcl", "kl"):
        up, down = model.entailment([forward, back], measure)
        assert up > down, measure
    u, v = (row / row.max() for row in model.transform(list(back)).toarray())
    clarke = {"up": np.minimum(u, v).sum() / v.sum(), "down": np.minimum(u, v).sum() / u.sum()}
    np.testing.assert_allclose(model.entailment([forward, back]), [clarke["up"], clarke["down"]])
    expected = np.sqrt(clarke["up"] * (1 - clarke["down"]))
    np.testing.assert_allclose(model.entailment([forward], "invcl"), expected)
    with pytest.raises(ValueError, match="measure must be one of"):
        model.entailment([forward], "cosine")


def test_pairs__in_portions_as_at_once(model, monkeypatch):
    pairs = [("a1", "a2"), ("a1", "c2"), ("bank", "a1"), ("bank", "bank"), ("b3", "bank")]
    at_once = model.similarity(pairs), model.entailment(pairs, "kl")
    monkeypatch.setattr(_word_vectors, "_PAIRS_AT_ONCE", 2)
    np.testing.assert_array_equal(model.similarity(pairs), at_once[0])
    np.testing.assert_array_equal(model.entailment(pairs, "kl"), at_once[1])


def test_pairs__must_be_pairs(model):
    with pytest.raises(ValueError, match="got single words"):
        model.similarity(["a1", "a2"])
    with pytest.raises(ValueError, match="needs one column"):
        model.transform([("a1", "a2")])


def test_sense_words__that_there_are_not(model):
    assert len(model.sense_words(2, 4)) == 4
    with pytest.raises(ValueError, match="3 senses, numbered from 0; there is no sense 3"):
        model.sense_words(3)
    with pytest.raises(ValueError, match="k must be an int"):
        model.sense_words(-1)


# ---------------------------------------------------------------- contexts


def test_contexts__give_the_ambiguous_word_the_right_sense(model):
    contexts = [("a1 a5", "bank", "a2"), ("b1 bank b3", 3, 7), ("b0", "Bank", "b2 b7"), ("a1 and so on", "bank", "")]
    vectors, report = model.contextualize(contexts, return_report=True)
    expected = [main_sense(model, letter) for letter in "abba"]
    np.testing.assert_array_equal(vectors.toarray().argmax(axis=1), expected)
    np.testing.assert_allclose(vectors.toarray().sum(axis=1), 1)
    assert report.converged.all()
    assert (report.gap <= 1e-4).all()
    assert report.n_iter.shape == report.objective.shape == (4,)


@pytest.mark.parametrize("strength", [1e9, np.inf])
@pytest.mark.parametrize("n_senses", [None, 4])
def test_strong_prior__gives_the_vector_without_a_context(planted, strength, n_senses):
    model = Word2Sense(n_topics=6, n_senses=n_senses, random_state=0).fit(planted)
    words = ["bank", "a3", "c1"]
    vectors = model.contextualize([("a1 b2 b3", word, "c1 c2") for word in words], strength=strength)
    np.testing.assert_allclose(vectors.toarray(), model.transform(words).toarray(), atol=1e-5)


def test_senses_of_a_context__are_among_those_of_the_word(model):
    vectors = model.contextualize([("c1 c2 c3", "bank", "c4")]).toarray()
    assert vectors[0, main_sense(model, "c")] == 0


def test_unknown_target__can_have_any_sense(model):
    with pytest.warns(UserWarning, match="1 of 1 words are not in the vocabulary"):
        vectors = model.contextualize([("c1 c2", "unheard", "c5")])
    assert vectors.toarray().argmax() == main_sense(model, "c")
    with pytest.raises(ValueError, match="Not in the vocabulary: 'unheard'"):
        model.contextualize([("c1 c2", "unheard", "c5")], oov="error")


def test_context_without_known_words__leaves_the_word_as_it_is(model):
    with pytest.warns(UserWarning, match="1 of 2 contexts have no word of the vocabulary beside the target.* row 1"):
        vectors = model.contextualize([("a1", "bank", ""), ("never seen", "bank", "here")])
    np.testing.assert_allclose(vectors[1].toarray(), model.transform(["bank"]).toarray())
    with pytest.raises(ValueError, match="in row 0 of contexts"):
        model.contextualize([("never seen", "bank", "here")], oov="error")


def test_too_few_steps__are_reported(model):
    with pytest.warns(ConvergenceWarning, match="1 of 1 contexts did not converge in max_iter=1"):
        _, report = model.contextualize([("a1 b1 a2", "bank", "b5")], max_iter=1, tol=1e-12, return_report=True)
    assert not report.converged.any()


@pytest.mark.parametrize(("name", "value"), [("strength", -1), ("max_iter", 0), ("tol", 0), ("strength", "much")])
def test_parameters_of_contexts__are_checked(model, name, value):
    with pytest.raises(ValueError, match=name):
        model.contextualize([("a1", "bank", "")], **{name: value})


def test_induction__finds_the_two_senses_in_every_form(model):
    contexts = ["a1 bank a2", "b1 b2 bank", ("a3 banks a5", 3, 8), ("b1", "bank", "b2")]
    a, b = main_sense(model, "a"), main_sense(model, "b")
    np.testing.assert_array_equal(model.induce_senses("bank", contexts), [a, b, a, b])
    np.testing.assert_array_equal(model.induce_senses("bank", contexts, 2), [a, b, a, b])
    assert len(set(model.induce_senses("bank", contexts, 1))) == 1


def test_induction__of_an_unknown_word_is_refused(model):
    with pytest.raises(ValueError, match="Not in the vocabulary: 'unheard'"):
        model.induce_senses("unheard", ["a1 unheard"])
    with pytest.raises(ValueError, match="n_clusters"):
        model.induce_senses("bank", ["a1 bank"], 0)


# ----------------------------------------------- seeds, copies, wrong input


def test_same_seed__same_result_for_any_n_jobs(planted):
    one, two = (Word2Sense(n_topics=4, random_state=7, n_jobs=n_jobs).fit(planted) for n_jobs in (None, 2))
    for name in ("topic_words_", "word_topics_", "sense_distributions_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.embedding_ != two.embedding_).nnz == 0
    other = Word2Sense(n_topics=4, random_state=8).fit(planted)
    assert not np.array_equal(one.topic_words_, other.topic_words_)


def test_copies__clone_pickle_and_refit(model, planted):
    copy = pickle.loads(pickle.dumps(model))
    assert copy.similarity([("a1", "bank")]) == model.similarity([("a1", "bank")])
    fresh = clone(model)
    with pytest.raises(NotFittedError):
        fresh.transform(["a1"])
    assert (fresh.fit(planted).embedding_ != model.embedding_).nnz == 0


def test_failed_fit__leaves_the_model_as_it_was(model, planted):
    fitted = clone(model).fit(planted)
    with pytest.raises(ValueError, match="No word occurs"):
        fitted.fit(["too few words"])
    assert "bank" in fitted.vocabulary_


def test_no_word_often_enough__says_how_often_the_most_frequent_one_is():
    with pytest.raises(ValueError, match=r"min_count=20 times; the most frequent one, 'a', occurs 3 times"):
        Word2Sense().fit(["a b", "a c", "a d"])
    with pytest.raises(ValueError, match="contain no words"):
        Word2Sense().fit(["", "…"])
    with pytest.raises(ValueError, match="No two of the 1 words"):
        Word2Sense(min_count=2).fit(["a b", "a c", "a d"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("n_topics", 0), ("n_topics", 2.5), ("n_senses", 0), ("n_senses", 9), ("n_nonzero", 9), ("window", 0)],
        *[("min_count", 0), ("subsample", 2), ("doc_topic_prior", 0), ("topic_word_prior", -1), ("max_iter", 0)],
        *[("tokenizer", "sudachi"), ("backend", "gensim"), ("n_jobs", 0), ("random_state", "x"), ("verbose", -1)],
    ],
)
def test_wrong_parameter__is_named(name, value, planted):
    parameters = {"n_topics": 3, name: value}
    with pytest.raises(ValueError, match=name):
        Word2Sense(**parameters).fit(planted)


@pytest.mark.parametrize("wrong", ["a text", [], [None], [("a", "b")]])
def test_wrong_texts__are_refused(wrong):
    with pytest.raises(ValueError, match=r"string object|0 sample|missing|one column"):
        Word2Sense().fit(wrong)


def test_few_passes__warn(planted):
    with pytest.warns(ConvergenceWarning, match="after max_iter=1 passes"):
        Word2Sense(n_topics=3, max_iter=1, random_state=0).fit(planted)


def test_japanese__by_mecab():
    money, water = "銀行にお金を預ける。", "川で魚を釣る。"
    model = Word2Sense(n_topics=2, tokenizer="mecab", random_state=0).fit([money] * 30 + [water] * 30)
    assert {"銀行", "魚"} <= set(model.vocabulary_)
    assert model.similarity([("銀行", "お金")]) > model.similarity([("銀行", "魚")])
