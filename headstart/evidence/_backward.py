"""What later tasks of a sequence did to earlier ones: backward transfer, and its interval over test rows.

With T tasks and R[i, j] the score on task j after task i was learned, backward transfer is
sum over j < T of (R[T, j] - R[j, j]) / (T - 1) (Lopez-Paz and Ranzato 2017, arXiv:1706.08840): below zero
something was forgotten, above zero later tasks helped. A task's interval is that of paired rows, or groups
of rows (`_paired`); those of several rest on different rows and are joined by the sum of their variances. A
sequence is one training a task, so the luck of training is not part of it. Tasks whose scores are told in
different units (points of accuracy, R2) have no mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.core.evidence import Measure, Score
from headstart.evidence import _paired
from headstart.evidence._interval import ordinal, quantile

HOW = "score after the last task - after its own, on the same test rows; one training a task"


def measures(
    scores: Sequence[Sequence[np.ndarray]],
    tasks: Sequence[str],
    kinds: Sequence[Score],
    groups: Sequence[np.ndarray | None] | None = None,
) -> tuple[Measure, ...]:
    """Backward transfer of each earlier task, and of all together where their units are the same.

    Args:
        scores: `scores[i][j]`, j <= i: (rows of task j,) score of each after task i.
        tasks: their names, in the order in which they were learned.
        kinds: what a score is, for each task.
        groups: for each task (rows,) groups of rows that are no independent draws, or None.
    """
    by = groups or [None] * len(tasks)
    parts = [_part(scores[-1][j], scores[j][j], kinds[j], by[j]) for j in range(len(tasks) - 1)]
    made = []
    for name, kind, part, row in zip(tasks[:-1], kinds[:-1], parts, scores[-1], strict=False):
        ends = (kind.factor * end for end in (part.value, *part.interval()))
        told = (len(row), kind.unit, "its own run", HOW)
        made.append(Measure("backward transfer", *ends, *told, group=name))
    if len({kind.unit for kind in kinds[:-1]}) > 1:
        return tuple(made)
    value = float(np.mean([p.value for p in parts]))
    centre = float(np.mean([p.centre for p in parts]))
    variances = np.array([p.error**2 for p in parts]) / len(parts) ** 2
    weight = sum(v**2 / p.df for v, p in zip(variances, parts, strict=True))
    df = max(float(variances.sum()) ** 2 / weight, 1.0) if weight > 0 else math.inf
    half = quantile(df, 0.95) * math.sqrt(float(variances.sum()))
    ends = (kinds[0].factor * end for end in (value, centre - half, centre + half))
    total = sum(len(row) for row in scores[-1][:-1])
    return (*made, Measure("backward transfer", *ends, total, kinds[0].unit, "their own runs", HOW))


def _part(
    after: np.ndarray, before: np.ndarray, kind: Score, groups: np.ndarray | None
) -> _paired.Spread:
    """The change of one task's score, in units of the score."""
    first, second = after[None], before[None]
    unit, most = kind.step(first, second), 1.0 if kind.points else math.inf
    return _paired.difference(first, second, groups=ordinal(groups), unit=unit, most=most)
