"""Tables of texts as files: CSV, TSV, JSONL and Parquet."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

_FORMATS = ".csv, .tsv, .jsonl (or .ndjson) and .parquet"


def pandas():
    """The module pandas; ImportError that says how to get it."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("Files need pandas: pip install 'skbert[study]'") from error
    return pd


def read_table(path, encoding="utf-8"):
    """A file as a data frame; the ending of its name says the format.

    Cells of CSV and TSV stay as they are written: "NA" and "None" are texts, and so is "007". TSV has no
    quoting: a double quote is an ordinary character, and a row is a line.

    Raises
    ------
    ValueError
        An unknown ending, or content that cannot be read.
    """
    pd, path = pandas(), Path(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        if kind == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding=_without_mark(encoding))
        if kind == ".tsv":
            quoting = {"quoting": csv.QUOTE_NONE}
            return pd.read_csv(
                path, sep="\t", dtype=str, keep_default_na=False, encoding=_without_mark(encoding), **quoting
            )
        if kind in (".jsonl", ".ndjson"):
            # Not by pandas, which makes dates and numbers of what looks like them.
            return pd.DataFrame([json.loads(line) for line in path.read_text(encoding).splitlines() if line.strip()])
        if kind == ".parquet":
            return _read_parquet(pd, path)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not {encoding}: {error}. Say what it is, for example --encoding cp932 or latin-1."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as {kind[1:]}: {error}") from error
    raise ValueError(f"{path}: skbert reads {_FORMATS}.")


def _without_mark(encoding):
    """Excel writes a mark before UTF-8, which would become part of the first column's name."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _read_parquet(pd, path):
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install pyarrow") from error


def write_table(frame, path):
    """Write a data frame in the format that the ending of the name says."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        frame.to_csv(path, index=False, lineterminator="\n")
    elif kind == ".tsv":
        _check_for_tsv(frame, path)
        frame.to_csv(path, sep="\t", index=False, lineterminator="\n", quoting=csv.QUOTE_NONE)
    elif kind in (".jsonl", ".ndjson"):
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    elif kind == ".parquet":
        try:
            frame.to_parquet(path, index=False)
        except ImportError as error:
            raise ImportError("Parquet files need pyarrow: pip install pyarrow") from error
    else:
        raise ValueError(f"{path}: skbert writes {_FORMATS}.")


def _check_for_tsv(frame, path):
    for name in frame.columns:
        torn = frame[name].map(lambda cell: isinstance(cell, str) and bool({"\t", "\n", "\r"} & set(cell)))
        if torn.any():
            raise ValueError(
                f"{path}: row {int(torn.to_numpy().argmax())} of the column {name!r} holds a tab or a line break, "
                "which TSV cannot; write .csv, .jsonl or .parquet."
            )


def check_output(path, kinds=(".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")):
    """Refuse a name that could not be written in the end, before anything is computed."""
    path = Path(path)
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path}: the name must end in {', '.join(kinds)}.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path.name} to.")
    return path


def column(frame, name, path):
    """A column of a data frame; ValueError that lists those that are there."""
    if name not in frame.columns:
        raise ValueError(f"{path} has no column {name!r}; it has {', '.join(map(str, frame.columns))}.")
    return frame[name]


def texts_of(frame, names, path):
    """Texts, or pairs of texts, of one or two columns."""
    if len(names) > 2:
        raise ValueError(f"--text was given {len(names)} times; once is texts, twice is pairs of texts.")
    columns = [column(frame, name, path) for name in names]
    return columns[0].to_numpy(object) if len(columns) == 1 else frame[list(names)]


def labels_of(frame, name, path, regression=False):
    """Labels, or numbers, of one column; ValueError with the first row in which there is none."""
    values = column(frame, name, path)
    missing = (values.isna() | (values.astype(object) == "")).to_numpy()
    if missing.any():
        raise ValueError(
            f"{path}: {int(missing.sum())} rows have nothing in the column {name!r}, the first is row "
            f"{missing.argmax()}."
        )
    if not regression:
        return values.to_numpy()
    numbers = pandas().to_numeric(values, errors="coerce").to_numpy(float)
    if np.isnan(numbers).any():
        row = int(np.isnan(numbers).argmax())
        raise ValueError(f"{path}: row {row} of the column {name!r} is no number: {values.iloc[row]!r}.")
    return numbers
