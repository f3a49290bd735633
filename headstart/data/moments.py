"""Which column of a table holds the time, and how it writes its dates."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from datetime import timedelta

import numpy as np
import pyarrow as pa

from headstart.core.dates import ISO
from headstart.data import calendar
from headstart.data.calendar import Grid
from headstart.data.tables import Table
from headstart.errors import DataError

TIMES = ("date", "time", "datetime", "timestamp", "ds", "day", "month", "year", "hour")


def guessed(table: Table, parts: Collection[str], notes: list[str]) -> str:
    """The column of dates, whatever its name; else the first one named like a time that holds numbers; "" for
    none. What it is, and which dates cannot be read, is said.

    Args:
        parts: columns that play another part.

    Raises:
        DataError: several columns hold dates, and not one of them alone is named like a time.
    """
    names = [n for n in table.columns if n not in parts]
    usual = [n for n in names if n.strip().lower() in TIMES]
    told = {n: written(table, n, compact=n in usual) for n in names}
    found = [n for n in names if told[n][0]]
    if len(found) > 1 and len(own := [n for n in found if n in usual]) == 1:
        found = own
    if len(found) > 1:
        raise DataError(
            f"{table.name}: {len(found)} columns hold dates ({', '.join(map(repr, found))}). Expected one "
            f"column of time; name it: --time {shlex.quote(found[0])}"
        )
    if found:
        time = found[0]
    else:
        odd = {n: why for n, (_, why) in told.items() if why}
        odd |= {n: why for n in usual if n not in odd and (why := _odd(table, n))}
        notes += [f"'{n}' is not taken as time: {why}." for n, why in odd.items()]
        time = next((n for n in usual if n not in odd), "")
    if time:
        notes.append(f"Time: the column '{time}'.")
    return time


def _odd(table: Table, name: str) -> str:
    """What keeps a column without dates from being numbers of time; "" for nothing."""
    cells = [c for c in table.head(50).column(name).to_pylist() if c is not None]
    odd = next((c for c in cells if not np.isfinite(calendar.seconds(c))), None)
    if cells and odd is None:
        return ""
    return (
        f"{str(odd)[:40]!r} is no date that is read; write dates as 2026-03-31"
        if cells
        else "it is empty"
    )


def written(table: Table, name: str, known: str = "", *, compact: bool = True) -> tuple[str, str]:
    """How a column writes its dates, "" where it holds none, and why it cannot be read as `calendar.written`
    says it.

    Args:
        known: the form of training; it is taken where several read the cells.
        compact: whether numbers such as 20250131 are dates.
    """
    kind = table.schema.field(name).type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return ISO, ""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = [
            batch.cast(pa.float64()).to_numpy(zero_copy_only=False) for batch in table.column(name)
        ]
        whole = compact and calendar.compact(np.concatenate(numbers))
        return (calendar.COMPACT if whole else ""), ""
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return "", ""
    if calendar.written(table.head(calendar.LOOKED_AT).column(name).to_pylist()) == ("", ""):
        return "", ""
    return calendar.written([c for batch in table.column(name) for c in batch.to_pylist()], known)


def form(table: Table, time: str, grid: Grid | None, known: str, notes: list[str]) -> str:
    """How the column of time writes its dates, "" for numbers; said where it is not ISO 8601.

    Args:
        grid: the steps of training, in prediction.
        known: the form of training.

    Raises:
        DataError: dates cannot be read, or are no dates where training had some, or the reverse.
    """
    found, why = written(table, time, known, compact=grid is None or grid.dated)
    if not why and grid is not None and bool(found) != grid.dated:
        why = (
            "it holds numbers, in training dates"
            if grid.dated
            else "it holds dates, in training numbers"
        )
    if why:
        raise DataError(f"{table.name}: the column of time '{time}' cannot be read: {why}.")
    if found and found != ISO:
        cells = (c for batch in table.column(time) for c in batch.to_pylist())
        cell = next(c for c in cells if np.isfinite(calendar.seconds(c, found)))
        date = calendar.EPOCH + timedelta(seconds=calendar.seconds(cell, found))
        notes.append(f"'{time}' holds dates: {cell} is {date:%Y-%m-%d}.")
    return found
