"""Rows to numbers: robust scaling, one-hot levels, calendar parts, missing values marked; fitted on
training rows.

A date becomes the days since the middle date of training, its place in year, month, week and day where these
differ, and the days between it and every other date of the row.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.augment import Policy
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.core.tally import Tally
from headstart.errors import DataError
from headstart.modalities.table import augment, cells

AUGMENTATIONS = ("feature_noise", "column_dropout")
VARIATIONS = augment.VARIATIONS

NOISE = 0.1
"""Standard deviation that `feature_noise` adds to scaled numbers, whose own is about 1."""
DROPOUT = 0.1
"""Chance that `column_dropout` sets a column to its middle."""
CLIP = 3.0
"""Numbers are bent smoothly into (-CLIP, CLIP), as RealMLP does (arXiv:2407.04491)."""
MOST_LEVELS = 50
"""Levels with a column of their own, the most frequent ones; of a column with more, how often a level came
in training is told beside them."""
MOST_DATES = 4
"""Dates of a row between which the days are counted."""
WEEK = 7
CYCLES = ("year", "month", "week", "day")
NORMAL_IQR = 1.349
"""Distance between the quartiles of a standard normal."""
PAIRS = 500
"""Rows between which the median distance is taken."""


class Transform:
    """One row to (D,) float32.

    Attributes:
        width: D, columns after encoding.
        bandwidth: median distance between encoded training rows; random features scale by it.
        digest: of all fitted constants.
        counts: "unseen level in 'city'": cells with a level that training did not have; "missing": cells
            without a value; of different rows.
        fitted: true, so that the constants are kept until they are asked to be fitted anew.
    """

    fitted = True
    dense = ("row",)
    variations = VARIATIONS
    policy: Policy | None = None

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self._columns: list[Mapping[str, Any]] = list(state["columns"])
        self._levels = [{v: i for i, v in enumerate(c.get("levels", ()))} for c in self._columns]
        self._rare = [frozenset(c.get("rare", ())) for c in self._columns]
        self._most = [max(c.get("often", {"": 1}).values()) for c in self._columns]
        self._widths = [_width(c) for c in self._columns]
        self._starts = np.concatenate([[0], np.cumsum(self._widths)]).astype(int)
        self.width = int(self._starts[-1])
        self.bandwidth = float(state["bandwidth"])
        self.digest = digest.value(self._state)
        self.counts = Tally()

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """{"row": (D,) float32}; with `rng`, numbers jittered and columns left out."""
        row, found = np.zeros(self.width, np.float32), Counter[str]()
        missing = np.zeros(len(self._columns), bool)
        for i, column in enumerate(self._columns):
            part = row[self._starts[i] : self._starts[i + 1]]
            value = _value(column, sample)
            missing[i] = value is None
            if value is None and "since" not in column:  # its dates are counted already
                found["missing"] += 1
            if "levels" not in column:
                _number(part, column, value)
            elif not self._level(part, i, value):
                found[f"unseen level in '{column['name']}'"] += 1
        self.counts.note(sample, found)
        if rng is not None and self.policy is not None:
            augment.vary(self._parts(row, missing), self.policy, rng)
        elif rng is not None:
            self._augment(row, missing, rng)
        return {"row": row}

    def _parts(self, row: np.ndarray, missing: np.ndarray) -> list[augment.Part]:
        """The columns of a row."""
        return [
            augment.Part(
                row[self._starts[i] : self._starts[i + 1]],
                len(column.get("levels", ())),
                bool(missing[i]),
                bool(column.get("gaps")),
            )
            for i, column in enumerate(self._columns)
        ]

    def varied(self, policy: Policy) -> Transform:
        """The same with variations by name."""
        made = copy.copy(self)
        made.policy = policy
        return made

    def _level(self, part: np.ndarray, place: int, value: str | None) -> bool:
        """One 1: at the level, or at "other" (last but one), or at "missing" (last); before them, of a column
        of many levels, how often the level came in training, from 0 to 1. Returns whether training had it."""
        column, levels = self._columns[place], self._levels[place]
        if value is None:
            part[-1] = 1.0
            return True
        often = column.get("often")
        if often is not None:
            part[-3] = np.log1p(often.get(value, 0)) / np.log1p(self._most[place])
        if value in levels:
            part[levels[value]] = 1.0
            return True
        part[-2] = 1.0
        return value in self._rare[place]

    def _augment(self, row: np.ndarray, missing: np.ndarray, rng: np.random.Generator) -> None:
        for i, column in enumerate(self._columns):
            part = row[self._starts[i] : self._starts[i + 1]]
            drop, noise = rng.random() < DROPOUT, rng.normal(0.0, NOISE)
            if drop and len(self._columns) > 1:
                part[:] = 0.0
            elif "levels" not in column and not missing[i]:
                part[0] += noise  # of a date the days alone

    def length(self, arrays: Arrays) -> int:
        """1: all rows have one shape."""
        return 1

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"row": (N, D) float32}."""
        return {"row": torch.from_numpy(np.stack([item["row"] for item in items]))}

    def state(self) -> Mapping[str, Any]:
        """All fitted constants, as JSON can hold them."""
        return dict(self._state)

    def profile(self, name: str) -> Transform:
        """Itself: there is no fast variant."""
        return self


def _value(column: Mapping[str, Any], sample: Sample) -> Any:
    """The cell of a column, or the days from one date to another."""
    value = sample[column["name"]]
    if "since" not in column:
        return value
    start = sample[column["since"]]
    return None if value is None or start is None else value - start


def _number(part: np.ndarray, column: Mapping[str, Any], value: float | None) -> None:
    """part[0]: scaled and bent; of a date, its cycles behind; last, where training had gaps: 1 for a missing
    value."""
    if value is None:
        if column["gaps"]:
            part[-1] = 1.0
        return  # the middle is 0
    scaled = (float(value) - column["center"]) / column["scale"]
    part[0] = scaled / np.sqrt(1.0 + (scaled / CLIP) ** 2)
    if "cycles" in column:
        turned = _turned(float(value), column["cycles"])
        part[1 : 1 + len(turned)] = turned


def _turned(value: float, cycles: Sequence[str]) -> list[float]:
    """Sine and cosine of a date's place in year, month and day, and a 1 at its weekday."""
    year, month, weekday, day = cells.calendar(value)
    found: list[float] = []
    for name in cycles:
        if name == "week":
            found += [float(weekday == i) for i in range(WEEK)]
        else:
            angle = 2 * np.pi * {"year": year, "month": month, "day": day}[name]
            found += [float(np.sin(angle)), float(np.cos(angle))]
    return found


def _width(column: Mapping[str, Any]) -> int:
    if "levels" in column:
        return len(column["levels"]) + (3 if column.get("often") else 2)
    turned = sum(WEEK if name == "week" else 2 for name in column.get("cycles", ()))
    return 1 + turned + (1 if column["gaps"] else 0)


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> Transform:
    """Fits scales, levels and the median distance on training rows; the source seals nothing.

    Raises:
        DataError: no training rows, or no column that varies.
    """
    if not samples:
        raise DataError("A table's preprocessing is fitted on training rows, and there are none.")
    values: dict[str, list[Any]] = {f.name: [] for f in fields}
    some, step = [], max(1, len(samples) // PAIRS)
    for place, sample in enumerate(samples):
        for name, column in values.items():
            column.append(sample[name])
        if place % step == 0:
            some.append(sample)
    columns = [c for f in fields if (c := _fit(f, values[f.name])) is not None]
    columns += _elapsed(fields, values)
    if not columns:
        names = ", ".join(f.name for f in fields)
        raise DataError(
            f"No column varies over the training rows ({names}), so nothing can be learned from them. "
            "Name other inputs."
        )
    encode = Transform({"columns": columns, "bandwidth": 1.0})
    rows = np.stack([encode(s)["row"] for s in some[:PAIRS]])
    return Transform({"columns": columns, "bandwidth": _median_distance(rows)})


def _fit(field: Field, values: Sequence[Any]) -> dict[str, Any] | None:
    """Constants of one column; None where it says nothing."""
    if field.base == "number":
        return _fit_number(field.name, values)
    if field.base == "date":
        return _fit_date(field.name, values)
    return _fit_levels(field.name, values)


def _fit_date(name: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """Days as a number, and the cycles in which the training rows differ."""
    days = _fit_number(name, values)
    if days is None:
        return None
    seen = np.array([cells.calendar(v) for v in values if v is not None])  # (n, 4)
    cycles = [c for c, place in zip(CYCLES, seen.T, strict=True) if np.ptp(place) > 0]
    return {**days, "cycles": cycles}


def _elapsed(fields: Sequence[Field], values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns of days from one date of the row to another."""
    found = []
    dates = [f.name for f in fields if f.base == "date"]
    for start, end in combinations(dates[:MOST_DATES], 2):
        pairs = zip(values[start], values[end], strict=True)
        between = [None if a is None or b is None else b - a for a, b in pairs]
        column = _fit_number(end, between)
        if column is not None:
            found.append({**column, "since": start})
    return found


def _fit_number(name: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """Median and quartile distance; standard deviation where most values are equal."""
    present = np.array([v for v in values if v is not None], float)
    if len(present) == 0:
        return None
    low, center, high = np.quantile(present, [0.25, 0.5, 0.75])
    scale = (high - low) / NORMAL_IQR or float(present.std())
    gaps = len(present) < len(values)
    if not scale > 0 and not gaps:
        return None
    return {
        "name": name,
        "center": float(center),
        "scale": float(scale) if scale > 0 else 1.0,
        "gaps": gaps,
    }


def _fit_levels(name: str, values: Sequence[Any]) -> dict[str, Any] | None:
    """Levels that come at least twice, the most frequent first kept; the others are "other"."""
    counts = Counter(v for v in values if v is not None)
    if not counts or (len(counts) == 1 and counts.total() == len(values)):
        return None
    frequent = [v for v, n in sorted(counts.items(), key=lambda p: (-p[1], p[0])) if n > 1]
    levels = sorted(frequent[:MOST_LEVELS])
    made = {"name": name, "levels": levels, "rare": sorted(set(counts) - set(levels))}
    return {**made, "often": dict(counts)} if len(frequent) > MOST_LEVELS else made


def _median_distance(rows: np.ndarray) -> float:
    """Median Euclidean distance between rows (n, D); 1 where more than half of them are equal."""
    squares = (rows.astype(float) ** 2).sum(1)
    gaps = squares[:, None] + squares[None, :] - 2.0 * rows.astype(float) @ rows.T.astype(float)
    pairs = np.sqrt(np.maximum(gaps[np.triu_indices(len(rows), 1)], 0.0))
    median = float(np.median(pairs)) if len(pairs) else 1.0
    return median if median > 1e-6 else 1.0


def restore(state: Mapping[str, Any]) -> Transform:
    """The transform whose `state` this is."""
    return Transform(state)
