"""Decay towards the pretrained weights, and mixout, against their formulae."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from transformers import AutoModel

from skbert import MaxPoolBERTClassifier
from skbert.encoder import load_encoder
from skbert.networks import PooledEncoder
from skbert.text import check_texts, collate, tokenize
from skbert.training import Mixout, linear_schedule
from skbert.training._pretrained import mixed
from tests.helpers.tiny import FAMILIES, write_tiny

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CPU = torch.device("cpu")
TABLE = "encoder.embeddings.word_embeddings.weight"


def pretrained(folder):
    return {f"encoder.{name}": value.numpy() for name, value in AutoModel.from_pretrained(folder).state_dict().items()}


def absent_rows(folder, texts):
    """Rows of the table whose tokens do not occur (the pad, row 0, always counts as occurring)."""
    occurring = {i for ids in load_encoder(folder).tokenizer(list(texts))["input_ids"] for i in ids} | {0}
    return np.setdiff1d(np.arange(len(pretrained(folder)[TABLE])), list(occurring))


# ------------------------------------------------------------------ decay towards the pretrained weights


def test_pretrained_decay__without_weight_decay_leaves_absent_tokens_as_they_were(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick, weight_decay=0.0, pretrained_decay=3.0).fit(texts, labels)
    rows, before = absent_rows(tiny(), texts), pretrained(tiny())[TABLE]
    assert len(rows)
    np.testing.assert_allclose(clf._fitted.tensors()[TABLE][rows], before[rows], rtol=1e-6)


def test_pretrained_decay__of_a_warm_start_pulls_to_the_pretrained_weights_not_to_the_last_fit(
    tiny, texts, labels, quick
):
    parameters = {**quick, "warm_start": True, "warmup_ratio": 0.1, "max_epochs": 2}
    clf = MaxPoolBERTClassifier(tiny(), **parameters, weight_decay=20.0).fit(texts, labels)
    again = pickle.loads(pickle.dumps(clf))
    rows, target = absent_rows(tiny(), texts), pretrained(tiny())[TABLE]
    start = clf._fitted.tensors()[TABLE][rows]
    assert np.abs(start - target[rows]).max() > 0.01, "weight decay has moved them away"
    clf.set_params(weight_decay=0.0, pretrained_decay=40.0).fit(texts, labels)
    n_steps = 2 * 3
    factor = linear_schedule(n_steps, 0.1)
    kept = np.prod([1 - quick["learning_rate"] * factor(step) * 40.0 for step in range(n_steps)])
    expected = kept * start + (1 - kept) * target[rows]
    assert kept < 0.8
    np.testing.assert_allclose(clf._fitted.tensors()[TABLE][rows], expected, atol=1e-6)
    # After pickling the target is the same, though no pickle carries it.
    again.set_params(weight_decay=0.0, pretrained_decay=40.0).fit(texts, labels)
    np.testing.assert_array_equal(again.decision_function(texts), clf.decision_function(texts))


def test_pretrained_decay__re_initialised_layers_are_not_pulled(tiny, texts, labels, quick):
    # A decay of lr * λ = 1 in the first step puts everything that is pulled back where it was.
    parameters = {**quick, "learning_rate": 1e-6, "warmup_ratio": 0.0, "weight_decay": 0.0, "max_epochs": 1}
    clf = MaxPoolBERTClassifier(
        tiny(), **{**parameters, "batch_size": 24}, pretrained_decay=1e6, reinit_layers=1, layer_path=(0, 2, 2, 1)
    ).fit(texts, labels)
    before, after = pretrained(tiny()), clf._fitted.tensors()
    for place, index in enumerate((0, 2, 2, 1)):
        name = "encoder.encoder.layer.{}.output.dense.weight"
        distance = np.abs(after[name.format(place)] - before[name.format(index)]).max()
        assert (distance > 0.1) == (place == 3)


def test_pretrained_decay__other_weights_under_the_same_name_are_refused(tiny, texts, labels, quick, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny(), folder)
    clf = MaxPoolBERTClassifier(str(folder), **quick, warm_start=True, pretrained_decay=0.1).fit(texts, labels)
    shutil.rmtree(folder)
    write_tiny(folder, seed=1)
    with pytest.raises(ValueError, match="pretrained_decay and mixout need the weights from which the first fit"):
        clf.fit(texts, labels)


# ------------------------------------------------------------------ mixout


def test_mixout__follows_its_formula_in_numpy_column_by_column():
    rng = np.random.default_rng(0)
    weight, target, p = rng.normal(size=(5, 400)), rng.normal(size=(5, 400)), 0.3
    mixout = Mixout(torch.tensor(target), p)
    given = torch.tensor(weight, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = mixout(given)
    upstream = rng.normal(size=(5, 400))
    out.backward(torch.tensor(upstream))
    # M is one number a column: read it off the first row, then everything else must follow from it.
    m = (np.abs(out.detach().numpy()[0] - target[0]) > 1e-12).astype(float)
    assert 0.6 < m.mean() < 0.8
    expected = ((1 - m) * target + m * weight - p * target) / (1 - p)
    np.testing.assert_allclose(out.detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(given.grad.numpy(), upstream * m / (1 - p), atol=1e-12)
    assert torch.equal(mixout.eval()(given), given)


def test_mixout__is_the_weight_in_expectation():
    weight, target = torch.full((1, 200_000), 2.0), torch.full((1, 200_000), -1.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mean = Mixout(target, 0.9)(weight).mean()
    # A column is -1 or 29; the standard error of the mean is 30 * sqrt(0.09 / 200000).
    assert mean == pytest.approx(2.0, abs=5 * 30 * (0.09 / 200_000) ** 0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_mixed__forward_is_that_of_an_encoder_with_the_mixed_weights(tiny, texts, family, monkeypatch):
    loaded = load_encoder(tiny(family))
    module = PooledEncoder(loaded.copy_model(0.0), 2, layers=(0, 4), layer_pooling="concat", token_pooling="mean")
    with torch.no_grad():
        for parameter in module.encoder.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    weights = loaded.model.state_dict()
    targets = {id(p): weights[name] for name, p in module.encoder.named_parameters()}
    # One draw a layer for the whole test, so that what was drawn can be put into another encoder.
    kept = {}

    def forward(self, weight):
        if not self.training:
            return weight
        if id(weight) not in kept:
            kept[id(weight)] = torch.randint(2, (1, weight.shape[1])).float()
        m = kept[id(weight)]
        return ((1 - m) * self.target + m * weight - self.p * self.target) / (1 - self.p)

    monkeypatch.setattr(Mixout, "forward", forward)
    batch = collate(tokenize(check_texts(texts), loaded.tokenizer, 64), range(len(texts)))
    module.train()
    names = list(module.state_dict())
    with torch.random.fork_rng(), mixed(module, targets, 0.5):
        torch.manual_seed(0)
        got = module.pool(batch)
        plain = module.eval().pool(batch)
    assert list(module.state_dict()) == names
    linears = [m for m in module.encoder.modules() if isinstance(m, torch.nn.Linear)]
    used = [m for m in linears if id(m.weight) in kept]
    assert len(used) >= len(linears) - (family == "deberta-v2")  # the pooler is gone, where there was one
    with torch.no_grad():
        assert torch.equal(module.eval().pool(batch), plain)
        for linear in used:
            m, u = kept[id(linear.weight)], targets[id(linear.weight)]
            linear.weight.copy_(((1 - m) * u + m * linear.weight - 0.5 * u) / 0.5)
        torch.testing.assert_close(got, module.pool(batch), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(got, plain, atol=1e-2)


@pytest.mark.parametrize("family", ["bert", "albert", "modernbert", "deberta-v2"])
def test_mixout__leaves_no_trace(tiny, texts, labels, quick, family):
    plain, mixing = (
        MaxPoolBERTClassifier(tiny(family), **quick, mixout=p, dropout=0.0).fit(texts, labels) for p in (0.0, 0.6)
    )
    modules = [clf._fitted.module(CPU) for clf in (plain, mixing)]
    for names in ([list(dict(m.named_parameters())) for m in modules], [list(m.state_dict()) for m in modules]):
        assert names[0] == names[1]
    assert [type(m) for m in modules[0].modules()] == [type(m) for m in modules[1].modules()]
    assert plain.loss_curve_ != mixing.loss_curve_
    again = pickle.loads(pickle.dumps(mixing))
    np.testing.assert_array_equal(again.decision_function(texts), mixing.decision_function(texts))


def test_mixout__leaves_no_trace_when_the_fit_fails(tiny, texts, labels, quick):
    class Fail(Callback):
        def on_batch_end(self, net, **kwargs):
            self.module = net.module_
            raise ZeroDivisionError

    fail = Fail()
    with pytest.raises(ZeroDivisionError):
        MaxPoolBERTClassifier(tiny(), **quick, mixout=0.5, callbacks=[fail]).fit(texts, labels)
    assert not any("parametrizations" in name for name in fail.module.state_dict())


def test_mixout__is_fixed_by_random_state_and_leaves_the_global_generators_alone(tiny, texts, labels, quick):
    state = torch.random.get_rng_state()
    first, second = (MaxPoolBERTClassifier(tiny(), **quick, mixout=0.5).fit(texts, labels) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.loss_curve_ == second.loss_curve_
    other = MaxPoolBERTClassifier(tiny(), **{**quick, "random_state": 1}, mixout=0.5, init_seed=0).fit(texts, labels)
    assert other.loss_curve_ != first.loss_curve_


def test_mixout__takes_the_place_of_dropout_unless_dropout_is_given(tiny, texts, labels, quick):
    class Rates(Callback):
        def on_train_begin(self, net, **kwargs):
            self.seen = {m.p for m in net.module_.modules() if isinstance(m, torch.nn.Dropout)}

    for dropout, expected in ((None, {0.0}), (0.3, {0.3})):
        rates = Rates()
        MaxPoolBERTClassifier(tiny(), **quick, mixout=0.5, dropout=dropout, callbacks=[rates]).fit(texts, labels)
        assert rates.seen == expected


def test_mixout__mixes_neither_the_head_nor_frozen_nor_new_layers(tiny, texts, labels, quick):
    class Mixing(Callback):
        def on_train_begin(self, net, **kwargs):
            self.names = {
                name.split(".parametrizations")[0] for name, m in net.module_.named_modules() if isinstance(m, Mixout)
            }

    mixing = Mixing()
    parameters = {**quick, "layers": 1, "token_pooling": "cls", "head": "pooler", "callbacks": [mixing]}
    MaxPoolBERTClassifier(tiny(), **parameters, mixout=0.5, freeze_layers=1).fit(texts, labels)
    places = {name.split("layer.")[1][0] for name in mixing.names if "layer." in name}
    assert places == {"1", "2", "3"}
    assert {name for name in mixing.names if "layer." not in name} == {"encoder.pooler.dense"}
    MaxPoolBERTClassifier(tiny(), **parameters, mixout=0.5, reinit_layers=1).fit(texts, labels)
    places = {name.split("layer.")[1][0] for name in mixing.names if "layer." in name}
    assert places == {"0", "1", "2"}
    assert "encoder.pooler.dense" not in mixing.names


def test_mixout__with_all_layers_frozen_is_the_training_of_the_head(tiny, texts, labels, quick):
    fits = [
        MaxPoolBERTClassifier(tiny(), **quick, freeze_layers=4, dropout=0.0, mixout=p).fit(texts, labels)
        for p in (0.0, 0.7)
    ]
    assert fits[0].loss_curve_ == fits[1].loss_curve_


def test_mixout__a_warm_start_mixes_with_the_pretrained_weights(tiny, texts, labels, quick):
    class Targets(Callback):
        def on_train_begin(self, net, **kwargs):
            self.target = net.module_.encoder.encoder.layer[3].output.dense.parametrizations.weight[0].target.clone()

    targets = Targets()
    clf = MaxPoolBERTClassifier(tiny(), **quick, mixout=0.5, warm_start=True, callbacks=[targets])
    name = "encoder.encoder.layer.3.output.dense.weight"
    for _ in range(2):
        clf.fit(texts, labels)
        np.testing.assert_array_equal(targets.target, pretrained(tiny())[name])
        assert (clf._fitted.tensors()[name] != pretrained(tiny())[name]).any()
    with pytest.raises(ValueError, match="mixout changed since"):
        clf.set_params(mixout=0.0).fit(texts, labels)


def test_mixout__goes_on_in_smaller_parts_when_memory_runs_out(tiny, texts, labels, quick, monkeypatch):
    forward = PooledEncoder.forward

    def small(self, batch, prefix=None):
        if self.training and len(batch.lengths) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch, prefix)

    monkeypatch.setattr(PooledEncoder, "forward", small)
    with pytest.warns(RuntimeWarning, match="smaller micro-batches"):
        clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 15}, mixout=0.3).fit(texts, labels)
    assert clf.training_status_ == "converged"


def test_mixout__and_early_stopping_go_together(tiny, texts, labels, quick):
    parameters = {**quick, "max_epochs": 30, "learning_rate": 2e-2}
    clf = MaxPoolBERTClassifier(tiny(), **parameters, mixout=0.2, early_stopping=True, n_iter_no_change=3)
    clf.fit(texts, labels, X_val=texts[:6], y_val=labels[:6][::-1])
    proba = clf.predict_proba(texts[:6])
    loss = -np.log(proba[np.arange(6), np.searchsorted(clf.classes_, labels[:6][::-1])]).mean()
    assert loss == pytest.approx(min(row["valid_loss"] for row in clf.history_), abs=1e-4)


def test_mixout__trains_in_bf16(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 15}, mixout=0.2, precision="bf16").fit(texts, labels)
    assert clf.training_status_ == "converged"
    assert all(value.dtype == np.float32 for value in clf._fitted.tensors().values())
