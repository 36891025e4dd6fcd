"""MaxPoolBERTClassifier through its public names."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.fixes import parse_version
from skorch.callbacks import Callback

from skbert import MaxPoolBERTClassifier
from skbert.pooling import LAYER_POOLINGS, TOKEN_POOLINGS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _logits_by_hand(clf, X):
    tensors = clf._fitted.tensors()
    return clf.transform(X) @ tensors["head.classifier.weight"].T + tensors["head.classifier.bias"]


@pytest.mark.parametrize(
    "names",
    [
        ["b", "a", "c"],
        [7, -2, 5],
        [2.0, 0.0, 1.0],
        np.array(["b", "a", "c"], dtype=object),
        pd.Categorical(["b", "a", "c"]),
    ],
    ids=["str", "int", "float", "object", "categorical"],
)
def test_labels__of_any_type_come_back_as_they_went_in(tiny, texts, quick, names):
    y = np.asarray(names)[np.arange(24) % 3]
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 15}).fit(texts, y)
    np.testing.assert_array_equal(clf.classes_, np.unique(y))
    predicted = clf.predict(texts)
    assert predicted.dtype == clf.classes_.dtype
    assert (predicted == y).mean() > 0.8


@pytest.mark.parametrize("container", [list, pd.Series, lambda y: pd.Series(y, dtype="string"), lambda y: y[:, None]])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_labels__in_any_container_give_the_same_model(tiny, texts, labels, quick, container):
    reference = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, container(labels))
    np.testing.assert_array_equal(clf.predict_proba(texts), reference.predict_proba(texts))
    np.testing.assert_array_equal(clf.classes_.astype(str), reference.classes_)


def test_labels__booleans(tiny, texts, quick):
    y = np.arange(24) % 2 == 0
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, y)
    assert clf.predict(texts).dtype == bool


def test_outputs__multiclass_agree_with_each_other(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    logits, proba, log_proba = clf.decision_function(texts), clf.predict_proba(texts), clf.predict_log_proba(texts)
    assert logits.shape == proba.shape == (24, 3)
    assert logits.dtype == proba.dtype == log_proba.dtype == np.float32
    np.testing.assert_allclose(logits, _logits_by_hand(clf, texts), atol=1e-5)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, softmax, atol=1e-6)
    np.testing.assert_allclose(log_proba, np.log(softmax), atol=1e-5)
    np.testing.assert_array_equal(clf.predict(texts), clf.classes_[logits.argmax(axis=1)])


def test_outputs__binary_decision_is_one_column(tiny, texts, quick):
    y = np.array(["no", "yes"])[np.arange(24) % 2]
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, y)
    decision, proba = clf.decision_function(texts), clf.predict_proba(texts)
    assert decision.shape == (24,)
    np.testing.assert_allclose(proba[:, 1], 1 / (1 + np.exp(-decision)), atol=1e-6)
    np.testing.assert_array_equal(clf.predict(texts) == "yes", decision > 0)


def test_multilabel__indicators_in_and_out(tiny, texts, quick):
    topics = [{word for word in text.split() if word in ("money", "code", "where", "please")} for text in texts]
    y = MultiLabelBinarizer().fit_transform(topics)
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 25, "learning_rate": 1e-2}).fit(texts, y)
    np.testing.assert_array_equal(clf.classes_, np.arange(y.shape[1]))
    proba, decision = clf.predict_proba(texts), clf.decision_function(texts)
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-decision)), atol=1e-6)
    np.testing.assert_array_equal(clf.predict(texts), (proba > 0.5).astype(int))
    assert (clf.predict(texts) == y).mean() > 0.9
    assert clf.training_status_ == "converged"


def test_multilabel__wrong_targets_are_refused(tiny, texts, quick):
    y = np.eye(3, dtype=int)[np.arange(24) % 3]
    with pytest.raises(ValueError, match="class_weight"):
        MaxPoolBERTClassifier(tiny(), **quick, class_weight="balanced").fit(texts, y)
    with pytest.raises(ValueError, match="columns"):
        MaxPoolBERTClassifier(tiny(), **quick).fit(texts, y, X_val=texts, y_val=y[:, :2])


def test_sample_weight__equals_repetition_of_rows(tiny, texts, labels, quick):
    parameters = {**quick, "batch_size": 128, "dropout": 0.0, "learning_rate": 1e-3}
    weights = np.random.default_rng(0).integers(0, 4, size=24)
    weighted = MaxPoolBERTClassifier(tiny(), **parameters).fit(texts, labels, sample_weight=weights)
    repeated = MaxPoolBERTClassifier(tiny(), **parameters).fit(np.repeat(texts, weights), np.repeat(labels, weights))
    plain = MaxPoolBERTClassifier(tiny(), **parameters).fit(texts, labels)
    np.testing.assert_allclose(weighted.predict_proba(texts), repeated.predict_proba(texts), atol=1e-5)
    assert np.abs(weighted.predict_proba(texts) - plain.predict_proba(texts)).max() > 1e-3


def test_sample_weight__its_scale_does_not_matter_and_ones_change_nothing(tiny, texts, labels, quick):
    weights = np.random.default_rng(0).uniform(0.5, 2, size=24)
    fits = {
        name: MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels, sample_weight=weight).predict_proba(texts)
        for name, weight in {"w": weights, "4w": 4 * weights, "one": 1, "ones": np.ones(24), "none": None}.items()
    }
    np.testing.assert_allclose(fits["w"], fits["4w"], atol=1e-6)
    np.testing.assert_array_equal(fits["one"], fits["none"])
    np.testing.assert_array_equal(fits["ones"], fits["none"])


def test_sample_weight__of_zero_is_a_row_left_out(tiny, texts, labels, quick):
    weights = np.ones(24)
    weights[[3, 8, 11]] = 0
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels, sample_weight=weights)
    kept = np.flatnonzero(weights)
    left_out = MaxPoolBERTClassifier(tiny(), **quick).fit([texts[i] for i in kept], labels[kept])
    np.testing.assert_array_equal(clf.predict_proba(texts), left_out.predict_proba(texts))


def test_class_weight__equals_the_sample_weights_of_scikit_learn(tiny, texts, quick):
    y = np.array(["a"] * 16 + ["b"] * 8)
    for class_weight in ("balanced", {"a": 1.0, "b": 5.0}):
        by_class = MaxPoolBERTClassifier(tiny(), **quick, class_weight=class_weight).fit(texts, y)
        weights = compute_sample_weight(class_weight, y)
        by_sample = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, y, sample_weight=weights)
        np.testing.assert_allclose(by_class.predict_proba(texts), by_sample.predict_proba(texts), atol=1e-6)


def test_class_weight__balanced_counts_rows_by_their_weights(tiny, texts, quick):
    y, weights = np.array(["a"] * 16 + ["b"] * 8), np.array([1] * 16 + [2] * 8)
    parameters = {**quick, "batch_size": 64, "dropout": 0.0, "learning_rate": 1e-3, "class_weight": "balanced"}
    weighted = MaxPoolBERTClassifier(tiny(), **parameters).fit(texts, y, sample_weight=weights)
    repeated = MaxPoolBERTClassifier(tiny(), **parameters).fit(np.repeat(texts, weights), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.predict_proba(texts), repeated.predict_proba(texts), atol=1e-5)


def test_validation_data__with_columns_in_another_order_are_refused(tiny, texts, labels, quick):
    frame = pd.DataFrame({"question": texts, "answer": texts[::-1]})
    with pytest.raises(ValueError, match=r"feature names.*X_val"):
        MaxPoolBERTClassifier(tiny(), **quick).fit(frame, labels, X_val=frame[["answer", "question"]], y_val=labels)


def test_warm_start__that_fails_leaves_the_last_fit(tiny, texts, labels, quick):
    class Fail(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("no more")

    clf = MaxPoolBERTClassifier(tiny(), **quick, warm_start=True).fit(texts, labels)
    before = clf.predict_proba(texts)
    with pytest.raises(RuntimeError, match="no more"):
        clf.set_params(callbacks=[Fail()]).fit(texts, labels)
    np.testing.assert_array_equal(clf.predict_proba(texts), before)
    assert clf.n_iter_ == quick["max_epochs"]


def test_warm_start__takes_the_same_layers_in_another_container(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "layers": [2, 3]}, warm_start=True).fit(texts, labels)
    clf.set_params(layers=(2, 3)).fit(texts, labels)
    assert clf.n_iter_ == 2 * quick["max_epochs"]


def test_warm_start__after_a_prediction_in_inference_mode(tiny, texts, labels, quick):
    clf = pickle.loads(pickle.dumps(MaxPoolBERTClassifier(tiny(), **quick, warm_start=True).fit(texts, labels)))
    with torch.inference_mode():
        clf.predict(texts)
    clf.fit(texts, labels)
    assert clf.n_iter_ == 2 * quick["max_epochs"]


def test_threads__share_an_estimator_and_get_the_same(tiny, texts, labels, quick):
    clf = pickle.loads(pickle.dumps(MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)))
    expected = clf.predict_proba(texts)
    fresh = pickle.loads(pickle.dumps(clf))
    long = [" ".join(texts)] * 4

    def work(k):
        if k % 2:
            return fresh.predict_proba(texts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1, "max_length": 5}).fit(long, [0, 1, 0, 1])
        return expected

    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(work, range(12)):
            np.testing.assert_allclose(result, expected, atol=1e-6)


def test_pairs__of_texts_are_read_as_pairs(tiny, texts, labels, quick):
    others = texts[::-1]
    pairs = list(zip(texts, others, strict=True))
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(pairs, labels)
    assert clf.n_features_in_ == 2
    frame = pd.DataFrame({"question": texts, "answer": others}, index=range(100, 124))
    by_frame = MaxPoolBERTClassifier(tiny(), **quick).fit(frame, labels)
    np.testing.assert_array_equal(clf.predict_proba(pairs), by_frame.predict_proba(frame))
    assert list(by_frame.feature_names_in_) == ["question", "answer"]
    with pytest.raises(ValueError, match="feature names"):
        by_frame.predict(frame[["answer", "question"]])
    swapped = clf.predict_proba([(b, a) for a, b in pairs])
    assert np.abs(swapped - clf.predict_proba(pairs)).max() > 1e-4


def test_warm_start__goes_on_and_a_cold_start_does_not(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, warm_start=True).fit(texts, labels)
    first = clf.loss_curve_
    clf.fit(texts, labels)
    assert clf.n_iter_ == 2 * quick["max_epochs"]
    assert [row["epoch"] for row in clf.history_] == list(range(1, clf.n_iter_ + 1))
    assert clf.loss_curve_[: len(first)] == first
    assert clf.loss_curve_[len(first)] < first[0] - 0.05
    cold = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels).fit(texts, labels)
    assert cold.loss_curve_ == first


def test_warm_start__refuses_another_model_or_new_classes(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, warm_start=True).fit(texts, labels)
    with pytest.raises(ValueError, match="layer_pooling"):
        clf.set_params(layer_pooling="mean").fit(texts, labels)
    with pytest.raises(ValueError, match="'new'"):
        clf.set_params(layer_pooling="max").fit(texts, np.where(np.arange(24) == 0, "new", labels))


def test_label_smoothing__lifts_the_loss_that_is_trained_on(tiny, texts, labels, quick):
    parameters = {**quick, "max_epochs": 25, "dropout": 0.0}
    sharp = MaxPoolBERTClassifier(tiny(), **parameters).fit(texts, labels)
    smooth = MaxPoolBERTClassifier(tiny(), **parameters, label_smoothing=0.3).fit(texts, labels)
    # With a share of 0.3 over three classes, the best loss is the entropy of (0.8, 0.1, 0.1).
    floor = -(0.8 * np.log(0.8) + 0.2 * np.log(0.1))
    assert min(smooth.loss_curve_) > floor - 1e-6
    assert min(sharp.loss_curve_) < floor
    assert smooth.predict_proba(texts).max() < sharp.predict_proba(texts).max()


@pytest.mark.parametrize("layer_pooling", LAYER_POOLINGS)
@pytest.mark.parametrize("token_pooling", TOKEN_POOLINGS)
def test_plane__every_point_fits_and_transforms(tiny, texts, labels, quick, layer_pooling, token_pooling):
    clf = MaxPoolBERTClassifier(
        tiny(),
        **{**quick, "max_epochs": 1, "layers": (1, 3, -1)},
        layer_pooling=layer_pooling,
        token_pooling=token_pooling,
    ).fit(texts, labels)
    vectors = clf.transform(texts)
    width = 96 if layer_pooling == "concat" else 32
    assert vectors.shape == (24, width)
    assert vectors.dtype == np.float32
    assert len(clf.get_feature_names_out()) == width
    np.testing.assert_allclose(clf.decision_function(texts), _logits_by_hand(clf, texts), atol=1e-5)
    assert clf.layer_share_.shape == (3,)
    assert clf.layer_share_.sum() == pytest.approx(1)
    if layer_pooling in ("mean", "sum", "concat"):
        np.testing.assert_allclose(clf.layer_share_, 1 / 3)


def test_is_a_classifier__so_that_folds_are_stratified(tiny):
    clf = MaxPoolBERTClassifier(tiny())
    assert is_classifier(clf)
    assert isinstance(check_cv(3, ["a", "b"] * 6, classifier=is_classifier(clf)), StratifiedKFold)


def test_constructor__stores_what_it_is_given_and_touches_nothing():
    odd = object()
    clf = MaxPoolBERTClassifier(odd, layers=odd, device=odd, random_state=odd)
    assert clf.model is odd
    assert clf.layers is odd
    with pytest.raises(TypeError):
        MaxPoolBERTClassifier("minilm", 3)


def test_display__of_a_fitted_estimator_does_not_fail(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    assert "MaxPoolBERTClassifier" in clf._repr_html_()


def test_set_output__gives_a_data_frame(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).set_output(transform="pandas").fit(texts, labels)
    frame = clf.transform(pd.Series(texts, index=range(50, 74)))
    assert list(frame.columns[:2]) == ["maxpoolbertclassifier0", "maxpoolbertclassifier1"]
    assert list(frame.index) == list(range(50, 74))


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.8"), reason="scikit-learn has it since 1.8")
def test_calibration__by_temperature_works_on_the_decision_function(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    calibrated = CalibratedClassifierCV(FrozenEstimator(clf), method="temperature").fit(texts, labels)
    np.testing.assert_array_equal(calibrated.predict(texts), clf.predict(texts))
