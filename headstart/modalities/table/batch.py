"""Rows to numbers: robust scaling, one-hot levels, missing values marked; fitted on training rows."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.errors import DataError

AUGMENTATIONS = ("feature_noise", "column_dropout")

NOISE = 0.1
"""Standard deviation that `feature_noise` adds to scaled numbers, whose own is about 1."""
DROPOUT = 0.1
"""Chance that `column_dropout` sets a column to its middle."""
CLIP = 3.0
"""Numbers are bent smoothly into (-CLIP, CLIP), as RealMLP does (arXiv:2407.04491)."""
MOST_LEVELS = 50
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
        counts: "unseen level": cells with a level that training did not have; "missing": cells
            without a value.
        fitted: true, so that the constants are kept until they are asked to be fitted anew.
    """

    fitted = True

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self._columns: list[Mapping[str, Any]] = list(state["columns"])
        self._levels = [
            {v: i for i, v in enumerate(c["levels"])} if "levels" in c else {}
            for c in self._columns
        ]
        self._widths = [_width(c) for c in self._columns]
        self._starts = np.concatenate([[0], np.cumsum(self._widths)]).astype(int)
        self.width = int(self._starts[-1])
        self.bandwidth = float(state["bandwidth"])
        self.digest = digest.value(self._state)
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """{"row": (D,) float32}; with `rng`, numbers jittered and columns left out."""
        row = np.zeros(self.width, np.float32)
        for i, column in enumerate(self._columns):
            part = row[self._starts[i] : self._starts[i + 1]]
            if "levels" in column:
                self._level(part, column, self._levels[i], sample[column["name"]])
            else:
                self._number(part, column, sample[column["name"]])
        if rng is not None:
            self._augment(row, rng)
        return {"row": row}

    def _number(self, part: np.ndarray, column: Mapping[str, Any], value: float | None) -> None:
        """part[0]: scaled and bent; part[1], where training had gaps: 1 for a missing value."""
        if value is None:
            self._count("missing")
            if len(part) > 1:
                part[1] = 1.0
            return  # the middle is 0
        scaled = (float(value) - column["center"]) / column["scale"]
        part[0] = scaled / np.sqrt(1.0 + (scaled / CLIP) ** 2)

    def _level(
        self,
        part: np.ndarray,
        column: Mapping[str, Any],
        levels: Mapping[str, int],
        value: str | None,
    ) -> None:
        """One 1: at the level, or at "other" (last but one), or at "missing" (last)."""
        if value is None:
            self._count("missing")
            part[-1] = 1.0
            return
        if value not in levels:
            if value not in column["rare"]:
                self._count("unseen level")
            part[-2] = 1.0
            return
        part[levels[value]] = 1.0

    def _augment(self, row: np.ndarray, rng: np.random.Generator) -> None:
        for i, column in enumerate(self._columns):
            part = row[self._starts[i] : self._starts[i + 1]]
            drop, noise = rng.random() < DROPOUT, rng.normal(0.0, NOISE)
            if drop and len(self._columns) > 1:
                part[:] = 0.0
            elif "levels" not in column:
                part[0] += noise

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

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


def _width(column: Mapping[str, Any]) -> int:
    if "levels" in column:
        return len(column["levels"]) + 2
    return 2 if column["gaps"] else 1


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> Transform:
    """Fits scales, levels and the median distance on training rows; the source seals nothing.

    Raises:
        DataError: no training rows, or no column that varies.
    """
    if not samples:
        raise DataError("A table's preprocessing is fitted on training rows, and there are none.")
    cells: dict[str, list[Any]] = {f.name: [] for f in fields}
    some, step = [], max(1, len(samples) // PAIRS)
    for place, sample in enumerate(samples):
        for name, column in cells.items():
            column.append(sample[name])
        if place % step == 0:
            some.append(sample)
    columns = [c for f in fields if (c := _fit(f, cells[f.name])) is not None]
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
    if field.kind == "number":
        return _fit_number(field.name, values)
    return _fit_levels(field.name, values)


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
    return {"name": name, "levels": levels, "rare": sorted(set(counts) - set(levels))}


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
