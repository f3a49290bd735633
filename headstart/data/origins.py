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
ROLLED = 8
"""Stretches of the training part from which on folds learn from the past alone."""
FEW = 3
"""Stretches of the test part below which they may be shorter than two horizons."""
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
    if blocks.stretches <= FEW:
        notes.append(_few(blocks, shape.horizon))
    keep = np.concatenate([_thinned(np.flatnonzero(part == k), notes) for k in (LEARN, TEST)])
    keep.sort()
    return origins[keep], part[keep].astype(np.int8), block[keep]


def _few(blocks: _Blocks, horizon: int) -> str:
    """What so short a test part means for the intervals."""
    if blocks.stretches > 1:
        return (
            f"The test part holds {blocks.tested} origins of overlapping windows, {blocks.stretches} "
            "stretches of one or two horizons, so intervals are very wide; bring a longer series or a "
            "larger test share."
        )
    return (
        f"The test part holds {blocks.tested} origins, and their windows of {horizon} steps overlap: that "
        f"is one stretch of time, so no interval and no verdict can be given. Expected {3 * horizon - 1} "
        "steps in the test part or more; bring a longer series, a larger test share or a shorter horizon."
    )


def _sums(flags: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many flags are set in each [begin, end)."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(total[end] - total[begin])


def rolling(groups: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Up to k folds of which each learns from the past of what it holds out (rolling origin, Tashman 2000),
    as pairs of places (learn, hold), the latest first; empty where there are too few stretches.

    Windows that would ask for values across the border of two stretches are left out, which leaves a
    horizon between the last origin that is learned from and the first that is held out.

    Where the training part has fewer than eight stretches, of four horizons or more each, the first folds
    would learn from too little: on thousand-hour pieces of ETTh1 the penalty chosen so made test errors up
    to 5 % larger than that of folds that leave out one stretch after another, and bands narrower, in one
    of 600 hours by half (docs/forecast.md). There the latter are used.

    Args:
        groups: (n,) numbers of the stretches, ascending in time.
    """
    found, number = np.unique(groups, return_inverse=True)
    if len(found) < ROLLED:
        return []
    part = (number * (k + 1)) // len(found)
    return [(np.flatnonzero(part < f), np.flatnonzero(part == f)) for f in range(k, 0, -1)]


class _Blocks:
    """Stretches of time that are the same for all series.

    The training part has up to ten; a window that would forecast across the border of two is left out, so
    that no value is learned in one fold and judged in another. How those of the test part are made, see
    `stretches`.
    """

    def __init__(self, lines: Sequence[Line], shape: Shape) -> None:
        learn = [np.flatnonzero(v.parts == LEARN) + v.first for v in lines]
        self.begin = min(int(p.min()) for p in learn if len(p))
        self.end = max(int(p.max()) for p in learn if len(p)) + 1
        self.horizon = shape.horizon
        span = self.end - self.begin
        self.count = int(np.clip(span // (4 * shape.horizon), 2, BLOCKS))
        self.size = -(-span // self.count)
        first, last = _tested(lines, shape)
        self.first, self.tested = first, max(last + 1 - first, 1)
        self.stretches = stretches(last + 1 - first, shape.horizon)

    def of(self, place: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Block of each origin on the grid, and whether its coming values lie within it."""
        block = (place - self.begin) // self.size
        whole = (place + self.horizon - 1 - self.begin) // self.size == block
        test = part == TEST
        later = np.clip((place - self.first) * self.stretches // self.tested, 0, self.stretches - 1)
        return np.where(test, BLOCKS + 1 + later, block), whole | test


def _tested(lines: Sequence[Line], shape: Shape) -> tuple[int, int]:
    """First and last origin on the grid that the test part holds, over all series; 0, -1 without any."""
    found = []
    for line in lines:
        there = np.flatnonzero(line.parts == TEST)
        if len(there):
            begin = max(int(there[0]), shape.history)
            found.append((line.first + begin, line.first + int(there[-1]) + 1 - shape.horizon))
    found = [(a, b) for a, b in found if b >= a]
    return (min(a for a, _ in found), max(b for _, b in found)) if found else (0, -1)


def stretches(places: int, horizon: int) -> int:
    """Into how many equal stretches so many neighbouring origins of the test part are cut: the groups that
    intervals rest on.

    Windows less than a horizon apart share values, and their errors go up and down together. Of two
    horizons or more each, ten at most, the means of stretches are nearly independent: in simulations
    (`benchmarks/stretches.py`) 95 % intervals over them held the truth in 92 to 97 of 100 cases. Where
    fewer than three such fit, they may be as short as one horizon; of fewer than two horizons there is
    one stretch, and no interval.
    """
    long = places // (2 * horizon)
    return min(BLOCKS, long) if long >= FEW else max(1, min(FEW, places // horizon))


def _thinned(rows: np.ndarray, notes: list[str]) -> np.ndarray:
    """Every k-th of very many origins."""
    step = -(-len(rows) // MOST)
    if step > 1:
        notes.append(f"Of {len(rows)} origins each {step}th is taken.")
    return rows[::step]
