"""The simple models that transfer has to beat: boosted trees, and a linear model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion, Simple
from headstart.modalities import _simple
from headstart.modalities.table import batch, cells

STRENGTHS = tuple(np.logspace(-3, 2, 6))
PENALTIES = tuple(np.logspace(-2, 4, 13))
MOST_LEVELS = 250
"""Levels of a column that the trees can take as categories."""


class _Columns:
    """Raw cells to what trees read: numbers as they are, levels as codes, gaps as NaN; of dates the days,
    the places in year, month, week and day, and the days between them."""

    def __init__(self, samples: Sequence[Sample], fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.codes: dict[str, dict[str, int]] = {}
        for field in self.fields:
            if field.base == "category":
                seen = [s[field.name] for s in samples if s[field.name] is not None]
                levels, counts = np.unique(np.array(seen, object), return_counts=True)
                kept = levels[np.argsort(-counts, kind="stable")][:MOST_LEVELS]
                self.codes[field.name] = {str(v): i for i, v in enumerate(kept)}
        self.dates = [f.name for f in self.fields if f.base == "date"]
        self.pairs = list(combinations(self.dates[: batch.MOST_DATES], 2))

    @property
    def categorical(self) -> list[bool]:
        derived = 4 * len(self.dates) + len(self.pairs)
        return [f.name in self.codes for f in self.fields] + [False] * derived

    def matrix(self, samples: Sequence[Sample]) -> np.ndarray:
        """(N, fields and what dates add) float64; a level never seen is a gap."""
        return np.array([self._row(s) for s in samples], float)

    def _row(self, sample: Sample) -> list[float]:
        row = [self._cell(sample, f) for f in self.fields]
        for name in self.dates:
            value = sample[name]
            row += (
                [float("nan")] * 4 if value is None else [float(v) for v in cells.calendar(value)]
            )
        for start, end in self.pairs:
            a, b = sample[start], sample[end]
            row.append(float("nan") if a is None or b is None else b - a)
        return row

    def _cell(self, sample: Sample, field: Field) -> float:
        value = sample[field.name]
        if field.name in self.codes:
            value = self.codes[field.name].get(value) if value is not None else None
        return float("nan") if value is None else float(value)


def fit_trees(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Gradient-boosted trees. Targets (N,): class numbers 0..C-1, or numbers."""
    columns = _Columns(list(samples), fields)
    predict, found = _simple.trees(
        columns.matrix(samples),
        np.asarray(targets),
        categorical=columns.categorical,
        outcome=outcome,
        seed=seed,
        settings=settings,
    )
    return Simple(lambda some: predict(columns.matrix(some)), found)


def fit_linear(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Logistic regression, or ridge, on scaled numbers and one-hot levels. Targets as above."""
    samples, targets = list(samples), np.asarray(targets)
    encode, scaler = batch.make({}, fields, samples), StandardScaler()

    def rows_of(some: Sequence[Sample]) -> np.ndarray:
        return np.stack([encode(s)["row"] for s in some]).astype(float)

    model, found = _simple.linear(
        scaler.fit_transform(rows_of(samples)),
        targets,
        strengths=STRENGTHS,
        penalties=PENALTIES,
        iterations=2000,
        outcome=outcome,
        seed=seed,
        settings=settings,
    )
    return Simple(lambda some: _simple.said(model, scaler.transform(rows_of(some)), outcome), found)


def plain(samples: Sequence[Sample], fields: Sequence[Field]) -> np.ndarray:
    """Scaled numbers and one-hot levels, (N, columns), gaps filled as the table's encoding does."""
    encode = batch.make({}, fields, samples)
    return np.asarray(StandardScaler().fit_transform(np.stack([encode(s)["row"] for s in samples])))


PLAIN = "scaled and one-hot columns"
CHAMPIONS = (
    Champion("gradient-boosted trees", fit_trees, seeded=True, beside=True),
    Champion("linear model on scaled and one-hot columns", fit_linear),
)
