"""Which outcome a column of targets has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headstart.data import answers, levels, positions
from headstart.data.tables import Table
from headstart.errors import DataError

CLASSES = 20
"""Numbers with more distinct values than this are predicted as numbers."""


def _no_number(table: Table, target: str) -> tuple[int, Any]:
    """Row (from 1) and value of the first cell that is no number."""
    row = 0
    for cells in table.column(target):
        for value in cells.to_pylist():
            row += 1
            try:
                float(value if value is not None else "nan")
            except (TypeError, ValueError):
                return row, value
    return 1, next(iter(table.head(1).column(target).to_pylist()), None)


def guessed(
    table: Table, target: str, asked: str, notes: list[str], order: Sequence[str] = ()
) -> str:
    """The outcome that a column of targets has: the one that was asked for, else by its values, which a note
    tells. Raises DataError where they do not fit what was asked for."""
    kind = table.schema.field(target).type
    if asked == answers.OUTCOME:
        return asked
    if pa.types.is_nested(kind):
        return _lists(target, kind, levels.OUTCOME if order else asked, notes)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if asked == "regress" and not number:
        row, value = _no_number(table, target)
        raise DataError(
            f"The target '{target}' should be a number to regress, but holds {value!r} (row {row}, the "
            "first of those that are none). Correct or delete them, or choose the outcome classify."
        )
    if asked != "auto":
        return asked
    if order:
        notes.append(f"Outcome: {levels.OUTCOME}, {' < '.join(order)}.")
        return levels.OUTCOME
    if not number:
        what = "true and false" if pa.types.is_boolean(kind) else "names"
        notes.append(f"Outcome: classify, as '{target}' holds {what}.")
        return "classify"
    distinct = set[Any]()
    for cells in table.column(target):
        distinct.update(v for v in pc.unique(cells.drop_null()).to_pylist() if v == v)
        if len(distinct) > CLASSES:
            notes.append(
                f"Outcome: regress, as '{target}' has more than {CLASSES} distinct numbers."
            )
            return "regress"
    notes.append(f"Outcome: classify, as '{target}' has {len(distinct)} distinct numbers only.")
    return "classify"


def _lists(target: str, kind: pa.DataType, asked: str, notes: list[str]) -> str:
    """A target of lists holds tags, or labels of positions. Raises DataError where something else was
    asked for."""
    if positions.is_spans(kind) and asked in ("auto", positions.OUTCOME):
        notes.append(f"Outcome: label_each, as '{target}' holds spans with labels.")
        return positions.OUTCOME
    if asked not in ("auto", "tag", positions.OUTCOME) or not (
        pa.types.is_list(kind) or pa.types.is_large_list(kind)
    ):
        raise DataError(
            f"The target '{target}' holds {kind}, several values a row, and the outcome asked for is "
            f"{asked}. Choose the outcome tag, or name a column with one value a row."
        )
    return "tag" if asked == "auto" else asked
