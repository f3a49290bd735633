"""Rows without targets, for prediction: read with the fields of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from headstart.core.dataset import Field
from headstart.core.reader import Read
from headstart.core.run import Watcher
from headstart.data import containers, folders, reshape, windows
from headstart.data.arrays import Inputs, as_columns
from headstart.data.build import Order, build
from headstart.data.dataset import ArrowDataset
from headstart.data.layout import Layout
from headstart.data.tables import Table, from_columns, is_table, open_table
from headstart.errors import LISTED, DataError, nearest


@dataclass(frozen=True)
class Came:
    """What came: a table, the folder of its relative paths, and whether each row is a file."""

    table: Table
    root: Path
    files: bool = False


def open_samples(
    inputs: Inputs,
    fields: Sequence[Field],
    reader: Read,
    root: Path | None = None,
    *,
    modality: str = "",
    form: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    watcher: Watcher | None = None,
) -> ArrowDataset:
    """Unlabelled rows for prediction, with the fields of training.

    Args:
        inputs: a folder, a file, several files, a table without target, or arrays.
        root: folder that relative paths in cells start from; None: the table's, or the current one.
        form: how windows were cut in training, where rows are windows.

    Raises:
        DataError: a field of training is missing; it is named. Bad rows are set aside, however many.
    """
    came = _came(inputs, fields, reader, root)
    if form:
        return windows.for_prediction(came.table, form, reader)
    table, naming = reshape.again(came.table, fields)
    table, notes = _completed(table, fields, reader, naming)
    head = table.head(200)
    chosen = [_kind(place, head, reader, files=came.files) for place in fields]
    used = {f.name for f in chosen}
    layout = Layout(
        modality=modality,
        fields=tuple(chosen),
        name=naming
        or table.naming
        or next((f.name for f in chosen if f.kind == reader.FILE_KIND and f.kind), ""),
        metadata=tuple(n for n in table.columns if n not in used | {table.naming}),
        notes=notes,
    )
    return build(Order(table, layout, reader, came.root, 1.0, False, cache=cache, watcher=watcher))


def _completed(
    table: Table, fields: Sequence[Field], reader: Read, naming: str
) -> tuple[Table, tuple[str, ...]]:
    """The table with columns of missing values for those that did not come, where the reader takes that; and
    sentences on them and on columns that training did not have, but the one that names rows.

    Raises:
        DataError: a column is missing that is needed, or that may only be written in another way.
    """
    lacking = [f.name for f in fields if f.name not in table.columns]
    extra = [n for n in table.columns if n not in {naming, *(f.name for f in fields)}]
    alike = {n: get_close_matches(n.lower(), _lower(extra), 1, 0.8) for n in lacking}
    most = 2 * len(lacking) > len(fields)
    for name in lacking:
        if most or alike[name] or not getattr(reader, "GAPS", False):
            raise DataError(_lacks(table, fields, lacking, extra, any(alike.values())))
    notes = []
    if lacking:
        notes.append(
            f"{table.name} has no column {', '.join(map(repr, lacking))}: missing in all {table.rows} rows."
        )
        table = _with_gaps(table, lacking)
    if extra and reader.MANY:
        shown = ", ".join(map(repr, extra[:8])) + (" ..." if len(extra) > 8 else "")
        notes.append(f"Not used, as the model was not trained on it: {shown}.")
    return table, tuple(notes)


def _lacks(
    table: Table, fields: Sequence[Field], lacking: Sequence[str], extra: Sequence[str], near: bool
) -> str:
    """Which columns lack, and what to do: where one that came is `near`, the names that it may mean; where
    none is and no column is shared, that these are other data."""
    trained = ", ".join(f.name for f in fields)
    if len(lacking) == len(fields) > 1 and not near:
        return (
            f"{table.name} shares no column with what the model was trained on ({trained}): it has "
            f"{', '.join(table.columns[:LISTED])}. Give rows with those columns, or name a run that was "
            "trained on rows as these (headstart runs)."
        )
    first = lacking[0]
    if near:
        first = next(n for n in lacking if get_close_matches(n.lower(), _lower(extra), 1, 0.8))
        offer = f"{nearest(first, extra)} Rename it in the file."
    else:
        offer = f"It has {', '.join(table.columns[:LISTED])}. Rename the column that holds it, or add it."
    return (
        f"{table.name} has no column '{first}', which the model was trained on ({trained}). {offer}"
    )


def _lower(names: Sequence[str]) -> list[str]:
    return [n.lower() for n in names]


def _with_gaps(table: Table, names: Sequence[str]) -> Table:
    """The table with further columns of missing values."""
    schema = pa.schema([*table.schema, *(pa.field(n, pa.string()) for n in names)])

    def stream() -> Iterator[pa.RecordBatch]:
        for batch in table.stream():
            gaps = [pa.nulls(len(batch), pa.string()) for _ in names]
            yield pa.RecordBatch.from_arrays([*batch.columns, *gaps], schema=schema)

    return replace(table, schema=schema, stream=stream)


def _came(inputs: Inputs, fields: Sequence[Field], reader: Read, root: Path | None) -> Came:
    """Tells folders, tables, files and arrays apart. Raises DataError."""
    if isinstance(inputs, (str, Path)):
        return _place(Path(inputs).expanduser(), fields, reader, root)
    single = _single(fields)
    own = containers.gather(inputs, {"": reader}, None, fields)
    if own is not None:
        return Came(own[1], root or Path())
    listed = _listed(inputs)
    start = root or Path()
    if len(listed) == 1 and isinstance(listed[0], (str, Path)):
        only = Path(listed[0])
        known = _exists(only) and containers.gather(only, {"": reader}, None, fields) is not None
        if _exists(only) and (only.is_dir() or is_table(only) or known):
            return _place(only, fields, reader, root)
    tables = [v for v in listed if isinstance(v, Path) and _exists(v) and is_table(v)]
    if tables and len(listed) > 1:
        raise DataError(
            f"Several inputs came, and '{tables[0]}' is a table. Expected one table at a time, or files "
            "that are one row each; predict one after another, or join the tables."
        )
    if single and reader.SUFFIXES and listed and all(_is_file(v, start) for v in listed):
        return Came(_files(listed, single, reader), start, files=True)
    return Came(from_columns(_columns(inputs, fields, reader)), start)


def _columns(inputs: Inputs, fields: Sequence[Field], reader: Read) -> Mapping[str, object]:
    whole = getattr(reader, "ARRAYS", False)
    return as_columns(inputs, [f.name for f in fields], whole=whole)


def _listed(inputs: Inputs) -> list[object]:
    """The items of a plain sequence; nothing of columns and frames."""
    if isinstance(inputs, (Mapping, pa.Table)) or hasattr(inputs, "columns"):
        return []
    return list(inputs)


def _single(fields: Sequence[Field]) -> str:
    """The only field's name, or ""."""
    return fields[0].name if len(fields) == 1 else ""


def _place(path: Path, fields: Sequence[Field], reader: Read, root: Path | None) -> Came:
    """A folder, a table or one file on the disk."""
    single = _single(fields)
    if not _exists(path):
        raise DataError(
            f"There is nothing at '{path}'. Expected a file, a folder or a table; check the path."
        )
    own = containers.gather(path, {"": reader}, None, fields)
    if own is not None:
        return Came(own[1], root or path.parent)
    containers.refuse(path, {"": reader})
    if path.is_dir():
        return Came(_below(path, single, reader), path, files=True)
    if is_table(path) and path.suffix.lower() not in reader.SUFFIXES:
        return Came(open_table(path), root or path.parent)
    return Came(_files([path.absolute()], single, reader), Path(), files=True)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a zero byte: it is a text
        return False


def _is_file(value: object, root: Path) -> bool:
    """Paths are files, missing ones too; a text is one only when it exists."""
    return isinstance(value, Path) or (isinstance(value, str) and _exists(root / value))


def _files(paths: Sequence[object], single: str, reader: Read) -> Table:
    if not single or not reader.SUFFIXES:
        raise DataError(
            f"'{paths[0]}' came as input, but this model reads several columns, or no files. "
            "Give a CSV, Parquet or JSONL file with the columns of training."
        )
    return from_columns({single: [str(p) for p in paths]}, "the files")


def _below(folder: Path, single: str, reader: Read) -> Table:
    """All files below a folder that the reader reads."""
    found = [f for f in folders.walk(folder) if f.suffix.lower() in reader.SUFFIXES]
    if not found:
        endings = " ".join(reader.SUFFIXES) or "a table, as this model reads no single files"
        raise DataError(f"{folder} holds no file that can be read. Expected {endings}.")
    return _files([f.relative_to(folder) for f in found], single, reader)


def _kind(place: Field, head: pa.Table, reader: Read, *, files: bool) -> Field:
    """The kind of what came where training's was bytes or files; training's kind otherwise."""
    if files:
        return Field(place.name, reader.FILE_KIND)
    if not reader.FILE_KIND or place.kind not in ("bytes", reader.FILE_KIND):
        return place
    kind = head.schema.field(place.name).type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if binary:
        return Field(place.name, "bytes")
    return Field(place.name, reader.FILE_KIND)
