"""The ``skbert`` command on files: fit, predict, evaluate, features, probe and study."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, r2_score

from skbert import LayerPoolFeaturizer, MaxPoolBERTClassifier, MaxPoolBERTRegressor, recipes
from skbert.cli._files import read_table, write_table
from skbert.stability import _execution, read_runs
from tests.cli.conftest import QUICK

# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format__gives_the_same_features(run, tmp_path, tiny, kind):
    texts = ['"quoted" and not', "NA", "None", "007", "", "a, b; c", "日本語の文"]
    frame, source = pd.DataFrame({"body": texts}), tmp_path / f"texts.{kind}"
    if kind == "csv":
        frame.to_csv(source, index=False)
    elif kind == "tsv":
        source.write_text("body\n" + "\n".join(texts) + "\n", encoding="utf-8")
    elif kind == "jsonl":
        frame.to_json(source, orient="records", lines=True)
    else:
        frame.to_parquet(source)
    if kind == "tsv":  # an empty line would be no row
        texts.remove("")
        source.write_text("body\n" + "\n".join(texts) + "\n", encoding="utf-8")
    status, out, _ = run("features", source, "--text", "body", "--model", tiny(), "--output", tmp_path / "out.npy")
    assert status == 0
    assert f"{len(texts)} texts × 32 features" in out
    expected = LayerPoolFeaturizer(tiny()).fit_transform(texts)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_features__in_every_format_and_with_every_option(run, table, tmp_path, tiny, texts, kind):
    out = tmp_path / f"out.{kind}"
    options = ["--layers", "1,-1", "--layer-pooling", "concat", "--token-pooling", "max", "--normalize"]
    status, _, _ = run("features", table, "--model", tiny(), "--output", out, *options, "--store", tmp_path / "store")
    assert status == 0
    read = {
        "csv": pd.read_csv,
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }[kind]
    featurizer = LayerPoolFeaturizer(
        tiny(), layers=(1, -1), layer_pooling="concat", token_pooling="max", normalize=True
    )
    expected = featurizer.fit_transform(texts)
    assert read(out).columns.tolist() == featurizer.get_feature_names_out().tolist()
    np.testing.assert_allclose(read(out).to_numpy(), expected, atol=1e-6)


def test_encodings__of_other_places_are_read_when_they_are_named(run, tmp_path, tiny):
    source, out = tmp_path / "texts.csv", tmp_path / "out.npy"
    source.write_bytes("text\n日本語の文\n".encode("cp932"))
    status, _, err = run("features", source, "--model", tiny(), "--output", out)
    assert status == 1
    assert "is not utf-8" in err
    assert "--encoding cp932" in err
    assert run("features", source, "--model", tiny(), "--output", out, "--encoding", "cp932")[0] == 0
    np.testing.assert_allclose(np.load(out), LayerPoolFeaturizer(tiny()).fit_transform(["日本語の文"]), atol=1e-6)
    # Excel puts a mark before UTF-8.
    source.write_bytes("text\n日本語の文\n".encode("utf-8-sig"))
    assert run("features", source, "--model", tiny(), "--output", out)[0] == 0


# ---------------------------------------------------------------- one estimator


def test_fit__is_that_of_the_estimator(saved, tiny, texts, labels):
    loaded = MaxPoolBERTClassifier.load(saved)
    quick = {"max_epochs": 10, "batch_size": 8, "learning_rate": 5e-3, "layer_decay": 1.0, "device": "cpu"}
    reading = {"layers": 3, "layer_pooling": "max", "token_pooling": "cls"}
    parameters = {**recipes.get("few_data_joint", n_layers=4), **reading, **quick}
    expected = MaxPoolBERTClassifier(tiny(), **parameters, random_state=0).fit(texts, labels)
    np.testing.assert_allclose(loaded.predict_proba(texts), expected.predict_proba(texts), atol=1e-6)


def test_predict__writes_the_table_with_predictions(run, saved, table, tmp_path, texts):
    out = tmp_path / "predicted.csv"
    status, _, _ = run("predict", saved, table, "--output", out, "--proba")
    assert status == 0
    written, loaded = pd.read_csv(out), MaxPoolBERTClassifier.load(saved)
    assert list(written) == ["text", "label", "score", "prediction", "proba_login", "proba_order", "proba_refund"]
    assert written["text"].tolist() == texts
    assert written["prediction"].tolist() == loaded.predict(texts).tolist()
    np.testing.assert_allclose(written.filter(like="proba_"), loaded.predict_proba(texts), atol=1e-6)
    status, shown, _ = run("predict", saved, table)
    assert shown.splitlines()[0] == "text,label,score,prediction"
    assert len(shown.splitlines()) == 25
    status, _, err = run("predict", saved, out)
    assert status == 1
    assert "already has a column 'prediction'" in err


def test_evaluate__gives_the_scores_of_scikit_learn(run, saved, table, tmp_path, texts, labels):
    status, out, _ = run("evaluate", saved, table, "--output", tmp_path / "scores.json")
    assert status == 0
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    predicted = MaxPoolBERTClassifier.load(saved).predict(texts)
    assert scores["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert scores["macro avg"]["f1-score"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert scores["confusion"] == confusion_matrix(labels, predicted).tolist()
    assert scores["labels"] == ["login", "order", "refund"]
    assert scores["by_label"]["order"]["support"] == 8
    assert "macro avg" in out


def test_pairs__are_two_columns(run, tmp_path, tiny, texts, labels):
    source, folder = tmp_path / "pairs.csv", tmp_path / "model"
    pd.DataFrame({"a": texts, "b": texts[::-1], "label": labels}).to_csv(source, index=False)
    columns = ["--text", "a", "--text", "b"]
    assert run("fit", source, *columns, "--output", folder, "--model", tiny(), *QUICK)[0] == 0
    assert run("predict", folder, source, *columns, "--output", tmp_path / "out.csv")[0] == 0
    expected = MaxPoolBERTClassifier.load(folder).predict(list(zip(texts, texts[::-1], strict=True)))
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].tolist() == expected.tolist()


def test_regression__on_numbers(run, table, tmp_path, tiny, texts):
    folder = tmp_path / "model"
    options = ["--label", "score", "--regression", "--model", tiny()]
    assert run("fit", table, *options, "--output", folder, *QUICK)[0] == 0
    assert run("evaluate", folder, table, "--label", "score", "--output", tmp_path / "s.json")[0] == 0
    scores = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    predicted = MaxPoolBERTRegressor.load(folder).predict(texts)
    assert scores["r2"] == pytest.approx(r2_score(np.arange(24) % 5, predicted))
    status, _, err = run("predict", folder, table, "--proba")
    assert status == 1
    assert "have no probabilities" in err


def test_probe__of_a_saved_estimator_and_by_cross_validation(run, saved, table, tmp_path, tiny):
    status, out, _ = run("probe", table, "--folder", saved, "--output", tmp_path / "probe")
    assert status == 0
    assert "do falls differ between labels more than by chance? W*d" in out
    assert "a label that is only harder also gives this: recall of the full model is" in out
    spans = pd.read_csv(tmp_path / "probe" / "spans.csv")
    assert len(spans) == 10 * 3
    for name in ("triangles.png", "importance.png"):
        assert (tmp_path / "probe" / name).read_bytes().startswith(b"\x89PNG")
    importance = pd.read_csv(tmp_path / "probe" / "importance.csv")
    assert importance.columns.tolist() == ["label", "0", "1", "2", "3"]
    again = tmp_path / "again"
    assert run("probe", table, "--folds", 2, "--model", tiny(), "--output", again, *QUICK)[0] == 0
    assert (again / "spans.csv").exists()


def test_recipes__are_listed_and_described(run):
    assert run("recipes")[1].split() == recipes.names()
    assert run("recipes", "mixout2020")[1].strip() == recipes.describe("mixout2020")
    assert run("recipes", "nonsense")[0] == 1


# ---------------------------------------------------------------- a study


@pytest.fixture
def study(table, tmp_path, tiny):
    """Words of a command that takes a moment."""
    words = ["study", table, "--variants", "baseline,maxpool:mosbach2021,features", "--sizes", "6,12", "--seeds", "2"]
    words += ["--model", tiny(), "--test-size", "6", "--n-jobs", "1", "--store", tmp_path / "s.sqlite", *QUICK]
    return words


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_study__writes_store_report_and_runs_and_says_what_can_be_told(run, study, tmp_path):
    outputs = ["--report", tmp_path / "r.html", "--results", tmp_path / "runs.csv", "--title", "Mine"]
    status, out, err = run(*study, *outputs)
    assert status == 0
    # Two pairs of runs: whatever came out, nothing can be told of it.
    assert out.count("can be told: ") == 3
    assert out.count("from 2 paired runs; a test and an interval need 3.") == 3
    assert "20/20" in err
    runs = pd.read_csv(tmp_path / "runs.csv")
    names = ["baseline", "maxpool:mosbach2021", "features", "majority", "tfidf"]
    assert runs.groupby("variant", sort=False).size().to_dict() == dict.fromkeys(names, 4)
    assert set(runs["size"]) == {6, 12}
    assert read_runs(tmp_path / "s.sqlite")["accuracy"].tolist() == pytest.approx(runs["accuracy"].tolist())
    assert "<title>Mine</title>" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_study_that_is_interrupted__exits_with_130_and_goes_on(run, study, tmp_path, monkeypatch):
    execute, done = _execution.execute, []

    def stop_at_the_fifth(job):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(job.run)
        return execute(job)

    with monkeypatch.context() as patch:
        patch.setattr(_execution, "execute", stop_at_the_fifth)
        status, _, err = run(*study)
    assert status == 130
    assert "4 runs are in" in err
    assert "Interrupted." in err
    assert len(read_runs(tmp_path / "s.sqlite")) == 4
    assert run(*study)[0] == 0
    assert len(read_runs(tmp_path / "s.sqlite")) == 20
    status, _, err = run(*study, "--seed", "1")
    assert status == 1
    assert "holds runs of another study" in err


def test_study__of_numbers(run, table, tmp_path, tiny):
    words = ["study", table, "--label", "score", "--regression", "--variants", "features", "--seeds", "2"]
    status, out, _ = run(*words, "--model", tiny(), "--n-jobs", 1, "--scores", "r2,neg_mean_absolute_error")
    assert status == 0
    assert "features" in out


def test_retry_failed__does_runs_again_that_raised(run, study, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(MaxPoolBERTClassifier, "fit", lambda self, X, y: 1 / 0)
        status, out, _ = run(*study)
    assert status == 1
    assert "baseline has no run with a score" in out
    assert run(*study)[0] == 1
    assert (read_runs(tmp_path / "s.sqlite")["status"] == "failed").sum() == 8
    status, _, err = run(*study, "--retry-failed")
    assert status == 0
    assert "8 failed runs are done again" in err
    assert read_runs(tmp_path / "s.sqlite")["accuracy"].notna().all()


# ---------------------------------------------------------------- files that deceive


@pytest.mark.parametrize("content", ["text,label\nHello, world,a\nBye, moon,b\n", "text,label\nHello,a,\nBye,b,\n"])
def test_fields_that_no_column_is_named_for__are_refused(run, tmp_path, tiny, content):
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    status, _, err = run("features", tmp_path / "t.csv", "--model", tiny(), "--output", tmp_path / "f.npy")
    assert status == 1
    assert "cannot be read as a table" in err


def test_columns_of_one_name__are_refused(run, tmp_path, tiny):
    (tmp_path / "t.csv").write_text("text,text\na,b\n", encoding="utf-8")
    status, _, err = run("features", tmp_path / "t.csv", "--model", tiny(), "--output", tmp_path / "f.npy")
    assert status == 1
    assert "two columns are named 'text'" in err


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_line_breaks_of_every_sort__survive_the_way_through_files(run, saved, tmp_path, kind):
    texts = ["one\rtwo", "one\ntwo", "one\u2028two", "one\x85two", "plain"]
    pd.DataFrame({"text": texts}).to_parquet(tmp_path / "t.parquet")
    out = tmp_path / f"out.{kind}"
    assert run("predict", saved, tmp_path / "t.parquet", "--output", out)[0] == 0
    again = tmp_path / "again.parquet"
    # What was written is read back by the command itself.
    assert run("features", out, "--model", "minilm", "--output", again)[0] == 0
    expected = LayerPoolFeaturizer("minilm").fit_transform(texts)
    np.testing.assert_allclose(pd.read_parquet(again).to_numpy(), expected, atol=1e-5)


def test_empty_lines_of_a_single_column__are_empty_texts(run, tmp_path, tiny):
    (tmp_path / "t.csv").write_text("text\nwhere\n\nlamp\n", encoding="utf-8")
    assert run("features", tmp_path / "t.csv", "--model", tiny(), "--output", tmp_path / "f.npy")[0] == 0
    expected = LayerPoolFeaturizer(tiny()).fit_transform(["where", "", "lamp"])
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), expected, atol=1e-6)


def test_named_index_of_parquet__is_a_column(run, saved, tmp_path):
    pd.DataFrame({"text": ["where"], "id": ["a7"]}).set_index("id").to_parquet(tmp_path / "t.parquet")
    assert run("predict", saved, tmp_path / "t.parquet", "--output", tmp_path / "out.csv")[0] == 0
    assert pd.read_csv(tmp_path / "out.csv")["id"].tolist() == ["a7"]


@pytest.mark.parametrize("numbers", [[0, 1, 2], [0.0, 1.0, 2.0]])
def test_labels__learned_from_csv_are_those_of_parquet(run, tmp_path, tiny, texts, numbers):
    labels = np.arange(24) % 3
    pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame({"text": texts, "label": np.array(numbers)[labels]}).to_parquet(tmp_path / "t.parquet")
    folder = tmp_path / "m"
    assert run("fit", tmp_path / "t.csv", "--output", folder, "--model", tiny(), *QUICK)[0] == 0
    found = []
    for kind in ("csv", "parquet"):
        assert run("evaluate", folder, tmp_path / f"t.{kind}", "--output", tmp_path / "s.json")[0] == 0
        found.append(json.loads((tmp_path / "s.json").read_text(encoding="utf-8")))
    assert found[0] == found[1]
    assert run("probe", tmp_path / "t.parquet", "--folder", folder, "--output", tmp_path / "probe")[0] == 0


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "TABLE", "--output", "m", "--label", "labels"], "has no column 'labels'; it has text, label, score"),
        (["fit", "TABLE", "--output", "m", "--text", "body"], "has no column 'body'"),
        (["fit", "TABLE", "--output", "m", *["--text", "text"] * 3], "--text was given 3 times"),
        (["fit", "TABLE", "--output", "TABLE"], "is a file; --output needs a folder"),
        (["fit", "TABLE", "--output", "m", "--reading", "max"], "There is no reading 'max'; the readings are baseline"),
        (["fit", "TABLE", "--output", "m", "--recipe", "quick"], "There is no recipe 'quick'"),
        (["fit", "TABLE", "--output", "m", "--set", "epochs=3"], "MaxPoolBERTClassifier has no parameter 'epochs'"),
        (["fit", "TABLE", "--output", "m", "--set", "max_epochs"], "--set needs name=value"),
        (["fit", "TABLE", "--output", "m", "--set", "max_epochs=-1"], "max_epochs must be an int"),
        (
            ["fit", "TABLE", "--output", "m", "--label", "text", "--regression"],
            "row 0 of the column 'text' is no number",
        ),
        (["fit", "nowhere.csv", "--output", "m"], "There is no file nowhere.csv"),
        (["fit", "TABLE", "--output", "m", "--model", "nowhere/at-all"], "nowhere/at-all"),
        (["features", "TABLE", "--output", "f.xlsx"], "the name must end in .npy"),
        (["features", "TABLE", "--output", "no/folder/f.npy"], "There is no folder"),
        (["features", "TABLE", "--output", "f.npy", "--layers", "all"], "--layers needs whole numbers"),
        (["predict", "nothing", "TABLE"], "There is no saved estimator in nothing"),
        (["study", "TABLE", "--variants", "maxpol"], "There is no variant 'maxpol'; the variants are baseline"),
        (["study", "TABLE", "--variants", "mha,mha"], "names 'mha' twice"),
        (["study", "TABLE", "--report", "r.pdf"], "must end in .html"),
        (["study", "TABLE", "--test-size", "2.9"], "test_size must be a float in"),
        (["fit", "TABLE", "--output", "m", "--encoding", "shiftjis9"], "--encoding 'shiftjis9' is not"),
        (["fit", "TABLE", "--output", "m", "--set", "model=x"], "has no parameter 'model'"),
        (["fit", "TABLE", "--output", "m", "--set", "layers=x"], "layers"),
        (["features", "TABLE", "--output", "f.npy", "--layers", ""], "--layers is empty"),
        (
            ["study", "TABLE", "--label", "score", "--scores", "f1", "--variants", "features"],
            "scoring='f1' does not suit",
        ),
        (["study", "TABLE", "--sizes", "few"], "--sizes needs whole numbers"),
        (["study", "TABLE", "--variants", "features", "--model", "nowhere/at-all"], "nowhere/at-all"),
        (["study", "TABLE", "--variants", "features", "--recipe", "quick"], "There is no recipe 'quick'"),
        (
            ["study", "TABLE", "--variants", "features", "--set", "max_epochs=3"],
            "but no variant in --variants is fine-tuned",
        ),
        (["probe", "TABLE", "--output", "TABLE"], "is a file; --output needs a folder"),
        (["study", "TABLE", "--seeds", "0"], "Invalid value for '--seeds'"),
    ],
)
def test_wrong_input__exits_with_one_and_says_why(run, table, tmp_path, monkeypatch, tiny, words, message):
    monkeypatch.chdir(tmp_path)
    model = [] if words[0] == "predict" or "--model" in words else ["--model", tiny()]
    status, _, err = run(*(table if word == "TABLE" else word for word in words), *model)
    assert status == 1
    assert "Error" in err
    assert message in err.replace("\n", " ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "cannot be read as a table"),
        ("t.csv", "text,label\nwhere,order\nlamp,\n", "1 rows have nothing in the column 'label', the first is row 1"),
        ("t.jsonl", "{not json\n", "cannot be read as jsonl"),
        ("t.jsonl", "", "there are no rows"),
        ("t.jsonl", '{"text": 3, "label": "a"}\n', "t.jsonl, 'text': "),
        ("t.csv", "text,label\nwhere,  \n", "1 rows have nothing in the column 'label'"),
        ("t.xlsx", "x", "skbert reads .csv, .tsv, .jsonl"),
        ("t.parquet", "x", "cannot be read as parquet"),
    ],
)
def test_damaged_tables__are_named(run, tmp_path, tiny, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    status, _, err = run("fit", tmp_path / name, "--output", tmp_path / "m", "--model", tiny())
    assert status == 1
    assert message in err.replace("\n", " ")


def test_tab_within_a_text__is_refused_by_tsv_before_anything_is_predicted(run, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(MaxPoolBERTClassifier, "predict", lambda *args: pytest.fail("was predicted"))
    (tmp_path / "t.csv").write_text('text\n"where\tis it"\n', encoding="utf-8")
    status, _, err = run("predict", saved, tmp_path / "t.csv", "--output", tmp_path / "out.tsv")
    assert status == 1
    assert "row 0 of the column 'text' holds a tab" in err


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_study_without_any_score__exits_with_one(run, table, tiny):
    words = [
        "study",
        table,
        "--variants",
        "baseline",
        "--set",
        "learning_rate=fast",
        "--seeds",
        "2",
        "--test-size",
        "6",
    ]
    status, out, err = run(*words, "--model", tiny(), "--n-jobs", "1")
    assert status == 1
    assert "no run of baseline has a score" in err
    assert "tfidf" in out


_TEXTS = [
    ['he said "hub not found" twice', "plain", "NA"],
    ["a tab\tinside", "two\nlines", "plain"],
    ['"yes"', "plain", '"all of it"'],
    ['5" pipe', '"unfinished', "plain"],
    [f'"{"long " * 40_000}" he said', "plain", "NA"],
    ['"one', "plain", 'two"'],
]


@pytest.mark.parametrize("texts", _TEXTS)
def test_tsv__is_read_with_its_quotes_as_who_wrote_it_meant_them(tmp_path, texts):
    frame = pd.DataFrame({"text": texts, "label": ["a", "b", "a"]})
    frame.to_csv(tmp_path / "quoted.tsv", sep="\t", index=False)
    assert read_table(tmp_path / "quoted.tsv")["text"] == texts
    if not set("\t\n") & set("".join(texts)):
        frame.to_csv(tmp_path / "bare.tsv", sep="\t", index=False, quoting=csv.QUOTE_NONE)
        assert read_table(tmp_path / "bare.tsv")["text"] == texts
        write_table(frame, tmp_path / "ours.tsv")
        assert read_table(tmp_path / "ours.tsv")["text"] == texts


def test_tsv__that_would_be_read_back_as_another_is_not_written(tmp_path):
    frame = pd.DataFrame({"text": ['"a ""b"" c"'], "label": ["a"]})
    with pytest.raises(ValueError, match="would be read back as other texts"):
        write_table(frame, tmp_path / "t.tsv")
