"""The training loop against a plain loop in torch and transformers, and what it does when things go wrong."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EpochScoring
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

import skbert
from skbert import MaxPoolBERTClassifier, MaxPoolBERTRegressor


class Recorder(Callback):
    """Keeps the new parameters as they start, and the rows of every batch."""

    def on_train_begin(self, net, **kwargs):
        self.head = {
            name: value.detach().clone()
            for name, value in net.module_.state_dict().items()
            if not name.startswith("encoder.")
        }
        self.batches = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            self.batches.append(batch[0].indices.copy())


def _plain_fine_tuning(folder, texts, codes, recorder, *, lr, head_lr, n_epochs, decay, pull, corrected, clip):
    """MaxCLS over two layers, trained by transformers and torch alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model.pooler = None
    head = torch.nn.Linear(model.config.hidden_size, 3)
    head.load_state_dict(
        {"weight": recorder.head["head.classifier.weight"], "bias": recorder.head["head.classifier.bias"]}
    )
    groups = []
    for module, rate in ((model, lr), (head, head_lr)):
        for matrices in (True, False):
            parameters = [p for p in module.parameters() if (p.ndim > 1) == matrices]
            groups.append({"params": parameters, "lr": rate, "weight_decay": decay if matrices else 0.0})
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-6, fused=False, foreach=False)
    n_steps = len(recorder.batches)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(0.1 * n_steps), n_steps)
    moments, losses = {}, []
    start = {p: p.detach().clone() for p in model.parameters()}
    parameters = [p for group in groups for p in group["params"]]
    model.train()
    for rows in recorder.batches:
        inputs = tokenizer([texts[i] for i in rows], padding=True, return_tensors="pt")
        states = model(**inputs, output_hidden_states=True).hidden_states
        pooled = torch.maximum(states[-1][:, 0], states[-2][:, 0])
        loss = torch.nn.functional.cross_entropy(head(pooled), torch.tensor(codes[rows]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        with torch.no_grad():
            for p in model.parameters():
                p -= optimizer.param_groups[0]["lr"] * pull * (p - start[p])
        if corrected:
            optimizer.step()
        else:
            with torch.no_grad():
                for group in optimizer.param_groups:
                    for p in (p for p in group["params"] if p.grad is not None):
                        m, v = moments.setdefault(p, (torch.zeros_like(p), torch.zeros_like(p)))
                        m.copy_(0.9 * m + 0.1 * p.grad)
                        v.copy_(0.999 * v + 0.001 * p.grad**2)
                        p -= group["lr"] * (m / (v.sqrt() + 1e-6) + group["weight_decay"] * p)
        schedule.step()
        losses.append(loss.item())
    return model, head, np.array(losses).reshape(n_epochs, -1).mean(axis=1)


@pytest.mark.parametrize(("corrected", "pull"), [(True, 0.0), (False, 0.0), (True, 30.0), (False, 30.0)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_training__equals_a_plain_loop_of_torch_and_transformers(tiny, texts, labels, corrected, pull):
    folder, recorder = tiny(), Recorder()
    clf = MaxPoolBERTClassifier(
        folder,
        layers=2,
        token_pooling="cls",
        max_epochs=3,
        batch_size=6,
        learning_rate=1e-3,
        head_learning_rate=5e-3,
        weight_decay=0.5,
        pretrained_decay=pull,
        max_grad_norm=0.5,
        bias_correction=corrected,
        dropout=0.0,
        random_state=3,
        callbacks=[recorder],
        device="cpu",
    ).fit(texts, labels)
    codes = np.searchsorted(clf.classes_, labels)
    model, head, losses = _plain_fine_tuning(
        folder,
        texts,
        codes,
        recorder,
        lr=1e-3,
        head_lr=5e-3,
        n_epochs=3,
        decay=0.5,
        pull=pull,
        corrected=corrected,
        clip=0.5,
    )
    np.testing.assert_allclose(clf.loss_curve_, losses, atol=1e-5)
    trained = clf._fitted.tensors()
    np.testing.assert_allclose(trained["head.classifier.weight"], head.weight.detach(), atol=2e-5)
    # The whole table of embeddings, with the rows of the many tokens that never occurred.
    for name, value in model.state_dict().items():
        np.testing.assert_allclose(trained[f"encoder.{name}"], value, atol=2e-5, err_msg=name)
    start = AutoModel.from_pretrained(folder).state_dict()["embeddings.word_embeddings.weight"]
    moved = np.abs(trained["encoder.embeddings.word_embeddings.weight"] - start.numpy()).max(axis=1)
    assert (moved[1:] > 1e-4).all(), "decay reaches every row of the table (row 0, the pad, is zero)"


def test_order__every_epoch_visits_all_rows_in_a_new_order(tiny, texts, labels, quick):
    recorder = Recorder()
    MaxPoolBERTClassifier(tiny(), **{**quick, "batch_size": 5}, callbacks=[recorder]).fit(texts, labels)
    per_epoch = np.concatenate(recorder.batches).reshape(quick["max_epochs"], len(texts))
    assert (np.sort(per_epoch, axis=1) == np.arange(len(texts))).all()
    assert len({tuple(order) for order in per_epoch}) == quick["max_epochs"]
    assert [len(batch) for batch in recorder.batches[:5]] == [5, 5, 5, 5, 4]


def test_early_stopping__restores_the_weights_of_the_best_epoch(tiny, texts, labels, quick):
    X_val, y_val = texts[:6], labels[:6][::-1]
    clf = MaxPoolBERTClassifier(
        tiny(), **{**quick, "max_epochs": 30, "learning_rate": 2e-2}, early_stopping=True, n_iter_no_change=3
    )
    clf.fit(texts, labels, X_val=X_val, y_val=y_val)
    valid = [row["valid_loss"] for row in clf.history_]
    assert clf.n_iter_ == len(valid) == clf.best_epoch_ + 3 < 30
    assert clf.best_epoch_ == np.argmin(valid) + 1
    proba = clf.predict_proba(X_val)
    loss = -np.log(proba[np.arange(6), np.searchsorted(clf.classes_, y_val)]).mean()
    assert loss == pytest.approx(valid[clf.best_epoch_ - 1], abs=1e-4)
    assert loss < valid[-1] - 1e-3


def test_early_stopping__without_validation_data_splits_off_every_class(tiny, texts, labels, quick):
    class Count(Callback):
        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            self.sizes = len(dataset_train), len(dataset_valid)
            self.valid_classes = set(dataset_valid.target.tolist())

    count = Count()
    clf = MaxPoolBERTClassifier(tiny(), **quick, early_stopping=True, validation_fraction=0.05, callbacks=[count])
    clf.fit(texts, labels)
    assert count.sizes == (21, 3)
    assert count.valid_classes == {0, 1, 2}


def test_validation_data__are_recorded_without_early_stopping(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels, X_val=texts[:6], y_val=labels[:6])
    valid = [row["valid_loss"] for row in clf.history_]
    assert clf.n_iter_ == quick["max_epochs"] == len(valid)
    proba = clf.predict_proba(texts[:6])
    loss = -np.log(proba[np.arange(6), np.searchsorted(clf.classes_, labels[:6])]).mean()
    assert loss == pytest.approx(valid[-1], abs=1e-4), "the weights of the last epoch are kept"


def test_validation_weights__weigh_the_validation_loss(tiny, texts, labels, quick):
    weights = np.array([5.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    clf = MaxPoolBERTClassifier(tiny(), **quick)
    clf.fit(texts, labels, X_val=texts[:6], y_val=labels[:6], sample_weight_val=weights)
    proba = clf.predict_proba(texts[:6])
    losses = -np.log(proba[np.arange(6), np.searchsorted(clf.classes_, labels[:6])])
    assert np.average(losses, weights=weights) == pytest.approx(clf.history_[-1]["valid_loss"], abs=1e-4)


def test_callbacks__of_skorch_run_and_may_stop_the_training(tiny, texts, labels, quick):
    class StopAfterTwo(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    def count_parameters(net, X=None, y=None):
        return sum(p.numel() for p in net.module_.parameters())

    scoring = EpochScoring(count_parameters, name="n_parameters", use_caching=False, on_train=True)
    clf = MaxPoolBERTClassifier(tiny(), **quick, callbacks=[StopAfterTwo(), ("count", scoring)])
    clf.fit(texts, labels)
    assert clf.n_iter_ == 2
    assert clf.history_[0]["n_parameters"] > 0


def test_interrupt__by_the_user_is_not_swallowed(tiny, texts, labels, quick):
    class CtrlC(Callback):
        def on_batch_begin(self, net, **kwargs):
            raise KeyboardInterrupt

    clf = MaxPoolBERTClassifier(tiny(), **quick, callbacks=[CtrlC()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(texts, labels)
    assert not clf.__sklearn_is_fitted__()


def test_status__converged_run_raises_no_warning(tiny, texts, labels, quick):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 15}).fit(texts, labels)
    assert clf.training_status_ == "converged"
    assert clf.score(texts, labels) > 0.8


def test_status__diverged_run_is_caught_and_keeps_finite_weights(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "learning_rate": 1e38}, warmup_ratio=0.0, max_grad_norm=None)
    with pytest.warns(ConvergenceWarning, match="non-finite.*learning_rate"):
        clf.fit(texts, labels)
    assert clf.training_status_ == "diverged"
    assert clf.n_iter_ < quick["max_epochs"] or not np.isfinite(clf.loss_curve_[-1])


def test_status__constant_run_is_caught(tiny, texts, labels, quick):
    y = np.array(["order"] * 20 + ["refund"] * 4)
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "learning_rate": 1e-6})
    with pytest.warns(ConvergenceWarning, match=r"same prediction|not below"):
        clf.fit(texts, y)
    assert clf.training_status_ in ("constant", "underfit")
    assert (clf.training_status_ == "constant") == (len(set(clf.predict(texts))) == 1)


def test_status__underfit_run_is_caught(tiny, texts, quick):
    # The same texts under both labels: no model beats the entropy.
    y = np.array([0, 1] * 24)
    X = [text for text in texts for _ in range(2)]
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "max_epochs": 2, "learning_rate": 1e-2, "dropout": 0.0})
    with pytest.warns(ConvergenceWarning):
        clf.fit(X, y)
    assert clf.training_status_ in ("underfit", "constant")


def test_status__regressor_that_learned_nothing_is_caught(tiny, texts, quick):
    y = np.random.default_rng(0).normal(size=24)
    reg = MaxPoolBERTRegressor(tiny(), **{**quick, "max_epochs": 1, "learning_rate": 1e-7})
    with pytest.warns(ConvergenceWarning):
        reg.fit(texts, y)
    assert reg.training_status_ in ("underfit", "constant")


def test_verbose__zero_is_silent_and_one_shows_a_bar(tiny, texts, labels, quick, capfd):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    clf.predict(texts)
    assert capfd.readouterr() == ("", "")
    MaxPoolBERTClassifier(tiny(), **quick, verbose=1).fit(texts, labels)
    out, err = capfd.readouterr()
    assert out == ""
    assert "fine-tuning" in err


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bf16__trains_and_predicts_close_to_fp32(tiny, texts, labels, quick):
    proba = {}
    for precision in ("fp32", "bf16"):
        clf = MaxPoolBERTClassifier(tiny(), **{**quick, "dropout": 0.0, "learning_rate": 1e-3}, precision=precision)
        proba[precision] = clf.fit(texts, labels).predict_proba(texts)
        assert proba[precision].dtype == np.float32
    difference = np.abs(proba["bf16"] - proba["fp32"]).max()
    assert 0 < difference < 0.05


def test_gradients__are_not_kept_after_the_fit(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)
    assert all(p.grad is None for p in clf._fitted.module(torch.device("cpu")).parameters())


def test_callback__that_stops_within_an_epoch_leaves_a_whole_history(tiny, texts, labels, quick):
    class StopAtOnce(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = MaxPoolBERTClassifier(tiny(), **quick, callbacks=[StopAtOnce()]).fit(texts, labels)
    assert clf.n_iter_ == 1
    assert np.isfinite(clf.loss_curve_).all()


def test_callback__of_the_user_sees_the_epoch_in_which_early_stopping_stops(tiny, texts, labels, quick):
    class Count(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    count = Count()
    parameters = {**quick, "max_epochs": 30, "learning_rate": 2e-2}
    clf = MaxPoolBERTClassifier(tiny(), **parameters, early_stopping=True, callbacks=[count])
    clf.fit(texts, labels, X_val=texts[:6], y_val=labels[:6][::-1])
    assert count.n_epochs == clf.n_iter_ < 30


@pytest.mark.parametrize("on_train", [True, False])
def test_callback__epoch_scoring_by_accuracy_scores_decisions(tiny, texts, labels, quick, on_train):
    scoring = EpochScoring("accuracy", name="accuracy", on_train=on_train, lower_is_better=False)
    clf = MaxPoolBERTClassifier(tiny(), **{**quick, "dropout": 0.0}, callbacks=[scoring])
    clf.fit(texts, labels, X_val=texts[:9], y_val=labels[:9])
    if not on_train:
        assert clf.history_[-1]["accuracy"] == clf.score(texts[:9], labels[:9])
    assert all(0 <= row["accuracy"] <= 1 for row in clf.history_)


def test_out_of_memory__in_the_optimizer_step_is_named(tiny, texts, labels, quick, monkeypatch):
    def step(self, closure=None):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(skbert.OutOfMemoryError, match="optimizer state"):
        MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels)


def test_history__rows_hold_what_the_documentation_names(tiny, texts, labels, quick):
    clf = MaxPoolBERTClassifier(tiny(), **quick).fit(texts, labels, X_val=texts[:6], y_val=labels[:6])
    for row in clf.history_:
        assert set(row) == {"phase", "epoch", "train_loss", "valid_loss", "learning_rate", "dur"}
        assert row.pop("phase") == "fine_tuning"
        assert all(type(value) in (int, float) for value in row.values())
