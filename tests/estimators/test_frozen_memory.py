"""Frozen layers use the memory of the loaded encoder, which nothing that an estimator does may change."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skbert import MaxPoolBERTClassifier
from skbert.encoder import load_encoder


@pytest.fixture
def loaded(tiny):
    """The loaded encoder; at the end of the test it must be as it was."""
    found = load_encoder(tiny())
    before = {name: tensor.clone() for name, tensor in found.model.state_dict().items()}
    yield found
    after = found.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def in_the_same_memory(clf, loaded):
    """Names of the weights of a fitted network that lie in the memory of the loaded encoder."""
    places = {tensor.data_ptr() for tensor in loaded.model.state_dict().values()}
    return {name.removeprefix("encoder.") for name, tensor in clf.weights().items() if tensor.data_ptr() in places}


def layers(*indices):
    return tuple(f"encoder.layer.{index}." for index in indices)


@pytest.mark.parametrize("n_frozen", [0, 1, 3, 4])
def test_fit__frozen_layers_and_embeddings_are_not_copied(tiny, loaded, texts, labels, quick, n_frozen):
    clf = MaxPoolBERTClassifier(tiny(), freeze_layers=n_frozen, **quick).fit(texts, labels)
    below = ("embeddings.", *layers(*range(n_frozen))) if n_frozen else ("nothing",)
    expected = {name for name in loaded.model.state_dict() if name.startswith(below)}
    assert in_the_same_memory(clf, loaded) == expected
    assert bool(expected) == bool(n_frozen)


@pytest.mark.parametrize(
    "parameters",
    [
        {"dropout": 0.2},
        {"reinit_layers": 2},
        {"early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 1},
        {"head_init": "logistic", "early_stopping": True, "validation_fraction": 0.25},
        {"layer_path": (0, 1, 0, 3)},
        {"contrastive_steps": 2},
        {"pretrained_decay": 0.01, "mixout": 0.5},
    ],
    ids=lambda parameters: ", ".join(parameters),
)
def test_fit__with_frozen_layers_is_the_fit_of_one_that_copied_them(tiny, loaded, texts, labels, quick, parameters):
    parameters = {**quick, "freeze_layers": 2, **parameters}
    found = MaxPoolBERTClassifier(tiny(), **parameters).fit(texts, labels)
    # With a callback, everything is copied.
    expected = MaxPoolBERTClassifier(tiny(), **parameters, callbacks=[("none", Callback())]).fit(texts, labels)
    assert not in_the_same_memory(expected, loaded)
    np.testing.assert_array_equal(found.predict_proba(texts), expected.predict_proba(texts))


class _Noise(Callback):
    """Writes to all weights that it finds."""

    def on_batch_end(self, net, **kwargs):
        for parameter in net.module_.parameters():
            parameter.data.mul_(1.01)


def test_callback_that_writes_to_frozen_weights__writes_to_a_copy(tiny, loaded, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), freeze_layers=2, callbacks=[("noise", _Noise())], **quick).fit(texts, labels)
    name = "embeddings.word_embeddings.weight"
    assert not torch.equal(clf.weights()[f"encoder.{name}"], loaded.model.state_dict()[name])


@pytest.mark.parametrize("n_fresh", [3, "all"])
def test_frozen_layers_that_would_be_drawn_anew__are_refused_and_not_written_to(
    tiny, loaded, texts, labels, quick, n_fresh
):
    with pytest.raises(ValueError, match="overlap"):
        MaxPoolBERTClassifier(tiny(), freeze_layers=2, reinit_layers=n_fresh, **quick).fit(texts, labels)


def test_more_frozen_layers_than_there_are__are_refused(tiny, loaded, texts, labels, quick):
    with pytest.raises(ValueError, match="freeze_layers=9"):
        MaxPoolBERTClassifier(tiny(), freeze_layers=9, reinit_layers=1, **quick).fit(texts, labels)


def test_start__of_frozen_layers_is_taken_and_goes_into_a_copy(tiny, loaded, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), freeze_layers=2, **quick)
    seen = []
    clf.fit_watched(texts, labels, lambda phase, weights: seen.append(weights))
    start = {name: array * 1.5 for name, array in seen[0].items()}
    clf.fit_watched(texts, labels, start=start)
    frozen = [name for name in start if name.startswith(("encoder.embeddings.", "encoder.encoder.layer.0."))]
    assert frozen
    assert all(np.array_equal(clf.weights()[name].numpy(), start[name]) for name in frozen)


def test_warm_start__that_trains_what_was_frozen_changes_its_own_weights_only(tiny, loaded, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), freeze_layers=2, warm_start=True, **quick).fit(texts, labels)
    clf.set_params(freeze_layers=0).fit(texts, labels)
    name = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(clf.weights()[f"encoder.{name}"], loaded.model.state_dict()[name])
