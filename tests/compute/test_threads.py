"""Several batches at once give what one after another gives, and leave torch as it was."""

import itertools
import threading
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier
from skbert.compute import _run_batches
from skbert.encoder import LayerRunner
from skbert.errors import OutOfMemoryError
from tests.helpers.waiting import LIMIT


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_batches(monkeypatch):
    """Batches so small that there are many of a few texts."""
    monkeypatch.setattr(_run_batches, "_TOKEN_BUDGET", {"cpu": 20})
    monkeypatch.setattr(_run_batches, "_LEAST_TOKENS", 1)


@pytest.fixture
def at_work(monkeypatch):
    """The threads that ran a batch, and how many cores torch gave each."""
    seen = {}
    hidden_states = LayerRunner.hidden_states

    def noting(self, *arguments, **options):
        seen[threading.get_ident()] = torch.get_num_threads()
        return hidden_states(self, *arguments, **options)

    monkeypatch.setattr(LayerRunner, "hidden_states", noting)
    return seen


def _threads_to_come():
    """How many cores torch gives a thread that starts now."""
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
@pytest.mark.parametrize("store", [None, "memory"])
def test_threads__features_are_those_of_one_thread(tiny, texts, family, store, two_threads, small_batches, at_work):
    featurizer = LayerPoolFeaturizer(tiny(family), layers=3, layer_pooling="max", device="cpu", store=store).fit(texts)
    found = featurizer.transform(texts)
    assert set(at_work.values()) == {1}
    assert threading.get_ident() not in at_work
    torch.set_num_threads(1)
    at_work.clear()
    np.testing.assert_allclose(
        found, LayerPoolFeaturizer(tiny(family), layers=3, layer_pooling="max").fit(texts).transform(texts), atol=1e-5
    )
    assert list(at_work) == [threading.get_ident()]


def test_threads__torch_is_left_as_it_was(tiny, texts, labels, quick, two_threads, small_batches):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    clf.predict(texts)
    assert torch.get_num_threads() == 2
    assert _threads_to_come() == 2


def test_threads__fewer_batches_than_cores__all_cores_on_one(tiny, texts, two_threads, at_work):
    LayerPoolFeaturizer(tiny(), device="cpu").fit(texts).transform(texts[:2])
    assert at_work == {threading.get_ident(): 2}


def test_threads__repeated__bit_for_bit_the_same(tiny, texts, two_threads, small_batches):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)
    first = featurizer.transform(texts)
    for _ in range(5):
        np.testing.assert_array_equal(featurizer.transform(texts), first)


def test_threads__memory_runs_out_in_one__its_batch_is_halved(tiny, texts, two_threads, small_batches, monkeypatch):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)
    expected = featurizer.transform(texts)
    hidden_states = LayerRunner.hidden_states

    def failing(self, batch, *arguments, **options):
        if len(batch) > 1:
            raise MemoryError
        return hidden_states(self, batch, *arguments, **options)

    monkeypatch.setattr(LayerRunner, "hidden_states", failing)
    with pytest.warns(RuntimeWarning, match="halved") as caught:
        np.testing.assert_allclose(featurizer.transform(texts), expected, atol=1e-5)
    assert len(caught) == 1


def test_threads__memory_for_one_batch_at_a_time__goes_on_one_by_one(
    tiny, texts, two_threads, small_batches, monkeypatch
):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)
    expected = featurizer.transform(texts)
    hidden_states, running, at_work = LayerRunner.hidden_states, [0], threading.Lock()
    calls, meeting = itertools.count(), threading.Barrier(2)

    def with_room_for_one(self, batch, *arguments, **options):
        with at_work:
            running[0] += 1
        try:
            # The first two wait for each other, so that both are at work.
            if next(calls) < 2:
                meeting.wait(LIMIT)
            if running[0] > 1:
                raise MemoryError
            return hidden_states(self, batch, *arguments, **options)
        finally:
            with at_work:
                running[0] -= 1

    monkeypatch.setattr(LayerRunner, "hidden_states", with_room_for_one)
    monkeypatch.setattr(_run_batches, "_TOKEN_BUDGET", {"cpu": 1})
    with pytest.warns(RuntimeWarning, match="halved"):
        np.testing.assert_allclose(featurizer.transform(texts), expected, atol=1e-5)


def test_threads__another_thread_that_begins_meanwhile_has_all_cores(
    tiny, texts, two_threads, small_batches, monkeypatch
):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)
    hidden_states, found = LayerRunner.hidden_states, []

    def asking(self, *arguments, **options):
        found.append(_threads_to_come())
        return hidden_states(self, *arguments, **options)

    monkeypatch.setattr(LayerRunner, "hidden_states", asking)
    featurizer.transform(texts)
    assert set(found) == {2}


@pytest.mark.parametrize("error", [MemoryError, KeyError])
def test_threads__failure_in_one__reaches_the_caller(tiny, texts, two_threads, small_batches, monkeypatch, error):
    featurizer = LayerPoolFeaturizer(tiny(), device="cpu").fit(texts)

    def failing(self, batch, *arguments, **options):
        raise error("for the test")

    monkeypatch.setattr(LayerRunner, "hidden_states", failing)
    with (
        pytest.raises(OutOfMemoryError if error is MemoryError else KeyError),
        pytest.warns(RuntimeWarning, match="halved") if error is MemoryError else nullcontext(),
    ):
        featurizer.transform(texts)
    assert torch.get_num_threads() == 2
    assert _threads_to_come() == 2
