"""What the tests of the command share: running it, and estimators that it fitted once."""

import sys

import numpy as np
import pandas as pd
import pytest

from skbert.cli import _commands as cli

QUICK = ["--set", "max_epochs=10", "--set", "batch_size=8", "--set", "learning_rate=5e-3", "--set", "layer_decay=1.0"]
QUICK += ["--set", "device=cpu"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command; gives its exit status, its output and its errors."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["skbert", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, *capsys.readouterr()

    return command


@pytest.fixture
def table(tmp_path, texts, labels):
    """Texts and labels as a CSV file."""
    path = tmp_path / "train.csv"
    pd.DataFrame({"text": texts, "label": labels, "score": np.arange(24) % 5}).to_csv(path, index=False)
    return path


@pytest.fixture
def saved(run, table, tmp_path, tiny):
    """The folder of an estimator that the command fitted."""
    folder = tmp_path / "model"
    status, out, _ = run("fit", table, "--output", folder, "--model", tiny(), "--reading", "maxcls", *QUICK)
    assert status == 0
    assert "24 texts, 10 epochs" in out
    return folder
