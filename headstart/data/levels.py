"""Targets whose values have an order: named by the task, or told by an ordered categorical."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.core.task import Task
from headstart.errors import BadRow, PlanError, nearest

OUTCOME = "ordinal"


def name(value: Any) -> str:
    """What a value is called among the levels: 2.0 is '2'."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def declared(values: Any) -> tuple[str, ...]:
    """Levels of an ordered categorical of pandas or Arrow, the lowest first; () for anything else."""
    categories = getattr(values, "dtype", None)
    if getattr(categories, "ordered", False):
        return tuple(map(name, categories.categories.tolist()))  # type: ignore[union-attr]
    kind = getattr(values, "type", None)
    if isinstance(kind, pa.DictionaryType) and kind.ordered:
        chunks = values.unify_dictionaries().chunks if hasattr(values, "chunks") else [values]
        return tuple(map(name, chunks[0].dictionary.to_pylist())) if chunks else ()
    return ()


def asked(task: Task, known: Sequence[str]) -> tuple[str, ...]:
    """The order of the target's values: the task's, else the one that the data know; () where none is
    asked for.

    Raises:
        PlanError: the task's levels are fewer than two or repeat, or another outcome was asked for.
    """
    if not task.levels:
        return tuple(known) if task.outcome in ("auto", OUTCOME) else ()
    if task.outcome not in ("auto", OUTCOME):
        raise PlanError(
            f"Levels were given, and the outcome asked for is '{task.outcome}'. Expected the outcome "
            f"{OUTCOME}; leave one of both out."
        )
    double = sorted(n for n, count in Counter(task.levels).items() if count > 1)
    if double or len(task.levels) < 2:
        what = f"'{double[0]}' twice" if double else f"{len(task.levels)} of them"
        raise PlanError(
            f"The levels hold {what}. Expected two or more, each once, from the lowest to the highest."
        )
    return task.levels


def check(value: Any, levels: Sequence[str], column: str) -> None:
    """Raises BadRow for a value that is no level."""
    if levels and name(value) not in levels:
        raise BadRow(
            f"'{name(value)}' in '{column}' is none of the levels {' < '.join(levels)}",
            f"{nearest(name(value), levels)} Correct it, or name it among the levels".strip(),
        )


def empty(targets: Sequence[Any], levels: Sequence[str]) -> list[str]:
    """Levels that no row has."""
    there = {name(t.item() if isinstance(t, np.generic) else t) for t in targets}
    return [level for level in levels if level not in there]
