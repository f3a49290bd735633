"""Further targets of the same rows: columns that are learned beside the target, and never inputs.

A row without a value in one of them stays: it trains the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.core.task import Columns, Task
from headstart.data import tags
from headstart.data.dataset import ArrowDataset
from headstart.data.layout import Layout, guessed
from headstart.data.rows import MISSING
from headstart.data.tables import Table
from headstart.errors import DataError, nearest

OUTCOMES = ("classify", "regress", "tag")


def named(asked: Columns, known: Sequence[str]) -> dict[str, str]:
    """Column -> outcome, "auto" where it is to be guessed, of the further targets that were named.

    Args:
        known: columns of the table; a name of one of these is taken as it is, whatever it holds.

    Raises:
        DataError: a column that is not there, plays another part or was named twice; or an outcome that no
            further target can have.
    """
    found: dict[str, str] = {}
    for text in asked.also:
        name, equals, outcome = text.partition("=")
        if text in known or not equals:
            name, outcome = text, "auto"
        name = name.strip()
        if name not in known:
            raise DataError(
                f"There is no column '{name}', which was named as a further target. {nearest(name, known)}"
            )
        if outcome not in ("auto", *OUTCOMES):
            raise DataError(
                f"The further target '{name}' was named with the outcome '{outcome}'. "
                f"{nearest(outcome, OUTCOMES)}"
            )
        if name in found or name in _parts(asked):
            raise DataError(
                f"The column '{name}' is named as a further target and again as another part (target, "
                "input, group, time, split, sample, sensitive, dropped or further target). Expected one part "
                "per column; leave it out of one."
            )
        found[name] = outcome
    return found


def _parts(asked: Columns) -> set[str]:
    """Columns that play another part."""
    single = (asked.target, asked.group, asked.time, asked.sample, asked.order)
    split = asked.split.partition("=")[0].strip()
    return {*single, split, *asked.inputs, *asked.sensitive, *asked.drop} - {""}


def gathered(table: Table, task: Task) -> tuple[Table, Task, Mapping[str, str]]:
    """The table with lists in the columns of tags; the task without further targets, whose columns are
    hidden from what reads inputs; and these columns with their outcomes. Raises DataError."""
    if not task.columns.also:
        return table, task, {}
    found, notes = named(task.columns, table.columns), list[str]()
    for name, outcome in found.items():
        if outcome == "tag":
            own = Task(outcome=outcome, columns=Columns(target=name))
            table, _ = tags.gathered(table, own)
        found[name] = guessed(table, name, outcome, notes)
        if found[name] not in OUTCOMES:
            raise DataError(
                f"The further target '{name}' has the outcome {found[name]}, which goes with no other "
                f"target. {nearest(found[name], OUTCOMES)}"
            )
    asked = task.columns
    hidden = replace(asked, also=(), sensitive=(*asked.sensitive, *found))
    notes = [note.replace("Outcome: ", "Further target: ", 1) for note in notes]
    table = replace(table, notes=(*table.notes, *notes))
    return table, replace(task, columns=hidden), found


def shown(layout: Layout, sensitive: tuple[str, ...], found: Mapping[str, str]) -> Layout:
    """The layout with what is known of further targets, which are no sensitive columns."""
    return replace(layout, sensitive=sensitive, also=dict(found)) if found else layout


def values(dataset: ArrowDataset, name: str, rows: np.ndarray) -> list[Any]:
    """Raw values of a further target, as `Targets.encode` takes them; None where a row has none."""
    outcome, cells = dataset.also[name], dataset.metadata(rows)[name]
    return [None if _missing(cell) else _raw(cell, outcome) for cell in cells]


def _missing(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    return cell is None or (isinstance(cell, float) and not math.isfinite(cell))


def _raw(cell: Any, outcome: str) -> Any:
    if outcome == tags.OUTCOME:
        return tags.raw(cell)
    if outcome == "regress":
        return float(cell)
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell
