"""Tables as streams of record batches: CSV, TSV, Parquet, JSONL, CoNLL and columns in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from headstart.core.dataset import SetAside
from headstart.data import conll, delimited, json_lines, levels
from headstart.errors import DataError, nearest

BATCH = 1024
BATCH_BYTES, READ_BYTES = 1 << 23, 1 << 20
HEAD = 2000
"""Rows that columns are guessed from."""
DELIMITED = (".csv", ".tsv", ".txt")
SUFFIXES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".ndjson", *conll.SUFFIXES)


@dataclass(frozen=True)
class Table:
    """Columns that are read batch by batch, as often as asked.

    Attributes:
        name: what a person calls it: the file's name, or "the arrays".
        rows: number of rows.
        stream: a fresh pass over all rows, in batches of at most `BATCH`.
        set_aside: rows that are no rows (wrong number of cells).
        stamp: changes when the content may have changed; part of the cache's key.
        origin: column that tells which file a row came from, where there are several; never an input.
        lead: the rows that columns are guessed from, where the first ones are not typical.
        orders: column -> its values in rising order, where the data say that they have one.
        folded: column -> the columns that it was made of.
        naming: column whose cells name the rows and are nothing else; "": none.
        among: what `set_aside` was taken from, where that is not rows, as in `core.reader.Gathered`.
    """

    name: str
    schema: pa.Schema
    rows: int
    stream: Callable[[], Iterator[pa.RecordBatch]]
    notes: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    stamp: str = ""
    origin: str = ""
    lead: Callable[[], Iterator[pa.RecordBatch]] | None = None
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    naming: str = ""
    among: tuple[str, int] = ("", 0)

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def head(self, rows: int = HEAD) -> pa.Table:
        """The first rows."""
        taken, count = [], 0
        for batch in (self.lead or self.stream)():
            taken.append(batch.slice(0, rows - count))
            count += len(taken[-1])
            if count >= rows:
                break
        return pa.Table.from_batches(taken, schema=self.schema)

    def column(self, name: str) -> Iterator[pa.Array]:
        """One column, batch by batch."""
        for batch in self.stream():
            yield batch.column(name)

    def require(self, name: str, role: str) -> str:
        """The name, when there is such a column. Raises DataError with the nearest names."""
        if name not in self.columns:
            raise DataError(
                f"{self.name} has no column '{name}', which was named as {role}. "
                f"{nearest(name, self.columns)}"
            )
        return name


def is_table(path: Path) -> bool:
    """Whether the file's ending is one that `open_table` reads."""
    return path.suffix.lower() in SUFFIXES


def open_table(path: Path) -> Table:
    """A CSV, TSV, Parquet, JSONL or CoNLL file. Raises DataError."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"There is no file {path}. Give the path of a table or of a folder.")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes). Expected a header line and rows.")
    try:
        if suffix in DELIMITED:
            table = _delimited(path)
        elif suffix in (".parquet", ".pq"):
            table = _parquet(path)
        elif suffix in (".jsonl", ".ndjson"):
            table = _jsonl(path)
        elif suffix in conll.SUFFIXES:
            found = conll.read(path)
            made = _whole(pa.table(found.columns), path.name)
            table = replace(made, set_aside=found.set_aside, stamp=_stamp(path))
        else:
            raise DataError(
                f"{path.name} ends in '{suffix}'; expected one of {', '.join(SUFFIXES)}. "
                "Convert the table, or give a folder of class folders."
            )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{path.name} cannot be read as {suffix[1:].upper()}: {error}. "
            "Save it again from the program that wrote it, or convert it to CSV in UTF-8."
        ) from error
    if not table.rows:
        raise DataError(f"{path.name} has a header but no rows. Expected one row per example.")
    return table


def join(tables: Mapping[str, Table], column: str, name: str) -> Table:
    """Rows of several tables, one after the other; what one of them lacks is missing there, which is said.

    Args:
        tables: what a person calls each part -> its rows.
        column: a new column that holds these names; "": none.
        name: what a person calls all of them.
    """
    schema, notes = _united(tables)
    if column:
        schema = schema.append(pa.field(column, pa.string()))

    def fit(part: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = []
        for place in schema:
            if place.name == column:
                columns.append(pa.array([part] * len(batch), place.type))
            elif place.name in batch.schema.names:
                columns.append(batch.column(place.name).cast(place.type))
            else:
                columns.append(pa.nulls(len(batch), place.type))
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def stream() -> Iterator[pa.RecordBatch]:
        for part, table in tables.items():
            yield from (fit(part, batch) for batch in table.stream())

    def lead() -> Iterator[pa.RecordBatch]:
        for part, table in tables.items():
            for batch in table.head(max(1, HEAD // len(tables))).to_batches():
                yield fit(part, batch)

    every = list(tables.values())
    return Table(
        name,
        schema,
        sum(t.rows for t in every),
        stream,
        (*dict.fromkeys(n for t in every for n in t.notes), *notes),
        tuple(s for t in every for s in t.set_aside),
        "|".join(f"{part}:{t.stamp}" for part, t in tables.items()),
        column,
        lead,
        {n: o for n, o in every[0].orders.items() if all(t.orders.get(n) == o for t in every)},
    )


def _united(tables: Mapping[str, Table]) -> tuple[pa.Schema, list[str]]:
    """All columns of all tables with a type that holds them, and sentences on what differs."""
    kinds: dict[str, pa.DataType] = {}
    notes = []
    for table in tables.values():
        for place in table.schema:
            before = kinds.get(place.name, place.type)
            kinds[place.name] = _wider(before, place)
            mixed = _text(kinds[place.name]) and not (_text(before) and _text(place.type))
            if mixed and not _empty(tables.values(), place.name):
                notes.append(f"The column '{place.name}' has several types; it was read as text.")
    for part, table in tables.items():
        lacking = [n for n in kinds if n not in table.columns]
        if lacking:
            shown = ", ".join(f"'{n}'" for n in lacking[:8]) + (" ..." if len(lacking) > 8 else "")
            notes.append(
                f"'{part}' has no column {shown}; in its {table.rows} rows that is missing."
            )
    return pa.schema(kinds.items()), list(dict.fromkeys(notes))


def _text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _empty(tables: Iterable[Table], name: str) -> bool:
    """Whether one of the tables has the column without a value, so that its type says nothing."""
    heads = (t.head().column(name) for t in tables if name in t.columns)
    return any(head.null_count == len(head) for head in heads)


def _wider(first: pa.DataType, field: pa.Field) -> pa.DataType:
    """A type that `first` and the field's own can be cast to. Raises DataError."""
    second, binary = field.type, (pa.binary(), pa.large_binary())
    if first in binary and second in binary:
        return pa.large_binary()
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in (first, second)):
        return pa.float64()
    if any(pa.types.is_nested(t) or t in binary for t in (first, second)):
        raise DataError(
            f"The column '{field.name}' is {first} in one file and {second} in another. Expected one kind in "
            "all files; convert it, or give one file."
        )
    return pa.string()


def from_columns(columns: Mapping[str, Any], name: str = "the arrays") -> Table:
    """A table of columns in memory, all of one length. Raises DataError."""
    sizes = {key: len(value) for key, value in columns.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"'{k}' {v}" for k, v in sizes.items())
        raise DataError(
            f"The columns differ in length ({told}). Expected one value per row in each."
        )
    orders = {key: levels.declared(value) for key, value in columns.items()}
    arrays = {key: as_array(value) for key, value in columns.items()}
    made = _whole(pa.table(arrays), name)
    return replace(made, orders={key: order for key, order in orders.items() if order})


def as_array(values: Any) -> pa.Array:
    """Python or numpy values as one Arrow array; mixed values become text."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biufUM":
        return pa.array(values.tolist() if values.dtype.kind == "U" else values)
    if isinstance(values, np.ndarray) and values.ndim > 1 and values.dtype.kind in "biuf":
        return _nested(values)
    plain = [_plain(v) for v in values]
    try:
        return pa.array(plain)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        odd = [v for v in plain if not isinstance(v, (str, int, float, type(None)))]
        if odd:
            raise DataError(
                f"A value came as {type(odd[0]).__name__}; expected text, numbers, bytes or paths, all "
                "of one kind. Convert the values (a picture to PNG bytes)."
            ) from None
        return pa.array([None if v is None else str(v) for v in plain])


def _nested(values: np.ndarray) -> pa.Array:
    """(n, ...) numbers as n lists, without a Python object a number."""
    made = pa.array(values.ravel())
    for size in values.shape[:0:-1]:
        made = pa.FixedSizeListArray.from_arrays(made, size)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _whole(whole: pa.Table, name: str) -> Table:
    orders = _orders(whole)
    whole = pa.table({n: _simple(whole.column(n)) for n in whole.column_names})

    def stream() -> Iterator[pa.RecordBatch]:
        yield from whole.to_batches(max_chunksize=BATCH)

    return Table(name, whole.schema, len(whole), stream, orders=orders)


def _orders(found: pa.Table | pa.RecordBatch) -> dict[str, tuple[str, ...]]:
    """Columns that are ordered categoricals, with their values in rising order."""
    every = {n: levels.declared(found.column(n)) for n in found.schema.names}
    return {n: order for n, order in every.items() if order}


def _simple(column: Any) -> Any:
    """Decodes dictionaries; {"bytes", "path"} records become the bytes; decimals become numbers."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_struct(kind) and {f.name for f in kind} == {"bytes", "path"}:
        part = "path" if pc.struct_field(column, "bytes").null_count == len(column) else "bytes"
        return pc.struct_field(column, part)
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return column.cast(pa.float64())
    return column


def _simple_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_simple(c) for c in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def _unique(names: Sequence[str], path: Path) -> None:
    double = sorted({n for n in names if list(names).count(n) > 1})
    if double:
        raise DataError(
            f"{path.name} has more than one column called {', '.join(map(repr, double))}. "
            "Expected every name once; rename them in the file."
        )


def _delimited(path: Path) -> Table:
    found = delimited.survey(path)
    _unique(found.schema.names, path)

    def stream() -> Iterator[pa.RecordBatch]:
        yield from _cut(delimited.read(path, found))

    return Table(
        path.name,
        found.schema,
        found.rows,
        stream,
        found.notes,
        found.set_aside,
        _stamp(path),
    )


def _cut(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), BATCH):
            yield batch.slice(start, BATCH)


def _parquet(path: Path) -> Table:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        names, rows = file.schema_arrow.names, file.metadata.num_rows
        first = next(file.iter_batches(batch_size=1), None)
    _unique(names, path)
    if first is None:
        raise DataError(f"{path.name} has no rows. Expected one row per example.")

    def stream() -> Iterator[pa.RecordBatch]:
        # buffered ahead, every row group would stay in memory until the file is closed
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
            for batch in file.iter_batches(batch_size=_at_once(file.metadata)):
                yield _simple_batch(batch)

    schema = _simple_batch(first).schema
    return Table(path.name, schema, rows, stream, stamp=_stamp(path), orders=_orders(first))


def _at_once(metadata: pq.FileMetaData) -> int:
    """Rows of a Parquet file whose cells take about `BATCH_BYTES`; `BATCH` at most."""
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    return max(1, min(BATCH, BATCH_BYTES * metadata.num_rows // max(1, size)))


def _jsonl(path: Path) -> Table:
    """JSONL; types are those of the first 16 MiB, and of the whole file where they change later."""
    options = pj.ReadOptions(block_size=1 << 24)
    schema, rows = None, 0
    try:
        with pj.open_json(path, read_options=options) as reader:
            for batch in reader:
                schema, rows = _simple_batch(batch).schema, rows + len(batch)
    except pa.ArrowInvalid:
        try:
            found, aside = pj.read_json(path), list[SetAside]()
        except pa.ArrowInvalid:
            found, aside = json_lines.read(path)
            if not len(found):
                raise
        whole = _whole(found, path.name)
        return replace(whole, set_aside=tuple(aside), stamp=_stamp(path))
    if schema is None:
        raise DataError(f"{path.name} has no rows. Expected one JSON object per line.")

    def stream() -> Iterator[pa.RecordBatch]:
        with pj.open_json(path, read_options=options) as reader:
            yield from (_simple_batch(b) for b in _cut(iter(reader)))

    return Table(path.name, schema, rows, stream, stamp=_stamp(path))
