"""The doors of `data`: a folder, a file or arrays to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.core import digest
from headstart.core.dataset import Field, SetAside
from headstart.core.reader import Read
from headstart.core.run import Watcher
from headstart.core.task import Columns, Task
from headstart.data import (
    answers,
    containers,
    folders,
    further,
    hub,
    levels,
    partition,
    quality,
    reshape,
    storage,
    tags,
    windows,
)
from headstart.data.arrays import Inputs, as_columns, bare, uneven
from headstart.data.build import FORMAT, Order, build, check_classes, reader_digest, reopen
from headstart.data.dataset import ArrowDataset
from headstart.data.layout import TARGETS, Layout, arrange
from headstart.data.tables import Table, from_columns, open_table
from headstart.data.unlabelled import open_samples
from headstart.errors import DataError, nearest

__all__ = ["from_arrays", "open_data", "open_rows", "open_samples"]


def open_data(
    task: Task,
    readers: Mapping[str, Read],
    *,
    cache: Path,
    watcher: Watcher | None = None,
    offline: bool = False,
) -> ArrowDataset:
    """The dataset that `task.data` names: class folders, CSV, TSV, Parquet, JSONL or CoNLL, a folder of
    several tables, or a data set of the hub ("hf:NAME").

    Args:
        readers: modality name -> its reader, in the order in which they are asked.
        cache: folder where the Arrow file and the list of rows set aside are kept.
        offline: whether the network is forbidden; the environment may forbid it too.

    Raises:
        DataError: the data cannot be read or used as asked.
        OfflineError: they would have to be fetched, and the network is forbidden.
        StorageError: the cache cannot be written.
    """
    path = Path(task.data).expanduser()
    if not task.data or not (hub.named(task.data) or path.exists()):
        raise DataError(
            f"There is no data at '{task.data}'. Expected a folder of class folders, or a CSV, TSV, "
            "Parquet or JSONL file; check the path. A data set of the hub is named hf:OWNER/NAME."
        )
    storage.folder(cache)
    if windows.asked(task):
        return _windows(path, task, readers, cache, watcher)
    order = _order(_found(path, task, readers, offline), task, readers, cache, watcher)
    made = _judged(_again(order) or build(order))
    if watcher:
        for note in made.notes:
            watcher.say(note)
    return made


def open_rows(
    task: Task,
    readers: Mapping[str, Read],
    *,
    cache: Path,
    watcher: Watcher | None = None,
    beside: str = "",
) -> tuple[ArrowDataset, str]:
    """The data that `task.data` names without any target; labels, where there are some, are metadata.

    Class folders, any folder of files, or a table. The label is the column that the task names as its
    target, or one that is called like one; rows without a label stay.

    Args:
        beside: column of captions, which is no input and stays as metadata; "": none is named.

    Returns:
        The rows, and the name of the metadata column that holds labels, or "".

    Raises:
        DataError: the data cannot be read as asked; single bad rows are set aside, however many.
    """
    path = _there(task)
    storage.folder(cache)
    file = folders.single_table(path) if path.is_dir() else path
    stray: tuple[SetAside, ...] = ()
    if file is None:
        listing = folders.gather(path, readers, task.modality)
        table, root, stray = listing.table, path, listing.set_aside
        name = listing.modality
        label = "label" if "label" in table.columns else ""
        fields = (Field(name, readers[name].FILE_KIND),)
        layout = Layout(name, fields, name=name, metadata=(label,) if label else ())
    else:
        table, root = open_table(file), file.parent
        label = _label(table, task.columns)
        layout = _unlabelled(task, table, readers, root, label, beside)
    reader = readers[layout.modality]
    told = [FORMAT, table.stamp, layout, "rows", reader_digest(reader)]
    order = Order(
        table, layout, reader, root, 1.0, False, stray, cache, digest.value(told), watcher
    )
    made = reopen(cache, order.key, reader)
    if made is None or made.changed():
        made = build(order)
    check_classes(made)
    return made, label


def _there(task: Task) -> Path:
    """Where the data lie. Raises DataError."""
    path = Path(task.data).expanduser()
    if not task.data or not path.exists():
        raise DataError(
            f"There is no data at '{task.data}'. Expected a folder of files, or a CSV, TSV, Parquet or "
            "JSONL file; check the path."
        )
    return path


def _unlabelled(
    task: Task, table: Table, readers: Mapping[str, Read], root: Path, label: str, beside: str
) -> Layout:
    """Inputs of a table; labels and captions are metadata. Raises DataError."""
    if beside:
        table.require(beside, "the captions")
    shown = tuple(dict.fromkeys(n for n in (*task.columns.sensitive, label, beside) if n))
    bare = replace(task, columns=replace(task.columns, target="", sensitive=shown))
    layout = arrange(table, bare, readers, root, labelled=False)
    return replace(layout, sensitive=task.columns.sensitive)


def _label(table: Table, asked: Columns) -> str:
    """The column of labels: the one that was named, or one that is called like one."""
    if asked.target:
        return table.require(asked.target, "the column of labels")
    taken = {asked.group, asked.time, asked.split, *asked.inputs, *asked.drop}
    for name in TARGETS:
        for column in table.columns:
            if column.lower() == name and column not in taken:
                return column
    return ""


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
    table, known, readers = _tabled(inputs, targets, readers, task, fields, metadata or {})
    table, known, also = further.gathered(table, known)
    labelled, hidden = targets is not None or bool(task.columns.target), set(metadata or {})
    if labelled and not hidden and not fields:
        table, known = reshape.reshaped(table, known, readers.get(known.modality))
    layout = _shown(table, known, readers, hidden, labelled=labelled, fields=fields)
    layout = further.shown(layout, task.columns.sensitive, also)
    order = Order(
        table,
        layout,
        readers[layout.modality],
        Path(),
        task.tolerate,
        task.near_duplicates,
        cache=cache,
        watcher=watcher,
    )
    return _judged(build(order))


def _tabled(
    inputs: Inputs,
    targets: Sequence[Any] | None,
    readers: Mapping[str, Read],
    task: Task,
    fields: Sequence[Field],
    metadata: Mapping[str, Sequence[Any]],
) -> tuple[Table, Task, Mapping[str, Read]]:
    """What came in memory as one table, the task with its columns, and who may read it. Raises DataError."""
    own = containers.gather(inputs, readers, task.columns)
    if own is not None:
        readers = {own[0]: readers[own[0]]}
        inputs = {n: own[1].head(own[1].rows).column(n).to_pylist() for n in own[1].columns}
    arrays = [name for name, reader in readers.items() if getattr(reader, "ARRAYS", False)]
    whole = task.modality in arrays or (bool(arrays) and uneven(inputs))
    columns, asked = _gathered(inputs, targets, metadata, task, fields, whole=whole)
    if fields and task.modality not in readers:
        raise DataError(
            f"Fields were given for '{task.modality}'. {nearest(task.modality, readers)}"
        )
    table, known = tags.gathered(from_columns(columns), replace(task, columns=asked))
    table, known = answers.gathered(table, known, readers)
    return table if own is None else containers.carried(own[1], table), known, readers


def _judged(made: ArrowDataset) -> ArrowDataset:
    """The dataset with what is to be said of its quality. Raises DataError for classes of too few rows."""
    check_classes(made)
    made.notes += quality.gap_note(made) + quality.conflict_note(made)
    return made


@dataclass(frozen=True)
class _Found:
    """Rows, the folder that paths in cells start from, class folders where the rows are files, and the
    modality where its reader gathered them."""

    table: Table
    root: Path
    listing: folders.Listing | None = None
    modality: str = ""


def _found(path: Path, task: Task, readers: Mapping[str, Read], offline: bool) -> _Found:
    """Tells a data set of the hub, one table, several tables and class folders apart."""
    if hub.named(task.data):
        return _Found(*hub.open_set(task.data, offline=offline))
    if own := containers.gather(path, readers, task.columns):
        return _Found(own[1], path.parent, modality=own[0])
    containers.refuse(path, readers)
    if not path.is_dir():
        return _Found(open_table(path), path.parent)
    if hub.is_copy(path):
        return _Found(*hub.open_set(f"{hub.PREFIX}{path}", offline=True))
    if file := folders.single_table(path):
        return _Found(open_table(file), path)
    if several := folders.several_tables(path):
        return _Found(several, path)
    listing = folders.scan(path, readers, task.modality)
    return _Found(listing.table, path, listing)


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
    found: _Found, task: Task, readers: Mapping[str, Read], cache: Path, watcher: Watcher | None
) -> Order:
    """What `open_data` builds: class folders, or a table."""
    table, root, stray = found.table, found.root, tuple[SetAside, ...]()
    if found.listing is not None:
        stray = found.listing.set_aside
        layout = _folder_layout(found.listing, task, readers, root)
    else:
        task = replace(task, modality=found.modality or task.modality)
        table, known, also = further.gathered(table, task)
        table, known = tags.gathered(table, known)
        table, known = answers.gathered(table, known, readers)
        table, known = reshape.reshaped(table, known, readers.get(known.modality))
        layout = further.shown(arrange(table, known, readers, root), task.columns.sensitive, also)
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
        columns[target] = targets if levels.declared(targets) else list(targets)
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
    named += tuple(asked.also)
    odd = [n for n in (*named, *asked.drop) if n and n not in known]
    if odd:
        raise DataError(
            f"The column '{odd[0]}' was named, but {path} holds class folders, which have no columns. "
            "Give a CSV with the files' paths, labels and further columns."
        )
    order = levels.asked(task, ())
    if task.outcome not in ("auto", *partition.CLASSED):
        raise DataError(
            f"{path} holds class folders, whose names are classes, and the outcome asked for is "
            f"{task.outcome}. Choose {' or '.join(partition.CLASSED)}, or give a CSV with the paths and a "
            "column of targets."
        )
    split = listing.split and "split" not in asked.drop
    return Layout(
        modality=listing.modality,
        fields=(Field(listing.modality, readers[listing.modality].FILE_KIND),),
        target="label",
        outcome=levels.OUTCOME if order or task.outcome == levels.OUTCOME else "classify",
        levels=order,
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
