"""LossLandscape as a whole: the line, the plane, the way of the training, groups of layers."""

import pickle

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

from skbert import LossLandscape, MaxPoolBERTClassifier, MaxPoolBERTRegressor, recipes

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def losses_of(model, X, y):
    """Cross-entropy of each text, from the logits that the estimator returns."""
    logits = torch.from_numpy(model.decision_function(X))
    codes = torch.from_numpy(np.searchsorted(model.classes_, y))
    return torch.nn.functional.cross_entropy(logits, codes, reduction="none").numpy()


def at(alphas, value):
    """The place of `value` on an axis."""
    return int(np.flatnonzero(alphas == value)[0])


def flat(weights):
    """All weights of a dict as one float64 vector."""
    return np.concatenate([np.asarray(weights[name], dtype=np.float64).ravel() for name in sorted(weights)])


class Weights(Callback):
    """Keeps all weights after each epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(net.weights())


class OnlyLayer(Callback):
    """Lets a fit change one layer only."""

    def __init__(self, number):
        self.number = number

    def on_grad_computed(self, net, named_parameters, **kwargs):
        for name, parameter in named_parameters:
            if f"layer.{self.number}." not in name and parameter.grad is not None:
                parameter.grad.zero_()


class Upset(Callback):
    """Interrupts the fit with this number, as Ctrl-C would."""

    fits = 0

    def __init__(self, number):
        self.number = number

    def on_train_begin(self, net, **kwargs):
        type(self).fits += 1

    def on_batch_begin(self, net, **kwargs):
        if type(self).fits == self.number:
            raise KeyboardInterrupt


# ----------------------------------------------------------------- the line


def test_line__at_one_are_the_losses_of_the_fitted_model(land, clf, texts, labels, val):
    model = clone(clf).fit(texts, labels)
    np.testing.assert_array_equal(land.line_.train_losses[at(land.alphas_, 1.0)], losses_of(model, texts, labels))
    np.testing.assert_array_equal(land.line_.val_losses[at(land.alphas_, 1.0)], losses_of(model, *val))
    error = (model.predict(val[0]) != val[1]).mean()
    assert land.line_.val_error[at(land.alphas_, 1.0)] == pytest.approx(error)


def test_line__at_zero_are_the_losses_of_the_initialisation(land, clf, texts, labels, val):
    start = clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels)
    np.testing.assert_array_equal(land.line_.train_losses[at(land.alphas_, 0.0)], losses_of(start, texts, labels))
    np.testing.assert_array_equal(land.line_.val_losses[at(land.alphas_, 0.0)], losses_of(start, *val))


def test_line__between_are_the_losses_of_weights_between(land, clf, texts, labels):
    start = clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels)
    end, between = clone(clf).fit(texts, labels), clone(clf).fit(texts, labels)
    half = {name: 0.5 * start.weights()[name] + 0.5 * tensor for name, tensor in end.weights().items()}
    with torch.no_grad():
        for name, tensor in between.weights().items():
            tensor.copy_(half[name])
    np.testing.assert_allclose(
        land.line_.train_losses[at(land.alphas_, 0.5)], losses_of(between, texts, labels), rtol=1e-5, atol=1e-6
    )


def test_line__means_and_bands_follow_from_the_losses_of_texts(land):
    line = land.line_
    np.testing.assert_allclose(line.train_loss, line.train_losses.mean(axis=1, dtype=float))
    np.testing.assert_allclose(line.val_error, line.val_errors.mean(axis=1, dtype=float))
    assert (line.train_low <= line.train_loss).all()
    assert (line.train_loss <= line.train_high).all()


def test_line__smoothing_of_labels_and_class_weights_do_not_change_the_losses(clf, texts, labels):
    model = clone(clf).set_params(label_smoothing=0.2, class_weight={"order": 3.0, "refund": 1.0, "login": 1.0})
    land = LossLandscape(model, second=None, n_points=3, n_groups=0, span=(0, 1)).fit(texts, labels)
    np.testing.assert_array_equal(land.line_.train_losses[-1], losses_of(land.estimator_, texts, labels))


# ----------------------------------------------------------------- the plane


def test_surface__row_of_beta_zero_is_the_line(land):
    row = land.surface_.train_losses[at(land.betas_, 0.0)]
    np.testing.assert_allclose(row, land.line_.train_losses, rtol=1e-6)


def test_barrier__is_the_rise_above_the_chord_of_a_path_that_begins_at_the_end_of_the_line(land):
    line = land.barrier_line_
    places = np.linspace(0, 1, len(line.train_loss))
    chord = (1 - places) * line.train_loss[0] + places * line.train_loss[-1]
    assert land.barrier_ == pytest.approx((line.train_loss - chord).max())
    np.testing.assert_array_equal(line.train_losses[0], land.line_.train_losses[at(land.alphas_, 1.0)])
    assert not np.array_equal(line.train_losses[0], line.train_losses[-1])


def test_consistency__is_the_rank_correlation_of_both_surfaces(land):
    expected = spearmanr(land.surface_.train_loss.ravel(), land.surface_.val_loss.ravel()).statistic
    assert land.consistency_ == pytest.approx(expected)
    expected = spearmanr(land.surface_.train_loss.ravel(), land.surface_.val_error.ravel()).statistic
    assert land.error_consistency_ == pytest.approx(expected)


def test_second__of_other_texts_leaves_a_head_of_another_size_alone(clf, texts, labels):
    two = labels != "login"
    X_second, y_second = [t for t, keep in zip(texts, two, strict=True) if keep], labels[two]
    land = LossLandscape(clone(clf), second="data", n_points=3, n_groups=0, random_state=0)
    land.fit(texts, labels, X_second=X_second, y_second=y_second)
    other = clone(clf).fit(X_second, y_second).weights()
    start, end = land.start_._tensors, land.end_._tensors
    names = [name for name in sorted(end) if other[name].shape == end[name].shape]
    assert not any(name.startswith("head.classifier") for name in names)
    first = flat({name: end[name] - start[name] for name in end})
    step = {name: other[name] - start[name] if name in names else torch.zeros_like(end[name]) for name in end}
    cosine = first @ flat(step) / np.linalg.norm(first) / np.linalg.norm(flat(step))
    assert land.surface_.cosine == pytest.approx(cosine, abs=1e-6)
    assert land.surface_.second_beta == pytest.approx(np.linalg.norm(flat(step)) / np.linalg.norm(first), rel=1e-6)
    assert land.barrier_ is None


def test_second__random_is_nearly_orthogonal_and_repeats_with_its_seed(clf, texts, labels):
    made = [
        LossLandscape(clone(clf), second="random", n_points=3, n_groups=0, random_state=seed).fit(texts, labels)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(made[0].surface_.train_losses, made[1].surface_.train_losses)
    assert not np.array_equal(made[0].surface_.train_losses, made[2].surface_.train_losses)
    assert abs(made[0].surface_.cosine) < 0.1
    assert made[0].surface_.second_beta is None
    assert made[0].barrier_ is None


def test_second__none_has_a_line_and_no_plane(clf, texts, labels):
    land = LossLandscape(clone(clf), second=None, n_points=3, n_groups=0).fit(texts, labels)
    assert land.surface_ is None
    assert land.betas_ is None
    assert land.consistency_ is None
    assert land.barrier_ is None
    assert land.group_lines_ is None
    assert land.rollback_ is None
    assert land.line_.val_loss is None
    assert land.line_.val_losses is None
    np.testing.assert_allclose(land.trajectory_[:, 1], land.trajectory_distance_)


# ----------------------------------------------------------------- the way of the training


def test_trajectory__is_the_projection_of_the_weights_after_each_epoch(clf, texts, labels):
    watch = Weights()
    clone(clf).set_params(callbacks=[watch]).fit(texts, labels)
    land = LossLandscape(clone(clf), second="random", n_points=3, n_groups=0, random_state=0).fit(texts, labels)
    start = flat(land.start_._tensors)
    steps = np.stack([flat(weights) - start for weights in watch.seen])
    first = steps[-1]
    alpha = steps @ first / (first @ first)
    np.testing.assert_allclose(land.trajectory_[0], 0.0, atol=1e-12)
    assert land.trajectory_phases_ == ["start", "epoch", "epoch"]
    # The two directions are nearly orthogonal here, so alpha is nearly that of the line alone.
    np.testing.assert_allclose(land.trajectory_[1:, 0], alpha, atol=0.05)
    np.testing.assert_allclose(land.trajectory_[-1], [1.0, 0.0], atol=1e-6)
    assert land.trajectory_distance_[-1] == pytest.approx(0.0, abs=1e-3)
    ends = [at(land.alphas_, value) for value in (0.0, 1.0)]
    np.testing.assert_allclose(land.trajectory_losses_[[0, -1]], land.line_.train_loss[ends], rtol=1e-6)


def test_trajectory__without_a_plane_has_the_distance_from_the_line(clf, texts, labels):
    watch = Weights()
    clone(clf).set_params(callbacks=[watch]).fit(texts, labels)
    land = LossLandscape(clone(clf), second=None, n_points=3, n_groups=0).fit(texts, labels)
    start = flat(land.start_._tensors)
    step, first = flat(watch.seen[0]) - start, flat(watch.seen[-1]) - start
    alpha = step @ first / (first @ first)
    rest = np.linalg.norm(step - alpha * first) / np.linalg.norm(first)
    np.testing.assert_allclose(land.trajectory_[1], [alpha, rest], rtol=1e-5)


def test_trajectory__has_a_row_for_each_phase(tiny, texts, labels):
    model = MaxPoolBERTClassifier(
        tiny(), token_pooling="mean", layers=1, **recipes.get("few_data"), device="cpu", random_state=0
    )
    model.set_params(contrastive_steps=3)
    land = LossLandscape(model, second=None, n_points=3, n_groups=0).fit(texts, labels)
    assert land.trajectory_phases_ == ["start", "contrastive", "head"]
    np.testing.assert_allclose(land.trajectory_[-1], [1.0, 0.0], atol=1e-6)


def test_start_and_end__are_those_of_the_fit(land, clf, texts, labels):
    start = clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels)
    for name, tensor in start.weights().items():
        assert torch.equal(land.start_._tensors[name], tensor)
    step = flat(land.estimator_.weights()) - flat(start.weights())
    assert land.start_.distance_to(land.end_) == pytest.approx(np.linalg.norm(step), rel=1e-6)


# ----------------------------------------------------------------- groups of layers


def test_groups__divide_the_layers_evenly_and_the_embeddings_go_with_the_lowest(land):
    assert land.group_lines_.groups == land.rollback_.groups == [range(0, 3), range(3, 5)]


def test_rollback__is_the_model_with_a_group_at_its_start(land, clf, texts, labels, val):
    start = clone(clf).set_params(learning_rate=0.0, head_learning_rate=0.0).fit(texts, labels).weights()
    mixed = clone(clf).fit(texts, labels)
    with torch.no_grad():
        for name, tensor in mixed.weights().items():
            if "layer.2." in name or "layer.3." in name:
                tensor.copy_(start[name])
    predicted = mixed.predict(val[0])
    assert land.rollback_.val_error[1] == pytest.approx((predicted != val[1]).mean())
    assert land.rollback_.val_loss[1] == pytest.approx(losses_of(mixed, *val).mean(), rel=1e-5)
    for k, label in enumerate(mixed.classes_):
        assert land.rollback_.val_recall[1, k] == pytest.approx((predicted[val[1] == label] == label).mean())
    model = land.estimator_
    assert land.rollback_.whole_val_error == pytest.approx((model.predict(val[0]) != val[1]).mean())
    assert land.rollback_.whole_train_loss == pytest.approx(losses_of(model, texts, labels).mean(), rel=1e-6)


def test_groups__only_the_group_of_the_layer_that_moved_changes_the_loss(clf, texts, labels):
    model = clone(clf).set_params(callbacks=[OnlyLayer(2)], weight_decay=0.0)
    land = LossLandscape(model, second=None, n_points=5, n_groups=4).fit(texts, labels)
    lines = land.group_lines_.train_loss
    np.testing.assert_allclose(lines[[0, 1, 3]], lines[0, 0], rtol=1e-6)
    np.testing.assert_allclose(lines[2], land.line_.train_loss, rtol=1e-5)
    assert np.ptp(lines[2]) > 1e-3
    others = land.rollback_.train_loss[[0, 1, 3]]
    np.testing.assert_allclose(others, land.rollback_.whole_train_loss, rtol=1e-6)
    assert land.rollback_.train_loss[2] != pytest.approx(land.rollback_.whole_train_loss, rel=1e-3)


def test_frozen_layers__give_the_same_losses_through_kept_states(clf, texts, labels):
    model = clone(clf).set_params(freeze_layers=2)
    land = LossLandscape(model, second=None, n_points=3, n_groups=2).fit(texts, labels)
    np.testing.assert_allclose(
        land.line_.train_losses[at(land.alphas_, 1.0)], losses_of(land.estimator_, texts, labels), rtol=1e-5
    )
    # The lower group is frozen, so its line is flat.
    np.testing.assert_allclose(land.group_lines_.train_loss[0], land.rollback_.whole_train_loss, rtol=1e-5)


@pytest.mark.filterwarnings("default")
def test_groups__of_layers_that_share_their_weights_are_left_out_with_a_warning(tiny, texts, labels, clf):
    model = clone(clf).set_params(model=tiny("albert"))
    with pytest.warns(UserWarning, match="Groups of layers are left out"):
        land = LossLandscape(model, second=None, n_points=3, n_groups=4).fit(texts, labels)
    assert land.group_lines_ is None
    assert land.rollback_ is None
    assert land.line_.train_loss.shape == (3,)


# ----------------------------------------------------------------- estimators and texts


def test_frozen__estimator_is_the_end_and_does_not_change(clf, texts, labels, land):
    model = clone(clf).fit(texts, labels)
    before = {name: tensor.clone() for name, tensor in model.weights().items()}
    found = LossLandscape(FrozenEstimator(model), n_points=5, n_groups=2, random_state=0).fit(texts, labels)
    assert found.estimator_ is model
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.weights().items())
    np.testing.assert_array_equal(found.line_.train_losses, land.line_.train_losses)
    np.testing.assert_array_equal(found.surface_.train_losses, land.surface_.train_losses)
    np.testing.assert_array_equal(found.trajectory_, land.trajectory_)


def test_frozen__estimator_of_other_texts_is_refused(clf, texts, labels):
    model = clone(clf).fit(texts[::-1], labels[::-1])
    with pytest.raises(ValueError, match="was not trained on these texts"):
        LossLandscape(FrozenEstimator(model), second=None, n_points=3).fit(texts, labels)


def test_pipeline__gives_the_landscape_of_its_last_step(clf, texts, labels, val, land):
    shout = FunctionTransformer(lambda X: [text.removesuffix("!") for text in X])
    pipeline = make_pipeline(shout, clone(clf))
    loud = LossLandscape(pipeline, n_points=5, n_groups=2, random_state=0)
    loud.fit([f"{text}!" for text in texts], labels, X_val=[f"{text}!" for text in val[0]], y_val=val[1])
    np.testing.assert_array_equal(loud.surface_.val_losses, land.surface_.val_losses)
    np.testing.assert_array_equal(loud.estimator_.predict(texts), land.estimator_.predict(texts))
    assert not hasattr(pipeline[-1], "classes_")


def test_regressor__has_losses_of_standardised_targets_and_errors_in_their_unit(tiny, texts):
    y = 100.0 + 20.0 * np.arange(len(texts))
    model = MaxPoolBERTRegressor(tiny(), layers=2, max_epochs=2, learning_rate=3e-3, random_state=0, device="cpu")
    land = LossLandscape(model, n_points=3, n_groups=2, random_state=0).fit(texts, y, X_val=texts[:5], y_val=y[:5] + 1)
    end = at(land.alphas_, 1.0)
    np.testing.assert_allclose(
        land.line_.train_error[end], ((land.estimator_.predict(texts) - y) ** 2).mean(), rtol=1e-4
    )
    np.testing.assert_allclose(land.line_.train_loss[end], land.line_.train_error[end] / y.var(), rtol=1e-4)
    assert land.rollback_.val_recall is None
    assert land.rollback_.whole_val_recall is None
    assert not hasattr(land, "classes_")
    assert land.curvature(1, 2).eigenvalues.shape == (1,)


def test_max_texts__takes_some_texts_the_same_at_every_point(clf, texts, labels, val):
    land = LossLandscape(clone(clf), second=None, n_points=3, n_groups=0, max_texts=7, random_state=0)
    land.fit(texts, labels, X_val=val[0], y_val=val[1])
    assert land.line_.train_losses.shape == (3, 7)
    assert land.line_.val_losses.shape == (3, 7)
    rows = land.train_rows_
    assert (np.diff(rows) > 0).all()
    assert len(rows) == 7
    kept = [texts[row] for row in rows]
    np.testing.assert_allclose(
        land.line_.train_losses[at(land.alphas_, 1.0)], losses_of(land.estimator_, kept, labels[rows]), rtol=1e-5
    )


def test_random_state__none_in_the_estimator_is_drawn_from_that_of_the_landscape(clf, texts, labels):
    model = clone(clf).set_params(random_state=None)
    first, same, other = (
        LossLandscape(model, second=None, n_points=3, n_groups=0, random_state=seed).fit(texts, labels)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.line_.train_losses, same.line_.train_losses)
    assert not np.array_equal(first.line_.train_losses, other.line_.train_losses)


def test_fit__that_is_interrupted_leaves_the_last_one(clf, texts, labels, land):
    kept = pickle.loads(pickle.dumps(land))
    Upset.fits = 0
    kept.set_params(estimator=clone(clf).set_params(callbacks=[Upset(3)]))
    with pytest.raises(KeyboardInterrupt):
        kept.fit(texts, labels)
    assert Upset.fits == 3
    np.testing.assert_array_equal(kept.line_.train_losses, land.line_.train_losses)
    assert kept.trajectory_phases_ == land.trajectory_phases_


def test_pickle__keeps_everything_that_can_be_asked(land):
    copy = pickle.loads(pickle.dumps(land))
    np.testing.assert_array_equal(copy.surface_.train_losses, land.surface_.train_losses)
    assert copy.sharpness() == land.sharpness()
    assert copy.start_.distance_to(land.start_) == 0.0


def test_end__of_the_real_minilm_has_a_lower_loss_than_its_start(minilm):
    texts = ["where is my parcel", "is my parcel lost", "refund my lamp", "I want a refund"]
    labels = ["order", "order", "refund", "refund"]
    model = MaxPoolBERTClassifier(minilm, freeze_layers=4, learning_rate=1e-3, max_epochs=3, random_state=0)
    land = LossLandscape(model, n_points=3, span=(0, 1), random_state=0).fit(texts, labels)
    assert land.line_.train_loss[-1] < land.line_.train_loss[0]
    assert land.rollback_.groups == [range(0, 3), range(3, 5), range(5, 7)]
    # Frozen layers were not moved.
    np.testing.assert_allclose(land.rollback_.train_loss[:1], land.rollback_.whole_train_loss, rtol=1e-5)
