"""The commands for any number of texts: ``skbert predict`` and ``skbert features``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from skbert.cli import _estimators, _files
from skbert.cli._long_inputs import LongInput, encoded, npy_header, progress, write
from skbert.cli._options import Data, Encoding, Model, Saved, Separator, Text, whole_number, words_of
from skbert.cli._source import TABLES, Table
from skbert.cli._terminal import say
from skbert.compute import resolve_precision
from skbert.saving import sha256_of_saved

_PRECISION = "fp32 or bf16, which is faster on processors that have instructions for it."


def predict(
    folder: Saved,
    data: Data,
    output: Annotated[
        Path | None, typer.Option(help="File to write; without it, CSV is printed to standard output.")
    ] = None,
    text: Text = ("text",),
    proba: Annotated[
        bool, typer.Option("--proba", help="Also write a column with the probability of each label.")
    ] = False,
    precision: Annotated[str | None, typer.Option(help=f"{_PRECISION} [default: as in the fit]")] = None,
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Predict labels of texts with a saved estimator.

    The file is never in memory as a whole. If the command is killed, the same command continues: what is finished is
    in a file beside --output whose name ends in .part.
    """
    if output is not None:
        _files.check_output(output, source=data)
    texts = LongInput(data, encoding, separator, text)
    texts.texts(texts.head())
    estimator = _estimators.load(folder)
    if precision is not None:
        estimator.set_params(precision=precision)
    device = estimator.compute_device()
    used = {"--precision": resolve_precision(estimator.precision, device), "the device": device.type}
    if proba and not hasattr(estimator, "classes_"):
        raise ValueError(f"{folder} predicts numbers, which have no probabilities; leave out --proba.")
    types = _check_predictions(texts, estimator, proba, output)

    def predicted(window):
        return window.plus(_estimators.predictions(estimator, texts.texts(window), proba))

    if output is None:
        with progress(texts.n_rows) as done:
            for window in texts.windows():
                typer.echo(_files.as_csv(predicted(window), header=window.first == 0), nl=False)
                done(len(window))
        return
    job = texts.job({"the estimator": sha256_of_saved(folder), "--proba": proba, **used})
    write(texts, output, job, lambda window: encoded(predicted(window), output, types))
    say(f"{texts.n_rows} predictions: {output}")


def _check_predictions(texts, estimator, proba, output):
    """Refuse texts that are none, and a table that could not be written; return the types of a Parquet file."""
    classes = _estimators.example_predictions(estimator, 0, proba)[1:]
    if output is None:
        shown = sys.stdout.encoding or "utf-8"
        for example in classes:
            _files.check_shown(Table(texts.path, example), shown)
        texts.check(lambda window: _files.check_shown(_with_example(window, estimator, proba), shown))
        return None
    for example in classes:
        _files.check_writable(Table(texts.path, example), output)
    writable = _files.Writable(output)
    texts.check(lambda window: writable.add(_with_example(window, estimator, proba)))
    if texts.names_grew or not writable.agree:
        # Now each window as it will be written, with the columns and the types of all.
        writable = _files.Writable(output, writable.types)
        for window in texts.tables():
            writable.add(_with_example(window, estimator, proba))
    writable.finish()
    return writable.types


def _with_example(window, estimator, proba):
    return window.plus(_estimators.example_predictions(estimator, len(window), proba)[0])


def features(
    data: Data,
    output: Annotated[Path, typer.Option(help="File to write: .npy, .csv, .tsv, .jsonl or .parquet.")],
    text: Text = ("text",),
    model: Model = "minilm",
    layers: Annotated[str, typer.Option(help="Number of last layers, such as 3, or indices, such as 0,6,-1.")] = "1",
    layer_pooling: Annotated[str, typer.Option(help="Pooling over layers; a wrong word lists all values.")] = "mean",
    token_pooling: Annotated[str, typer.Option(help="Pooling over tokens; a wrong word lists all values.")] = "mean",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to norm 1.")] = False,
    store: Annotated[Path | None, typer.Option(help="Folder that keeps hidden states for later commands.")] = None,
    precision: Annotated[str, typer.Option(help=f"auto, {_PRECISION}")] = "auto",
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Write pooled hidden states of texts, without fine-tuning.

    The file is never in memory as a whole. If the command is killed, the same command continues: what is finished is
    in a file beside --output whose name ends in .part.
    """
    from skbert.estimators import LayerPoolFeaturizer

    _files.check_output(output, (".npy", *TABLES), data)
    chosen = [whole_number(layer, "--layers") for layer in words_of(layers)]
    if not chosen:
        raise ValueError("--layers is empty; give a number of layers, or indices separated by commas.")
    if store is not None:
        _files.check_folder(store)
    texts = LongInput(data, encoding, separator, text)
    featurizer = LayerPoolFeaturizer(
        model,
        # "3" is the last three layers; "3," is layer 3.
        layers=chosen if "," in layers else chosen[0],
        layer_pooling=layer_pooling,
        token_pooling=token_pooling,
        normalize=normalize,
        store=store,
        precision=precision,
    ).fit(texts.texts(texts.head()))
    texts.check()
    names, width = featurizer.get_feature_names_out(), featurizer.n_features_out_
    texts.limit(width)
    (weights, tokenizer), device = featurizer.encoder_hashes(), featurizer.compute_device()
    job = texts.job(
        {
            "the encoder": weights,
            "its tokenizer": tokenizer,
            "--layers": layers,
            "--layer-pooling": layer_pooling,
            "--token-pooling": token_pooling,
            "--normalize": normalize,
            "--precision": resolve_precision(precision, device),
            "the device": device.type,
        }
    )

    def blocks(window):
        vectors = featurizer.transform(texts.texts(window))
        if output.suffix.lower() != ".npy":
            return encoded(Table("", dict(zip(names, vectors.T, strict=True)), first=window.first), output)
        return [vectors] if window.first else [npy_header((texts.n_rows, width)), vectors]

    write(texts, output, job, blocks)
    say(f"{texts.n_rows} texts × {width} features: {output}")
