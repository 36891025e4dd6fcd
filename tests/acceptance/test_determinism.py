"""One seed, one result; and nothing outside the fit notices that random numbers were drawn."""

import pickle
import random
import threading
import warnings
from itertools import chain

import numpy as np
import pytest
import torch
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from skorch.callbacks import Callback

from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor
from skbert._shared._seeds import derive_seeds
from skbert.compute._random_streams import TorchStream, isolated
from tests.helpers.waiting import LIMIT

# Few epochs may not converge; what is tested here is not whether they do.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SHORT = ["where is my lamp", "", "cancel the plan please", "why why why", "money money code", "parcel", "my app"]
LONG = ["please " * 40 + "refund", "my parcel came late " * 12]


@pytest.fixture(scope="module")
def parameters(tiny):
    return {
        "model": tiny(),
        "max_epochs": 2,
        "batch_size": 8,
        "learning_rate": 5e-3,
        "layers": 2,
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def numbers(labels):
    return np.unique(labels, return_inverse=True)[1] * 1.5


@pytest.fixture(scope="module")
def first(parameters, texts, labels):
    """A fitted classifier with ``random_state=0``; nobody fits it again."""
    return MaxPoolBERTClassifier(**parameters, random_state=0).fit(texts, labels)


def weights(estimator):
    return {name: array.copy() for name, array in estimator._fitted.tensors().items()}


def assert_same_fit(a, b):
    """Equal to the last bit: weights, losses and predictions."""
    assert a.loss_curve_ == b.loss_curve_
    assert a.history_[-1]["learning_rate"] == b.history_[-1]["learning_rate"]
    np.testing.assert_array_equal(a.layer_share_, b.layer_share_)
    weights_a, weights_b = weights(a), weights(b)
    assert set(weights_a) == set(weights_b)
    for name, array in weights_a.items():
        np.testing.assert_array_equal(array, weights_b[name], err_msg=name)
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(a, method):
            np.testing.assert_array_equal(getattr(a, method)(SHORT), getattr(b, method)(SHORT), err_msg=method)


def differ(a, b):
    return not np.array_equal(a.transform(SHORT), b.transform(SHORT))


class Recorder(Callback):
    """Notes the initial weights and the rows of every training batch."""

    def __init__(self, order=None, initial=None):
        self.order = [] if order is None else order
        self.initial = {} if initial is None else initial

    def on_train_begin(self, net, **kwargs):
        self.order.clear()
        self.initial.clear()
        self.initial.update({name: t.detach().clone().numpy() for name, t in net.module_.state_dict().items()})

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.order.append(batch[0].indices.tolist())


def recorded(cls, X, y, parameters, **seeds):
    recorder = Recorder()
    estimator = cls(**parameters, callbacks=[recorder], **seeds).fit(X, y)
    return estimator, recorder


# ------------------------------------------------------------- same seed


@pytest.mark.parametrize(
    "seed",
    [lambda: 0, lambda: np.int64(12345), lambda: 2**32 - 1, lambda: np.random.RandomState(3)],
    ids=["int", "numpy-int", "largest", "RandomState"],
)
@pytest.mark.parametrize("cls", [MaxPoolBERTClassifier, MaxPoolBERTRegressor])
def test_fit__same_random_state_whatever_ran_before__same_bits(parameters, texts, labels, numbers, cls, seed):
    y = labels if cls is MaxPoolBERTClassifier else numbers
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    a = cls(**parameters, random_state=seed()).fit(texts, y)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    torch.randn(1000)
    np.random.rand(77)  # noqa: NPY002
    random.random()
    other = cls(**{**parameters, "max_epochs": 1, "layers": 3}, random_state=8).fit(texts[:10], y[:10])
    other.predict(SHORT)
    b = cls(**parameters, random_state=seed()).fit(texts, y)
    assert_same_fit(a, b)


def test_fit__twice_on_one_estimator__same_bits(parameters, texts, labels, first):
    estimator = MaxPoolBERTClassifier(**parameters, random_state=0).fit(texts[:9], labels[:9])
    estimator.predict(SHORT)
    assert_same_fit(estimator.fit(texts, labels), first)


def test_fit__random_state_instance_used_twice__moves_on(parameters, texts, labels):
    generator = np.random.RandomState(0)
    a, b = (MaxPoolBERTClassifier(**parameters, random_state=generator).fit(texts, labels) for _ in range(2))
    assert differ(a, b)


def test_fit__other_random_state__other_result(parameters, texts, labels, first):
    assert differ(first, MaxPoolBERTClassifier(**parameters, random_state=1).fit(texts, labels))


def test_fit__random_state_none__two_fits_differ_even_with_seeded_globals(parameters, texts, labels):
    fits = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        fits.append(MaxPoolBERTClassifier(**parameters).fit(texts, labels))
    assert differ(*fits)


def test_fit__early_stopping_split__follows_random_state(parameters, texts, labels):
    def rows(seed):
        stopping = {"early_stopping": True, "validation_fraction": 0.25}
        return MaxPoolBERTClassifier(**parameters, **stopping, random_state=seed).fit(texts, labels)

    a, b, c = rows(0), rows(0), rows(1)
    assert [row["valid_loss"] for row in a.history_] == [row["valid_loss"] for row in b.history_]
    assert_same_fit(a, b)
    assert differ(a, c)


@pytest.mark.parametrize(
    "variant",
    [
        {"token_pooling": "cls", "head": "pooler"},
        {"layer_pooling": "weighted"},
        {"layer_pooling": "concat", "token_pooling": "mean"},
        {"bias_correction": False, "dropout": 0.4},
    ],
    ids=str,
)
def test_fit__other_heads_and_optimizer__same_bits(parameters, texts, labels, variant):
    make = {**parameters, **variant, "random_state": 0}
    torch.manual_seed(5)
    a = MaxPoolBERTClassifier(**make).fit(texts, labels)
    torch.manual_seed(6)
    assert_same_fit(a, MaxPoolBERTClassifier(**make).fit(texts, labels))


@pytest.mark.parametrize("family", ["roberta", "deberta-v2", "modernbert"])
def test_fit__other_families__same_bits(tiny, parameters, texts, labels, family):
    make = {**parameters, "model": tiny(family), "max_epochs": 1, "random_state": 0}
    torch.manual_seed(5)
    a = MaxPoolBERTClassifier(**make).fit(texts, labels)
    torch.manual_seed(6)
    assert_same_fit(a, MaxPoolBERTClassifier(**make).fit(texts, labels))


def test_warm_start__same_random_state__same_bits(parameters, texts, labels):
    fits = []
    for seed in (1, 2):
        estimator = MaxPoolBERTClassifier(**parameters, warm_start=True, random_state=0).fit(texts, labels)
        torch.manual_seed(seed)
        fits.append(estimator.fit(texts, labels))
    assert fits[0].n_iter_ == 4
    assert_same_fit(*fits)


# ---------------------------------------------------------- global state


def global_states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), (kind, keys.tolist(), *rest), random.getstate()


@pytest.fixture
def untouched():
    """Seeds the global generators; at the end of the test they must stand where they stood."""
    torch.manual_seed(11)
    np.random.seed(12)  # noqa: NPY002
    random.seed(13)
    torch.randn(3)
    before = global_states()
    settings = torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(), torch.get_num_threads()
    yield
    after = global_states()
    for name, a, b in zip(("torch", "numpy", "random"), after, before, strict=True):
        assert a == b, name
    assert (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    ) == settings


@pytest.mark.parametrize("random_state", [0, None])
@pytest.mark.parametrize("cls", [MaxPoolBERTClassifier, MaxPoolBERTRegressor])
def test_global_state__fit_predict_transform__untouched(
    parameters, texts, labels, numbers, untouched, cls, random_state
):
    y = labels if cls is MaxPoolBERTClassifier else numbers
    estimator = cls(**parameters, random_state=random_state).fit(texts, y)
    estimator.predict(SHORT)
    estimator.transform(SHORT)
    if cls is MaxPoolBERTClassifier:
        estimator.predict_proba(SHORT)


def test_global_state__nothing_in_the_cache_and_a_rebuilt_model__untouched(tiny, parameters, texts, labels, untouched):
    from skbert.encoder import clear_cache

    clear_cache()
    make = {**parameters, "dropout": 0.3, "early_stopping": True, "validation_fraction": 0.25, "warm_start": True}
    estimator = MaxPoolBERTClassifier(**make, random_state=0).fit(texts, labels)
    estimator.fit(texts, labels)


def test_global_state__save_load_pickle_predict__untouched(first, tmp_path, untouched):
    first.save(tmp_path)
    for estimator in (MaxPoolBERTClassifier.load(tmp_path), pickle.loads(pickle.dumps(first))):
        estimator.predict(SHORT)


class Broken(Exception):
    pass


class RaisesAt(Callback):
    def __init__(self, event, count=1):
        self.event = event
        self.count = count

    def _seen(self, event):
        if event == self.event:
            self.left_ -= 1
            if self.left_ == 0:
                raise Broken(event)

    def initialize(self):
        self.left_ = self.count
        return self

    def on_train_begin(self, net, **kwargs):
        self._seen("on_train_begin")

    def on_batch_begin(self, net, **kwargs):
        self._seen("on_batch_begin")

    def on_grad_computed(self, net, **kwargs):
        self._seen("on_grad_computed")

    def on_batch_end(self, net, **kwargs):
        self._seen("on_batch_end")

    def on_epoch_end(self, net, **kwargs):
        self._seen("on_epoch_end")

    def on_train_end(self, net, **kwargs):
        self._seen("on_train_end")


EVENTS = ["on_train_begin", "on_batch_begin", "on_grad_computed", "on_batch_end", "on_epoch_end", "on_train_end"]


@pytest.mark.parametrize("event", EVENTS)
def test_global_state__callback_raises_in_the_middle__untouched(parameters, texts, labels, untouched, event):
    count = 1 if event.startswith("on_train") else 2
    estimator = MaxPoolBERTClassifier(**parameters, random_state=0, callbacks=[RaisesAt(event, count)])
    with pytest.raises(Broken, match=event):
        estimator.fit(texts, labels)


class RaisesInForward(Callback):
    def on_train_begin(self, net, **kwargs):
        calls = []

        def raising(module, inputs, output):
            # Dropout has been drawn by now: this is the middle of a borrowed stream.
            calls.append(torch.rand(1))
            if len(calls) == 2:
                raise Broken("forward")

        net.module_.head.classifier.register_forward_hook(raising)


def test_global_state__raises_inside_the_forward_pass__untouched(parameters, texts, labels, untouched, first):
    estimator = MaxPoolBERTClassifier(**parameters, random_state=0, callbacks=[RaisesInForward()])
    with pytest.raises(Broken, match="forward"):
        estimator.fit(texts, labels)
    # And the next fit is as if nothing had happened.
    assert_same_fit(MaxPoolBERTClassifier(**parameters, random_state=0).fit(texts, labels), first)


@pytest.mark.parametrize("bad", [{"random_state": -1}, {"layers": 99}, {"model": "./gone"}, {"n_heads": 5}], ids=str)
def test_global_state__fit_refuses__untouched(parameters, texts, labels, untouched, bad):
    with pytest.raises((ValueError, OSError)):
        MaxPoolBERTClassifier(**{**parameters, "random_state": 0, **bad}).fit(texts, labels)


def test_stream__two_blocks_with_draws_between__go_on_as_one(untouched):
    whole, split = TorchStream(4), TorchStream(4)
    with whole:
        expected = torch.rand(10)
    with split:
        a = torch.rand(4)
    with isolated(9):
        torch.rand(100)
    with split:
        b = torch.rand(6)
    # Below 16 numbers, where torch draws by vectors, 4 and 6 of them are the same as 10.
    assert torch.equal(torch.cat([a, b]), expected)


def test_stream__block_left_by_an_exception__state_put_back_and_lock_free(untouched):
    def broken():
        with isolated(3):
            torch.rand(5)
            raise Broken

    with pytest.raises(Broken):
        broken()
    drawn = []

    def draw():
        with isolated(3):
            drawn.append(torch.rand(1))

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert len(drawn) == 1


# -------------------------------------------------- folds, threads, callbacks


def test_folds__in_reversed_order__same_predictions_per_fold(parameters, texts, labels):
    folds = list(StratifiedKFold(3).split(texts, labels))
    estimator = MaxPoolBERTClassifier(**parameters, random_state=0)

    def run(order):
        predictions = {}
        for i in order:
            train, test = folds[i]
            fold = clone(estimator).fit([texts[j] for j in train], labels[train])
            predictions[i] = fold.predict_proba([texts[j] for j in test])
        return predictions

    forward, backward = run([0, 1, 2]), run([2, 1, 0])
    for i in forward:
        np.testing.assert_array_equal(forward[i], backward[i])
    assert not np.array_equal(forward[0], forward[1])


@pytest.mark.parametrize("cls", [MaxPoolBERTClassifier, MaxPoolBERTRegressor])
def test_folds__in_two_threads__same_as_one_after_the_other(parameters, texts, labels, numbers, untouched, cls):
    y = labels if cls is MaxPoolBERTClassifier else numbers
    estimator = cls(**parameters, random_state=0)
    method = "predict_proba" if cls is MaxPoolBERTClassifier else "predict"
    alone = cross_val_predict(estimator, texts, y, cv=4, method=method)
    with parallel_backend("threading"):
        together = cross_val_predict(estimator, texts, y, cv=4, method=method, n_jobs=2)
    np.testing.assert_array_equal(together, alone)


class Draws(Callback):
    """Draws from and seeds the global generators wherever skorch lets it."""

    def _draw(self):
        torch.rand(7)
        np.random.rand(5)  # noqa: NPY002
        random.random()

    def on_train_begin(self, net, **kwargs):
        torch.manual_seed(4711)
        self._draw()

    def on_epoch_begin(self, net, **kwargs):
        self._draw()

    def on_batch_begin(self, net, **kwargs):
        self._draw()

    def on_grad_computed(self, net, **kwargs):
        self._draw()

    def on_batch_end(self, net, **kwargs):
        torch.manual_seed(0)
        self._draw()

    def on_epoch_end(self, net, **kwargs):
        self._draw()


def test_callback__draws_random_numbers__result_unchanged(parameters, texts, labels, first):
    drawn = MaxPoolBERTClassifier(**parameters, random_state=0, callbacks=[Draws()]).fit(texts, labels)
    assert_same_fit(drawn, first)


def test_callback__draws_random_numbers__gets_the_numbers_of_its_own_seed(parameters, texts, labels):
    class Keeps(Callback):
        def on_batch_end(self, net, **kwargs):
            seen.append(torch.rand(1).item())

    seen = []
    torch.manual_seed(21)
    MaxPoolBERTClassifier(**parameters, random_state=0, callbacks=[Keeps()]).fit(texts, labels)
    torch.manual_seed(21)
    assert len(seen) == 6
    assert seen == [torch.rand(1).item() for _ in seen]


# ----------------------------------------------------- the streams by name


def test_init_seed__changed__other_initial_head_same_order(parameters, texts, labels):
    runs = [recorded(MaxPoolBERTClassifier, texts, labels, parameters, random_state=0, init_seed=i) for i in (1, 2)]
    (a, first), (b, second) = runs
    assert first.order == second.order
    assert len(first.order) == 6
    head = "head.classifier.weight"
    assert first.initial[head].shape == (3, 32)
    assert not np.array_equal(first.initial[head], second.initial[head])
    assert first.initial[head].std() > 0
    # The pretrained weights are the same at the start.
    for name, array in first.initial.items():
        if name.startswith("encoder."):
            np.testing.assert_array_equal(array, second.initial[name], err_msg=name)
    assert differ(a, b)


def test_init_seed__changed__other_attention_too(parameters, texts, labels):
    runs = [recorded(MaxPoolBERTClassifier, texts, labels, parameters, random_state=0, init_seed=i) for i in (1, 2)]
    drawn = [
        {
            name
            for name, array in recorder.initial.items()
            if not name.startswith("encoder.") and np.unique(array).size > 1
        }
        for _, recorder in runs
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) >= 2
    for name in drawn[0]:
        assert not np.array_equal(runs[0][1].initial[name], runs[1][1].initial[name]), name


def test_order_seed__changed__other_order_same_initial_weights(parameters, texts, labels):
    runs = [recorded(MaxPoolBERTClassifier, texts, labels, parameters, random_state=0, order_seed=i) for i in (1, 2)]
    (a, first), (b, second) = runs
    assert first.order != second.order
    assert first.initial.keys() == second.initial.keys()
    for name, array in first.initial.items():
        np.testing.assert_array_equal(array, second.initial[name], err_msg=name)
    assert differ(a, b)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_both_seeds_given__random_state_changed__only_dropout_moves(parameters, texts, labels, dropout):
    make = {**parameters, "dropout": dropout, "init_seed": 1, "order_seed": 2}
    runs = [recorded(MaxPoolBERTClassifier, texts, labels, make, random_state=i) for i in (0, 1)]
    (a, first), (b, second) = runs
    assert first.order == second.order
    np.testing.assert_array_equal(first.initial["head.classifier.weight"], second.initial["head.classifier.weight"])
    assert differ(a, b) == (dropout > 0)


def test_both_seeds_given_without_dropout__random_state_none__same_bits(parameters, texts, labels):
    make = {**parameters, "dropout": 0.0, "init_seed": 1, "order_seed": 2}
    assert_same_fit(*(MaxPoolBERTClassifier(**make).fit(texts, labels) for _ in range(2)))


@pytest.mark.parametrize("given", [{"init_seed": 7}, {"order_seed": 7}], ids=str)
def test_one_seed_given__same_random_state__same_bits(parameters, texts, labels, given):
    assert_same_fit(
        *(MaxPoolBERTClassifier(**parameters, random_state=0, **given).fit(texts, labels) for _ in range(2))
    )


def test_random_state__alone__moves_initialisation_and_order(parameters, texts, labels):
    (_, a), (_, b) = (recorded(MaxPoolBERTClassifier, texts, labels, parameters, random_state=i) for i in (0, 1))
    assert a.order != b.order
    assert not np.array_equal(a.initial["head.classifier.weight"], b.initial["head.classifier.weight"])


def test_order__every_epoch__a_new_permutation_of_all_rows(parameters, texts, labels):
    _, recorder = recorded(MaxPoolBERTClassifier, texts, labels, {**parameters, "max_epochs": 4}, random_state=0)
    per_epoch = [list(chain(*recorder.order[i : i + 3])) for i in range(0, 12, 3)]
    assert len(recorder.order) == 12
    assert all(sorted(epoch) == list(range(24)) for epoch in per_epoch)
    assert len({tuple(epoch) for epoch in per_epoch}) == 4


def test_order__number_of_epochs_changed__starts_the_same(parameters, texts, labels):
    short, long = (
        recorded(MaxPoolBERTClassifier, texts, labels, {**parameters, "max_epochs": n}, random_state=0)[1]
        for n in (1, 2)
    )
    assert long.order[:3] == short.order
    np.testing.assert_array_equal(long.initial["head.classifier.weight"], short.initial["head.classifier.weight"])


def streams(seeds):
    return seeds.init, seeds.order, seeds.dropout, seeds.split


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_derive_seeds__equal_numbers__never_one_and_the_same_stream(seed):
    alone = streams(derive_seeds(seed))
    given = derive_seeds(seed, seed, seed)
    every = {*alone, given.init, given.order}
    assert len(every) == 6
    assert all(0 <= value < 2**63 for value in every)


def test_derive_seeds__init_and_order_seed_of_one_number__different_streams():
    seeds = derive_seeds(0, init_seed=1, order_seed=1)
    assert seeds.init != seeds.order
    a, b = torch.Generator().manual_seed(seeds.init), torch.Generator().manual_seed(seeds.order)
    assert not torch.equal(torch.rand(8, generator=a), torch.rand(8, generator=b))
    assert not np.array_equal(np.random.default_rng(seeds.init).random(8), np.random.default_rng(seeds.order).random(8))


@pytest.mark.parametrize(("name", "place"), [("init_seed", 0), ("order_seed", 1)])
def test_derive_seeds__one_overridden__only_that_one_moves(name, place):
    before = streams(derive_seeds(5))
    for value in (0, 3, np.uint32(3)):
        after = streams(derive_seeds(5, **{name: value}))
        assert [i for i in range(4) if before[i] != after[i]] == [place]
    assert streams(derive_seeds(5, **{name: 3})) == streams(derive_seeds(5, **{name: np.int64(3)}))
    assert streams(derive_seeds(5, **{name: 3}))[place] == streams(derive_seeds(6, **{name: 3}))[place]
    assert streams(derive_seeds(5, **{name: 3}))[place] != streams(derive_seeds(5, **{name: 4}))[place]


def test_derive_seeds__random_state__generators_and_none():
    assert derive_seeds(3) == derive_seeds(np.int32(3))
    assert derive_seeds(np.random.RandomState(3)) == derive_seeds(np.random.RandomState(3))
    assert derive_seeds(np.random.RandomState(3)) != derive_seeds(np.random.RandomState(4))
    assert derive_seeds() != derive_seeds()
    many = [streams(derive_seeds(seed)) for seed in range(200)]
    assert len({value for values in many for value in values}) == 800


BAD_SEEDS = [-1, 1.0, 0.5, "0", 2**32, True, float("nan"), [1], np.float64(2), np.int64(-3), np.array([1, 2])]


@pytest.mark.parametrize("name", ["random_state", "init_seed", "order_seed"])
@pytest.mark.parametrize("value", BAD_SEEDS, ids=repr)
def test_fit__seed_out_of_range_or_of_wrong_type__value_error_names_it(parameters, texts, labels, name, value):
    estimator = MaxPoolBERTClassifier(**{**parameters, "random_state": 0, name: value})
    with pytest.raises(ValueError, match=name):
        estimator.fit(texts, labels)
    assert not hasattr(estimator, "classes_")


@pytest.mark.parametrize("name", ["init_seed", "order_seed"])
def test_fit__init_or_order_seed_is_a_generator__value_error(parameters, texts, labels, name):
    with pytest.raises(ValueError, match=name):
        MaxPoolBERTClassifier(**parameters, **{name: np.random.RandomState(0)}).fit(texts, labels)


# ----------------------------------------------- predictions and their batches


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "modernbert"])
def test_predict__other_company_in_the_batch__same_within_1e_5(tiny, parameters, texts, labels, family):
    make = {**parameters, "model": tiny(family), "max_epochs": 1, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = MaxPoolBERTClassifier(**make).fit(texts, labels)
    for method in ("predict_proba", "decision_function", "transform"):
        run = getattr(estimator, method)
        together = run(SHORT)
        assert not np.allclose(together, together[:1], atol=1e-3)
        close = {"rtol": 0, "atol": 1e-5, "err_msg": method}
        np.testing.assert_allclose(np.concatenate([run([text]) for text in SHORT]), together, **close)
        np.testing.assert_allclose(run(SHORT[::-1])[::-1], together, **close)
        mixed = run([LONG[0], *SHORT, LONG[1]])
        np.testing.assert_allclose(mixed[1:-1], together, **close)
        np.testing.assert_allclose(run(SHORT * 60), np.tile(together, (60, 1)), **close)


def test_predict__more_texts_than_one_batch_takes__same_within_1e_5(first):
    many = [f"{a} {b} {c}" for a in ("my", "the", "a", "not") for b in SHORT for c in ("", *LONG, "red", "blue lamp")]
    assert len(set(many)) == 140
    whole = first.predict_proba(many)
    alone = np.concatenate([first.predict_proba([text]) for text in many[::7]])
    np.testing.assert_allclose(alone, whole[::7], rtol=0, atol=1e-5)


def test_predict__asked_twice__same_bits(first):
    np.testing.assert_array_equal(first.predict_proba(SHORT + LONG), first.predict_proba(SHORT + LONG))


def test_predict__same_text_many_times__same_bits(first):
    rows = first.transform(["parcel", *SHORT, "parcel", *LONG, "parcel"])
    np.testing.assert_array_equal(rows[0], rows[len(SHORT) + 1])
    np.testing.assert_array_equal(rows[0], rows[-1])
