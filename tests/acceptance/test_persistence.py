"""Estimators through clone, copies, pickle, joblib, skops, worker processes and save/load: nothing is lost."""

import copy
import io
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from skorch.callbacks import Callback

import skbert
from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("str", "int", "binary", "multilabel", "regression")
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform")
ATTRIBUTES = (
    "classes_",
    "n_iter_",
    "history_",
    "loss_curve_",
    "best_epoch_",
    "training_status_",
    "layer_share_",
    "n_features_in_",
    "feature_names_in_",
)
NEW_TEXTS = ["where is my lamp", "", "cancel the plan please", "why why why", "money money code", "parcel"]

# Few epochs may not converge; what is tested here is not whether they do.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def targets(task, labels):
    codes = np.unique(labels, return_inverse=True)[1]
    return {
        "str": labels,
        "int": codes * 10 - 7,
        "binary": np.where(codes == 0, "yes", "no"),
        "multilabel": np.stack([codes == 0, codes != 1], axis=1).astype(int),
        "regression": codes * 1.5 - 100.0,
    }[task]


def make(task, model, **parameters):
    return (MaxPoolBERTRegressor if task == "regression" else MaxPoolBERTClassifier)(model, **parameters)


def outputs(estimator, X=NEW_TEXTS):
    return {name: getattr(estimator, name)(X) for name in METHODS if hasattr(estimator, name)}


def assert_same_outputs(got, expected):
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def assert_same_attributes(got, expected):
    for name in ATTRIBUTES:
        assert hasattr(got, name) == hasattr(expected, name), name
        if not hasattr(expected, name):
            continue
        a, b = getattr(got, name), getattr(expected, name)
        # A memory map is an array, too.
        assert type(a) is type(b) or (isinstance(a, np.memmap) and type(b) is np.ndarray), name
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)
        else:
            assert a == b, name


# ---------------------------------------------------------- ways of keeping


def _joblib(estimator, folder, **kwargs):
    path = folder / f"{len(list(folder.iterdir()))}.joblib"
    joblib.dump(estimator, path)
    return joblib.load(path, **kwargs)


def _skops(estimator, folder):
    data = skops.io.dumps(estimator)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert untrusted == [f"{type(estimator).__module__}.{type(estimator).__qualname__}"]
    return skops.io.loads(data, trusted=untrusted)


WAYS = {
    "deepcopy": lambda estimator, folder: copy.deepcopy(estimator),
    "pickle": lambda estimator, folder: pickle.loads(pickle.dumps(estimator)),
    "joblib": _joblib,
    "joblib-mmap": lambda estimator, folder: _joblib(estimator, folder, mmap_mode="r"),
    "skops": _skops,
}


@pytest.fixture(scope="module")
def parameters():
    return {
        "max_epochs": 2,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "layers": (-1, -2),
        "random_state": 0,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def kept(tiny, texts, labels, parameters, tmp_path_factory):
    """Call with a task and whether to use the estimator first; gives it, and a copy of it in every way, made once."""
    made = {}

    def get(task, used):
        if (task, used) not in made:
            folder = tmp_path_factory.mktemp("kept")
            X = pd.DataFrame({"text": texts}) if task == "binary" else texts
            live = make(task, tiny(), **parameters).fit(X, targets(task, labels))
            if used:
                outputs(live)
            # All copies are made before the estimator that was only fitted is asked to predict.
            copies = {way: keep(live, folder) for way, keep in WAYS.items()}
            made[task, used] = live, copies, outputs(live)
        return made[task, used]

    return get


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("used", [False, True], ids=["fitted", "used"])
@pytest.mark.parametrize("task", TASKS)
def test_copy__after_fit__same_predictions_attributes_and_parameters(kept, task, used, way):
    live, copies, expected = kept(task, used)
    got = copies[way]
    assert got is not live
    assert type(got) is type(live)
    assert_same_outputs(outputs(got), expected)
    assert_same_attributes(got, live)
    assert got.get_params() == live.get_params()
    assert type(got.layers) is tuple


@pytest.mark.parametrize("task", TASKS)
def test_kept__the_cases_above__are_worth_comparing(kept, task):
    live, _, expected = kept(task, True)
    assert live.n_iter_ == 2
    assert hasattr(live, "feature_names_in_") == (task == "binary")
    assert len({row.tobytes() for row in expected["transform"]}) == len(NEW_TEXTS)
    assert ("predict_proba" in expected) == (task != "regression")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", TASKS)
def test_copy_of_copy__after_the_copy_was_used__same_predictions(kept, tmp_path, task, way):
    _, copies, expected = kept(task, True)
    outputs(copies[way])
    assert_same_outputs(outputs(WAYS[way](copies[way], tmp_path)), expected)


@pytest.mark.parametrize(
    ("first", "second"),
    # skops calls the memory maps of any estimator untrusted, so that one pair is left out.
    [(a, b) for a in WAYS for b in ("deepcopy", "joblib", "skops") if (a, b) != ("joblib-mmap", "skops")],
)
def test_copy_of_copy__never_used_in_between__same_predictions(kept, tmp_path, first, second):
    live, _, expected = kept("str", True)
    got = WAYS[second](WAYS[first](live, tmp_path), tmp_path)
    assert_same_outputs(outputs(got), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", ["str", "regression"])
def test_copy__before_fit__same_parameters_not_fitted_and_can_fit(tiny, texts, labels, parameters, tmp_path, task, way):
    estimator = make(task, tiny(), **{**parameters, "max_epochs": 1})
    got = WAYS[way](estimator, tmp_path)
    assert type(got) is type(estimator)
    assert got.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        got.predict(texts)
    y = targets(task, labels)
    assert_same_outputs(outputs(got.fit(texts, y)), outputs(estimator.fit(texts, y)))


@pytest.mark.parametrize("task", TASKS)
def test_clone__fitted_and_used__unfitted_with_equal_parameters(kept, task):
    live, _, expected = kept(task, True)
    got = clone(live)
    assert got.get_params() == live.get_params()
    assert not [name for name in vars(got) if name.endswith("_") or name == "_fitted"]
    with pytest.raises(NotFittedError):
        got.predict(NEW_TEXTS)
    assert_same_outputs(outputs(live), expected)


@pytest.mark.parametrize("task", ["int", "multilabel"])
def test_clone__fitted_again_on_the_same__same_predictions(kept, texts, labels, task):
    live, _, expected = kept(task, True)
    assert_same_outputs(outputs(clone(live).fit(texts, targets(task, labels))), expected)


def test_copy__of_the_live_estimator__does_not_share_weights(kept, texts, labels):
    live, _, expected = kept("str", True)
    got = copy.deepcopy(live).set_params(warm_start=True, random_state=1)
    got.fit(texts, labels)
    assert not np.array_equal(got.predict_proba(NEW_TEXTS), expected["predict_proba"])
    assert_same_outputs(outputs(live), expected)


def test_getstate__used_estimator__leaves_the_live_one_alone(kept):
    live, _, expected = kept("str", True)
    module = live._fitted.module(torch.device("cpu"))
    state = live.__getstate__()
    assert live._fitted.module(torch.device("cpu")) is module
    for array in state["_fitted"]["tensors"].values():
        array[...] = 0
    assert_same_outputs(outputs(live), expected)


def test_pickle__joblib_memory_map__file_not_written_to(kept, texts, labels, tmp_path):
    live, _, expected = kept("str", True)
    path = tmp_path / "x.joblib"
    joblib.dump(live, path)
    before = path.read_bytes()
    mapped = joblib.load(path, mmap_mode="r").set_params(warm_start=True)
    mapped.fit(texts, labels)
    assert path.read_bytes() == before
    assert_same_outputs(outputs(joblib.load(path)), expected)


def test_pickle__every_class_inside__needs_no_transformers_or_torch_class(kept):
    live, _, _ = kept("str", True)
    modules = set()

    class Recording(pickle.Unpickler):
        def find_class(self, module, name):
            modules.add(module.split(".")[0])
            return super().find_class(module, name)

    Recording(io.BytesIO(pickle.dumps(live))).load()
    assert "skbert" in modules
    assert not modules & {"torch", "transformers", "tokenizers", "skorch"}


def test_pickle__larger_encoder_used__not_much_larger_than_its_weights(tiny, texts, labels, parameters):
    estimator = make("str", tiny(width=256), **{**parameters, "max_epochs": 1})
    estimator.fit(texts, labels)
    outputs(estimator)
    module = estimator._fitted.module(torch.device("cpu"))
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    assert weights > 6e6
    limit = 1.5 * weights + 2e6
    assert weights < len(pickle.dumps(estimator)) < limit
    again = pickle.loads(pickle.dumps(estimator))
    outputs(again)
    assert len(pickle.dumps(again)) < limit


@pytest.mark.parametrize("way", WAYS)
def test_warm_start__after_a_copy__goes_on_as_the_live_one_does(kept, texts, labels, tmp_path, way):
    live, _, before = kept("str", True)
    twins = [WAYS["pickle"](live, tmp_path), WAYS[way](live, tmp_path)]
    outputs(twins[0])
    for twin in twins:
        twin.set_params(warm_start=True, max_epochs=3).fit(texts, labels)
        assert twin.n_iter_ == 5
        assert [row["epoch"] for row in twin.history_] == [1, 2, 3, 4, 5]
        assert twin.history_[:2] == live.history_
    assert twins[1].loss_curve_ == twins[0].loss_curve_
    assert_same_outputs(outputs(twins[1]), outputs(twins[0]))
    assert not np.array_equal(twins[1].predict_proba(NEW_TEXTS), before["predict_proba"])
    assert len(live.history_) == 2


@pytest.mark.parametrize("family", ["roberta", "deberta-v2"])
def test_copy__other_families_after_use__same_predictions(tiny, texts, labels, parameters, tmp_path, family):
    estimator = make("str", tiny(family), **{**parameters, "max_epochs": 1}).fit(texts, labels)
    expected = outputs(estimator)
    for keep in WAYS.values():
        got = keep(estimator, tmp_path)
        assert_same_outputs(outputs(got), expected)
        assert_same_attributes(got, estimator)
    estimator.save(tmp_path / "saved")
    assert_same_outputs(outputs(MaxPoolBERTClassifier.load(tmp_path / "saved")), expected)


@pytest.mark.parametrize("layer_pooling", ["weighted", "concat"])
def test_copy__other_poolings_pooler_and_pairs__same_predictions(
    tiny, texts, labels, parameters, tmp_path, layer_pooling
):
    pairs = list(zip(texts, texts[1:] + texts[:1], strict=True))
    extra = {"layer_pooling": layer_pooling, "max_length": 12, "dropout": 0.3, "max_epochs": 1}
    if layer_pooling == "weighted":
        extra["head"] = "pooler"
    estimator = make("str", tiny(), **{**parameters, **extra}).fit(pairs, labels)
    expected = outputs(estimator, pairs[:5])
    assert estimator.n_features_in_ == 2
    estimator.save(tmp_path / "saved")
    for got in (pickle.loads(pickle.dumps(estimator)), MaxPoolBERTClassifier.load(tmp_path / "saved")):
        assert_same_outputs(outputs(got, pairs[:5]), expected)
        assert_same_attributes(got, estimator)


# ------------------------------------------------------- worker processes


@pytest.mark.parametrize("task", ["str", "regression"])
def test_cross_validate__two_processes__same_as_one_and_estimators_work(tiny, texts, labels, parameters, task):
    estimator = make(task, tiny(), **{**parameters, "max_epochs": 1})
    y = targets(task, labels)
    runs = [
        cross_validate(estimator, texts, y, cv=3, n_jobs=n_jobs, return_estimator=True, error_score="raise")
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(runs[1]["test_score"], runs[0]["test_score"])
    for one, two in zip(runs[0]["estimator"], runs[1]["estimator"], strict=True):
        assert_same_outputs(outputs(two), outputs(one))
        assert two.loss_curve_ == one.loss_curve_
    first, second, _ = (fold.transform(NEW_TEXTS) for fold in runs[1]["estimator"])
    assert not np.array_equal(first, second)


# ------------------------------------------------------------- save, load


@pytest.fixture(scope="module")
def saved(kept, tmp_path_factory):
    """Call with a task; gives a folder and what was saved in it after use."""
    made = {}

    def get(task):
        if task not in made:
            made[task] = tmp_path_factory.mktemp("saved") / "deep" / task
            kept(task, True)[0].save(made[task])
        return made[task]

    return get


@pytest.mark.parametrize("task", TASKS)
def test_load__saved__same_predictions_attributes_and_parameters(kept, saved, task):
    live, _, expected = kept(task, True)
    got = type(live).load(saved(task))
    assert type(got) is type(live)
    assert_same_outputs(outputs(got), expected)
    assert_same_attributes(got, live)
    assert got.get_params() == live.get_params()
    # What was saved still predicts.
    assert_same_outputs(outputs(live), expected)


@pytest.mark.parametrize("way", WAYS)
def test_load__then_copied_without_use__same_predictions(kept, saved, tmp_path, way):
    _, _, expected = kept("str", True)
    got = WAYS[way](MaxPoolBERTClassifier.load(saved("str")), tmp_path)
    assert_same_outputs(outputs(got), expected)


def test_load__saved_again_without_use__same_predictions(kept, saved, tmp_path):
    _, _, expected = kept("int", True)
    MaxPoolBERTClassifier.load(saved("int")).save(tmp_path)
    assert_same_outputs(outputs(MaxPoolBERTClassifier.load(tmp_path)), expected)


def test_load__fitted_only_then_unpickled_then_saved__same_predictions(kept, tmp_path):
    live, _, expected = kept("regression", False)
    pickle.loads(pickle.dumps(live)).save(tmp_path)
    assert_same_outputs(outputs(MaxPoolBERTRegressor.load(tmp_path)), expected)


def test_save__any_estimator__only_json_and_safetensors(saved):
    for task in TASKS:
        assert {path.suffix for path in saved(task).rglob("*")} == {".json", ".safetensors"}


def test_load__any_estimator__nothing_unpickled(kept, saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pickle was asked")

    _, _, expected = kept("str", True)
    folder = saved("str")
    for name in ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(joblib, "load", refuse)
    assert_same_outputs(outputs(MaxPoolBERTClassifier.load(folder)), expected)


@pytest.fixture(scope="module")
def unusual(tiny, texts, labels):
    """A classifier with no parameter at its default where that can be helped."""
    return MaxPoolBERTClassifier(
        tiny(),
        revision="main",
        layers=(0, -1, 2),
        layer_pooling="mean",
        token_pooling="mha",
        n_heads=np.int64(2),
        max_length=20,
        max_epochs=1,
        batch_size=np.int64(5),
        learning_rate=np.float64(1e-3),
        head_learning_rate=0.1 + 0.2,
        warmup_ratio=0,
        weight_decay=1e-17,
        bias_correction=False,
        max_grad_norm=1e6,
        dropout=0.05,
        label_smoothing=0.1,
        class_weight={0: 1.5, np.int64(1): np.float32(0.5), 2: 1},
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=2,
        warm_start=True,
        random_state=np.int64(3),
        init_seed=4,
        order_seed=5,
        device="cpu",
        precision="fp32",
    ).fit(texts, np.unique(labels, return_inverse=True)[1])


def test_load__unusual_parameters__all_equal(unusual, tmp_path):
    unusual.save(tmp_path)
    got = MaxPoolBERTClassifier.load(tmp_path)
    expected = unusual.get_params()
    assert got.get_params() == expected
    assert type(got.layers) is tuple
    assert sorted(got.class_weight) == [0, 1, 2]
    assert not any(isinstance(key, str) for key in got.class_weight)
    assert_same_outputs(outputs(got), outputs(unusual))
    assert_same_attributes(got, unusual)
    assert "valid_loss" in got.history_[0]


def test_save__all_storable__no_warning(unusual, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unusual.save(tmp_path)


@pytest.mark.parametrize("layers", [[1, 2], range(2, 5), np.array([3, 4]), 2], ids=repr)
def test_load__layers_in_any_form__same_and_warm_start_goes_on(tiny, texts, labels, parameters, tmp_path, layers):
    estimator = make("str", tiny(), **{**parameters, "layers": layers, "max_epochs": 1}).fit(texts, labels)
    estimator.save(tmp_path)
    got = MaxPoolBERTClassifier.load(tmp_path)
    assert type(got.layers) is type(layers)
    np.testing.assert_array_equal(got.layers, layers)
    assert_same_outputs(outputs(got), outputs(estimator))
    assert got.set_params(warm_start=True).fit(texts, labels).n_iter_ == 2


@pytest.mark.parametrize(
    "y",
    [
        np.array([True, False, False]),
        np.array([4.0, 2.0, -1.0]),
        np.array(["b", "a", "ü 東京"], dtype=object),
        pd.Series(["b", "a", "c"], dtype="category"),
        np.array([3, 1, 2], dtype=np.int8),
    ],
    ids=lambda y: str(y.dtype),
)
def test_load__labels_of_any_type__same_classes(tiny, texts, parameters, tmp_path, y):
    y = np.asarray(y)[np.arange(len(texts)) % 3]
    estimator = make("str", tiny(), **{**parameters, "max_epochs": 1}).fit(texts, y)
    estimator.save(tmp_path)
    got = MaxPoolBERTClassifier.load(tmp_path)
    assert_same_attributes(got, estimator)
    assert_same_outputs(outputs(got), outputs(estimator))
    assert set(map(type, got.classes_.tolist())) == set(map(type, estimator.classes_.tolist()))


class Nothing(Callback):
    pass


def test_save__callbacks_and_generator__saved_as_none_with_a_warning(tiny, texts, labels, parameters, tmp_path):
    odd = {"callbacks": [Nothing()], "random_state": np.random.RandomState(0), "max_epochs": 1}
    estimator = make("str", tiny(), **{**parameters, **odd}).fit(texts, labels)
    with pytest.warns(UserWarning, match=r"callbacks.*random_state") as caught:
        estimator.save(tmp_path)
    assert len(caught) == 1
    assert Path(caught[0].filename).resolve() == Path(__file__).resolve()
    got = MaxPoolBERTClassifier.load(tmp_path)
    assert got.callbacks is None
    assert got.random_state is None
    expected = {**estimator.get_params(), "callbacks": None, "random_state": None}
    assert got.get_params() == expected
    assert_same_outputs(outputs(got), outputs(estimator))
    assert estimator.callbacks is odd["callbacks"]


@pytest.mark.parametrize(("task", "wrong"), [("str", MaxPoolBERTRegressor), ("regression", MaxPoolBERTClassifier)])
def test_load__by_the_wrong_class__error_names_the_right_one(kept, saved, task, wrong):
    right = type(kept(task, True)[0]).__name__
    with pytest.raises(skbert.SavedEstimatorError, match=rf"{right}\.load") as caught:
        wrong.load(saved(task))
    assert str(saved(task)) in str(caught.value)


def test_save__over_an_existing_folder__replaces_it(kept, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for task in ("str", "regression", "str", "multilabel"):
        live, _, expected = kept(task, True)
        live.save(tmp_path)
        assert_same_outputs(outputs(type(live).load(tmp_path)), expected)
        assert len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_save__over_the_folder_it_was_loaded_from__works(kept, tmp_path, texts, labels):
    kept("str", True)[0].save(tmp_path)
    got = MaxPoolBERTClassifier.load(tmp_path)
    got.save(tmp_path)
    assert_same_outputs(outputs(got), kept("str", True)[2])
    assert_same_outputs(outputs(MaxPoolBERTClassifier.load(tmp_path)), kept("str", True)[2])


@pytest.mark.parametrize("prefix", ["skbert", "state", "weights"])
def test_load__file_damaged_or_gone__clear_error(saved, tmp_path, prefix):
    folder = tmp_path / "copy"
    shutil.copytree(saved("str"), folder)
    (path,) = folder.glob(f"{prefix}*")
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:-1], whole[:middle] + bytes([whole[middle] ^ 0x80]) + whole[middle + 1 :], None):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(skbert.SavedEstimatorError) as caught:
            MaxPoolBERTClassifier.load(folder)
        assert str(folder) in str(caught.value)
        path.write_bytes(whole)
    MaxPoolBERTClassifier.load(folder)


@pytest.mark.parametrize("task", ["str", "regression"])
def test_save__not_fitted__not_fitted_error_and_no_folder(tmp_path, task):
    with pytest.raises(NotFittedError):
        make(task, "never-loaded").save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_save__path_is_a_file__not_a_directory_error(kept, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(NotADirectoryError):
        kept("str", True)[0].save(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def test_load__nothing_saved_there__clear_error(tmp_path, tiny):
    for folder in (tmp_path, tmp_path / "never", tiny()):
        with pytest.raises(skbert.SavedEstimatorError) as caught:
            MaxPoolBERTClassifier.load(folder)
        assert str(folder) in str(caught.value)


@pytest.mark.parametrize("n_saves", [1, 2])
def test_save__after_predict_and_warm_start__the_newest_weights(tiny, texts, labels, parameters, tmp_path, n_saves):
    estimator = make("str", tiny(), **{**parameters, "max_epochs": 1, "warm_start": True})
    for _ in range(n_saves):
        estimator.fit(texts, labels).save(tmp_path)
    got = MaxPoolBERTClassifier.load(tmp_path)
    assert got.n_iter_ == n_saves
    assert_same_outputs(outputs(got), outputs(estimator))
    # And both go on to the same place.
    assert_same_outputs(outputs(got.fit(texts, labels)), outputs(estimator.fit(texts, labels)))


def test_load__set_output__kept(kept, tmp_path):
    estimator = copy.deepcopy(kept("str", True)[0]).set_output(transform="pandas")
    assert isinstance(pickle.loads(pickle.dumps(estimator)).transform(NEW_TEXTS), pd.DataFrame)
    estimator.save(tmp_path)
    assert isinstance(MaxPoolBERTClassifier.load(tmp_path).transform(NEW_TEXTS), pd.DataFrame)


@pytest.mark.filterwarnings("error::UserWarning")
def test_save__metadata_requests__come_back(kept, tmp_path):
    estimator = copy.deepcopy(kept("str", True)[0])
    with config_context(enable_metadata_routing=True):
        estimator.set_fit_request(sample_weight=True, X_val="texts", y_val=False).set_score_request(sample_weight=None)
    estimator.save(tmp_path)
    loaded = MaxPoolBERTClassifier.load(tmp_path)
    routing = loaded.get_metadata_routing()
    assert routing.fit.requests == {"sample_weight": True, "X_val": "texts", "y_val": False, "sample_weight_val": None}
    assert repr(routing) == repr(estimator.get_metadata_routing())
    assert_same_outputs(outputs(loaded), kept("str", True)[2])


def test_save__no_requests__none_come_back(kept, tmp_path):
    kept("str", True)[0].save(tmp_path)
    assert "_metadata_request" not in vars(MaxPoolBERTClassifier.load(tmp_path))


@pytest.mark.parametrize("unit", ["D", "s", "us", "ns"])
def test_save__dates_as_classes__come_back(tiny, texts, quick, tmp_path, unit):
    dates = np.array(["2024-01-02", "2024-01-03"], dtype=f"M8[{unit}]")
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 1}).fit(texts, dates[np.arange(24) % 2])
    clf.save(tmp_path)
    loaded = MaxPoolBERTClassifier.load(tmp_path)
    assert loaded.classes_.dtype == dates.dtype
    np.testing.assert_array_equal(loaded.predict(texts), clf.predict(texts))


def test_save__classes_that_json_cannot_hold__refused(kept, tmp_path):
    estimator = copy.deepcopy(kept("str", True)[0])
    estimator.classes_ = estimator.classes_.astype("S")
    with pytest.raises(TypeError, match=r"These classes cannot be saved \(bytes"):
        estimator.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


_FRESH = """
import os, sys
sys.path[:0] = [sys.argv[1]]
os.environ.pop("HF_HUB_OFFLINE", None)
asked = []
def audit(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        asked.append((event, arguments[1:]))
        raise OSError("no network here")
sys.addaudithook(audit)
import pickle
import numpy as np
from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
folder = sys.argv[2]
texts = np.load(f"{folder}/texts.npy").tolist()
with open(f"{folder}/live.pickle", "rb") as file:
    unpickled = pickle.load(file)
for cls, name in ((MaxPoolBERTClassifier, "str"), (MaxPoolBERTRegressor, "regression")):
    estimator = cls.load(f"{folder}/{name}")
    assert not os.path.exists(estimator.model), "the encoder should be gone"
    expected = np.load(f"{folder}/{name}.npz")
    for method in expected.files:
        np.testing.assert_array_equal(getattr(estimator, method)(texts), expected[method], err_msg=method)
    if name == "str":
        np.testing.assert_array_equal(unpickled.predict_proba(texts), expected["predict_proba"])
    # Training goes on, too, without the encoder.
    y = estimator.predict(texts)
    y[:2] = estimator.classes_[:2] if name == "str" else (1.0, 2.0)
    assert estimator.set_params(warm_start=True, max_epochs=1).fit(texts, y).n_iter_ == 2
assert asked == [], asked
print("all equal")
"""


def test_load__fresh_process_without_encoder_and_network__same_predictions(tiny, texts, labels, parameters, tmp_path):
    encoder = tmp_path / "encoder"
    shutil.copytree(tiny(), encoder)
    np.save(tmp_path / "texts.npy", np.array(NEW_TEXTS))
    for task in ("str", "regression"):
        estimator = make(task, str(encoder), **{**parameters, "max_epochs": 1}).fit(texts, targets(task, labels))
        np.savez(tmp_path / f"{task}.npz", **outputs(estimator))
        estimator.save(tmp_path / task)
        if task == "str":
            (tmp_path / "live.pickle").write_bytes(pickle.dumps(estimator))
    shutil.rmtree(encoder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(tmp_path / "empty"), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(ROOT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "all equal"
