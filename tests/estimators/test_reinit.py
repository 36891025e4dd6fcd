"""`reinit_layers` through the estimator."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from transformers import AutoModel, ErnieConfig

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert.encoder import load_encoder

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Start(Callback):
    """Keeps all weights as they are before the first step."""

    def on_train_begin(self, net, **kwargs):
        self.weights = {name: value.detach().clone() for name, value in net.module_.state_dict().items()}


def start_of(tiny, texts, labels, family="bert", **parameters):
    start = Start()
    parameters = {"layers": 1, "max_epochs": 1, "random_state": 0, "device": "cpu", **parameters}
    MaxPoolBERTClassifier(tiny(family), callbacks=[start], **parameters).fit(texts, labels)
    return start.weights


def changed(first, second):
    return {name for name in first if first[name].shape == second[name].shape and not first[name].equal(second[name])}


def test_reinit__the_head_starts_the_same_with_and_without(tiny, texts, labels):
    plain, fresh = (start_of(tiny, texts, labels, reinit_layers=n) for n in (0, 1))
    names = changed(plain, fresh)
    # In this encoder biases and norms already are 0 and 1.
    assert names == {name for name in plain if name.startswith("encoder.encoder.layer.3.") and plain[name].ndim > 1}


def test_reinit__draws_from_the_stream_of_the_new_parameters(tiny, texts, labels):
    seeded = {"random_state": 0, "init_seed": 1}
    first = start_of(tiny, texts, labels, reinit_layers=1, **seeded)
    assert not changed(first, start_of(tiny, texts, labels, reinit_layers=1, **seeded))
    other = start_of(tiny, texts, labels, reinit_layers=1, random_state=0, init_seed=2)
    assert "encoder.encoder.layer.3.output.dense.weight" in changed(first, other)


def test_reinit__leaves_the_global_generators_and_the_cached_encoder_alone(tiny, texts, labels):
    before = load_encoder(tiny()).model.encoder.layer[3].output.dense.weight.clone()
    state = torch.random.get_rng_state()
    start_of(tiny, texts, labels, reinit_layers=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(load_encoder(tiny()).model.encoder.layer[3].output.dense.weight, before)


@pytest.mark.parametrize("family", ["bert", "albert"])
@pytest.mark.parametrize(("head", "n_fresh", "redrawn"), [("pooler", 2, True), ("pooler", 0, False)])
def test_reinit__takes_the_pooler_along_where_it_is_the_head(tiny, texts, labels, family, head, n_fresh, redrawn):
    plain = start_of(tiny, texts, labels, family, head=head, token_pooling="cls")
    fresh = start_of(tiny, texts, labels, family, head=head, token_pooling="cls", reinit_layers=n_fresh)
    names = {"bert": "encoder.pooler.dense.weight", "albert": "encoder.pooler.weight"}
    assert (names[family] in changed(plain, fresh)) == redrawn


def test_reinit__counts_along_the_path(tiny, texts, labels):
    plain = start_of(tiny, texts, labels, layer_path=(3, 0))
    fresh = start_of(tiny, texts, labels, layer_path=(3, 0), reinit_layers=1)
    assert all(name.startswith("encoder.encoder.layer.1.") for name in changed(plain, fresh))


@pytest.mark.parametrize("family", ["bert", "albert", "modernbert"])
def test_reinit__of_all_leaves_nothing_of_the_pretraining(tiny, texts, labels, family):
    plain, fresh = (start_of(tiny, texts, labels, family, reinit_layers=n) for n in (0, "all"))
    names = changed(plain, fresh)
    matrices = {name for name in plain if name.startswith("encoder.") and plain[name].ndim > 1}
    assert names >= matrices
    # The head is the same as without.
    assert not {name for name in names if name.startswith("head.")}
    (table,) = (name for name in plain if name.endswith(("word_embeddings.weight", "tok_embeddings.weight")))
    # Its size is that of the encoder's config, and the padding token has no direction.
    assert float(fresh[table].std()) == pytest.approx(0.2, rel=0.1)
    assert not fresh[table][0].any()


@pytest.mark.parametrize("bad", [-1, 1.5, True, None, "some"])
@pytest.mark.parametrize("estimator", [MaxPoolBERTClassifier, MaxPoolBERTRegressor])
def test_reinit__wrong_values_are_refused(tiny, texts, estimator, bad):
    with pytest.raises(ValueError, match="reinit_layers must be an int of at least 0"):
        estimator(tiny(), reinit_layers=bad).fit(texts, np.arange(24) % 2)


@pytest.mark.parametrize(
    ("family", "parameters", "words"),
    [
        ("bert", {"reinit_layers": 5}, "reinit_layers=5, but the encoder runs 4 layers"),
        ("bert", {"layer_path": (0, 1), "reinit_layers": 3}, "reinit_layers=3, but the encoder runs 2 layers"),
        ("bert", {"reinit_layers": 2, "freeze_layers": 3}, "freeze_layers=3 and reinit_layers=2 overlap"),
        ("bert", {"reinit_layers": "all", "freeze_layers": 1}, "freeze_layers=1 and reinit_layers='all' overlap"),
        ("albert", {"reinit_layers": 1}, "share their weights"),
    ],
)
def test_reinit__impossible_counts_are_refused(tiny, texts, labels, family, parameters, words):
    with pytest.raises(ValueError, match=words):
        start_of(tiny, texts, labels, family, **parameters)


def test_reinit__and_freezing_may_touch(tiny, texts, labels):
    start_of(tiny, texts, labels, reinit_layers=2, freeze_layers=2)


def test_reinit__may_not_change_in_a_warm_start(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, reinit_layers=1, warm_start=True).fit(texts, labels)
    first = clf.loss_curve_[0]
    assert clf.fit(texts, labels).loss_curve_[-1] < first, "the layer is not drawn once more"
    with pytest.raises(ValueError, match="reinit_layers changed since"):
        clf.set_params(reinit_layers=2).fit(texts, labels)


def test_reinit__of_a_family_that_is_not_ours(tiny, texts, labels, tmp_path):
    config = ErnieConfig(
        vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    load_encoder(tiny()).tokenizer.save_pretrained(tmp_path)
    for parameters in ({"reinit_layers": 1}, {"layer_path": (0,)}, {"freeze_layers": 1}, {"layer_decay": 0.9}):
        with pytest.raises(NotImplementedError, match="layer by layer, not 'ernie'"):
            MaxPoolBERTClassifier(str(tmp_path), layers=1, **parameters).fit(texts, labels)
