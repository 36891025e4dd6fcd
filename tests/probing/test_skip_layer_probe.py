"""SkipLayerProbe finds what was planted, agrees with independent computations, and says what is wrong."""

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import adjusted_mutual_info_score, log_loss, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_predict,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from torch import nn
from transformers import AutoModel, AutoTokenizer

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor, SkipLayerProbe
from skbert.probing._statistics import pattern_test
from tests.helpers.planted import N_LAYERS, write_planted
from tests.helpers.tiny import WORDS

SPANS = [(a, b) for a in range(N_LAYERS) for b in range(a + 1, N_LAYERS + 1)]
FILLERS = [word for word in WORDS if word not in ("red", "blue", "green")]


def sentences(words, n, seed=0):
    """`n` texts for each of `words` (None for none of them), the word among two to five others."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(n):
        for word in words:
            text = list(rng.choice(FILLERS, size=rng.integers(2, 6)))
            if word is not None:
                text.insert(rng.integers(len(text) + 1), word)
            texts.append(" ".join(text))
    return texts


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """An encoder in which red needs layer 1 and blue layer 3, and texts: red is A, blue B, neither C."""
    folder = write_planted(tmp_path_factory.mktemp("planted"), {"red": [1], "blue": [3]})
    return folder, sentences(["red", "blue", None], 12), np.array(["A", "B", "C"] * 12)


def reading_cls(folder, **options):
    head = LogisticRegression(C=100.0)
    return make_pipeline(LayerPoolFeaturizer(folder, layers=1, token_pooling="cls", device="cpu"), head, **options)


@pytest.fixture(scope="module")
def found(planted):
    folder, texts, labels = planted
    return SkipLayerProbe(reading_cls(folder), cv=3, n_permutations=199, random_state=0).fit(texts, labels)


@pytest.fixture(scope="module")
def tuned(tiny, texts, labels):
    """A small encoder fine-tuned on `texts`."""
    clf = MaxPoolBERTClassifier(
        tiny(),
        layers=1,
        token_pooling="cls",
        freeze_layers=3,
        dropout=0.0,
        max_epochs=12,
        learning_rate=1e-2,
        random_state=0,
        device="cpu",
    ).fit(texts, labels)
    assert clf.training_status_ == "converged"
    return clf


# ------------------------------------------------------------------ planted


def needs(layer):
    return np.array([start <= layer < stop for start, stop in SPANS])


def test_planted_layers__the_recall_of_each_label_falls_exactly_where_its_layer_is_skipped(found):
    np.testing.assert_array_equal(found.spans_, SPANS)
    np.testing.assert_array_equal(found.label_baseline_, [1, 1, 1])
    np.testing.assert_array_equal(found.label_recall_, [~needs(1), ~needs(3), np.ones(len(SPANS))])
    assert found.baseline_score_ == 1
    np.testing.assert_allclose(found.scores_, found.label_recall_.mean(axis=0))


def test_planted_layers__stand_out_in_importance_and_distance(found):
    assert found.layer_importance_.shape == (3, N_LAYERS)
    assert found.layer_importance_[0].argmax() == 1
    assert found.layer_importance_[1].argmax() == 3
    # Losing its word makes a text look like C, which nothing hurts.
    assert found.layer_importance_[2].max() <= 0.01
    assert found.label_distance_[0, 1] > 1
    np.testing.assert_allclose(found.label_distance_, found.label_distance_.T)
    np.testing.assert_array_equal(np.diag(found.label_distance_), 0)
    assert found.pattern_test_.pvalue == 1 / 200


def test_planted_layers__skipping_what_does_nothing_changes_nothing(found):
    harmless = ~needs(1) & ~needs(3)
    assert harmless.sum() == 2
    assert np.abs(found.proba_drop_[harmless]).max() < 1e-4
    assert np.abs(found.signatures_[:, harmless]).max() < 1e-4


def test_planted_layers__prefit_classifier_on_texts_of_its_own(planted):
    folder, texts, labels = planted
    clf = MaxPoolBERTClassifier(
        folder,
        layers=1,
        token_pooling="cls",
        freeze_layers=N_LAYERS,
        max_epochs=60,
        learning_rate=0.2,
        random_state=0,
        device="cpu",
    ).fit(texts, labels)
    new = sentences(["red", "blue", None], 8, seed=1)
    gold = ["A", "B", "C"] * 8
    probe = SkipLayerProbe(clf, cv="prefit", n_permutations=19, random_state=0).fit(new, gold)
    np.testing.assert_array_equal(probe.label_recall_, [~needs(1), ~needs(3), np.ones(len(SPANS))])
    assert probe.estimator_ is clf
    frozen = SkipLayerProbe(FrozenEstimator(clf), cv="prefit", n_permutations=19, random_state=0).fit(new, gold)
    np.testing.assert_array_equal(clone(frozen).fit(new, gold).proba_drop_, probe.proba_drop_)


def test_planted_layers__clusters_and_errors(found, planted):
    _, _, labels = planted
    clusters = found.signature_clusters(3)
    assert clusters.agreement == pytest.approx(1)
    assert clusters.agreement == pytest.approx(adjusted_mutual_info_score(labels, clusters.labels))
    assert clusters.pvalue == 1 / 200
    assert abs(clusters.null.mean()) < 0.05
    errors = found.error_analysis()
    assert (errors.n_wrong, errors.n_samples) == (0, 36)
    assert np.isnan(errors.auc)


@pytest.fixture(scope="module")
def symmetric(tmp_path_factory):
    """A fitted pipeline that treats red (A) and blue (B) alike: every layer carries both, the head is even."""
    layers = range(N_LAYERS)
    folder = write_planted(tmp_path_factory.mktemp("symmetric"), {"red": layers, "blue": layers})
    pipeline = reading_cls(folder).fit(sentences(["red", "blue"], 10), ["A", "B"] * 10)
    head = pipeline[-1]
    # What training leaves uneven.
    state = pipeline[0].transform(["red lamp", "blue lamp"])
    difference = (state[1:] - state[:1]).astype(float)
    head.coef_, head.intercept_ = 4 * difference / (difference**2).sum(), np.zeros(1)
    return pipeline


def test_no_label_structure__the_test_rejects_about_as_often_as_it_says(symmetric):
    size, repeats = 20, 200
    texts, labels = sentences(["red", "blue"], size // 2 * repeats, seed=2), np.array(["A", "B"] * (size // 2))
    whole = SkipLayerProbe(symmetric, cv="prefit", n_permutations=0).fit(texts, np.tile(labels, repeats))
    assert whole.proba_drop_.std(axis=1).max() > 0.02
    usable = whole.proba_drop_[~whole.constant_]
    gold, one_part = np.tile([0, 1], size // 2), np.zeros(size, dtype=int)
    rejected = 0
    for repeat in range(repeats):
        drops = usable[:, size * repeat : size * (repeat + 1)]
        test = pattern_test(drops, gold, one_part, 99, np.random.default_rng(repeat))
        rejected += test.pvalue <= 0.05
        if repeat < 2:
            part = texts[size * repeat : size * (repeat + 1)]
            probe = SkipLayerProbe(symmetric, cv="prefit", n_permutations=19, random_state=0).fit(part, labels)
            assert probe.pattern_test_.statistic == pytest.approx(test.statistic, rel=1e-3)
    # At a true rate of 5 %, more than 20 of 200 happen once in 700 times, none once in 30,000.
    assert 0 < rejected <= 20


# ------------------------------------------------------------------ against independent computations


@torch.no_grad()
def cls_without(model, tokenizer, texts, skip):
    """[CLS] of the last layer of a transformers BERT whose layer list is cut."""
    model = copy.deepcopy(model)
    model.encoder.layer = nn.ModuleList(layer for i, layer in enumerate(model.encoder.layer) if i not in skip)
    return model(**tokenizer(texts, padding=True, return_tensors="pt")).last_hidden_state[:, 0].numpy()


def test_classifier__every_span_equals_transformers_with_a_cut_layer_list(tuned, tiny, texts, labels, tmp_path):
    probe = SkipLayerProbe(tuned, cv="prefit", n_permutations=19, random_state=0).fit(texts, labels)
    tuned.save(tmp_path / "saved")
    (weights,) = (tmp_path / "saved").glob("*.safetensors")
    weights = load_file(weights)
    model, tokenizer = AutoModel.from_pretrained(tiny()).eval(), AutoTokenizer.from_pretrained(tiny())
    encoder = {name.removeprefix("encoder."): w for name, w in weights.items() if name.startswith("encoder.")}
    missing, unexpected = model.load_state_dict(encoder, strict=False)
    assert not unexpected
    assert all("pooler" in name for name in missing)

    def log_proba(skip):
        rows = cls_without(model, tokenizer, texts, skip)
        logits = rows @ weights["head.classifier.weight"].numpy().T + weights["head.classifier.bias"].numpy()
        return log_softmax(logits.astype(float), axis=1)

    full, n = log_proba(()), np.arange(len(texts))
    gold = np.searchsorted(probe.classes_, labels)
    np.testing.assert_array_equal(probe.baseline_predictions_, probe.classes_[full.argmax(axis=1)])
    own = full.argmax(axis=1)
    signatures = probe.transform(texts)
    assert signatures.dtype == np.float32
    np.testing.assert_allclose(signatures, probe.signatures_, atol=1e-5)
    for k, span in enumerate(SPANS):
        cut = log_proba(range(*span))
        np.testing.assert_allclose(probe.proba_drop_[k], (full - cut)[n, gold], atol=3e-5)
        np.testing.assert_allclose(signatures[:, k], (full - cut)[n, own], atol=3e-5)
        np.testing.assert_array_equal(probe.predictions_[k], probe.classes_[cut.argmax(axis=1)])
        recall = recall_score(labels, probe.predictions_[k], average=None, labels=probe.classes_)
        np.testing.assert_allclose(probe.label_recall_[:, k], recall)


def test_pipeline__head_reads_the_features_of_each_span(tiny, texts, labels):
    features = LayerPoolFeaturizer(tiny(), layers=1, token_pooling="cls", normalize=True, device="cpu")
    shout = FunctionTransformer(lambda X: [f"{text} !" for text in X])
    pipeline = make_pipeline(shout, features, StandardScaler(), LogisticRegression(C=0.01)).fit(texts, labels)
    probe = SkipLayerProbe(pipeline, cv="prefit", spans=[{0, 2}, (1, 3)], n_permutations=0).fit(texts, labels)
    model, tokenizer = AutoModel.from_pretrained(tiny()).eval(), AutoTokenizer.from_pretrained(tiny())
    gold = np.searchsorted(probe.classes_, labels), np.arange(len(texts))

    def log_proba(skip):
        rows = cls_without(model, tokenizer, [f"{text} !" for text in texts], skip)
        return pipeline[2:].predict_log_proba(rows / np.linalg.norm(rows, axis=1, keepdims=True)).T

    full = log_proba(())
    np.testing.assert_allclose(probe.proba_drop_, [(full - log_proba(s))[gold] for s in ((0, 2), (1, 2))], atol=1e-4)
    assert probe.skipped_layers_ == [(0, 2), (1, 2)]
    assert probe.get_feature_names_out().tolist() == ["skip_layers_0_2", "skip_1_3"]
    assert np.isfinite(probe.triangle()).sum() == 1
    assert np.isnan(probe.pattern_test_.pvalue)


def test_cv__every_sample_is_scored_by_a_model_that_has_not_seen_it(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    folds = StratifiedKFold(4, shuffle=True, random_state=1)
    probe = SkipLayerProbe(pipeline, cv=folds, scoring="neg_log_loss", n_permutations=19, random_state=0)
    probe.fit(texts, labels)
    proba = cross_val_predict(pipeline, texts, labels, cv=folds, method="predict_proba")
    np.testing.assert_array_equal(probe.baseline_predictions_, probe.classes_[proba.argmax(axis=1)])
    assert probe.baseline_score_ == pytest.approx(-log_loss(labels, proba), abs=1e-4)
    # The last span skips all layers.
    np.testing.assert_array_equal(probe.predict(texts), clone(pipeline).fit(texts, labels).predict(texts))
    np.testing.assert_allclose(probe.predict_proba(texts), probe.estimator_.predict_proba(texts))


def test_cv__classifier_with_the_default_pooling(tiny, texts, labels):
    clf = MaxPoolBERTClassifier(
        tiny(), freeze_layers=3, dropout=0.0, max_epochs=8, learning_rate=1e-2, random_state=0, device="cpu"
    )
    probe = SkipLayerProbe(clf, cv=2, n_permutations=19, random_state=0).fit(texts, labels)
    expected = cross_val_predict(clf, texts, labels, cv=StratifiedKFold(2))
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(probe.baseline_predictions_, expected)
    assert probe.score(texts, labels) == probe.estimator_.score(texts, labels)


# ------------------------------------------------------------------ results


def test_triangle__start_by_stop(found):
    triangle = found.triangle()
    assert triangle.shape == (N_LAYERS, N_LAYERS + 1)
    for k, (start, stop) in enumerate(SPANS):
        assert triangle[start, stop] == found.scores_[k]
    assert np.isfinite(triangle).sum() == len(SPANS)
    np.testing.assert_array_equal(found.triangle(label="B")[0], [np.nan, 1, 1, 1, 0])
    falls = found.label_recall_ - 1
    np.testing.assert_array_equal(found.triangle(falls, "B"), found.triangle(falls[1]))
    with pytest.raises(ValueError, match="one number for each of the 10 spans"):
        found.triangle(falls)
    with pytest.raises(ValueError, match="'Z' is not among the classes"):
        found.triangle(label="Z")


def test_to_frame__one_row_a_span_and_label(found):
    frame = found.to_frame()
    assert frame.columns.tolist() == [
        *("span", "start", "stop", "label", "n", "recall", "change", "low", "high", "drop", "constant")
    ]
    assert len(frame) == 3 * len(SPANS)
    row = frame[(frame.span == "skip_1_3") & (frame.label == "A")].iloc[0]
    assert (row.start, row.stop, row.n, row.recall, row.change) == (1, 3, 12, 0, -1)
    # All twelve were lost; of the label that says more than of these twelve, and less than that all are.
    assert row.low == -1 < row.high < -0.5
    assert row["drop"] == pytest.approx(found.proba_drop_[SPANS.index((1, 3)), ::3].mean())


def test_constant_spans__are_flagged_and_not_averaged_in(planted):
    folder, texts, labels = planted
    two = [i for i, label in enumerate(labels) if label != "B"]
    texts, labels = [texts[i] for i in two], labels[two]
    probe = SkipLayerProbe(reading_cls(folder), cv=3, n_permutations=19, random_state=0).fit(texts, labels)
    # Without layer 1 everything looks like C.
    np.testing.assert_array_equal(probe.constant_, needs(1))
    assert np.isfinite(probe.proba_drop_).all()
    assert np.abs(probe.label_distance_).max() < 1e-3
    assert np.isnan(probe.layer_importance_[:, 1]).all()
    np.testing.assert_allclose(probe.layer_importance_[:, [0, 2, 3]], 0, atol=1e-3)
    only = SkipLayerProbe(reading_cls(folder), cv=3, spans=[(1, 2)], n_permutations=19).fit(texts, labels)
    with pytest.raises(ValueError, match="no signature is left"):
        only.signature_clusters(2)
    assert np.isnan(only.pattern_test_.pvalue)


def test_full_model_that_predicts_one_class__warns(tiny, texts, labels):
    even = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression(C=1e-9))
    uneven = [*labels[:20], *["refund"] * 4]
    even.fit(texts, uneven)
    with pytest.warns(UserWarning, match="predicts one class for all samples"):
        SkipLayerProbe(even, cv="prefit", n_permutations=0).fit(texts, uneven)


def test_single_and_named_spans(planted):
    folder, texts, labels = planted
    fitted = reading_cls(folder).fit(texts, labels)
    single = SkipLayerProbe(fitted, spans="single", cv="prefit", n_permutations=0).fit(texts, labels)
    np.testing.assert_array_equal(single.spans_, [(0, 1), (1, 2), (2, 3), (3, 4)])
    np.testing.assert_array_equal(single.label_recall_[0], [1, 0, 1, 1])
    named = SkipLayerProbe(fitted, spans=[(0, 1, 3), (1,), {0, 2}], cv="prefit", n_permutations=0).fit(texts, labels)
    assert named.skipped_layers_ == [(0, 1, 3), (1,), (0, 2)]
    np.testing.assert_array_equal(named.label_recall_, [[0, 0, 1], [0, 1, 1], [1, 1, 1]])


def test_layers_under_the_reading__are_all_that_count(planted):
    folder, texts, labels = planted
    lower = make_pipeline(LayerPoolFeaturizer(folder, layers=(2,), token_pooling="cls"), LogisticRegression(C=100))
    probe = SkipLayerProbe(lower, cv="prefit", n_permutations=0)
    lower.fit(texts, labels)
    probe.fit(texts, labels)
    np.testing.assert_array_equal(probe.label_recall_[0], np.where(needs(1), 0, probe.label_baseline_[0]))
    np.testing.assert_array_equal(probe.signatures_[:, SPANS.index((2, 4))], 0)


# ------------------------------------------------------------------ as an estimator


def test_random_state__fixes_the_statistics_and_leaves_the_global_generators(planted, found):
    folder, texts, labels = planted
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002

    def probe(seed):
        return SkipLayerProbe(reading_cls(folder), cv=3, n_permutations=199, random_state=seed).fit(texts, labels)

    again, other = probe(0), probe(1)
    assert again.signature_clusters(2).labels.tolist() == found.signature_clusters(2).labels.tolist()
    np.testing.assert_array_equal(again.pattern_test_.null, found.pattern_test_.null)
    np.testing.assert_array_equal(again.recall_interval_, found.recall_interval_)
    assert not np.array_equal(other.pattern_test_.null, found.pattern_test_.null)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_pickle_and_copies(tuned, texts, labels):
    probe = SkipLayerProbe(tuned, cv="prefit", n_permutations=19, random_state=0).fit(texts, labels)
    for twin in (pickle.loads(pickle.dumps(probe)), copy.deepcopy(probe)):
        np.testing.assert_allclose(twin.transform(texts[:3]), probe.transform(texts[:3]), atol=1e-6)
        assert twin.pattern_test_.pvalue == probe.pattern_test_.pvalue
        np.testing.assert_array_equal(twin.signature_clusters(2).labels, probe.signature_clusters(2).labels)


def test_set_output__names_the_spans(found, planted):
    _, texts, _ = planted
    frame = copy.deepcopy(found).set_output(transform="pandas").transform(texts[:2])
    assert frame.columns.tolist()[:2] == ["skip_0_1", "skip_0_2"]


def test_data_frames_and_pairs(tiny, texts, labels):
    frame = pd.DataFrame({"question": texts, "answer": texts[::-1]})
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    probe = SkipLayerProbe(pipeline, cv=2, n_permutations=0).fit(frame, labels)
    listed = SkipLayerProbe(pipeline, cv=2, n_permutations=0).fit(list(zip(texts, texts[::-1], strict=True)), labels)
    np.testing.assert_allclose(probe.proba_drop_, listed.proba_drop_, atol=1e-5)
    assert probe.n_features_in_ == listed.n_features_in_ == 2
    assert probe.feature_names_in_.tolist() == ["question", "answer"]
    with pytest.raises(ValueError, match="pairs"):
        probe.transform(texts)


def test_polars_and_tuples__are_cut_into_folds_like_lists(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    probe = SkipLayerProbe(pipeline, cv=2, spans="single", n_permutations=0)
    expected = probe.fit(texts, labels).proba_drop_
    for X in (
        tuple(texts),
        np.array(texts, dtype=object),
        pd.Series(texts),
        pl.Series(texts),
        np.array(texts)[:, None],
    ):
        np.testing.assert_allclose(probe.fit(X, list(labels)).proba_drop_, expected, atol=1e-6)


def test_repeated_texts__give_what_they_give_alone(found, planted):
    _, texts, _ = planted
    once = found.transform(texts[:3])
    np.testing.assert_allclose(found.transform([texts[i] for i in (2, 0, 2, 1)]), once[[2, 0, 2, 1]], atol=1e-6)


def test_leave_one_out__permutes_over_all_samples(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    probe = SkipLayerProbe(pipeline, cv=LeaveOneOut(), spans="single", n_permutations=19)
    probe.fit(texts[:9], labels[:9])
    assert len(np.unique(probe.pattern_test_.null)) > 1


# ------------------------------------------------------------------ wrong input


def featurizer(folder="nowhere"):
    return LayerPoolFeaturizer(folder, device="cpu")


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "needs a MaxPoolBERTClassifier, .*; LogisticRegression"),
        (MaxPoolBERTRegressor("nowhere"), "MaxPoolBERTRegressor"),
        (featurizer(), "alone predicts no labels: put a classifier after it"),
        (make_pipeline(featurizer(), Ridge()), "ends in Ridge, which is not a classifier"),
        (make_pipeline(featurizer(), LinearSVC()), "LinearSVC, which has no predict_proba"),
        (make_pipeline(featurizer(), StandardScaler()), "StandardScaler, which is not a classifier"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "has 0 steps with an encoder"),
        (make_pipeline(MaxPoolBERTClassifier("nowhere"), LogisticRegression()), "steps follow"),
    ],
)
def test_estimator_that_cannot_be_probed(estimator, message):
    with pytest.raises(TypeError, match=message):
        SkipLayerProbe(estimator).fit(["a", "b"], [0, 1])


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ("all", "'contiguous', 'single' or a list"),
        (3, "'contiguous', 'single' or a list"),
        ([], "spans is empty"),
        ([3], "must hold \\(start, stop\\)"),
        ([(0, 5)], "0 <= start < stop <= 4"),
        ([(2, 2)], "0 <= start < stop <= 4"),
        ([(0.0, 2)], "must hold ints, got 0.0"),
        ([(0, 2), (0, 1, 3)], "mixes tuples of two"),
        ([{0, 4}], "different layers in 0..3"),
        ([(1, 1, 1)], "different layers in 0..3"),
        ([()], "different layers in 0..3"),
        ([(0, 2), {0, 1}], "more than once"),
    ],
)
def test_wrong_spans__are_found_before_anything_is_trained(spans, message, tiny, monkeypatch):
    monkeypatch.setattr(MaxPoolBERTClassifier, "fit", lambda *args: pytest.fail("trained"))
    with pytest.raises(ValueError, match=message):
        SkipLayerProbe(MaxPoolBERTClassifier(tiny()), spans=spans, cv=2).fit(["a", "b"] * 3, [0, 1] * 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_permutations": -1}, "n_permutations must be an int of at least 0"),
        ({"verbose": "loud"}, "verbose must be an int"),
        ({"random_state": "x"}, "random_state must be"),
        ({"scoring": "beauty"}, "beauty"),
        ({"cv": ShuffleSplit(3, random_state=0)}, "hold out every sample once"),
        ({"cv": KFold(2)}, "Class 0 is missing from the training part of fold 0; it has 3"),
    ],
)
def test_wrong_parameters(parameters, message, tiny):
    with pytest.raises(ValueError, match=message):
        SkipLayerProbe(MaxPoolBERTClassifier(tiny()), **parameters).fit(["a", "b"] * 3, [0] * 3 + [1] * 3)


def test_wrong_data(tiny, tuned, texts):
    probe = SkipLayerProbe(MaxPoolBERTClassifier(tiny()), cv=2)
    with pytest.raises(ValueError, match="string object received"):
        probe.fit("a text", [0])
    with pytest.raises(ValueError, match="requires y"):
        probe.fit(["a"], None)
    for cv in (2, "prefit"):
        with pytest.raises(ValueError, match="0 sample"):
            SkipLayerProbe(tuned, cv=cv).fit([], [])
    with pytest.raises(ValueError, match="one class: 7"):
        probe.fit(["a", "b"], [7, 7])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        probe.fit(["a", "b"], [0, 1, 0])
    with pytest.raises(ValueError, match="one-dimensional"):
        probe.fit(["a", "b"], [[0, 1], [1, 0]])
    with pytest.raises(NotFittedError):
        probe.transform(["a"])
    with pytest.raises(NotFittedError):
        SkipLayerProbe(MaxPoolBERTClassifier(tiny()), cv="prefit").fit(["a", "b"], [0, 1])
    with pytest.raises(ValueError, match="'spam', but the fitted estimator knows only"):
        SkipLayerProbe(tuned, cv="prefit").fit(texts[:2], ["spam", "order"])
    several = MaxPoolBERTClassifier(tiny(), max_epochs=1, device="cpu")
    several.fit(texts[:4], np.eye(2, dtype=int)[[0, 1, 0, 1]])
    with pytest.raises(ValueError, match="fitted on multi-label targets"):
        SkipLayerProbe(several, cv="prefit").fit(texts[:2], [0, 1])
    with pytest.raises(ValueError, match="use cv='prefit'"):
        SkipLayerProbe(FrozenEstimator(tuned), cv=2).fit(texts[:4], ["order", "refund"] * 2)


def test_label_without_samples__has_no_recall(tuned, texts, labels):
    known = labels != "login"
    kept = [text for text, keep in zip(texts, known, strict=True) if keep]
    probe = SkipLayerProbe(tuned, cv="prefit", n_permutations=19, random_state=0).fit(kept, labels[known])
    login = probe.classes_.tolist().index("login")
    assert np.isnan(probe.label_baseline_[login])
    assert np.isnan(probe.label_recall_[login]).all()
    assert np.isfinite(np.delete(probe.label_recall_, login, axis=0)).all()
    assert np.isfinite(probe.pattern_test_.pvalue)


@pytest.mark.parametrize(("row", "cell", "error"), [(20, None, ValueError), (0, 5, TypeError)])
def test_wrong_texts__are_named_by_their_row_before_anything_is_trained(
    tiny, texts, labels, monkeypatch, row, cell, error
):
    monkeypatch.setattr(MaxPoolBERTClassifier, "fit", lambda *args: pytest.fail("was trained"))
    texts = [*texts[:row], cell, *texts[row + 1 :]]
    with pytest.raises(error, match=f"row {row}"):
        SkipLayerProbe(MaxPoolBERTClassifier(tiny()), cv=2).fit(texts, labels)


def test_groups__are_held_out_together(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    groups = np.arange(24) // 6
    given = {"spans": "single", "n_permutations": 0}
    probe = SkipLayerProbe(pipeline, cv=GroupKFold(2), **given).fit(texts, labels, groups)
    by_hand = list(GroupKFold(2).split(texts, labels, groups))
    reference = SkipLayerProbe(pipeline, cv=by_hand, **given).fit(texts, labels)
    np.testing.assert_array_equal(probe.proba_drop_, reference.proba_drop_)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SkipLayerProbe(pipeline, cv=GroupKFold(2)).fit(texts, labels, groups[:3])


def test_search__is_probed_as_the_estimator_that_it_found(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.01, 10]}, cv=2).fit(texts, labels)
    found = SkipLayerProbe(search, cv="prefit", n_permutations=0, verbose=True).fit(texts, labels)
    reference = SkipLayerProbe(search.best_estimator_, cv="prefit", n_permutations=0).fit(texts, labels)
    np.testing.assert_array_equal(found.proba_drop_, reference.proba_drop_)
    folds = SkipLayerProbe(search, cv=2, spans="single", n_permutations=0).fit(texts, labels)
    assert folds.estimator_.best_params_ == search.best_params_


class _AnotherDepthEachFold(GridSearchCV):
    def fit(self, X, y):
        path = (0,) if X[0] == self.cv else (0, 1)
        return GridSearchCV(self.estimator, {"layerpoolfeaturizer__layer_path": [path]}, cv=2).fit(X, y)


def test_search__that_finds_another_depth_in_each_fold_is_refused(tiny, texts, labels):
    pipeline = make_pipeline(LayerPoolFeaturizer(tiny(), device="cpu"), LogisticRegression())
    folds = [(np.arange(12), np.arange(12, 24)), (np.arange(12, 24), np.arange(12))]
    with pytest.raises(ValueError, match="do not search over layer_path"):
        SkipLayerProbe(_AnotherDepthEachFold(pipeline, {}, cv=texts[0]), cv=folds).fit(texts, labels)
