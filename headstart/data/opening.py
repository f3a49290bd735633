"""The doors of `data`: a folder, a file or arrays to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.core import digest
from headstart.core.dataset import Field, SetAside
from headstart.core.reader import Read
from headstart.core.run import Watcher
from headstart.core.task import Columns, Task
from headstart.data import folders, formats, quality, reshape, storage, tags, windows
from headstart.data.arrays import Inputs, as_columns, bare
from headstart.data.build import FORMAT, Order, build, check_classes, reader_digest, reopen
from headstart.data.dataset import ArrowDataset
from headstart.data.layout import Layout, arrange
from headstart.data.tables import Table, from_columns, open_table
from headstart.data.unlabelled import open_samples
from headstart.errors import DataError, nearest

__all__ = ["from_arrays", "open_data", "open_samples"]


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
    if windows.asked(task):
        return _windows(path, task, readers, cache, watcher)
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
            numbers of shape (n, columns), or arrays, one a sample.
        targets: (n,) class names or numbers; None for unlabelled rows, or where the task names a
            target among the columns.
        task: outcome, modality and columns where they are not to be guessed.
        fields: inputs and their kinds where they are not to be guessed; needs `task.modality`.
        metadata: further columns, each (n,).
        cache: folder of the Arrow file; None keeps it in memory.
    """
    task = task or Task()
    if windows.asked(task):
        raise DataError(
            "Arrays came with the outcome forecast. Expected the path of a table with a column of "
            "values, and one of time; write them to one."
        )
    whole = getattr(readers.get(task.modality), "ARRAYS", False)
    columns, asked = _gathered(inputs, targets, metadata or {}, task, fields, whole=whole)
    known = replace(task, columns=asked)
    if fields and known.modality not in readers:
        raise DataError(
            f"Fields were given for '{known.modality}'. {nearest(known.modality, readers)}"
        )
    table, known = tags.gathered(from_columns(columns), known)
    hidden = set(metadata or {})
    if asked.target and not hidden and not fields:
        table, known = reshape.reshaped(table, known, readers.get(known.modality))
    layout = _shown(table, known, readers, hidden, labelled=bool(asked.target), fields=fields)
    reader = readers[layout.modality]
    signatures = task.near_duplicates
    made = build(
        Order(
            table, layout, reader, Path(), task.tolerate, signatures, cache=cache, watcher=watcher
        )
    )
    check_classes(made)
    made.notes += quality.conflict_note(made)
    return made


def _windows(
    path: Path, task: Task, readers: Mapping[str, Read], cache: Path, watcher: Watcher | None
) -> ArrowDataset:
    """Windows of the series in a table. Raises DataError."""
    file = folders.single_table(path) if path.is_dir() else path
    if file is None:
        raise DataError(
            f"{path} holds no table. Expected one with a column of values, and one of time, to forecast."
        )
    return windows.open_windows(open_table(file), task, readers, cache=cache, watcher=watcher)


def _order(
    path: Path, task: Task, readers: Mapping[str, Read], cache: Path, watcher: Watcher | None
) -> Order:
    """What `open_data` builds: class folders, or a table."""
    own = formats.owner(path, readers, task.modality)
    file = folders.single_table(path) if path.is_dir() and not own else path
    stray: tuple[SetAside, ...] = ()
    if file is None:
        listing = folders.scan(path, readers, task.modality)
        table, root, stray = listing.table, path, listing.set_aside
        layout = _folder_layout(listing, task, readers, path)
    else:
        table = formats.open_own(file, readers[own]) if own else open_table(file)
        named = replace(task, modality=own) if own else task
        table, task = tags.gathered(table, named)
        table, task = reshape.reshaped(table, task, readers.get(task.modality))
        root = file.parent
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


def _gathered(
    inputs: Inputs,
    targets: Sequence[Any] | None,
    metadata: Mapping[str, Sequence[Any]],
    task: Task,
    fields: Sequence[Field],
    *,
    whole: bool = False,
) -> tuple[dict[str, Any], Columns]:
    """Inputs, metadata and target as columns of one table, and which is which. Raises DataError."""
    columns = dict(as_columns(inputs, [f.name for f in fields], whole=whole))
    own, asked = tuple(columns), task.columns
    for name, values in metadata.items():
        if name in columns:
            raise DataError(
                f"'{name}' is both an input and metadata. Expected it once; rename one."
            )
        columns[name] = values
    if targets is not None:
        target = next(n for n in ("target", "_target", "__target") if n not in columns)
        columns[target] = list(targets)
        asked = replace(asked, target=target)
    if not asked.inputs and not fields and bare(inputs):
        asked = replace(asked, inputs=own)
    return columns, asked


def _folder_layout(
    listing: folders.Listing, task: Task, readers: Mapping[str, Read], path: Path
) -> Layout:
    """Class folders have a path, a label and perhaps a split. Raises DataError for other columns."""
    asked = task.columns
    known = {"label", listing.modality, "split"} if listing.split else {"label", listing.modality}
    named = (asked.target, asked.group, asked.time, asked.split, *asked.inputs, *asked.sensitive)
    odd = [n for n in (*named, *asked.drop) if n and n not in known]
    if odd:
        raise DataError(
            f"The column '{odd[0]}' was named, but {path} holds class folders, which have no columns. "
            "Give a CSV with the files' paths, labels and further columns."
        )
    if task.outcome not in ("auto", "classify"):
        raise DataError(
            f"{path} holds class folders, whose names are classes, and the outcome asked for is "
            f"{task.outcome}. Choose classify, or give a CSV with the paths and a column of targets."
        )
    split = listing.split and "split" not in asked.drop
    return Layout(
        modality=listing.modality,
        fields=(Field(listing.modality, readers[listing.modality].FILE_KIND),),
        target="label",
        outcome="classify",
        name=listing.modality,
        columns={"split": "split"} if split else {},
        metadata=("split",) if split else (),
        notes=listing.notes if split or not listing.split else listing.notes[1:],
    )


def _again(order: Order) -> ArrowDataset | None:
    """The cached dataset where nothing changed since and as many rows may be set aside."""
    if order.cache is None:
        return None
    made = reopen(order.cache, order.key, order.reader)
    if made is None or len(made.set_aside) > len(order.stray) or made.changed():
        return None
    return made


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
