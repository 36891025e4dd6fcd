"""The benchmark of landscapes: from a folder of texts to its tables, on very few texts."""

import json

import pytest

from benchmarks import landscapes


@pytest.fixture
def options(tmp_path):
    """Options for one small set of two classes."""
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    rows = [("red lamp", "a"), ("my parcel is late", "b")]
    for part, n in (("train", 16), ("test", 6)):
        lines = [f"{text} {part} {number}\t{label}" for number in range(n // 2) for text, label in rows]
        (folder / f"{part}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")
    arguments = ["--data", str(tmp_path / "data"), "--sets", "toy", "--size", "4", "--points", "3", "--texts", "6"]
    arguments += ["--epochs", "2", "--seeds", "3", "--output", str(tmp_path / "runs.jsonl")]
    return landscapes.parse([*arguments, "--figures", str(tmp_path)])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore:.* runs failed:RuntimeWarning")
def test_landscapes__are_computed_once_and_shown_as_tables(options, tmp_path, monkeypatch):
    # One landscape is enough here, and the small sets of a test have no time for twenty seeds.
    monkeypatch.setattr(landscapes, "STARTS", {"pretrained": {}})
    monkeypatch.setattr(landscapes, "FLATNESS", {"distance": landscapes.distance_score})
    store = landscapes.RunFile(options.output)
    landscapes.run_all(options, store)
    runs = [json.loads(line) for line in options.output.read_text(encoding="utf-8").splitlines()]
    assert [run["part"] for run in runs] == ["pretrained", "flatness"]
    assert (tmp_path / "landscape_toy_pretrained_surface.png").read_bytes().startswith(b"\x89PNG")
    table = landscapes.landscape_table(runs)
    assert f"{runs[0]['train_loss'][0]:.2f} → {runs[0]['train_loss'][1]:.2f}" in table
    assert f"{runs[0]['rollback'][1]:.2f}" in landscapes.rollback_table(runs)
    assert "**toy**, 3 runs" in landscapes.flatness_list(runs)
    before = options.output.read_bytes()
    landscapes.run_all(options, landscapes.RunFile(options.output))
    assert options.output.read_bytes() == before


def test_options__without_data_are_refused_except_for_the_summary(capsys):
    with pytest.raises(SystemExit):
        landscapes.parse([])
    assert "--data is required" in capsys.readouterr().err
    assert landscapes.parse(["--summary"]).summary
