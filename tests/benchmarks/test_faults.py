"""The command that counts faults: short runs of it, and that it would see a fault."""

import numpy as np
import pytest

from benchmarks import _bad_input, _damage, faults


def test_input__sixty_kinds_are_refused_as_wanted(minilm, tmp_path, capsys):
    kinds = [*_bad_input.TEXTS, *_bad_input.LABELS, *_bad_input.NUMBERS, *_bad_input.FILES]
    assert len(set(kinds)) == len(kinds) >= 60
    assert faults.main(["--only", "input", "--report", str(tmp_path / "faults.md")]) == 0
    report = (tmp_path / "faults.md").read_text(encoding="utf-8")
    assert report == capsys.readouterr().out
    assert "Nothing was wrong." in report
    assert "| all | 64 | 22 | 492 | 492 | 0 |" in report


def test_input__what_is_not_refused_or_not_so__is_counted(monkeypatch, minilm, tmp_path):
    kinds = {"good": (["a"] * 6, ValueError, []), "other words": (None, TypeError, ["row 7"]), "type": (7, OSError, [])}
    monkeypatch.setattr(_bad_input, "TEXTS", kinds)
    monkeypatch.setattr(_bad_input, "_text_entries", lambda: {"entry": lambda X: None if X is None else [X[0]]})
    monkeypatch.setattr(_bad_input, "FILES", {})
    counts, wrong = _bad_input.count_bad_input(tmp_path, lambda text: None)
    assert counts["texts"]["wrong"] == 3
    assert wrong[0] == "entry, good: was not refused"
    assert "entry, type: TypeError in place of OSError" in wrong[2]


def test_damage__is_never_a_wrong_result(minilm, tmp_path):
    counts, wrong = _damage.count_damage(tmp_path, 12, np.random.default_rng(1), lambda text: None)
    assert wrong == []
    assert {kind: sum(count.values()) for kind, count in counts.items()} == dict.fromkeys(counts, 4)
    assert counts["feature store"]["right"] == 4
    assert counts["saved estimator"]["error"] == 4


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda: np.arange(3), "right"),
        (lambda: np.arange(4), "wrong: another result"),
        (lambda: {}["key"], "wrong: KeyError"),
    ],
)
def test_damage__outcomes_are_told_apart(tmp_path, read, outcome):
    assert _damage._outcome(read, np.arange(3), tmp_path, np.array_equal).startswith(outcome)
