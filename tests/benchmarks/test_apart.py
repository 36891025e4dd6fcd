"""Candidates run in turns, each in a process of its own."""

import os
import time
from functools import partial

import pytest

from benchmarks._apart import Apart


def note(folder, name, seconds):
    """Write to a common file which candidate runs, in which process."""
    time.sleep(seconds)
    with open(folder / "runs.txt", "a") as file:
        file.write(f"{name} {os.getpid()}\n")
    return name.upper()


def make(folder, name, seconds):
    return partial(note, folder, name, seconds)


def fail():
    raise ValueError("no such model")


def test_apart__rounds__in_turns_in_one_process_each(tmp_path):
    with Apart({"a": partial(make, tmp_path, "a", 0.0), "b": partial(make, tmp_path, "b", 0.2)}) as candidates:
        seconds = candidates.alternate(2)
        assert (candidates.result("a"), candidates.result("b")) == ("A", "B")
    names, processes = zip(*(line.split() for line in (tmp_path / "runs.txt").read_text().splitlines()), strict=True)
    # The first round is not counted.
    assert "".join(names) == "ababab"
    assert {name: len(rounds) for name, rounds in seconds.items()} == {"a": 2, "b": 2}
    assert min(seconds["b"]) >= 0.2
    assert processes[0] == processes[2] == processes[4] != processes[1] == processes[3]
    assert str(os.getpid()) not in processes


def test_apart__a_candidate_that_fails__is_named(capfd):
    with pytest.raises(RuntimeError, match=r"The process of 'bad' has failed \(exit code 1\)"), Apart({"bad": fail}):
        pass
    assert "no such model" in capfd.readouterr().err
