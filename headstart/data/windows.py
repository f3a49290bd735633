"""Windows of series: what came before as the sample, what comes next as the target; rolling origins.

A window is a place in the values of all series, which lie once in one memory-mapped file: 8 bytes for its
origin, 16 for its digest. A sample is cut out when it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core import digest, forecast
from headstart.core.dataset import Field, Sample, SetAside
from headstart.core.reader import Read
from headstart.core.run import Watcher
from headstart.core.task import Ahead, Task
from headstart.data import calendar, layout, near, origins, storage, timeline
from headstart.data.calendar import Grid
from headstart.data.dataset import ArrowDataset
from headstart.data.origins import Shape, restored
from headstart.data.rows import enough
from headstart.data.splits import MadeSplit
from headstart.data.tables import Table
from headstart.data.timeline import LEARN, TEST, Line, Timeline
from headstart.errors import DataError, PlanError, nearest

OUTCOME = "forecast"
PERIODS = 4
"""Periods that a history shows where its length is not asked for."""


class Windows(ArrowDataset):
    """Windows as a dataset; obeys `core.dataset.Dataset`.

    Args:
        values: (steps of all series, channels), a map of a file or an array.
        origins: (n,) places in `values` of the windows' first coming step.
        parts, blocks: (n,) LEARN or TEST, and the stretch of time that a window lies in.
    """

    def __init__(
        self,
        shape: Shape,
        lines: Sequence[Line],
        values: np.ndarray,
        origins: np.ndarray,
        *,
        parts: np.ndarray,
        blocks: np.ndarray,
        reader: Read,
    ) -> None:
        self.shape, self.values, self.origins = shape, values, origins
        self.parts, self.blocks, self._reader = parts, blocks, reader
        sizes = [len(line.values) for line in lines]
        self._begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._names, self._firsts = [line.name for line in lines], [line.first for line in lines]
        self.grid = Grid(*shape.form.grid)
        kind = str(reader.claim("values", [[0.0, 1.0]], Path()))
        self.modality = shape.modality
        self.fields = tuple(Field(name, kind) for name in shape.form.channels)
        self.outcome, self.target = OUTCOME, ", ".join(shape.form.targets)
        self.columns: Mapping[str, str] = {"group": "stretch of time"}
        self.sensitive, self.near, self.total = (), 0, len(origins)
        self.set_aside: tuple[SetAside, ...] = ()
        self.notes: tuple[str, ...] = ()

    @property
    def form(self) -> Mapping[str, Any]:
        """What the pack needs to cut windows from another table."""
        return self.shape.state()

    def __len__(self) -> int:
        return len(self.origins)

    @cached_property
    def digest(self) -> str:  # type: ignore[override]
        """Of all values, windows and their shape."""
        total = hashlib.blake2b(digest.value(self.form).encode(), digest_size=16)
        for begin in range(0, len(self.values), 4096):
            total.update(np.ascontiguousarray(self.values[begin : begin + 4096]).tobytes())
        for array in (self.origins, self.parts, self.blocks):
            total.update(np.ascontiguousarray(array).tobytes())
        return total.hexdigest()

    @cached_property
    def digest_array(self) -> np.ndarray:
        """(n, 16) uint8 digests of what each sample shows."""
        names = digest.value([asdict(f) for f in self.fields]).encode()
        cells = [digest.row(names + self._shown(int(o)).tobytes()) for o in self.origins]
        return np.frombuffer(b"".join(cells), np.uint8).reshape(len(self), digest.ROW_BYTES)

    def _line(self, origin: int) -> int:
        """Number of the series; an origin at its end is still its own."""
        return int(np.searchsorted(self._begins, origin - 1, side="right")) - 1

    def _shown(self, origin: int) -> np.ndarray:
        """(history, channels): the steps before the origin; what is known ahead, a horizon later."""
        own = 1 + len(self.shape.form.inputs)
        begin, horizon = origin - self.shape.history, self.shape.horizon
        cut = np.array(self.values[begin:origin])
        if cut.shape[1] > own:
            end = self._begins[self._line(origin) + 1]
            later = np.full((len(cut), cut.shape[1] - own), np.nan)
            known = self.values[begin + horizon : min(origin + horizon, end), own:]
            later[: len(known)] = known
            cut[:, own:] = later
        return cut

    def samples(self, rows: np.ndarray) -> list[Sample]:
        """Raw samples, one field a channel."""
        made = []
        for origin in self.origins[np.asarray(rows, np.int64)]:
            cut = self._shown(int(origin))
            made.append(
                {f.name: self._reader.load(cut[:, k], f, Path()) for k, f in enumerate(self.fields)}
            )
        return made

    def targets(self, rows: np.ndarray) -> list[Any]:
        """Arrays (horizon + 3,): the coming values, NaN where not known; level and spread of the
        history; the error of the seasonal naive forecast in training."""
        shape, made = self.shape, []
        for origin in self.origins[np.asarray(rows, np.int64)]:
            line = self._line(int(origin))
            coming = np.full(shape.horizon, np.nan)
            known = self.values[origin : min(origin + shape.horizon, self._begins[line + 1]), 0]
            coming[: len(known)] = known
            level, spread = forecast.own_unit(
                np.array(self.values[origin - shape.history : origin, 0])[None]
            )
            naive = shape.naive.get(self._names[line], np.nan)
            made.append(np.concatenate([coming, level, spread, [naive]]))
        return made

    def names(self, rows: np.ndarray) -> list[str]:
        """ "OT from 2018-02-20 05:00"."""
        told = []
        for origin in self.origins[np.asarray(rows, np.int64)]:
            line = self._line(int(origin))
            told.append(f"{self._names[line]} from {self._step(line, int(origin))}")
        return told

    def _step(self, line: int, place: int) -> str:
        return self.grid.told(self._firsts[line] + place - int(self._begins[line]))

    def steps(self, rows: np.ndarray) -> list[tuple[str, list[str]]]:
        """Name of the series and moments of the coming steps, a row each."""
        told = []
        for origin in self.origins[np.asarray(rows, np.int64)]:
            line = self._line(int(origin))
            moments = [self._step(line, int(origin) + k) for k in range(self.shape.horizon)]
            told.append((self._names[line], moments))
        return told

    def metadata(self, rows: np.ndarray) -> Mapping[str, Sequence[Any]]:
        """The stretch of time, and the series where there are several."""
        rows = np.asarray(rows, np.int64)
        made: dict[str, Sequence[Any]] = {"stretch of time": self.blocks[rows].tolist()}
        if len(self._names) > 1:
            made["name"] = [self._names[self._line(int(o))] for o in self.origins[rows]]
        return made

    def signatures(self) -> np.ndarray | None:
        """None: windows that overlap are all alike."""
        return None

    def changed(self) -> str:
        """ "": values are kept in one file of our own."""
        return ""

    def split(self, test_share: float) -> MadeSplit:
        """The parts as they lie in time; without a test share every window is learned from."""
        part = self.parts if test_share > 0 else np.full(len(self), LEARN, np.int8)
        train, test = (np.flatnonzero(part == p).astype(np.int64) for p in (LEARN, TEST))
        rows = [digest.row(p.tobytes()).hex() for p in (train, test)]
        first = self.names(test[:1])
        how = (
            f"by time: {len(train)} origins to learn from, {len(test)} to test on"
            + (f", the first {first[0]}" if first else "")
            + "; no value to be forecast in the test part is shown or forecast in training"
        )
        return MadeSplit(
            train=train,
            test=test,
            how=how,
            digest=digest.value([self.digest, *rows]),
            test_digest=digest.value([self.digest, rows[1]]),
            groups=near.renumber(self.blocks[train]),
        )


def asked(task: Task) -> bool:
    """Whether a task asks for a forecast, or for a part of one, which `_check` then refuses. Raises PlanError
    for a horizon with another outcome."""
    if task.outcome not in ("auto", OUTCOME):
        if task.forecast != Ahead():
            raise PlanError(
                f"A horizon was named, and the outcome {task.outcome}. Expected the outcome forecast; "
                "leave the horizon out, or the outcome."
            )
        return False
    return task.outcome == OUTCOME or task.forecast != Ahead()


def open_windows(
    table: Table,
    task: Task,
    readers: Mapping[str, Read],
    *,
    cache: Path | None,
    watcher: Watcher | None = None,
) -> Windows:
    """Windows to learn from and to test on.

    Raises:
        DataError, PlanError: with what came, what was expected, what to do.
    """
    _check(task)
    modality = _modality(task.modality, readers)
    notes = list(table.notes)
    form = timeline.find_form(table, task.columns, task.forecast.known, notes)
    split = task.columns.split or layout.find_split(
        table.head(), "", replace(task.columns, time=form.time), notes
    )
    if task.columns.split:
        table.require(task.columns.split, "the split")
    made = timeline.read(table, form, split=split, frequency=task.forecast.frequency)
    enough(made.set_aside, table.rows, task.tolerate, table.name, None)
    origins.parted(made, task.test_share)
    shape = _shape(made, task, modality)
    notes += made.notes
    cut = origins.cut(made, shape, notes)
    values = _kept(made.lines, cache, [table.stamp, shape.state()])
    whole = Windows(shape, made.lines, values, *cut[:1], parts=cut[1], blocks=cut[2],
                    reader=readers[modality])  # fmt: skip
    whole.notes = (*notes, *_told(whole, table))
    whole.set_aside = tuple(made.set_aside)
    if watcher:
        for note in whole.notes:
            watcher.say(note)
    return whole


def _check(task: Task) -> None:
    ahead = task.forecast
    if task.columns.leave_out:
        raise PlanError(
            "Rows of a series cannot be left out of a forecast, whose windows need the steps between. Drop "
            "them from the table, or leave --leave-out away."
        )
    if task.columns.also:
        raise PlanError(
            "A forecast has windows of series, which have no further targets: leave --also out. Several "
            "columns are forecast together with --target A,B."
        )
    if ahead.horizon < 1:
        raise PlanError(
            f"The horizon came as {ahead.horizon}; expected how many steps are to be forecast: "
            "--horizon 24."
        )
    if ahead.history and ahead.history < ahead.horizon:
        raise PlanError(
            f"The horizon of {ahead.horizon} steps is longer than the history of {ahead.history}. "
            f"Expected a history of {ahead.horizon} steps or more; lengthen it (--history "
            f"{4 * ahead.horizon}), or forecast fewer steps."
        )
    if task.columns.group or task.per_class or task.levels:
        raise PlanError(
            "A forecast is split by time, and its windows have no classes: leave --group, --per-class "
            "and --levels out. A column that tells several series apart is named with --sample."
        )
    if ahead.history < 0:
        raise PlanError(f"The history came as {ahead.history}; expected steps, or 0 for a default.")


def _modality(wanted: str, readers: Mapping[str, Read]) -> str:
    """The modality whose samples may be windows. Raises DataError."""
    able = [name for name, reader in readers.items() if getattr(reader, "WINDOWS", False)]
    if wanted != "auto" and wanted not in able:
        raise DataError(
            f"'{wanted}' data cannot be forecast: a sample of it is no window of a series. "
            f"{nearest(wanted, able)} Leave the modality out."
        )
    if not able:
        raise DataError("No installed kind of data can be forecast. Install one that reads series.")
    return able[0]


def _shape(made: Timeline, task: Task, modality: str) -> Shape:
    """Period, history, naive errors; from the training part. Raises."""
    ahead, past = task.forecast, {v.name: v.values[v.parts == LEARN, 0] for v in made.lines}
    if not timeline.moved(past):
        raise DataError(
            f"'{', '.join(made.form.targets)}' has no two different values in the training part, so "
            "there is nothing to forecast. Name another target, or a split."
        )
    period, why = calendar.period(made.grid, list(past.values()))
    longest = max(len(v) for v in past.values())
    history = ahead.history or max(ahead.horizon, min(PERIODS * max(period, 6), longest // PERIODS))
    made.notes.append(
        f"Series repeat after {period} step{'s' if period > 1 else ''} ({why}); {ahead.horizon} steps are "
        f"forecast from {history}."
    )
    if longest < history + 2 * ahead.horizon:
        raise DataError(
            f"The longest series has {longest} steps to learn from; a window needs {history} of history "
            f"and {ahead.horizon} to forecast. Expected {history + 2 * ahead.horizon} or more; choose "
            "a shorter history or horizon, or bring more of the past."
        )
    naive = {name: forecast.naive_error(v, period) for name, v in past.items() if len(v) > 1}
    return Shape(made.form, ahead.horizon, history, period, modality, naive)


def _kept(lines: Sequence[Line], cache: Path | None, about: Any) -> np.ndarray:
    """Values of all series one after another: mapped from a file of the cache, or in memory."""
    whole = np.concatenate([line.values for line in lines])
    if cache is None:
        return whole
    storage.folder(cache)
    name = digest.value([about, digest.row(whole.tobytes()).hex()])
    path = cache / f"{name}.npy"
    with storage.replacing(path) as aside, storage.storing(path), aside.open("wb") as handle:
        np.save(handle, whole)
    mapped: np.ndarray = np.load(path, mmap_mode="r")
    return mapped


def _told(made: Windows, table: Table) -> list[str]:
    """What windows show, in words."""
    form = made.shape.form
    shown = [f"'{t}'" for t in form.targets] + [f"'{i}'" for i in form.inputs]
    said = [f"Inputs: the history of {', '.join(shown)}, read as {made.modality}."]
    if form.known:
        said.append(f"Known ahead: {', '.join(form.known)}.")
    used = {*form.columns, form.time, form.sample}
    rest = [
        f.name for f in table.schema if f.name not in used and str(f.type) in ("float", "double")
    ]
    if rest:
        named = ", ".join(f"'{n}'" for n in rest[:8]) + (" ..." if len(rest) > 8 else "")
        said.append(f"Not used: {named}; name inputs to show their history too.")
    return said


def for_prediction(table: Table, state: Mapping[str, Any], reader: Read) -> Windows:
    """Windows of another table: the latest one of each series, whose future is not known, and those one,
    two ... horizons before it, whose forecasts can be held against what came.

    Raises:
        DataError: a column of training is missing, or no series is long enough.
    """
    shape = restored(state)
    for name in (*shape.form.columns, shape.form.time, shape.form.sample):
        if name:
            table.require(name, "a column of the table that the model was trained on")
    made = timeline.read(table, shape.form)
    naive, found, aside, begin = dict(shape.naive), list[int](), list(made.set_aside), 0
    for number, line in enumerate(made.lines):
        known = np.flatnonzero(np.isfinite(line.values[:, 0]))
        end = int(known[-1]) + 1 if len(known) else 0
        line = _longer(line, end + shape.horizon, shape, made.grid)
        made.lines[number] = line
        places = list(range(end, shape.history - 1, -shape.horizon))[::-1]
        if not places:
            remedy = f"give {shape.history} steps or more"
            aside.append(SetAside(line.name, f"it has {end} steps with values", remedy))
        found += [begin + p for p in places]
        naive.setdefault(line.name, forecast.naive_error(line.values[:end, 0], shape.period))
        begin += len(line.values)
    values = np.concatenate([line.values for line in made.lines])
    count = len(found)
    whole = Windows(
        replace(shape, naive=naive),
        made.lines,
        values,
        np.array(found, np.int64),
        parts=np.full(count, TEST, np.int8),
        blocks=np.arange(count),
        reader=reader,
    )
    whole.set_aside, whole.notes = tuple(aside), tuple(made.notes)
    return whole


def _longer(line: Line, length: int, shape: Shape, grid: Grid) -> Line:
    """The series with the steps of the horizon behind it; the calendar is known there."""
    missing = length - len(line.values)
    if missing <= 0:
        return line
    values = np.concatenate([line.values, np.full((missing, line.values.shape[1]), np.nan)])
    own = 1 + len(shape.form.inputs)
    where = np.arange(line.first, line.first + length)
    for name in shape.form.known:
        if name in calendar.PARTS:
            values[:, own], values[:, own + 1] = calendar.turned(grid, where, name)
        own += 2 if name in calendar.PARTS else 1
    parts = np.concatenate([line.parts, np.full(missing, TEST, np.int8)])
    return replace(line, values=values, parts=parts)
