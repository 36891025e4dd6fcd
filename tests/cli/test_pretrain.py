"""``skbert pretrain``: texts go in, a folder comes out that every other command takes as its model."""

import pytest
from transformers import AutoModelForMaskedLM

from skbert import MaskedLanguageModel
from skbert.pretraining._net import MaskedNet

QUICK = ["--steps", "3", "--set", "device=cpu", "--set", "batch_size=8"]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_pretrain__lines_of_a_text_file__is_the_fit_of_the_estimator(run, tmp_path, tiny, texts):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(texts) + "\n  \n", encoding="utf-8")
    folder = tmp_path / "adapted"
    status, out, _ = run("pretrain", path, "--model", tiny(), "--output", folder, "--seed", 4, *QUICK)
    assert status == 0
    assert "3 steps on 24 texts" in out
    assert "of the unigram model" in out
    mlm = MaskedLanguageModel(tiny(), max_steps=3, batch_size=8, random_state=4, device="cpu").fit(texts)
    mlm.to_transformers(tmp_path / "expected")
    expected = dict(AutoModelForMaskedLM.from_pretrained(tmp_path / "expected").named_parameters())
    for name, parameter in AutoModelForMaskedLM.from_pretrained(folder).named_parameters():
        assert (parameter == expected[name]).all()


def test_pretrain__column_of_a_table__can_be_fine_tuned(run, table, tmp_path, tiny):
    folder = tmp_path / "adapted"
    status, _, _ = run("pretrain", table, "--model", tiny(), "--output", folder, *QUICK)
    assert status == 0
    quick = ["--set", "max_epochs=1", "--set", "device=cpu"]
    status, out, _ = run("fit", table, "--output", tmp_path / "model", "--model", folder, "--reading", "maxcls", *quick)
    assert status == 0
    assert "24 texts" in out


def test_pretrain__from_scratch__by_set(run, table, tmp_path):
    sizes = "architecture={'n_layers': 1, 'width': 16, 'n_heads': 2, 'mixers': ['pooling']}"
    folder = tmp_path / "scratch"
    status, _, _ = run("pretrain", table, "--output", folder, *QUICK, "--set", sizes, "--set", "vocabulary=150")
    assert status == 0
    assert AutoModelForMaskedLM.from_pretrained(folder).config.mixers == ["pooling"]


def test_pretrain__stopped__goes_on_by_the_same_command(run, table, tmp_path, tiny, monkeypatch):
    losses, calls = MaskedNet.losses, []

    def counted(net, *batch):
        if net.training:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
        return losses(net, *batch)

    monkeypatch.setattr(MaskedNet, "losses", counted)
    command = ["pretrain", table, "--model", tiny(), "--checkpoint", tmp_path / "runs", *QUICK]
    status, _, _ = run(*command, "--output", tmp_path / "first")
    assert status == 130
    assert not (tmp_path / "first").exists()
    status, out, _ = run(*command, "--output", tmp_path / "second")
    assert status == 0
    assert "3 steps on 24 texts" in out
    # Two steps before the stop, the one that was stopped, and again that one.
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("\n \n", [], "all lines are blank"),
        (None, [], "There is no file"),
        ("a text\n", ["--set", "mask=0.3"], "MaskedLanguageModel has no parameter 'mask'"),
        ("a text\n", ["--set", "mask_rate=2"], "mask_rate must be a float"),
        ("a text\n", ["--model", "./nowhere"], "There is no folder"),
    ],
)
def test_pretrain__wrong_input__is_named_in_one_line(run, tmp_path, content, options, message):
    path = tmp_path / "texts.txt"
    if content is not None:
        path.write_text(content)
    status, _, err = run("pretrain", path, "--output", tmp_path / "out", *QUICK, *options)
    assert status == 1
    assert message in err
    assert "Traceback" not in err
