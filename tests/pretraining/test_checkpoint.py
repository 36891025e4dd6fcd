"""A run that was stopped and goes on ends as a run without a stop: bit for bit, wherever the stop was."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from transformers import AutoTokenizer

from skbert import LayerPoolFeaturizer, MaskedLanguageModel, SavedEstimatorError
from skbert.encoder import load_encoder
from skbert.estimators import clear_trained
from skbert.pretraining import _checkpoint
from skbert.pretraining._net import MaskedNet
from tests.helpers.masked import TEXTS, leave_little_memory

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

STEPS = 8
SCRATCH = {"architecture": {"n_layers": 2, "width": 16, "n_heads": 2, "mixers": ["pooling", "attention"]}}
WAYS = {
    "token": {},
    "whole_word": {"masking": "whole_word"},
    "span": {"masking": "span", "mask_rate": 0.4},
    "pmi": {"masking": "pmi"},
    "frequency": {"mask_weights": "frequency"},
    "loss": {"mask_weights": "loss"},
    "loss of words": {"mask_weights": "loss", "masking": "whole_word"},
    "function": {"mask_weights": np.sqrt},
    "DropMask": {"drop_mask": True},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "learning_rate": 0.05},
    "nothing held out": {"validation_fraction": 0.0},
    "from scratch": {**SCRATCH, "vocabulary": 150},
}


def model(folder, **parameters):
    settings = {"max_steps": STEPS, "batch_size": 7, "learning_rate": 1e-3, "validation_fraction": 0.2}
    return MaskedLanguageModel(folder, random_state=0, device="cpu", **settings | parameters)


def assert_equal(found, expected):
    """Same weights, losses and verdict; the seconds of the steps are no result."""
    states = [mlm._fitted.module(torch.device("cpu")).state_dict() for mlm in (found, expected)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    rows = [[{**row, "dur": 0.0} for row in mlm.history_] for mlm in (found, expected)]
    assert rows[0] == rows[1]
    assert found.val_loss_curve_ == expected.val_loss_curve_
    assert found.training_status_ == expected.training_status_


@pytest.fixture
def stop(monkeypatch):
    """Let a run be interrupted in its n-th forward, of training or of evaluation; returns what counts the forwards."""
    losses, seen = MaskedNet.losses, {"training": 0, "evaluation": 0}

    def set_stop(number=None, kind="training", error=KeyboardInterrupt):
        seen.update(training=0, evaluation=0)

        def counted(net, *batch):
            found = "training" if net.training else "evaluation"
            seen[found] += 1
            result = losses(net, *batch)
            if (found, seen[found]) == (kind, number):
                raise error
            return result

        monkeypatch.setattr(MaskedNet, "losses", counted)
        return seen

    return set_stop


@pytest.fixture
def every_step(monkeypatch):
    """Write a checkpoint after every step."""
    monkeypatch.setattr(_checkpoint, "_SECONDS", 0)


# ---------------------------------------------------------------- going on equals going through


def test_tiny_encoder__has_dropout(tiny):
    assert load_encoder(tiny()).model.config.hidden_dropout_prob > 0


@pytest.mark.parametrize("way", WAYS)
def test_fit__interrupted_several_times__ends_as_without_a_stop(tiny, tmp_path, stop, way):
    expected = model(tiny(), **WAYS[way]).fit(TEXTS)
    # In the third step; then in the second of those that remain; then in the one after it.
    for number in (3, 2, 1):
        stop(number)
        with pytest.raises(KeyboardInterrupt):
            model(tiny(), checkpoint=tmp_path, **WAYS[way]).fit(TEXTS)
    seen = stop()
    found = model(tiny(), checkpoint=tmp_path, **WAYS[way]).fit(TEXTS)
    assert_equal(found, expected)
    # 2, 1 and 0 steps were finished before the stops.
    assert seen["training"] == found.n_iter_ - 3


@pytest.mark.parametrize("number", [1, 2, 3, 9])
def test_fit__interrupted_while_it_evaluates__ends_as_without_a_stop(tiny, tmp_path, stop, number):
    expected = model(tiny()).fit(TEXTS)
    stop(number, "evaluation")
    with pytest.raises(KeyboardInterrupt):
        model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    seen = stop()
    assert_equal(model(tiny(), checkpoint=tmp_path).fit(TEXTS), expected)
    # One evaluation is made before each step and after the last; the n-th was interrupted, after n - 1 steps.
    assert seen["training"] == STEPS - (number - 1)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_fit__any_error__keeps_what_was_trained(tiny, tmp_path, stop, error):
    expected = model(tiny()).fit(TEXTS)
    stop(6, error=error("of a test"))
    with pytest.raises(error, match="of a test"):
        model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    seen = stop()
    assert_equal(model(tiny(), checkpoint=tmp_path).fit(TEXTS), expected)
    assert seen["training"] == STEPS - 5


def test_fit__stopped_in_the_optimizer__goes_on_from_the_step_before(tiny, tmp_path, stop, every_step, monkeypatch):
    expected = model(tiny(), mask_weights="loss").fit(TEXTS)
    step, calls = torch.optim.AdamW.step, []

    def interrupted(optimizer, closure=None):
        step(optimizer, closure)
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt  # the weights are those of five steps, all else is that of four

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model(tiny(), mask_weights="loss", checkpoint=tmp_path).fit(TEXTS)
    seen = stop()
    assert_equal(model(tiny(), mask_weights="loss", checkpoint=tmp_path).fit(TEXTS), expected)
    assert seen["training"] == STEPS - 4


def test_fit__out_of_memory_before_the_stop__goes_on_in_the_same_parts(tiny, tmp_path, monkeypatch):
    leave_little_memory(monkeypatch)
    with pytest.warns(RuntimeWarning, match="Out of memory"):
        expected = model(tiny()).fit(TEXTS)
    step, calls = torch.optim.AdamW.step, []

    def interrupted(optimizer, closure=None):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(optimizer, closure)

    monkeypatch.setattr(_checkpoint, "_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.warns(RuntimeWarning, match="Out of memory"), pytest.raises(KeyboardInterrupt):
            model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    # It does not have to find out again how much memory there is, so it does not warn.
    assert_equal(model(tiny(), checkpoint=tmp_path).fit(TEXTS), expected)


KILLED = """
import os, signal, sys, warnings
import torch
from skbert.pretraining import _checkpoint
from skbert.saving import _folder
from tests.helpers.masked import TEXTS
from tests.pretraining.test_checkpoint import model

warnings.simplefilter("ignore")
torch.set_num_threads(int(sys.argv[5]))
folder, checkpoint, where, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
_checkpoint._SECONDS = 0
owner, name = {"step": (torch.optim.AdamW, "step"), "write": (_folder.os, "replace")}[where]
function, calls = getattr(owner, name), []

def killing(*args, **kwargs):
    calls.append(1)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **kwargs)

setattr(owner, name, killing)
model(folder, checkpoint=checkpoint, mask_weights="loss").fit(TEXTS)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
@pytest.mark.parametrize(
    ("where", "number", "n_done"), [("step", 1, 0), ("step", 6, 5), ("write", 1, 0), ("write", 4, 3)]
)
def test_fit__killed__goes_on_from_the_last_checkpoint(tiny, tmp_path, stop, where, number, n_done):
    arguments = [tiny(), tmp_path, where, number, torch.get_num_threads()]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", KILLED, *map(str, arguments)]
    assert subprocess.run(command, cwd=root, env=environment, check=False).returncode == -signal.SIGKILL
    seen = stop()
    found = model(tiny(), checkpoint=tmp_path, mask_weights="loss").fit(TEXTS)
    assert seen["training"] == STEPS - n_done
    assert_equal(found, model(tiny(), mask_weights="loss").fit(TEXTS))


def test_fit__verbose__shows_the_steps_that_were_done(tiny, tmp_path, stop, capsys):
    stop(4)
    with pytest.raises(KeyboardInterrupt):
        model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    stop()
    model(tiny(), checkpoint=tmp_path, verbose=1).fit(TEXTS)
    shown = capsys.readouterr().err
    assert f"3/{STEPS}" in shown
    assert f"0/{STEPS}" not in shown


# ---------------------------------------------------------------- which run is which


def test_fit__finished_run__is_read_and_not_trained_again(tiny, tmp_path, stop):
    first = model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    seen = stop()
    again = model(tiny(), checkpoint=tmp_path, verbose=1).fit(TEXTS)
    assert seen["training"] == 0
    assert_equal(again, first)
    assert again.history_ == first.history_
    # Only the model is left: nothing of the optimizer.
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    n_parameters = sum(p.numel() for p in first._fitted.module(torch.device("cpu")).parameters())
    assert size < 4 * n_parameters * 1.2 + 8192


def test_fit__diverged_run__stays_diverged(tiny, tmp_path, stop):
    settings = {"learning_rate": 1e30, "checkpoint": tmp_path}
    first = model(tiny(), **settings).fit(TEXTS)
    seen = stop()
    assert model(tiny(), **settings).fit(TEXTS).training_status_ == first.training_status_ == "diverged"
    assert seen["training"] == 0


@pytest.mark.parametrize(
    "other",
    [
        {"random_state": 1},
        {"mask_rate": 0.3},
        {"masking": "span"},
        {"mask_weights": "loss"},
        {"mask_weights": np.ones_like},
        {"max_steps": 9},
        {"learning_rate": 2e-3},
        {"drop_mask": True},
        {"head": "random"},
        SCRATCH,
        {"extra_texts": ["one more text"]},
    ],
    ids=lambda other: "-".join(other),
)
def test_fit__another_parameter__begins_anew_beside_the_old_run(tiny, tmp_path, stop, other):
    stop(4)
    with pytest.raises(KeyboardInterrupt):
        model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    seen = stop()
    parameters = {"random_state": 0, **other}
    expected = model(tiny()).set_params(**parameters).fit(TEXTS)
    assert_equal(model(tiny(), checkpoint=tmp_path).set_params(**parameters).fit(TEXTS), expected)
    # The old run is still there, three steps on.
    before = seen["training"]
    model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    assert seen["training"] - before == STEPS - 3


def test_fit__another_function_of_the_same_name__begins_anew(tiny, tmp_path):
    for power in (0.5, 0.5, 2.0):
        model(tiny(), checkpoint=tmp_path, mask_weights=lambda ids, power=power: ids**power).fit(TEXTS)
    assert n_runs(tmp_path) == 2


def n_runs(folder):
    return sum(path.is_dir() for path in folder.iterdir())


def test_fit__another_mask_token__begins_anew(tiny, tmp_path):
    first, other = str(tiny()), tmp_path / "other"
    shutil.copytree(first, other)
    tokenizer = AutoTokenizer.from_pretrained(first)
    tokenizer.mask_token = next(token for token in tokenizer.get_vocab() if token.isalpha())
    tokenizer.save_pretrained(other)
    for encoder in (first, str(other)):
        found = model(encoder, checkpoint=tmp_path / "runs").fit(TEXTS)
        assert_equal(found, model(encoder).fit(TEXTS))
    assert n_runs(tmp_path / "runs") == 2


def test_fit__other_texts__begin_anew(tiny, tmp_path):
    for texts in (TEXTS, TEXTS[:-1], TEXTS[::-1], TEXTS):
        model(tiny(), checkpoint=tmp_path, validation_fraction=0).fit(texts)
    model(tiny(), checkpoint=tmp_path, validation_fraction=0).fit(TEXTS, X_val=TEXTS[:3])
    assert n_runs(tmp_path) == 4


def test_grid_search__stopped__trains_only_what_is_missing(tiny, tmp_path, stop):
    mlm = model(tiny(), checkpoint=tmp_path, max_steps=3, validation_fraction=0.0)
    pipeline = make_pipeline(LayerPoolFeaturizer(mlm, device="cpu"), LogisticRegression())
    grid = {"layerpoolfeaturizer__model__mask_rate": [0.15, 0.4]}
    y = [0, 1] * (len(TEXTS) // 2)

    def search():
        clear_trained()  # as in another process
        return GridSearchCV(pipeline, grid, cv=3, error_score="raise", refit=False).fit(TEXTS, y).cv_results_

    stop(3 * 4 + 2)
    with pytest.raises(KeyboardInterrupt):
        search()
    seen = stop()
    found = search()
    assert seen["training"] == 3 * 6 - (3 * 4 + 1)
    assert n_runs(tmp_path) == 6
    mlm.set_params(checkpoint=None)
    assert found["mean_test_score"] == pytest.approx(search()["mean_test_score"], abs=0)


def test_fit__same_run_at_the_same_time__is_trained_once(tiny, tmp_path, stop):
    seen = stop()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: model(tiny(), checkpoint=tmp_path).fit(TEXTS), range(2))
    assert seen["training"] == STEPS
    assert_equal(first, second)


# ---------------------------------------------------------------- what can go wrong


@pytest.mark.parametrize("damage", [lambda content: content[:-7], lambda content: b"", lambda content: content[::-1]])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_fit__damaged_checkpoint__says_which_folder_to_remove(tiny, tmp_path, stop, damage, suffix):
    stop(4)
    with pytest.raises(KeyboardInterrupt):
        model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for path in folder.glob(f"*{suffix}"):
        path.write_bytes(damage(path.read_bytes()))
    stop()
    with pytest.raises(SavedEstimatorError, match=f"checkpoint in {folder} cannot be read.* Remove that folder"):
        model(tiny(), checkpoint=tmp_path).fit(TEXTS)


@pytest.mark.parametrize("error", [OSError("No space left on device"), PermissionError("denied")])
def test_fit__folder_that_cannot_be_written__does_not_stop_the_training(tiny, tmp_path, monkeypatch, every_step, error):
    def full(*args):
        raise error

    monkeypatch.setattr(_checkpoint, "write_folder", full)
    with pytest.warns(UserWarning, match=f"No checkpoint could be written to .*{error.args[0]}.* not affected"):
        found = model(tiny(), checkpoint=tmp_path).fit(TEXTS)
    assert_equal(found, model(tiny()).fit(TEXTS))


@pytest.mark.parametrize("value", [3, True, ["folder"], ""])
def test_fit__checkpoint_that_is_no_path__is_refused(tiny, value):
    with pytest.raises(ValueError, match="checkpoint must be None or the path of a folder, got"):
        model(tiny(), checkpoint=value).fit(TEXTS)


def test_fit__without_a_seed__is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint needs a seed.* Set random_state=0\."):
        model(tiny(), checkpoint=tmp_path).set_params(random_state=None).fit(TEXTS)


def test_fit__generator_as_a_seed__goes_on(tiny, tmp_path, stop):
    expected = model(tiny()).set_params(random_state=np.random.RandomState(5)).fit(TEXTS)
    stop(4)
    with pytest.raises(KeyboardInterrupt):
        model(tiny(), checkpoint=tmp_path).set_params(random_state=np.random.RandomState(5)).fit(TEXTS)
    seen = stop()
    found = model(tiny(), checkpoint=tmp_path).set_params(random_state=np.random.RandomState(5)).fit(TEXTS)
    assert_equal(found, expected)
    assert seen["training"] == STEPS - 3


def test_fit__file_in_the_way__is_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    for path in ("file", "file/below"):
        with pytest.raises(NotADirectoryError, match=r"Cannot keep checkpoints in .*: there is a file in this path"):
            model(tiny(), checkpoint=tmp_path / path).fit(TEXTS)


def test_save__model_with_a_checkpoint__keeps_the_path(tiny, tmp_path):
    mlm = model(tiny(), checkpoint=tmp_path / "runs").fit(TEXTS)
    mlm.save(tmp_path / "model")
    assert MaskedLanguageModel.load(tmp_path / "model").checkpoint == str(tmp_path / "runs")
