"""A table with a column of time as series on an even grid: the ground that windows are cut from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headstart.core.dataset import SetAside
from headstart.core.task import Columns
from headstart.data import calendar, moments
from headstart.data.calendar import Grid
from headstart.data.delimited import BLANK
from headstart.data.layout import PARTS
from headstart.data.tables import Table
from headstart.errors import DataError, nearest

LEARN, TEST, UNUSED = 0, 1, 2
MOST_GAPS = 4
"""A grid may have so many times as many steps as there are rows."""
MOST_OFF = 0.5
"""Share of time stamps that may lie off the grid, unless its steps were named."""
MOST_EMPTY = 0.5
"""Share of named steps without a value, where stamps lie off the grid."""
MOST_TWICE = 0.1
"""Share of rows that repeat a time stamp from which on there may be several series."""
FINER = 0.75
"""Where stamps are closer than this share of a step, values are averaged over whole steps."""


@dataclass(frozen=True)
class Form:
    """Which columns make a series, and of what steps; sealed in the pack.

    Attributes:
        targets: columns to forecast, each a series of its own.
        time, sample: columns of time and of the series' names; "": rows are steps, one series.
        inputs: further columns that the history shows.
        known: columns and parts of the calendar that are known ahead.
        grid: unit, size, start and datedness of the steps.
        dates: how the column of time writes its dates, as `calendar.written` finds it; "": no dates.
    """

    targets: tuple[str, ...]
    time: str = ""
    sample: str = ""
    inputs: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    grid: tuple[Any, ...] = ()
    dates: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of numbers that are read from the table."""
        ahead = (k for k in self.known if k not in calendar.PARTS)
        return tuple(dict.fromkeys((*self.targets, *self.inputs, *ahead)))

    @property
    def channels(self) -> tuple[str, ...]:
        """What a step holds: the target, the inputs, what is known ahead."""
        own = self.targets[0] if len(self.targets) == 1 else "value"
        ahead = [
            name
            for k in self.known
            for name in ((f"{k} sine", f"{k} cosine") if k in calendar.PARTS else (k,))
        ]
        return (own, *self.inputs, *(f"{name} ahead" for name in ahead))


@dataclass(frozen=True)
class Line:
    """One series.

    Attributes:
        name: what tells it apart; the target's name where there is one only.
        first: position of its first step on the grid.
        values: (T, channels) float64, NaN where missing.
        parts: (T,) LEARN, TEST or UNUSED by the split column; all LEARN without one.
    """

    name: str
    first: int
    values: np.ndarray
    parts: np.ndarray


@dataclass
class Timeline:
    """Series on one grid, what was guessed, and the rows that are none."""

    form: Form
    grid: Grid
    lines: list[Line]
    notes: list[str] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    split: bool = False


def find_form(table: Table, asked: Columns, known: Sequence[str], notes: list[str]) -> Form:
    """Which column is what: what the task names is checked, the time is guessed and said.

    Raises:
        DataError: no such column, or none to forecast.
    """
    if not asked.target:
        raise DataError(
            f"{table.name}: which column is to be forecast is not known. Expected its name, or several "
            f"with commas between; name a target ({nearest('', table.columns)})"
        )
    whole = asked.target in table.columns
    targets = [asked.target] if whole else [t.strip() for t in asked.target.split(",")]
    for name, role in (
        *((t, "the target") for t in targets),
        *((i, "an input") for i in asked.inputs),
        *((k, "known ahead") for k in known if k not in calendar.PARTS),
        *((n, r) for n, r in ((asked.time, "the time"), (asked.sample, "the series' name")) if n),
    ):
        table.require(name, role)
    time = asked.time or asked.order
    if not time:
        parts = {*targets, *asked.inputs, *known, *asked.drop, asked.sample, asked.split}
        time = moments.guessed(table, parts, notes)
    if not time:
        notes.append("There is no column of time; rows are taken as even steps, in their order.")
    inputs = tuple(i for i in asked.inputs if i not in (*targets, time, *known))
    return Form(tuple(targets), time, asked.sample, inputs, tuple(known))


@dataclass
class _Rows:
    """Columns of the table that are needed, as arrays over its usable rows."""

    times: np.ndarray
    names: list[str]
    code: np.ndarray
    values: np.ndarray
    parts: np.ndarray
    dated: bool


def read(table: Table, form: Form, *, split: str = "", frequency: str = "") -> Timeline:
    """All series of the table on one grid; only the columns that are needed are held.

    Raises:
        DataError: columns without numbers, time stamps without a grid.
        PlanError: a frequency that is none.
    """
    aside = list(table.set_aside)
    notes: list[str] = []
    if form.time:
        before = Grid(*form.grid) if form.grid else None
        told = moments.form(table, form.time, before, form.dates, notes)
        form = replace(form, dates=told)
    rows = _rows(table, form, split, aside)
    trained = bool(form.grid)
    if trained:
        grid = Grid(*form.grid)
    else:
        grid = _grid(rows, form, frequency, notes)
        form = replace(form, grid=tuple(grid.state()))
    place = _placed(rows, grid, notes, table.name, named=trained or bool(frequency))
    lines = []
    for code, name in enumerate(rows.names):
        here = np.flatnonzero(rows.code == code)
        first, values, parts = _on_grid(place[here], rows.values[here], rows.parts[here])
        for number, target in enumerate(form.targets):
            several = len(form.targets) > 1
            told = " ".join(p for p in (name, target if several or not name else "") if p)
            lines.append(Line(told, first, _channels(values, form, number, grid, first), parts))
    _tell_gaps(lines, rows, notes, "" if trained else _apart(table, form))
    return Timeline(form, grid, lines, notes, aside, bool(split))


def _rows(table: Table, form: Form, split: str, aside: list[SetAside]) -> _Rows:
    """The needed columns; rows without a time are set aside. Raises DataError."""
    times, codes, values, parts = [], [], [], []
    known: dict[str, int] = {}
    begin = 0
    for batch in table.stream():
        size = len(batch)
        numbers = np.column_stack(
            [_numbers(batch.column(n), n, table, begin) for n in form.columns]
        )
        stamp = np.arange(begin, begin + size, dtype=np.float64)
        if form.time:
            cells = batch.column(form.time).to_pylist()
            stamp = np.array([calendar.seconds(c, form.dates) for c in cells])
        names = [""] * size
        if form.sample:
            names = ["" if c is None else str(c) for c in batch.column(form.sample).to_pylist()]
        part = _parts(batch.column(split).to_pylist()) if split else np.zeros(size, np.int8)
        usable = np.isfinite(stamp) & np.array([bool(n) or not form.sample for n in names])
        for row in np.flatnonzero(~usable):
            what = form.time if not np.isfinite(stamp[row]) else form.sample
            aside.append(
                SetAside(f"row {begin + row + 1}", f"'{what}' holds nothing usable", "correct it")
            )
        times.append(stamp[usable])
        codes.append(
            [known.setdefault(n, len(known)) for n, u in zip(names, usable, strict=True) if u]
        )
        values.append(numbers[usable])
        parts.append(part[usable])
        begin += size
    if not known:
        raise DataError(
            f"{table.name}: no row has a usable '{form.time or form.sample}'. Expected dates such as "
            "2026-03-31 12:00, or numbers; convert the column."
        )
    code = np.concatenate([np.array(c, np.int64) for c in codes])
    return _Rows(
        np.concatenate(times),
        list(known),
        code,
        np.concatenate(values),
        np.concatenate(parts),
        bool(form.dates),
    )


def _numbers(column: pa.Array, name: str, table: Table, begin: int) -> np.ndarray:
    """(rows,) float64, NaN for an empty cell. Raises DataError."""
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        found = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        if not np.isinf(found).any():
            return found
        row = int(np.flatnonzero(np.isinf(found))[0])
        raise DataError(f"{table.name}: '{name}' is infinite in row {begin + row + 1}. Correct it.")
    cells = column.to_pylist()
    odd = [row for row, cell in enumerate(cells) if not _number(cell)]
    if not odd:  # one bad cell far below makes a column text; it is named when it comes
        return np.array([calendar.number(c) for c in cells])
    row = next((r for r in odd if not _number(str(cells[r]).replace(",", "."))), odd[0])
    raise DataError(
        f"{table.name}: '{name}' should hold numbers to forecast, but holds {cells[row]!r} (row "
        f"{begin + row + 1}). Correct the column, or name another."
    )


def _number(cell: Any) -> bool:
    """Whether a cell of a column of text holds a number all the same, or a gap."""
    if cell is None or (isinstance(cell, str) and cell.strip() in BLANK):
        return True
    return isinstance(cell, str) and bool(np.isfinite(calendar.number(cell)))


def _parts(cells: Sequence[Any]) -> np.ndarray:
    """Validation rows are learned from; what is neither is not used."""
    kinds = {"train": LEARN, "validation": LEARN, "test": TEST}
    told = [kinds.get(PARTS.get(str(c).strip().lower(), ""), UNUSED) for c in cells]
    return np.array(told, np.int8)


def _grid(rows: _Rows, form: Form, frequency: str, notes: list[str]) -> Grid:
    """The grid that was asked for, or the one that the time stamps suggest. Raises."""
    series = [rows.times[rows.code == c] for c in range(len(rows.names))]
    found = calendar.inferred(series, rows.dated) if form.time else Grid("steps", 1.0)
    asked = calendar.parsed(frequency) if frequency else found
    if asked.dated != found.dated:
        raise DataError(
            f"The frequency '{frequency}' does not fit the time column, which holds "
            f"{'dates' if found.dated else 'numbers'}. Expected a frequency of that kind."
        )
    start = float(rows.times.min())
    if asked.unit == "months":
        start = float(calendar.months(np.array([start]))[0])
    elif asked.unit == "seconds" and frequency:
        whole = start // asked.size * asked.size  # a whole hour, where stamps lie around it
        phase = _phase((rows.times - whole) / asked.size)
        finer = found.size < FINER * asked.size
        start = whole if finer or abs(phase) <= calendar.OFF else whole + phase * asked.size
    else:
        start += _phase((rows.times - start) / asked.size) * asked.size
    if form.time:
        told = "as asked" if frequency else "read off the time stamps"
        notes.append(f"One step is {asked.words}, {told}.")
    return replace(asked, start=start)


def _phase(places: np.ndarray) -> float:
    """Where most stamps lie between two steps, -0.5 to 0.5: the first one may be off the grid."""
    centre = float(np.angle(np.exp(2j * np.pi * places).mean())) / (2 * np.pi)
    away = (places - centre + 0.5) % 1.0 - 0.5
    found = centre + float(np.quantile(away, 0.5, method="nearest"))
    return 0.0 if abs(found) < 1e-6 else found


def _placed(
    rows: _Rows, grid: Grid, notes: list[str], name: str, *, named: bool = False
) -> np.ndarray:
    """(rows,) int64 positions. Raises DataError where the stamps follow no grid.

    Args:
        named: whether a person named the steps: values that fall into one are then averaged, however
            the stamps lie.
    """
    exact = grid.at(rows.times)
    near = np.round(exact)
    off = float((np.abs(exact - near) > calendar.OFF).mean()) if grid.unit != "months" else 0.0
    steps = np.concatenate(
        [np.diff(np.unique(exact[rows.code == c])) for c in range(len(rows.names))]
    )
    finer = bool(len(steps)) and float(np.median(steps)) < FINER
    if finer:
        notes.append(f"Values are averaged over steps of {grid.words}.")
        return np.floor(exact + 1e-9).astype(np.int64)
    if off > MOST_OFF and not named:
        raise DataError(
            f"{name}: {off:.0%} of the time stamps lie off an even grid of {grid.words}. Expected even "
            f"steps; name a frequency over which values may be averaged, such as {calendar.usual(grid)}."
        )
    place = np.asarray(near, np.int64)
    if off:
        notes.append(_tell_irregular(rows, grid, place, off, name))
    return place


def _tell_irregular(rows: _Rows, grid: Grid, place: np.ndarray, off: float, name: str) -> str:
    """What became of stamps beside the grid. Raises DataError where most steps would hold none."""
    found = [place[rows.code == c] for c in range(len(rows.names))]
    filled = [np.unique(p, return_counts=True)[1] for p in found]
    total = sum(int(np.ptp(p)) + 1 for p in found)
    empty, several = total - sum(map(len, filled)), sum(int((c > 1).sum()) for c in filled)
    if off > MOST_OFF and empty > MOST_EMPTY * total:
        raise DataError(
            f"{name}: {empty} of {total} steps of {grid.words} would hold no value, and {off:.0%} of the "
            f"time stamps lie off that grid. Expected steps that mostly hold one; name a coarser "
            f"frequency, such as {calendar.usual(grid, 2.0)}."
        )
    return (
        f"Irregular time stamps: {off:.1%} lie off the grid of {grid.words} and were taken to the "
        f"nearest step; {several} steps hold several values, which were averaged, and {empty} none."
    )


def _on_grid(
    place: np.ndarray, values: np.ndarray, parts: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray]:
    """First position, (T, columns) with values of one step averaged, and (T,) parts. Raises DataError."""
    first, length = int(place.min()), int(np.ptp(place)) + 1
    if length > max(MOST_GAPS * len(place), 1000):
        raise DataError(
            f"{len(place)} rows spread over {length} steps: nearly all of them would be gaps. Expected "
            "a frequency that fits the time stamps; name it, or name the column that tells the series "
            "apart (sample)."
        )
    spot, known = place - first, np.isfinite(values)
    total, count = np.zeros((length, values.shape[1])), np.zeros((length, values.shape[1]))
    np.add.at(total, spot, np.where(known, values, 0.0))
    np.add.at(count, spot, known)
    part = np.full(length, -1, np.int8)
    part[spot] = parts
    there = np.maximum.accumulate(np.where(part >= 0, np.arange(length), 0))
    made = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return first, made, part[there]  # a step left out belongs to the part before it


def _channels(values: np.ndarray, form: Form, number: int, grid: Grid, first: int) -> np.ndarray:
    """(T, channels) of one target."""
    place = {name: k for k, name in enumerate(form.columns)}
    made = [values[:, place[form.targets[number]]], *(values[:, place[i]] for i in form.inputs)]
    where = np.arange(first, first + len(values))
    for name in form.known:
        if name in calendar.PARTS:
            made += calendar.turned(grid, where, name)
        else:
            made.append(values[:, place[name]])
    return np.column_stack(made)


def _apart(table: Table, form: Form) -> str:
    """Where rows have no series' name, how to give them one: by the column of text with the fewest values
    beside which time stamps hardly repeat."""
    if form.sample or not form.time:
        return ""
    found = []
    for place in table.schema:
        text = pa.types.is_string(place.type) or pa.types.is_large_string(place.type)
        if text and place.name not in (form.time, *form.columns):
            batches = [b.select([form.time, place.name]) for b in table.stream()]
            pairs = pa.Table.from_batches(batches)
            kinds = pc.count_distinct(pairs.column(place.name)).as_py()
            steps = len(pairs.group_by(pairs.column_names).aggregate([]))
            if steps >= (1 - MOST_TWICE) * len(pairs) and 2 * kinds <= len(pairs):
                found.append((kinds, place.name))
    if not found:
        return " If a column tells several series apart, name it: --sample COLUMN."
    name = min(found)[1]
    return f" If '{name}' tells several series apart, name it: --sample {shlex.quote(name)}."


def _tell_gaps(lines: Sequence[Line], rows: _Rows, notes: list[str], apart: str) -> None:
    """Duplicates and gaps, in words; `apart` is said where many rows are duplicates."""
    steps = sum(len(line.values) for line in lines) * len(rows.names) // max(len(lines), 1)
    missing = sum(int(np.isnan(line.values[:, 0]).sum()) for line in lines)
    twice = len(rows.times) - len(np.unique(np.stack([rows.code, rows.times]), axis=1)[0])
    if twice:
        notes.append(
            f"{twice} rows repeat a time stamp of their series; their values were averaged."
            + (apart if twice > MOST_TWICE * len(rows.times) else "")
        )
    if missing:
        total = sum(len(line.values) for line in lines)
        notes.append(
            f"{missing} of {total} steps have no value; they are gaps in the histories, and are not "
            "scored where they were to be forecast."
        )
    if steps and len(lines) > 1:
        notes.append(f"{len(lines)} series, of {steps // len(rows.names)} steps on average.")


def moved(series: Mapping[str, np.ndarray]) -> bool:
    """Whether any of the series moves."""
    return any(np.ptp(v[np.isfinite(v)]) > 0 for v in series.values() if np.isfinite(v).any())
