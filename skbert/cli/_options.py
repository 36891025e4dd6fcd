"""Options that several commands have, and what their values mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skbert.cli import _labels

Data = Annotated[Path, typer.Argument(help="Table of texts with column names: .csv, .tsv, .jsonl or .parquet.")]
Text = Annotated[list[str], typer.Option("--text", help="Column of texts; given twice, pairs of texts.")]
Label = Annotated[
    list[str], typer.Option("--label", help="Column of labels; given several times, one column of 0 and 1 per label.")
]
OneLabel = Annotated[list[str], typer.Option("--label", help="Column of labels.")]
Encoding = Annotated[str, typer.Option(help="Encoding of CSV, TSV and JSONL files, such as cp932 for Shift_JIS.")]
Separator = Annotated[
    str | None,
    typer.Option(help="Character between fields of .csv, .tsv and .txt files, such as '|'. [default: from the header]"),
]
Model = Annotated[str, typer.Option(help="Hub id or local folder of an encoder, or minilm.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="How to train; `skbert recipes` lists them. [default: few_data for the reading mean, else few_data_joint]"
    ),
]
Set = Annotated[
    list[str], typer.Option("--set", metavar="NAME=VALUE", help="Another parameter of the estimator; can be repeated.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Regression = Annotated[bool, typer.Option("--regression", help="Labels are numbers.")]
Saved = Annotated[Path, typer.Argument(help="Folder that `skbert fit` wrote.")]


def words_of(text):
    """The words of an option that contains a list."""
    return [word.strip() for word in text.split(",") if word.strip()]


def only(label):
    """The --label of a command that allows only one."""
    if len(label) > 1:
        raise ValueError(f"This command needs exactly one --label, got {', '.join(label)}.")
    return label


def targets(table, label, regression):
    """The targets in the columns `label`: classes, numbers, or 0 and 1 for each column."""
    if regression:
        return _labels.numbers_of(table, *only(label))
    return _labels.labels_of(table, *label) if len(label) == 1 else _labels.indicators_of(table, label)


def whole_number(text, option):
    """The number that a word of `option` stands for."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{option} needs whole numbers separated by commas, got {text!r}") from None
