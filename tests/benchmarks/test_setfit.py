"""SetFit in a process of its own: what goes to it and comes back. A small script stands for SetFit itself."""

import ast
import json
import sys

import numpy as np
import pytest

from benchmarks import _setfit
from benchmarks._setfit import SetFit


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Call with the body of the loop over requests; it is run in place of the real worker."""

    def write(body):
        path = tmp_path / "worker.py"
        path.write_text(f"import json, os, sys\nfor line in sys.stdin:\n    request = json.loads(line)\n    {body}\n")
        monkeypatch.setattr(_setfit, "WORKER", path)

    return write


def test_predict__labels_come_back_as_they_were_and_one_process_serves_all_runs(worker, tmp_path):
    worker(
        "print(json.dumps({'predicted': request['labels'][::-1], 'cpu_seconds': 1.5, 'request': request, "
        f"'id': os.getpid()}}), file=open({str(tmp_path / 'log')!r}, 'a'))\n"
        "    print(json.dumps({'predicted': request['labels'][::-1], 'cpu_seconds': 1.5}), flush=True)"
    )
    labels = np.array(["no", "yes", "yes"])
    with SetFit(sys.executable, threads=2) as setfit:
        for iterations in (None, 20):
            pairs = [("a", "b"), ("c", "d"), ("é", "f")]
            predicted, seconds = setfit.predict("folder", pairs, labels, ["e"], seed=7, iterations=iterations)
            assert predicted.tolist() == ["yes", "yes", "no"]
            assert seconds == 1.5
    first, second = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    assert first["id"] == second["id"]
    assert first["request"] == {
        "model": "folder", "texts": [["a", "b"], ["c", "d"], ["é", "f"]], "labels": [0, 1, 1], "test_texts": ["e"],
        "seed": 7, "iterations": None, "threads": 2, "device": "cpu",
    }  # fmt: skip
    assert second["request"]["iterations"] == 20


def test_predict__a_process_that_fails_is_an_error_with_its_words(worker):
    worker("raise ValueError('no such model')")
    with pytest.raises(RuntimeError, match="no such model"), SetFit(sys.executable, threads=1) as setfit:
        setfit.predict("folder", ["a", "b"], np.array([0, 1]), ["c"], seed=0)


def test_worker__imports_nothing_of_ours():
    tree = ast.parse(_setfit.WORKER.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} & {"skbert", "benchmarks", "tests"} == set()
