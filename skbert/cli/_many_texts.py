"""The commands for any number of texts: ``skbert predict`` and ``skbert features``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from skbert.cli import _estimators, _files
from skbert.cli._options import Data, Encoding, Model, Saved, Separator, Text, whole_number, words_of
from skbert.cli._terminal import say


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
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Predict labels of texts with a saved estimator."""
    if output is not None:
        _files.check_output(output, source=data)
    table = _files.read_table(data, encoding, separator)
    estimator = _estimators.load(folder)
    if proba and not hasattr(estimator, "classes_"):
        raise ValueError(f"{folder} predicts numbers, which have no probabilities; leave out --proba.")
    X = _files.texts_of(table, text)
    for example in _estimators.example_predictions(estimator, len(table), proba):
        _files.check_predictions(table, example, output)
    table = table.plus(_estimators.predictions(estimator, X, proba))
    if output is None:
        typer.echo(_files.as_csv(table), nl=False)
    else:
        _files.write_table(table, output)
        say(f"{len(table)} predictions: {output}")


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
    encoding: Encoding = "utf-8",
    separator: Separator = None,
):
    """Write pooled hidden states of texts, without fine-tuning."""
    from skbert._shared import pandas
    from skbert.estimators import LayerPoolFeaturizer

    _files.check_output(output, (".npy", *_files.TABLES), data)
    chosen = [whole_number(layer, "--layers") for layer in words_of(layers)]
    if not chosen:
        raise ValueError("--layers is empty; give a number of layers, or indices separated by commas.")
    if store is not None:
        _files.check_folder(store)
    table = _files.read_table(data, encoding, separator)
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
    vectors = featurizer.fit_transform(_files.texts_of(table, text))
    if output.suffix.lower() == ".npy":
        np.save(output, vectors)
    else:
        _files.write_table(pandas().DataFrame(vectors, columns=featurizer.get_feature_names_out()), output)
    say(f"{vectors.shape[0]} texts × {vectors.shape[1]} features: {output}")
