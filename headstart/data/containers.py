"""What is no table, as one: rows that a modality's reader gathers from files or objects of its own."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.core.reader import Gathered, Read
from headstart.core.task import Columns
from headstart.data import folders
from headstart.data.tables import Table, from_columns
from headstart.errors import DataError

Group = Callable[[Sample, Sequence[Field]], str]


def gather(
    thing: Any, readers: Mapping[str, Read], asked: Columns | None, fields: Sequence[Field] = ()
) -> tuple[str, Table] | None:
    """The first modality that knows `thing`, and its rows as a table; None where none does.

    Args:
        thing: a path, or inputs in memory.
        asked: the task's columns; None for rows that are to be predicted.
        fields: those of training, for rows that are to be predicted.
    """
    for modality, reader in readers.items():
        ask = getattr(reader, "gather", None)
        if ask is None:
            continue
        found: Gathered | None = ask(thing, asked, named=len(readers) == 1, fields=fields)
        if found is None:
            continue
        called = thing.name if isinstance(thing, Path) else "the arrays"
        made = from_columns(found.columns, called)
        stamp = _stamp(thing) if isinstance(thing, Path) else ""
        made = replace(made, notes=found.notes, set_aside=found.set_aside, among=found.among)
        made = replace(made, folded=found.made_of, naming=found.naming)
        return modality, replace(made, stamp=stamp)
    return None


def known(path: Path, readers: Mapping[str, Read]) -> list[str]:
    """What each reader says that a file of this ending has to hold."""
    offered = [getattr(reader, "CONTAINERS", {}) for reader in readers.values()]
    return [each[path.suffix.lower()] for each in offered if path.suffix.lower() in each]


def refuse(path: Path, readers: Mapping[str, Read]) -> None:
    """Raises DataError for a file that only readers could gather, and none did."""
    wanted = known(path, readers)
    if not wanted or not path.is_file():
        return
    try:
        with np.load(path, allow_pickle=False) as held:
            there = f"holds {', '.join(held.files[:8])}" + (" ..." if len(held.files) > 8 else "")
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path.name} cannot be read ({error}). Expected an archive of arrays; save it again."
        ) from error
    raise DataError(
        f"{path.name} {there}, which is none of what is read from such a file. Expected one of: "
        f"{'; '.join(wanted)}. Name the arrays so; or hand them over in Python, headstart.adapt(inputs, "
        "labels); or save a Parquet file with a column of inputs and one of labels."
    )


def carried(own: Table, table: Table) -> Table:
    """What `gather` told of its rows, beside a table that they went into."""
    notes = (*own.notes, *table.notes)
    table = replace(table, notes=notes, set_aside=own.set_aside, among=own.among)
    return replace(table, folded=own.folded, naming=own.naming)


def _stamp(path: Path) -> str:
    beside = folders.walk(path) if path.is_dir() else path.parent.glob(f"*{path.suffix}")
    return folders.stamp(path, sorted(beside))


def groups(reader: Read) -> Mapping[str, Group]:
    """Groups that follow from a sample of this reader, by name."""
    return getattr(reader, "GROUPS", {})
