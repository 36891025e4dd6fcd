"""Masking strategies: the tables on runs made up by hand, and small runs of every strategy."""

import sys

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import pretraining_strategies as benchmark
from benchmarks._runs import RunFile
from benchmarks._tensor_memory import peak_bytes
from benchmarks.pretraining_strategies import REFERENCE, START, help_table, interval, loss_table

SIZE = {"steps": 100, "batch": 24, "n_texts": 2000, "held_out": 300, "precision": "fp32"}


def run(strategy, seed, loss, part="adapt", **more):
    costs = {"cpu_seconds": 30.0, "step_seconds": 0.25}
    return {
        "part": part,
        "set": "subj",
        "strategy": strategy,
        "seed": seed,
        **SIZE,
        **costs,
        "loss": loss,
        **more,
    }


def start(seed, loss, unigram):
    found = {"part": "adapt", "set": "subj", "strategy": START, "seed": seed}
    return {**found, **SIZE, "loss": loss, "unigram": unigram}


def test_interval__is_that_of_the_paired_t_test():
    differences = [0.1, 0.3, 0.2, 0.4]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    assert interval(differences) == f"{np.mean(differences):+.3f} ± {(high - low) / 2:.3f}"
    assert interval([0.25]) == "+0.250"


def test_loss_table__runs_of_another_size__are_never_compared():
    runs = [run(REFERENCE, 0, 5.0), run("DropMask", 0, 4.0)]
    others = [one | {"batch": 48, "loss": one["loss"] + number} for number, one in enumerate(runs)]
    rows = loss_table(runs + others, "adapt").splitlines()[2:]
    assert [row.split(" | ")[5] for row in rows if "DropMask" in row] == ["-1.000", "+0.000"]


def test_loss_table__differences__are_those_of_equal_seeds():
    runs = [
        start(0, 11.0, 7.0),
        start(1, 12.0, 7.5),
        run(REFERENCE, 0, 5.0),
        run(REFERENCE, 1, 6.0),
        run("DropMask", 0, 5.5, loss_seen=8.0),
        run("DropMask", 1, 6.5, loss_seen=8.5),
        run("DropMask", 2, 9, loss_seen=9.0),
    ]
    rows = loss_table(runs, "adapt").splitlines()[2:]
    half = stats.t.ppf(0.975, 1) * np.std([3.0, 2.5], ddof=1) / np.sqrt(2)
    assert rows == [
        "| subj | 100 | not trained | 2 | 11.500 | | | |",
        "| subj | 100 | unigram model | 2 | 7.250 | | | |",
        "| subj | 100 | token, 15 % | 2 | 5.500 |  | 30.0 |  |",
        # The third seed has no reference, so it is left out of all columns.
        "| subj | 100 | DropMask | 2 | 6.000 | +0.500 ± 0.000 | 30.0 |  |",
        f"| subj | 100 | DropMask, masks seen | 2 | 8.250 | +2.750 ± {half:.3f} | | |",
    ]
    assert "subj" not in loss_table(runs, "scratch")


def test_loss_table__from_scratch__has_the_peak_of_memory():
    peak = {"part": "memory", "set": "wikipedia_en", "strategy": REFERENCE, "bytes": 41_250_000}
    runs = [run(REFERENCE, 0, 5.0, part="scratch"), run("spans", 0, 5.0, part="scratch"), peak]
    rows = loss_table(runs, "scratch").splitlines()[2:]
    assert [row.split("|")[-2].strip() for row in rows] == ["41.2", ""]


def test_help_table__draws_of_a_seed__are_one_unit():
    runs = []
    for seed, gain in enumerate((1.0, 3.0)):
        for state, shift in (("before", 0.0), ("after", gain)):
            scores = {"frozen": [50 + shift, 60 + shift], "tuned": [70 + shift]}
            runs.append({"part": "help", "set": "subj", "state": state, "seed": seed, **scores})
    half = stats.t.ppf(0.975, 1) * np.std([1, 3], ddof=1) / np.sqrt(2)
    assert f"| subj | frozen | 4 | 55.0 | 57.0 | +2.000 ± {half:.3f} |" in help_table(runs)
    assert "| subj | tuned | 2 | 70.0 | 72.0 |" in help_table(runs)


def test_help_table__before_without_after__is_left_out():
    runs = [{"part": "help", "set": "subj", "state": "before", "seed": 0, "frozen": [50.0], "tuned": [60.0]}]
    assert "subj" not in help_table(runs)


@pytest.mark.parametrize("part", ["adapt", "scratch"])
def test_loss_table__without_runs__is_a_header(part):
    assert len(loss_table([], part).splitlines()) == 2


def test_peak_bytes__is_the_largest_sum_of_living_tensors():
    def work():
        first, second = torch.zeros(1000), torch.zeros(500)
        del first
        return second + torch.zeros(250).sum()

    assert 4 * 1500 <= peak_bytes(work) <= 4 * 1500 + 256


@pytest.fixture
def data(tmp_path):
    """A corpus and a set, as the benchmark reads them."""
    words = "one two three red green blue lamp parcel late money".split()
    generator = np.random.default_rng(0)
    for name in ("wikipedia_en", "words"):
        (tmp_path / name).mkdir()
    for part, count in (("train", 200), ("validation", 30)):
        lines = [" ".join(generator.choice(words, 20)) for _ in range(count)]
        (tmp_path / "wikipedia_en" / f"{part}.txt").write_text("A heading\n" + "\n".join(lines) + "\n")
    for part, count in (("train", 40), ("test", 10)):
        lines = [f"{' '.join(generator.choice(words, 8))} {part}\t{k % 2}" for k in range(count)]
        (tmp_path / "words" / f"{part}.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n")
    return tmp_path


def test_pieces__are_words_of_texts_in_equal_numbers(data):
    pieces = benchmark._pieces(data / "wikipedia_en" / "train.txt")
    words = " ".join((data / "wikipedia_en" / "train.txt").read_text().splitlines()[1:]).split()
    assert {len(piece.split()) for piece in pieces} == {benchmark._PIECE}
    assert " ".join(pieces).split() == words[: len(pieces) * benchmark._PIECE]
    assert len(words) - len(pieces) * benchmark._PIECE < benchmark._PIECE


def test_every_strategy__runs_and_stands_in_the_tables(tiny, data, monkeypatch, capsys):
    folder, model = tiny(), benchmark.MaskedLanguageModel
    monkeypatch.setattr(
        benchmark,
        "MaskedLanguageModel",
        lambda name="no", **more: model(folder if name == "minilm" else name, device="cpu", **more),
    )
    monkeypatch.setattr(benchmark, "_SCRATCH", {**benchmark._SCRATCH, "vocabulary": 150, "batch_size": 8})
    monkeypatch.setattr(benchmark, "_SIZES", {"n_layers": 3, "width": 16, "n_heads": 2})
    sizes = ["--seeds", "1", "--steps", "2", "--texts", "40", "--held-out", "10", "--batch", "8", "--sets", "words"]
    parts = [word for part in ("adapt", "scratch", "memory") for word in ("--part", part)]
    command = ["pretraining_strategies", "--data", data, "--output", data / "out", *parts, *sizes]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    benchmark.main()
    first, table = capsys.readouterr().out, (data / "out" / "pretraining.jsonl").read_text()
    for name in (START, *benchmark.STRATEGIES, *benchmark._OTHERS):
        assert f"| wikipedia_en | 2 | {name} | 1 |" in first
    for name in (START, *benchmark.STRATEGIES):
        assert f"| words | 2 | {name} | 1 |" in first
    assert first.count("DropMask, masks seen") == 2
    runs = RunFile(data / "out" / "pretraining.jsonl").runs
    assert {run["strategy"] for run in runs if run["part"] == "memory"} == {*benchmark.STRATEGIES, *benchmark._OTHERS}
    assert all(run["bytes"] > 1e5 for run in runs if run["part"] == "memory")
    # Nothing is done twice.
    benchmark.main()
    assert capsys.readouterr().out == first
    assert (data / "out" / "pretraining.jsonl").read_text() == table
