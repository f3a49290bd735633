"""Where windows begin, which part each belongs to, and the stretch of time whose fold it shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from headstart.data.timeline import LEARN, TEST, Form, Line, Timeline
from headstart.errors import DataError

BLOCKS = 10
"""Stretches of the training part; the windows of one share a fold."""
MOST = 20_000
"""Windows of a part; of more, every second, third ... origin is taken."""
KNOWN = 0.5
"""Share of the history, and of the coming values, that must be known."""


@dataclass(frozen=True)
class Shape:
    """How windows are cut, beside the form of the series; sealed in the pack.

    Attributes:
        naive: error of the seasonal naive forecast in training, by series.
    """

    form: Form
    horizon: int
    history: int
    period: int
    modality: str = ""
    naive: Mapping[str, float] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def restored(state: Mapping[str, Any]) -> Shape:
    """The shape whose `state()` this is."""
    told = {k: tuple(v) if isinstance(v, list) else v for k, v in state["form"].items()}
    return Shape(**{**state, "form": Form(**told)})


def parted(made: Timeline, share: float) -> None:
    """The latest share of all steps as the test part, where no column fixes the parts."""
    if made.split or share <= 0:
        return
    places = np.concatenate([np.arange(len(v.values)) + v.first for v in made.lines])
    cut = int(np.quantile(places, 1 - share))
    for line in made.lines:
        line.parts[np.arange(len(line.parts)) + line.first >= cut] = TEST


def cut(
    made: Timeline, shape: Shape, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origins, parts and blocks of all windows that can be learned from or tested on. Raises DataError."""
    length, begins = shape.history + shape.horizon, 0
    found: list[np.ndarray] = []
    lost, short = 0, 0
    blocks = _Blocks(made.lines, shape)
    for line in made.lines:
        place = np.arange(shape.history, len(line.values) - shape.horizon + 1)
        short += not len(place)
        known = np.isfinite(line.values[:, 0])
        past = _sums(known, place - shape.history, place) >= KNOWN * shape.history
        coming = _sums(known, place, place + shape.horizon) >= KNOWN * shape.horizon
        part = np.full(len(place), -1)
        for kind in (LEARN, TEST):
            here = _sums(line.parts == kind, place, place + shape.horizon) == shape.horizon
            part[here] = kind
        touched = _sums(line.parts == TEST, place - shape.history, place + shape.horizon) > 0
        part[(part == LEARN) & touched] = -1
        lost += int(((part >= 0) & ~(past & coming)).sum())
        part[~(past & coming)] = -1
        block, whole = blocks.of(line.first + place, part)
        part[~whole] = -1
        keep = part >= 0
        found.append(np.stack([begins + place[keep], part[keep], block[keep]]))
        begins += len(line.values)
    origins, part, block = np.concatenate(found, axis=1) if found else np.empty((3, 0), np.int64)
    if lost:
        notes.append(f"{lost} windows are left out: more than half of their values are missing.")
    if short:
        notes.append(f"{short} series are shorter than the {length} steps of a window.")
    for kind, word in ((LEARN, "to learn from"), (TEST, "to test on")):
        if (part == kind).sum() < 2:
            raise DataError(
                f"{int((part == kind).sum())} windows of {length} steps are left {word}. Expected two or "
                "more; choose a shorter history or horizon, another split, or bring a longer series."
            )
    keep = np.concatenate([_thinned(np.flatnonzero(part == k), notes) for k in (LEARN, TEST)])
    keep.sort()
    return origins[keep], part[keep].astype(np.int8), block[keep]


def _sums(flags: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many flags are set in each [begin, end)."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(total[end] - total[begin])


class _Blocks:
    """Stretches of time that are the same for all series.

    The training part has up to ten; a window that would forecast across the border of two is left out, so
    that no value is learned in one fold and judged in another. Those of the test part are as long as a
    window, so that overlap is within them or with the next.
    """

    def __init__(self, lines: Sequence[Line], shape: Shape) -> None:
        learn = [np.flatnonzero(v.parts == LEARN) + v.first for v in lines]
        self.begin = min(int(p.min()) for p in learn if len(p))
        self.end = max(int(p.max()) for p in learn if len(p)) + 1
        self.horizon = shape.horizon
        span = self.end - self.begin
        self.count = int(np.clip(span // (4 * shape.horizon), 2, BLOCKS))
        self.size = -(-span // self.count)
        tested = sum(int((v.parts == TEST).any()) for v in lines) and max(
            int((v.parts == TEST).sum()) for v in lines
        )
        self.tested = max(min(shape.history + shape.horizon, tested // BLOCKS), 1)

    def of(self, place: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Block of each origin on the grid, and whether its coming values lie within it."""
        block = (place - self.begin) // self.size
        whole = (place + self.horizon - 1 - self.begin) // self.size == block
        test = part == TEST
        return np.where(test, BLOCKS + 1 + (place - self.begin) // self.tested, block), whole | test


def _thinned(rows: np.ndarray, notes: list[str]) -> np.ndarray:
    """Every k-th of very many origins."""
    step = -(-len(rows) // MOST)
    if step > 1:
        notes.append(f"Of {len(rows)} origins each {step}th is taken.")
    return rows[::step]
