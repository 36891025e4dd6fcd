"""The benchmark on few data: fair draws, nothing lost or done twice, and a table that adds up."""

import json
import sys

import numpy as np
import pytest

from benchmarks import few_data
from benchmarks._few_data_methods import READINGS, missing, parameters_of
from benchmarks._few_data_table import markdown
from benchmarks._runs import RunFile, pack, unpack
from benchmarks._sets import draw, largest_size, load_set
from skbert import MaxPoolBERTClassifier


@pytest.fixture
def data(tmp_path):
    """A folder with a set of single texts and a set of pairs, three classes each."""
    topics = {"order": "parcel late", "refund": "money back", "login": "code app"}
    for name in ("single", "pairs"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for part, numbers in (("train", range(12)), ("validation", range(10, 20))):
            lines = ["text\tlabel" if name == "single" else "text_a\ttext_b\tlabel"]
            for label, topic in topics.items():
                texts = (f'"{topic} {number}' + ("" if name == "single" else "\tit is") for number in numbers)
                lines += [f"{text}\t{label}" for text in texts]
            (folder / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "data"


def test_load_set__evaluation_texts_are_not_in_the_pool(data):
    for name, first in (("single", '"parcel late 0'), ("pairs", ('"parcel late 0', "it is"))):
        text_set = load_set(data, name)
        assert text_set.pool_texts[0] == first
        assert len(text_set.pool_texts) == 30
        assert not set(text_set.pool_texts) & set(text_set.test_texts)
    assert len(load_set(data, "single", n_test=7).test_texts) == 7


def test_draw__is_balanced_nested_and_reproducible(data):
    text_set = load_set(data, "single")
    small, large = draw(text_set, 3, 0), draw(text_set, 6, 0)
    for rows, size in ((small, 3), (large, 6)):
        assert len(set(rows)) == len(rows)
        assert np.unique(text_set.pool_labels[rows], return_counts=True)[1].tolist() == [size] * 3
    assert set(small) < set(large)
    np.testing.assert_array_equal(small, draw(text_set, 3, 0))
    assert set(small) != set(draw(text_set, 3, 1))
    with pytest.raises(ValueError, match="fewer than 11"):
        draw(text_set, 11, 0)
    assert largest_size(text_set) == 10


def test_run_file__a_torn_last_line_is_cut_off_and_the_rest_kept(tmp_path):
    path = tmp_path / "new" / "runs.jsonl"
    store = RunFile(path)
    store.append({"set": "mr", "seed": 0})
    store.append({"set": "mr", "seed": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"set": "mr", "se')
    again = RunFile(path)
    assert again.runs == store.runs
    assert again.has({"set": "mr", "seed": 1})
    assert not again.has({"set": "mr", "seed": 2})
    again.append({"set": "mr", "seed": 2})
    assert [run["seed"] for run in RunFile(path).runs] == [0, 1, 2]
    path.write_bytes(b"{nonsense\n" + whole)
    with pytest.raises(ValueError, match=r"line 1 of .*runs\.jsonl is not JSON"):
        RunFile(path)


def test_main__starts_at_the_first_draw_asked_for(data, tiny, tmp_path):
    output = tmp_path / "runs.jsonl"
    arguments = ["--data", str(data), "--sets", "single", "--sizes", "2", "--methods", "a", "--model", tiny()]
    arguments += ["--device", "cpu", "--output", str(output), "--draws"]
    few_data.main([*arguments, "3"])
    few_data.main([*arguments, "2", "--first-draw", "2"])
    runs = [json.loads(line) for line in output.read_text().splitlines()]
    assert [run["draw"] for run in runs] == [0, 1, 2, 3]


def test_main__goes_on_where_it_stopped(data, tiny, tmp_path, capsys, monkeypatch):
    output = tmp_path / "runs.jsonl"
    arguments = ["--data", str(data), "--sets", "single", "pairs", "--sizes", "2", "11", "--draws", "2", "--seeds", "2"]
    arguments += [
        "--methods",
        "a",
        "b",
        "c",
        "e",
        "maxpool:zhang2021_llrd:learning_rate=1e-3",
        "maxpool:no_such_recipe",
        "setfit:20",
    ]
    arguments += ["--max-epochs", "1", "--model", tiny(), "--device", "cpu", "--output", str(output)]
    predict, n_done = few_data.predict, 0

    def interrupted(*arguments):
        nonlocal n_done
        n_done += 1
        if n_done > 5:
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(few_data, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        few_data.main(arguments)
    assert len(output.read_text().splitlines()) == 5
    monkeypatch.setattr(few_data, "predict", predict)
    few_data.main(arguments)
    runs = [json.loads(line) for line in output.read_text().splitlines()]
    # Two sets, two draws; two seeds where there is randomness; the recipe that does not exist is left out.
    assert len(runs) == 2 * 2 * (1 + 1 + 2 + 2 + 2)
    assert len({(r["set"], r["draw"], r["seed"], r["method"]) for r in runs}) == len(runs)
    printed = capsys.readouterr().out
    assert "27 runs to do, 5 in" in printed
    assert "maxpool:no_such_recipe is left out" in printed
    assert "maxpool:few_data is left out" not in printed
    assert "setfit:20 is left out: it needs --setfit-python" in printed
    assert "pairs is left out at 11: its rarest class has 10 texts" in printed
    for run in runs:
        assert unpack(run["right"], run["n_rows"]).mean() == pytest.approx(run["accuracy"])
        assert run["cpu_seconds"] >= 0
        assert run["threads"] == 1
    few_data.main(arguments)
    assert "0 runs to do" in capsys.readouterr().out
    learning_rates = {json.loads(run["parameters"]).get("learning_rate") for run in runs}
    assert learning_rates == {None, 2e-5, 1e-3}


def test_markdown__means_spreads_and_paired_differences_add_up():
    def run(method, number, seed, accuracy, status="converged"):
        return {
            "set": "mr", "size": 8, "method": method, "draw": number, "seed": seed, "accuracy": accuracy,
            "status": status, "model": "m", "device": "cpu", "test_rows": 10, "max_epochs": None, "parameters": "{}",
        }  # fmt: skip

    runs = [run("base", 0, 0, 0.5), run("base", 0, 1, 0.7, "constant"), run("base", 1, 0, 0.8), run("base", 1, 1, 0.8)]
    runs += [run("ours", 0, 0, 0.7), run("ours", 1, 0, 0.7), run("ours", 2, 0, 0.1, "diverged")]
    table = markdown(runs, "base")
    scores, differences = np.array([0.5, 0.7, 0.8, 0.8]), np.array([0.7 - 0.6, 0.7 - 0.8])
    assert f"| base | {scores.mean():.3f} | {scores.std(ddof=1):.3f} | 0.500 | 1/4 | - |" in table
    assert f"| 0.100 | 1/3 | {differences.mean():+.3f} ± {differences.std(ddof=1):.3f} (2) |" in table
    overview = "| mr (accuracy) | 8 | **{:.3f}** ± {:.3f} | 0.500 ± 0.346 |"
    assert overview.format(scores.mean(), scores.std(ddof=1)) in table
    # Runs that say their number of threads are apart from those of earlier versions, which do not.
    both = markdown([*runs, {**run("base", 0, 0, 0.4), "threads": 1}], "base")
    assert "m on cpu, at most 10 evaluation rows, 1 thread\n" in both
    assert both.count(f"| base | {scores.mean():.3f} |") == both.count("| base | 0.400 |") == 1
    # A recipe that changed: its old runs no longer count.
    changed = {**run("ours", 0, 0, 0.9), "parameters": '{"max_epochs": 1}'}
    assert "| ours | 0.900 | - | 0.900 | 0/1 | +0.300 (1) |" in markdown([*runs, changed], "base")


def test_markdown__contrasts_average_the_sizes_of_a_draw():
    def run(method, number, size, accuracy):
        return {
            "set": "mr", "size": size, "method": method, "draw": number, "seed": 0, "accuracy": accuracy,
            "status": None, "model": "m", "device": "cpu", "test_rows": 10, "max_epochs": None, "parameters": "{}",
        }  # fmt: skip

    runs = [run("cls:few_data", number, size, 0.5) for number in (0, 1) for size in (8, 16)]
    gains = {(0, 8): 0.1, (0, 16): 0.3, (1, 8): -0.2, (1, 16): 0.1}
    runs += [run("maxpool:few_data", number, size, 0.5 + gain) for (number, size), gain in gains.items()]
    table = markdown(runs, "cls:few_data")
    # Draw 0 gains 0.2, draw 1 loses 0.05.
    assert "| difference, by set | maxpool:few_data minus cls:few_data |" in table
    assert "| mr | +0.075 (1 of 2 draws) |" in table
    assert "| 8 | -0.050 (1 of 2 draws) |" in table
    assert "| 16 | +0.200 (2 of 2 draws) |" in table


def test_parse__quick_is_smaller_and_gives_way_to_what_is_asked_for():
    full, quick = few_data.parse(["--data", "d"]), few_data.parse(["--data", "d", "--quick", "--seeds", "3"])
    assert set(quick.sets) < set(full.sets)
    assert set(quick.sizes) < set(full.sizes)
    assert quick.seeds == 3
    assert full.methods[:3] == ["tfidf", "features", "cls:devlin2019"]
    assert full.reference == "cls:devlin2019"
    assert (full.threads, full.setfit_python, full.compare) == (1, None, [])


def test_parse__compare_takes_letters_and_may_be_repeated(capsys):
    asked = few_data.parse(["--summary", "--compare", "e", "h", "i", "--compare", "mean:few_data", "b"])
    assert asked.compare == [["maxpool:few_data", "setfit", "setfit:20"], ["mean:few_data", "features"]]
    for wrong in (["e"], ["e", "maxpool:few_data"]):
        with pytest.raises(SystemExit):
            few_data.parse(["--summary", "--compare", *wrong])
        assert "at least one rival, all different" in capsys.readouterr().err


def test_parameters_of__a_name_says_reading_recipe_and_parameters(tiny):
    def of(method, *more):
        return parameters_of(method, few_data.parse(["--data", "d", "--model", tiny(), *more]))

    mean = of("mean3:few_data:learning_rate=2e-4,layers=(0, 1),token_pooling=max")
    assert mean["layer_pooling"] == "mean"
    assert (mean["learning_rate"], mean["layers"], mean["token_pooling"]) == (2e-4, (0, 1), "max")
    assert of("maxpool:defaults") == {}
    assert of("cls:defaults") == {"layers": 1, "token_pooling": "cls"}
    default = MaxPoolBERTClassifier().max_epochs
    assert of("maxpool:defaults", "--max-epochs", "2") == {"max_epochs": 2}
    assert of("maxpool:defaults", "--max-epochs", "999") == {"max_epochs": default}
    assert (of("setfit"), of("setfit:20"), of("tfidf")) == ({}, {"num_iterations": 20}, {})


def test_readings__are_parameters_of_the_classifier():
    for parameters in READINGS.values():
        assert parameters.items() <= MaxPoolBERTClassifier(**parameters).get_params().items()


def test_missing__gives_a_reason_for_what_cannot_run():
    options = few_data.parse(["--data", "d"])
    assert missing("mean:few_data", options) is None
    assert missing("mean:defaults:layers=2", options) is None
    assert "no recipe ''" in missing("mean", options)
    assert "no method 'median'" in missing("median:few_data", options)
    assert "--setfit-python" in missing("setfit", options)
    for python, method, reason in (
        (sys.executable, "setfit:many", "whole number"),
        ("/no/such/python", "setfit", "cannot be started"),
        (sys.executable, "setfit", "not installed"),
    ):
        assert reason in missing(method, few_data.parse(["--data", "d", "--setfit-python", python]))


@pytest.mark.parametrize("n_rows", [1, 4, 8, 277])
def test_unpack__gives_back_what_was_packed(n_rows):
    right = np.random.default_rng(n_rows).random(n_rows) < 0.6
    np.testing.assert_array_equal(unpack(pack(right), n_rows), right)
    assert len(pack(right)) == 2 * -(-n_rows // 8)
    # The first row is the highest bit, as in the binary number 0b10110000.
    assert pack([True, False, True, True]) == f"{0b10110000:x}"
