"""Targets that hold several tags: a column of lists, a text with a mark between them, or columns of 0/1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.core.task import Task
from headstart.data.tables import Table
from headstart.errors import DataError, nearest

OUTCOME = "tag"
MARKS = (";", "|", ",")
"""What may stand between tags in one text; the first that occurs is taken."""
MERGED = "tags"
PAIRS = pa.list_(pa.struct([("tag", pa.string()), ("value", pa.int8())]))


def raw(cell: Any) -> tuple[Any, ...]:
    """A kept cell as a raw target: the tuple of a row's tags, or of pairs (tag, 1, 0 or None)."""
    return tuple((t["tag"], t["value"]) if isinstance(t, dict) else str(t) for t in cell)


def carried(target: Any) -> tuple[str, ...]:
    """Names of the tags that a raw target carries."""
    return tuple(t if isinstance(t, str) else t[0] for t in target if isinstance(t, str) or t[1])


def gathered(table: Table, task: Task) -> tuple[Table, Task]:
    """The table with one column of lists as its target where tags were asked for, and the task that
    names it; both as they came otherwise.

    `task.columns.target` may name several columns of 0 and 1, with commas between them, or by a pattern
    such as "NR-*". An empty cell among such columns is a tag that is not known; an empty text is no tag.

    Raises:
        DataError: a column that holds something else.
    """
    target = task.columns.target
    if task.outcome not in ("auto", OUTCOME) or not target:
        return table, task
    if target not in table.columns:
        names = _several(table, target)
        return (_merged(table, names, task) if names else table), _renamed(task, bool(names))
    kind = table.schema.field(target).type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if task.outcome == OUTCOME and text:
        return _cut(table, target), task
    if task.outcome == OUTCOME and not pa.types.is_list(kind) and not pa.types.is_large_list(kind):
        raise DataError(
            f"The target '{target}' holds {kind}; expected tags: a column of lists, a text such as "
            "'red; round', or several columns of 0 and 1 (name all of them, with commas between). "
            "For one class a row choose the outcome classify."
        )
    return table, task


def _renamed(task: Task, merged: bool) -> Task:
    if not merged:
        return task
    return replace(task, outcome=OUTCOME, columns=replace(task.columns, target=MERGED))


def _several(table: Table, target: str) -> list[str]:
    """Columns that the parts of `target` name; [] where it names one column only."""
    parts = [part.strip() for part in target.split(",")]
    if len(parts) < 2 and "*" not in target:
        return []
    names: list[str] = []
    for part in parts:
        found = [n for n in table.columns if fnmatchcase(n, part)]
        if not found:
            raise DataError(
                f"{table.name} has no column '{part}', which was named as a tag. "
                f"{nearest(part, table.columns)}"
            )
        names += [n for n in found if n not in names]
    return names


def _merged(table: Table, names: Sequence[str], task: Task) -> Table:
    """Columns of 0, 1 and nothing as one column of (tag, value)."""
    rest = [n for n in table.columns if n not in names]
    if MERGED in rest:
        raise DataError(
            f"{table.name} has a column called '{MERGED}' beside the tags; rename or drop it."
        )

    def merge(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [_flags(batch.column(n), n) for n in names]
        cells = [
            [{"tag": n, "value": v} for n, v in zip(names, row, strict=True)]
            for row in zip(*columns, strict=True)
        ]
        # a row without a single known tag is a row without a label
        known = [c if any(t["value"] is not None for t in c) else None for c in cells]
        arrays = [*(batch.column(n) for n in rest), pa.array(known, PAIRS)]
        return pa.RecordBatch.from_arrays(arrays, names=[*rest, MERGED])

    fields = [table.schema.field(n) for n in rest]
    schema = pa.schema([*fields, pa.field(MERGED, PAIRS)])
    note = f"Target: {len(names)} columns of 0 and 1, each a tag."
    return _changed(table, schema, merge, note)


def _flags(column: Any, name: str) -> list[int | None]:
    """Cells as 0, 1 or None. Raises DataError."""
    cells = column.to_pylist()
    made = [None if c is None or c != c else int(c) if c in (0, 1) else -1 for c in cells]
    if -1 in made:
        raise DataError(
            f"The column '{name}' was named as a tag, but holds {cells[made.index(-1)]!r}; expected 0, 1 "
            "or nothing."
        )
    return made


def _cut(table: Table, target: str) -> Table:
    """A column of texts as one of lists of tags."""
    place = table.columns.index(target)
    head = [c for c in table.head().column(target).to_pylist() if c]
    mark = next((m for m in MARKS if any(m in c for c in head)), MARKS[0])

    def split(batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = pc.fill_null(batch.column(place), "").to_pylist()
        cells = [
            list(dict.fromkeys(t.strip() for t in text.split(mark) if t.strip())) for text in texts
        ]
        return batch.set_column(place, target, pa.array(cells, pa.list_(pa.string())))

    field = pa.field(target, pa.list_(pa.string()))
    note = f"Tags in '{target}' are told apart by '{mark}'; an empty cell means no tag."
    return _changed(table, table.schema.set(place, field), split, note)


def _changed(
    table: Table, schema: pa.Schema, change: Callable[[pa.RecordBatch], pa.RecordBatch], note: str
) -> Table:
    def stream() -> Iterator[pa.RecordBatch]:
        for batch in table.stream():
            yield change(batch)

    return replace(table, schema=schema, stream=stream, notes=(*table.notes, note))
