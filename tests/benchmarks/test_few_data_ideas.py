"""The table of ideas, on a small encoder."""

import numpy as np
import pytest

from benchmarks import few_data_ideas
from skbert import recipes


@pytest.fixture
def data(tmp_path):
    """A set of two classes, as the benchmark reads it."""
    (tmp_path / "words").mkdir()
    for part, count in (("train", 60), ("test", 20)):
        lines = [f"{('parcel', 'money')[k % 2]} {k} {part}\t{k % 2}" for k in range(count)]
        (tmp_path / "words" / f"{part}.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    return tmp_path


def test_every_idea__runs_and_stands_in_the_table(tiny, data, monkeypatch, capsys):
    folder, get = tiny(), recipes.get

    def quick(name, n_layers):
        found = get(name, n_layers=4)
        steps = min(2, found["contrastive_steps"]) if isinstance(found["contrastive_steps"], int) else 2
        return {**found, "contrastive_steps": steps, "max_epochs": min(2, found["max_epochs"])}

    monkeypatch.setattr(recipes, "get", quick)
    classifier = few_data_ideas.MaxPoolBERTClassifier
    monkeypatch.setattr(few_data_ideas, "MaxPoolBERTClassifier", lambda _, **more: classifier(folder, **more))
    arguments = ["--data", str(data), "--sets", "words", "--draws", "1", "--output", str(data / "ideas.jsonl")]
    few_data_ideas.main(arguments)
    printed = capsys.readouterr().out
    assert all(f"| {idea} | " in printed for idea in few_data_ideas.IDEAS)
    few_data_ideas.main(arguments)
    assert "CPU seconds" not in capsys.readouterr().out  # every run was kept


def test_markdown__pairs_draws_and_sets():
    scores = {"few_data": (0.5, 0.6, 0.7, 0.8), "other": (0.6, 0.6, 0.9, 0.7)}
    places = (("a", 0), ("a", 1), ("b", 0), ("b", 1))
    runs = [
        {"idea": idea, "set": name, "draw": number, "accuracy": score, "cpu_seconds": 2.0}
        for idea, values in scores.items()
        for (name, number), score in zip(places, values, strict=True)
    ]
    assert few_data_ideas.markdown(runs).splitlines()[-2:] == [
        "| few_data | 55.0 | 75.0 | +0.0 |  | 2.0 |",
        "| other | 60.0 | 80.0 | +5.0 | 2 of 4 | 2.0 |",
    ]


def test_averaged_weights__are_the_mean_of_the_last_epochs(tiny, texts, labels, quick):
    averaged = few_data_ideas.AveragedWeights(n_epochs=2)
    clf = few_data_ideas.MaxPoolBERTClassifier(tiny(), **quick, callbacks=[averaged]).fit(texts, labels)
    first, second = (state["head.classifier.weight"] for state in averaged._states)
    np.testing.assert_allclose(clf._fitted.tensors()["head.classifier.weight"], (first + second) / 2, atol=1e-6)
