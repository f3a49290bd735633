"""The doors of `data`: a folder, a file or arrays to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.core.dataset import Field
from headstart.core.reader import Read
from headstart.core.run import Watcher
from headstart.core.task import Task
from headstart.data.dataset import ArrowDataset

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
    raise NotImplementedError


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
        targets: (n,) class names or numbers; None for unlabelled rows.
        task: outcome, modality and columns where they are not to be guessed.
        fields: inputs and their kinds where they are not to be guessed.
        metadata: further columns, each (n,).
        cache: folder of the Arrow file; None keeps it in memory.
    """
    raise NotImplementedError


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
    raise NotImplementedError
