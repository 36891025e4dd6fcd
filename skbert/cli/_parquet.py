"""Parquet: columns as Python cells, and the table of the file itself, so that copied columns keep their type."""

from __future__ import annotations

import io
import json

from skbert.cli._cells import ABSENT, check_unicode, each, is_missing
from skbert.cli._delimited import name_columns


def arrow():
    """The modules pyarrow and pyarrow.parquet; if they are missing, ImportError that says how to install them."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install pyarrow") from error
    return pa, pq


def read(source):
    """Read the columns and the arrow table of a file, given by path or as a file object.

    An index that pandas stored becomes a column again, before the others; without a name it is called "index".

    Returns
    -------
    columns : dict of str to list
    table : pyarrow.Table

    Raises
    ------
    ValueError
        The file is damaged, or two columns have the same name.
    """
    _, pq = arrow()
    # Not read_table, which would turn parent folders such as "lang=ja" into columns.
    with pq.ParquetFile(source) as file:
        table = file.read()
    index, made = _index_of(table)
    names = [name for name in table.column_names if name not in index]
    columns = [_cells(table.column(name)) for name in names]
    told = {name: _cells(table.column(name)) for name in index} | made
    shown = [_shown(name, k, len(told), names) for k, name in enumerate(told)]
    return name_columns(shown + names, [*told.values(), *columns]), table


def _index_of(table):
    """Names of columns that are an index of pandas, and index columns that it keeps as a range: a dict of name to list.

    A simple numbering from 0 does not become a column.
    """
    stored, made = [], {}
    for level in (table.schema.pandas_metadata or {}).get("index_columns", []):
        if not isinstance(level, dict):
            stored.append(level)
        elif level["name"] is not None or (level["start"], level["step"]) != (0, 1):
            made[str(level["name"] or "__index_level_")] = list(range(level["start"], level["stop"], level["step"]))
    return stored, made


def _shown(name, k, n_levels, taken):
    """The name of an index column as pandas gives it; one without a name is __index_level_0__ in the file."""
    if not name.startswith("__index_level_"):
        return name
    free = ["index"] if n_levels == 1 else []
    return next(found for found in [*free, f"level_{k}", name] if found not in taken)


def _cells(column):
    pa, _ = arrow()
    try:
        if isinstance(column.type, pa.BaseExtensionType):
            # Such as periods, of which the file has numbers; pandas knows what they mean.
            return column.to_pandas().tolist()
        return column.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise ValueError(f"a column of type {column.type} cannot be read: {error}") from error


def encode(columns, source=None):
    """The content of a file with these columns.

    Parameters
    ----------
    columns : dict of str to list or array
        All columns; with a `source`, only columns that it does not have.
    source : pyarrow.Table, default=None
        A table from `read`, which is written unchanged.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        Parquet cannot hold a value, such as a text among numbers; the message names row and column.
    """
    pa, pq = arrow()
    each(_check_cell, columns, "Parquet")
    new = pa.table({name: _column(pa, name, cells) for name, cells in columns.items()})
    told = _told_to_pandas(pa, new)
    table = new.replace_schema_metadata(told) if source is None else _appended(source, new, told)
    try:
        return _written(pq, table)
    except (pa.ArrowException, ValueError):
        # Some types cannot be a column in a file, such as a dict without keys.
        for name in new.column_names:
            _check_alone(pa, pq, name, columns[name], new.select([name]))
        raise


def _written(pq, table):
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


def _check_alone(pa, pq, name, cells, column):
    try:
        _written(pq, column)
    except (pa.ArrowException, ValueError) as error:
        row = next((row for row, cell in enumerate(cells) if not is_missing(cell)), 0)
        raise ValueError(
            f"row {row} of the column {name!r} holds {_short(cells[row])}, which Parquet cannot ({error}); write "
            ".jsonl."
        ) from error


def _check_cell(cell):
    if isinstance(cell, str):
        check_unicode(cell)
    elif isinstance(cell, dict):
        for key, item in cell.items():
            _check_cell(key)
            _check_cell(item)
    elif isinstance(cell, (list, tuple)):
        for item in cell:
            _check_cell(item)
    return cell


def _column(pa, name, cells):
    if hasattr(cells, "dtype"):
        return pa.array(cells)
    cells = [None if cell is ABSENT else cell for cell in cells]
    try:
        return _array(pa, cells)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise ValueError(_misfit(pa, name, cells, error)) from error


def _array(pa, cells):
    try:
        return pa.array(cells, from_pandas=True)
    except OverflowError:
        # pyarrow does not detect numbers above int64 itself.
        return pa.array(cells, pa.uint64())


def _misfit(pa, name, cells, error):
    """Message about cells that cannot be a column, with the first row that does not fit."""
    present = [row for row, cell in enumerate(cells) if not is_missing(cell)]
    low, high = 1, len(present)  # the smallest number of cells that do not fit together
    while low < high:
        middle = (low + high) // 2
        try:
            _array(pa, [cells[row] for row in present[:middle]])
            low = middle + 1
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            high = middle
    row, first = present[low - 1], present[0]
    beside = "" if row == first else f" beside {_short(cells[first])} in row {first}"
    return (
        f"row {row} of the column {name!r} holds {_short(cells[row])}{beside}, which Parquet cannot ({error}); write "
        ".jsonl."
    )


def _short(cell):
    return f"{cell!r:.60} ({type(cell).__name__})"


def _told_to_pandas(pa, new):
    """Metadata with which pandas reads integers and booleans with missing values as such, not as floats and objects."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    none = new.schema.empty_table()
    gaps = {name: new.column(name).null_count > 0 for name in new.column_names}
    frame = {name: none.column(name).to_pandas(types_mapper=nullable.get if gaps[name] else None) for name in gaps}
    return pa.Table.from_pandas(pd.DataFrame(frame), schema=new.schema, preserve_index=False).schema.metadata


def _appended(source, new, told):
    """`source` with more columns; they are added to the metadata for pandas, if there are metadata."""
    table = source
    for name in new.column_names:
        table = table.append_column(name, new.column(name))
    if b"pandas" not in (source.schema.metadata or {}):
        return table
    known, added = json.loads(source.schema.metadata[b"pandas"]), json.loads(told[b"pandas"])
    known["columns"] += added["columns"]
    # Names that were numbers become texts, because the new names are texts.
    known["column_indexes"] = added["column_indexes"]
    return table.replace_schema_metadata({**source.schema.metadata, b"pandas": json.dumps(known).encode()})
