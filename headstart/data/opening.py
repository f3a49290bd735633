"""The doors of `data`: a folder, a file or arrays to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.core import digest
from headstart.core.dataset import Field
from headstart.core.reader import Read
from headstart.core.run import Watcher
from headstart.core.task import Task
from headstart.data import folders, quality, storage
from headstart.data.build import FORMAT, Order, build, check_classes, reader_digest, reopen
from headstart.data.dataset import ArrowDataset
from headstart.data.layout import Layout, arrange
from headstart.data.tables import Table, from_columns, is_table, open_table
from headstart.errors import DataError, nearest

Inputs = str | Path | Sequence[Any] | Mapping[str, Sequence[Any]] | Any


def open_data(
    task: Task, readers: Mapping[str, Read], *, cache: Path, watcher: Watcher | None = None
) -> ArrowDataset:
    """The dataset that `task.data` names: class folders, CSV, TSV, Parquet or JSONL.

    Args:
        readers: modality name -> its reader, in the order in which they are asked.
        cache: folder where the Arrow file and the list of rows set aside are kept.

    Raises:
        DataError: the data cannot be read or used as asked.
        StorageError: the cache cannot be written.
    """
    path = Path(task.data).expanduser()
    if not task.data or not path.exists():
        raise DataError(
            f"There is no data at '{task.data}'. Expected a folder of class folders, or a CSV, TSV, "
            "Parquet or JSONL file; check the path."
        )
    storage.folder(cache)
    order = _order(path, task, readers, cache, watcher)
    made = _again(order) or build(order)
    check_classes(made)
    made.notes += quality.conflict_note(made)
    if watcher:
        for note in made.notes:
            watcher.say(note)
    return made


def from_arrays(
    inputs: Inputs,
    targets: Sequence[Any] | None,
    readers: Mapping[str, Read],
    *,
    task: Task | None = None,
    fields: Sequence[Field] = (),
    metadata: Mapping[str, Sequence[Any]] | None = None,
    cache: Path | None = None,
    watcher: Watcher | None = None,
) -> ArrowDataset:
    """A dataset from memory, as `fit(X, y)` hands it over.

    Args:
        inputs: texts, paths of files, encoded bytes, mappings, a mapping or frame of columns, or
            numbers of shape (n, columns).
        targets: (n,) class names or numbers; None for unlabelled rows, or where the task names a
            target among the columns.
        task: outcome, modality and columns where they are not to be guessed.
        fields: inputs and their kinds where they are not to be guessed; needs `task.modality`.
        metadata: further columns, each (n,).
        cache: folder of the Arrow file; None keeps it in memory.
    """
    task = task or Task()
    columns = dict(_columns(inputs, [f.name for f in fields]))
    own = tuple(columns)
    for name, values in (metadata or {}).items():
        if name in columns:
            raise DataError(f"'{name}' is both an input and metadata. Expected it once; rename one.")
        columns[name] = values
    asked = task.columns
    if targets is not None:
        target = next(n for n in ("target", "_target", "__target") if n not in columns)
        columns[target] = list(targets)
        asked = replace(asked, target=target)
    if not asked.inputs and not fields and _bare(inputs):
        asked = replace(asked, inputs=own)
    table = _checked(from_columns(columns))
    known = replace(task, columns=asked)
    if fields and known.modality not in readers:
        raise DataError(f"Fields were given for '{known.modality}'. {nearest(known.modality, readers)}")
    hidden = set(metadata or {})
    layout = _shown(table, known, readers, hidden, labelled=bool(asked.target), fields=fields)
    reader = readers[layout.modality]
    signatures = task.near_duplicates
    made = build(
        Order(table, layout, reader, Path(), task.tolerate, signatures, cache=cache, watcher=watcher)
    )
    check_classes(made)
    made.notes += quality.conflict_note(made)
    return made


def open_samples(
    inputs: Inputs,
    fields: Sequence[Field],
    reader: Read,
    root: Path | None = None,
    *,
    modality: str = "",
    cache: Path | None = None,
    watcher: Watcher | None = None,
) -> ArrowDataset:
    """Unlabelled rows for prediction, with the fields of training.

    Args:
        inputs: a folder, a file, several files, a table without target, or arrays.
        root: folder that relative paths start from; None: the table's folder, or the current one.

    Raises:
        DataError: a field of training is missing; it is named. Bad rows are set aside, however many.
    """
    table, where = _unlabelled(inputs, fields, reader)
    root = root or where
    head = table.head(200)
    chosen = []
    for place in fields:
        if place.name not in table.columns:
            raise DataError(
                f"{table.name} has no column '{place.name}', which the model was trained on "
                f"({', '.join(f.name for f in fields)}). {nearest(place.name, table.columns)}"
            )
        chosen.append(_kind(place, head, reader, root))
    layout = arrange(
        table, Task(modality=modality), {modality: reader}, root, labelled=False, fields=chosen
    )
    layout = replace(layout, columns={}, notes=())
    return build(Order(table, layout, reader, root, 1.0, False, cache=cache, watcher=watcher))


def _order(
    path: Path, task: Task, readers: Mapping[str, Read], cache: Path, watcher: Watcher | None
) -> Order:
    """What `open_data` builds: class folders, or a table."""
    if path.is_dir() and not (listed := folders.single_table(path)):
        listing = folders.scan(path, readers, task.modality)
        table, root, stray = listing.table, path, listing.set_aside
        reader = readers[listing.modality]
        layout = Layout(
            modality=listing.modality,
            fields=(Field(listing.modality, reader.FILE_KIND),),
            target="label",
            outcome="classify" if task.outcome == "auto" else task.outcome,
            name=listing.modality,
            columns={"split": "split"} if listing.split else {},
            metadata=("split",) if listing.split else (),
            notes=listing.notes,
        )
        if layout.outcome == "regress":
            raise DataError(
                f"{path} holds class folders, and their names are no numbers to regress. Choose the "
                "outcome classify, or give a CSV with the paths and a column of numbers."
            )
    else:
        file = listed if path.is_dir() else path
        table, root, stray = open_table(file), file.parent, ()
        layout = arrange(table, task, readers, root)
        reader = readers[layout.modality]
    told = [FORMAT, table.stamp, layout, task.near_duplicates, reader_digest(reader)]
    return Order(
        table=table,
        layout=layout,
        reader=reader,
        root=root,
        tolerate=task.tolerate,
        signatures=task.near_duplicates,
        stray=stray,
        cache=cache,
        key=digest.value(told),
        watcher=watcher,
    )


def _again(order: Order) -> ArrowDataset | None:
    """The cached dataset where nothing changed since and as many rows may be set aside."""
    if order.cache is None:
        return None
    made = reopen(order.cache, order.key, order.reader)
    if made is None or len(made.set_aside) > len(order.stray) or made.changed():
        return None
    return made


def _bare(inputs: Inputs) -> bool:
    """Whether the inputs came without names of columns, so that all of them are inputs."""
    if isinstance(inputs, (str, Path, Mapping, pa.Table)) or hasattr(inputs, "columns"):
        return False
    return not (len(inputs) and isinstance(inputs[0], Mapping))


def _columns(inputs: Inputs, names: Sequence[str] = ()) -> Mapping[str, Any]:
    """Arrays, records, frames as columns. Raises DataError."""
    if isinstance(inputs, (str, Path)):
        raise DataError(f"{str(inputs)!r} came as inputs; expected a list of them. Write [{str(inputs)!r}].")
    if isinstance(inputs, Mapping):
        return inputs
    if isinstance(inputs, pa.Table):
        return {n: inputs.column(n).to_pylist() for n in inputs.column_names}
    if hasattr(inputs, "columns") and hasattr(inputs, "to_dict"):  # a frame
        return {str(n): inputs[n].tolist() for n in inputs.columns}
    values = inputs if isinstance(inputs, np.ndarray) else list(inputs)
    if not len(values):
        raise DataError("No rows were given. Expected one value, or one row of numbers, per example.")
    if isinstance(values[0], Mapping):
        keys = list(dict.fromkeys(k for row in values for k in row))
        return {k: [row.get(k) for row in values] for k in keys}
    if isinstance(values[0], (np.ndarray, list, tuple)):
        values = np.asarray(values)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        named = list(names) if len(names) == values.shape[1] else []
        return {(named[i] if named else f"x{i}"): values[:, i] for i in range(values.shape[1])}
    if isinstance(values, np.ndarray) and values.ndim > 2:
        raise DataError(
            f"An array of shape {values.shape} came as inputs; expected (n,) or (n, columns). Encode "
            "pictures as PNG bytes, or give their paths."
        )
    return {names[0] if len(names) == 1 else "input": values}


def _checked(table: Table) -> Table:
    if not table.rows:
        raise DataError("No rows were given. Expected one row per example.")
    return table


def _shown(
    table: Table,
    task: Task,
    readers: Mapping[str, Read],
    hidden: set[str],
    *,
    labelled: bool,
    fields: Sequence[Field],
) -> Layout:
    """The layout of arrays; metadata columns are shown to no reader."""
    asked = task.columns
    extra = tuple(h for h in hidden if h not in asked.sensitive)
    shielded = replace(task, columns=replace(asked, sensitive=(*asked.sensitive, *sorted(extra))))
    layout = arrange(table, shielded, readers, Path(), labelled=labelled, fields=fields)
    return replace(layout, sensitive=asked.sensitive)


def _unlabelled(
    inputs: Inputs, fields: Sequence[Field], reader: Read
) -> tuple[Table, Path]:
    """What is to be predicted, as a table with the folder that its paths start from."""
    single = fields[0].name if len(fields) == 1 else ""
    if isinstance(inputs, (str, Path)):
        path = Path(inputs).expanduser()
        if not path.exists():
            raise DataError(f"There is nothing at '{inputs}'. Give a file, a folder or a table; check the path.")
        if path.is_dir():
            return _below(path, single, reader), path
        if is_table(path) and path.suffix.lower() not in reader.SUFFIXES:
            return open_table(path), path.parent
        return _files([path], single, reader), Path()
    if len(inputs) == 1 and isinstance(inputs[0] if not hasattr(inputs, "columns") else None, (str, Path)):
        only = Path(inputs[0])
        if _is_path(only) and (only.is_dir() or is_table(only)):
            return _unlabelled(only, fields, reader)
    if single and reader.SUFFIXES and not hasattr(inputs, "columns"):
        listed = [] if isinstance(inputs, Mapping) else list(inputs)
        if listed and all(isinstance(v, Path) or (isinstance(v, str) and _is_path(Path(v))) for v in listed):
            return _files(listed, single, reader), Path()
    return _checked(from_columns(_columns(inputs, [f.name for f in fields]))), Path()


def _is_path(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a zero byte: it is a text
        return False


def _files(paths: Sequence[Any], single: str, reader: Read) -> Table:
    if not single or not reader.SUFFIXES:
        raise DataError(
            f"'{paths[0]}' came as input, but this model reads several columns or no files. "
            "Give a CSV, Parquet or JSONL file with the columns of training."
        )
    return from_columns({single: [str(p) for p in paths]}, "the files")


def _below(folder: Path, single: str, reader: Read) -> Table:
    """All files below a folder that the reader reads."""
    found = [f for f in folders.walk(folder) if f.suffix.lower() in reader.SUFFIXES]
    if not found:
        endings = " ".join(reader.SUFFIXES) or "a table: this model reads no single files"
        raise DataError(f"{folder} holds no file that can be read. Expected {endings}.")
    return _files([f.relative_to(folder) for f in found], single, reader)


def _kind(place: Field, head: pa.Table, reader: Read, root: Path) -> Field:
    """Files for bytes and bytes for files: the kind is what came; other kinds are training's."""
    if place.kind not in ("bytes", reader.FILE_KIND) or not reader.FILE_KIND:
        return place
    column = head.column(place.name)
    binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    return Field(place.name, "bytes" if binary else reader.FILE_KIND)
