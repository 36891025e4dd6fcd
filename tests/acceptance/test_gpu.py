"""What only a real GPU shows; the same code runs on the CPU in the other tests."""

import gc

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, OutOfMemoryError
from skbert.encoder._way import WAYS, forced_way

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def little_memory():
    """Leave this process about 200 MB of the GPU for the length of a test."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 200e6) / total))
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def _allocated():
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gpu__features_and_probabilities_are_those_of_the_cpu(minilm, texts, labels, quick, precision):
    atol = 1e-4 if precision == "fp32" else 0.05
    expected = LayerPoolFeaturizer(minilm, normalize=True, device="cpu").fit_transform(texts)
    features = LayerPoolFeaturizer(minilm, normalize=True, device="cuda", precision=precision).fit_transform(texts)
    np.testing.assert_allclose(features, expected, atol=atol)
    clf = MaxPoolBERTClassifier(minilm, **{**quick, "learning_rate": 1e-4, "device": "cuda"}).fit(texts, labels)
    on_gpu = clf.set_params(precision=precision).predict_proba(texts)
    np.testing.assert_allclose(on_gpu, clf.set_params(device="cpu", precision="fp32").predict_proba(texts), atol=atol)


@pytest.mark.parametrize("point", [{}, {"layers": 3, "layer_pooling": "max"}, {"token_pooling": "cls"}], ids=str)
def test_gpu__both_ways_of_attention_give_the_same(minilm, texts, point):
    found = []
    for way in WAYS:
        with forced_way(way):
            featurizer = LayerPoolFeaturizer(minilm, device="cuda", precision="fp32", **point)
            found.append(featurizer.fit_transform(texts))
    np.testing.assert_allclose(*found, atol=1e-4)


def test_gpu__memory_does_not_grow_over_20_fits_of_a_search(minilm, texts, labels, quick):
    clf = MaxPoolBERTClassifier(minilm, **{**quick, "max_epochs": 1, "device": "cuda"})
    GridSearchCV(clf, {"layers": [1]}, cv=2).fit(texts, labels)
    before = _allocated()
    GridSearchCV(clf, {"layers": [1, 2, 3, 4, 5]}, cv=4, refit=False).fit(texts, labels)
    assert _allocated() <= before


def test_gpu__batches_too_large_for_the_memory_are_halved(minilm, texts, little_memory):
    long = [" ".join(texts * 4) + f" {i}" for i in range(200)]
    featurizer = LayerPoolFeaturizer(minilm, layers=(1, 3, 5, 6), layer_pooling="max", device="cuda", precision="fp32")
    featurizer.fit(long)
    with pytest.warns(RuntimeWarning, match="halved"):
        features = featurizer.transform(long)
    np.testing.assert_allclose(features, featurizer.set_params(device="cpu").transform(long), atol=1e-4)


def test_gpu__an_encoder_that_does_not_fit_says_so_with_sizes(minilm, texts, labels, quick):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(OutOfMemoryError, match="Out of memory on cuda"):
            MaxPoolBERTClassifier(minilm, **{**quick, "device": "cuda"}).fit(texts, labels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
