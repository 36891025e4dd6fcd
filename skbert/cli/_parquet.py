"""Parquet: columns as Python cells, and the table of the file itself, so that copied columns keep their type."""

from __future__ import annotations

import io
import json

from skbert.cli._cells import ABSENT, check_unicode, each, is_finite, is_missing
from skbert.cli._delimited import name_columns


def arrow():
    """The modules pyarrow and pyarrow.parquet; if they are missing, ImportError that says how to install them."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install pyarrow") from error
    return pa, pq


def windows(source, n_rows=None, first=0):
    """Read the columns and the arrow table of a file, `n_rows` rows at a time.

    An index that pandas stored becomes a column again, before the others; without a name it is called "index".

    Parameters
    ----------
    source : path or file object
    n_rows : int, default=None
        None reads all rows at once.
    first : int, default=0
        Number of the first row, if the source is a part of a file.

    Yields
    ------
    columns : dict of str to list
    table : pyarrow.Table

    Raises
    ------
    ValueError
        The file is damaged, or two columns have the same name.
    """
    pa, pq = arrow()
    # Not read_table, which would turn parent folders such as "lang=ja" into columns.
    with pq.ParquetFile(source) as file:
        if n_rows is None:
            yield _columns(file.read(), first)
            return
        for batch in file.iter_batches(batch_size=n_rows):
            yield _columns(pa.Table.from_batches([batch], file.schema_arrow), first)
            first += len(batch)


def _columns(table, first):
    """The columns of a table whose first row has the number `first` in its file, and the table."""
    index, made = _index_of(table, first)
    names = [name for name in table.column_names if name not in index]
    columns = [_cells(table.column(name)) for name in names]
    told = {name: _cells(table.column(name)) for name in index} | made
    shown = [_shown(name, k, len(told), names) for k, name in enumerate(told)]
    return name_columns(shown + names, [*told.values(), *columns]), table


def _index_of(table, first):
    """Names of columns that are an index of pandas, and index columns that it keeps as a range: a dict of name to list.

    A simple numbering from 0 does not become a column.
    """
    stored, made = [], {}
    for level in (table.schema.pandas_metadata or {}).get("index_columns", []):
        if not isinstance(level, dict):
            stored.append(level)
        elif level["name"] is not None or (level["start"], level["step"]) != (0, 1):
            whole = range(level["start"], level["stop"], level["step"])
            made[str(level["name"] or "__index_level_")] = list(whole[first : first + len(table)])
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


def encode(columns, source=None, first=0, types=None):
    """The content of a file with these columns.

    Parameters
    ----------
    columns : dict of str to list or array
        All columns; with a `source`, only columns that it does not have.
    source : pyarrow.Table, default=None
        A table from `windows`, which is written unchanged.
    first : int
        Number of the first row, for messages.
    types : pyarrow.Schema, default=None
        Types of the columns, for a part of a file; see `merge_types`. None infers them from the cells.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        Parquet cannot hold a value, such as a text among numbers; the message names row and column.
    """
    pa, pq = arrow()
    each(_check_cell, {n: () if is_finite(cells) else cells for n, cells in columns.items()}, "Parquet", first=first)
    new = _table(pa, columns, first, types)
    told = _told_to_pandas(pa, new, types)
    table = new.replace_schema_metadata(told) if source is None else _appended(source, new, told)
    try:
        return _written(pq, table)
    except (pa.ArrowException, ValueError):
        # Some types cannot be a column in a file, such as a dict without keys.
        for name in new.column_names:
            _check_alone(pa, pq, name, columns[name], new.select([name]), first)
        raise


def _table(pa, columns, first, types):
    wanted = {} if types is None else {field.name: field.type for field in types}
    return pa.table({name: _column(pa, name, cells, first, wanted.get(name)) for name, cells in columns.items()})


def types_of(columns, first=0):
    """The types of columns in a file, as a schema; a column with missing values is nullable."""
    pa, _ = arrow()
    table = _table(pa, columns, first, None)
    return pa.schema([field.with_nullable(table.column(field.name).null_count > 0) for field in table.schema])


def merge_types(a, b):
    """The types that hold the values of both of two parts of a file.

    Parameters
    ----------
    a, b : pyarrow.Schema
        From `types_of`.

    Raises
    ------
    ValueError
        Two types have nothing in common, such as texts and numbers.
    """
    pa, _ = arrow()
    # What only one of them has is missing in the other.
    a, b = (
        pa.schema([f.with_nullable(f.nullable or other.get_field_index(f.name) < 0) for f in one], one.metadata)
        for one, other in ((a, b), (b, a))
    )
    whole_numbers = {pa.int64(), pa.uint64()}
    for field in a:
        k = b.get_field_index(field.name)
        if k >= 0 and {field.type, b.field(k).type} == whole_numbers:
            # Arrow itself would take int64, in which the large ones have no room.
            a = a.set(a.get_field_index(field.name), field.with_type(pa.uint64()))
            b = b.set(k, b.field(k).with_type(pa.uint64()))
    try:
        return pa.unify_schemas([a, b], promote_options="permissive")
    except pa.ArrowException as error:
        raise ValueError(
            f"values of different kinds cannot be one column of Parquet ({error}); write .jsonl."
        ) from error


def join(parts, path):
    """Write files of equal columns as one, a row group each.

    Parameters
    ----------
    parts : iterable of bytes
        The contents of the files.
    path : path
    """
    pa, pq = arrow()
    writer = None
    try:
        for content in parts:
            with pq.ParquetFile(pa.BufferReader(content)) as file:
                table = file.read()
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema)
            writer.write_table(table, row_group_size=max(1, len(table)))
    finally:
        if writer is not None:
            writer.close()


def _written(pq, table):
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


def _check_alone(pa, pq, name, cells, column, first):
    try:
        _written(pq, column)
    except (pa.ArrowException, ValueError) as error:
        row = next((row for row, cell in enumerate(cells) if not is_missing(cell)), 0)
        raise ValueError(
            f"row {first + row} of the column {name!r} holds {_short(cells[row])}, which Parquet cannot ({error}); "
            "write .jsonl."
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


def _column(pa, name, cells, first, kind):
    if hasattr(cells, "dtype"):
        return pa.array(cells)
    cells = [None if cell is ABSENT else cell for cell in cells]
    try:
        return _array(pa, cells, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise ValueError(_misfit(pa, name, cells, error, first, kind)) from error


def _array(pa, cells, kind):
    try:
        return pa.array(cells, kind, from_pandas=True)
    except OverflowError:
        # pyarrow does not detect numbers above int64 itself.
        if kind is not None:
            raise
        return pa.array(cells, pa.uint64())


def _misfit(pa, name, cells, error, first, kind):
    """Message about cells that cannot be a column, with the first row that does not fit."""
    present = [row for row, cell in enumerate(cells) if not is_missing(cell)]
    low, high = 1, len(present)  # the smallest number of cells that do not fit together
    while low < high:
        middle = (low + high) // 2
        try:
            _array(pa, [cells[row] for row in present[:middle]], kind)
            low = middle + 1
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            high = middle
    row, other = present[low - 1], present[0]
    beside = "" if row == other else f" beside {_short(cells[other])} in row {first + other}"
    if kind is not None:
        beside = f" where others make the column {kind}"
    return (
        f"row {first + row} of the column {name!r} holds {_short(cells[row])}{beside}, which Parquet cannot ({error}); "
        "write .jsonl."
    )


def _short(cell):
    return f"{cell!r:.60} ({type(cell).__name__})"


def _told_to_pandas(pa, new, types):
    """Metadata with which pandas reads integers and booleans with missing values as such, not as floats and objects."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    none = new.schema.empty_table()
    # Of a part of a file, other parts may have the missing values.
    gaps = {field.name: field.nullable for field in types or ()}
    gaps = {name: gaps.get(name, new.column(name).null_count > 0) for name in new.column_names}
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
