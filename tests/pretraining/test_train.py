"""A whole run against one plain loop of torch and transformers, and what happens when a run goes wrong."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from transformers import AutoModelForMaskedLM, get_linear_schedule_with_warmup

from skbert import MaskedLanguageModel, OutOfMemoryError
from skbert._shared import derive_seeds
from skbert.pretraining._masking import Masking
from skbert.pretraining._net import MaskedNet
from skbert.pretraining._train import _endless_batches
from tests.helpers.masked import TEXTS, corpus_of, leave_little_memory, padded, write_with_head

QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """A small masked language model without dropout."""
    folder = write_with_head(tmp_path_factory.mktemp("head"), tiny())
    model = AutoModelForMaskedLM.from_pretrained(folder)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(folder)
    return folder


def plain_loop(folder, steps, batch_size, rate):
    """Losses and final model of a loop that any textbook has, on the same batches and masks."""
    corpus, vocabulary = corpus_of(folder)
    seeds = derive_seeds(0)
    masking = Masking(
        corpus, vocabulary, None, rate=0.15, spans=False, replacement=(0.8, 0.1, 0.1), drop=False,
        generator=np.random.default_rng(seeds.masks),
    )  # fmt: skip
    batches = _endless_batches(len(corpus), batch_size, np.random.default_rng(seeds.order))
    model = AutoModelForMaskedLM.from_pretrained(folder).train()
    groups = [
        {"params": [p for p in model.parameters() if (p.ndim > 1) == decays], "weight_decay": 0.01 * decays}
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, eps=1e-6)
    schedule = get_linear_schedule_with_warmup(optimizer, int(np.ceil(0.1 * steps)), steps)
    losses = []
    for _ in range(steps):
        loss = model(**padded(masking.draw(next(batches)))).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses, model


def fitted(folder, **parameters):
    settings = {"max_steps": 12, "batch_size": 7, "learning_rate": 1e-3, "validation_fraction": 0.0, "random_state": 0}
    return MaskedLanguageModel(folder, device="cpu", **settings | parameters)


@QUIET
def test_fit__same_batches_and_masks__is_a_plain_loop(folder):
    losses, model = plain_loop(folder, 12, 7, 1e-3)
    mlm = fitted(folder).fit(TEXTS)
    assert mlm.loss_curve_ == pytest.approx(losses, abs=2e-4)
    trained = mlm._fitted.module(torch.device("cpu")).model.state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(trained[name], tensor, rtol=1e-3, atol=2e-4)


@QUIET
@pytest.mark.parametrize("weights", [None, "loss"])
def test_fit__out_of_memory__computes_smaller_parts_with_the_same_result(folder, monkeypatch, weights):
    expected = fitted(folder, mask_weights=weights).fit(TEXTS)
    leave_little_memory(monkeypatch)
    with pytest.warns(RuntimeWarning, match="effective batch_size stays 7"):
        found = fitted(folder, mask_weights=weights).fit(TEXTS)
    assert found.loss_curve_ == pytest.approx(expected.loss_curve_, abs=2e-4)


def test_fit__no_memory_for_one_text__says_what_to_do(folder, monkeypatch):
    def without_memory(net, batch, places, targets):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(MaskedNet, "losses", without_memory)
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(OutOfMemoryError, match=r"Lower max_length, or use a smaller encoder\."),
    ):
        fitted(folder).fit(TEXTS)


def test_fit__no_memory_for_the_optimizer__says_how_much_it_takes(folder, monkeypatch):
    def without_memory(optimizer, closure=None):
        raise MemoryError

    monkeypatch.setattr(torch.optim.AdamW, "step", without_memory)
    with pytest.raises(OutOfMemoryError, match=r"million parameters take about .* GiB .* Use a smaller encoder\."):
        fitted(folder).fit(TEXTS)


@QUIET
def test_fit__early_stopping__returns_to_the_best_evaluation(folder):
    mlm = fitted(
        folder, max_steps=60, learning_rate=0.03, early_stopping=True, validation_fraction=0.3, n_iter_no_change=2
    ).fit(TEXTS)
    losses = mlm.val_loss_curve_
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 11
    assert mlm.n_iter_ == 6 * (best + 2) < 60
    held_out = [text for text in TEXTS if text in _held_out_texts(mlm)]
    assert -mlm.score(held_out) == pytest.approx(min(losses), abs=1e-5)


def _held_out_texts(mlm):
    """The texts that a fit holds out."""
    from skbert.pretraining._split import held_out_rows

    rows = held_out_rows(TEXTS, mlm.validation_fraction, derive_seeds(mlm.random_state).split)[1]
    return {TEXTS[row] for row in rows}


@QUIET
def test_fit__held_out_texts__are_measured_before_training_and_ten_times(folder):
    mlm = fitted(folder, max_steps=20).fit(TEXTS, X_val=["the lamp is broken", "where is my code"])
    assert len(mlm.val_loss_curve_) == 11
    assert [row["step"] for row in mlm.history_ if "val_loss" in row] == list(range(2, 21, 2))
    assert mlm.val_loss_curve_[-1] == mlm.history_[-1]["val_loss"]
    assert mlm.val_loss_curve_[-1] == pytest.approx(-mlm.score(["where is my code", "the lamp is broken"]), abs=1e-6)


def test_fit__learning_rate_far_too_high__is_called_diverged(folder):
    with pytest.warns(ConvergenceWarning, match="diverged"):
        mlm = fitted(folder, learning_rate=1e30).fit(TEXTS)
    assert mlm.training_status_ == "diverged"
    assert mlm.n_iter_ < 12


def test_fit__few_steps__are_called_underfit(tiny):
    with pytest.warns(ConvergenceWarning, match=r"underfit.*held-out texts.*not below"):
        mlm = fitted(tiny(), max_steps=1, validation_fraction=0.2).fit(TEXTS)
    assert mlm.val_loss_curve_[-1] >= mlm.unigram_loss_


def test_fit__enough_steps__beats_the_unigram_model(tiny):
    mlm = fitted(tiny("modernbert"), max_steps=60, learning_rate=1e-2, validation_fraction=0.2).fit(TEXTS)
    assert mlm.training_status_ == "converged"
    assert mlm.val_loss_curve_[-1] < mlm.unigram_loss_


def test_fit__weights_that_mask_nothing__do_not_train(folder):
    with pytest.warns(ConvergenceWarning):
        mlm = fitted(folder, mask_weights=np.zeros_like).fit(TEXTS)
    before = AutoModelForMaskedLM.from_pretrained(folder).state_dict()
    for name, tensor in mlm._fitted.module(torch.device("cpu")).model.state_dict().items():
        if name in before:
            assert torch.equal(tensor, before[name])
