"""What later tasks of a sequence did to earlier ones: backward transfer, and its interval over test rows.

With T tasks and R[i, j] the score on task j after task i was learned, backward transfer is
sum over j < T of (R[T, j] - R[j, j]) / (T - 1) (Lopez-Paz and Ranzato 2017, arXiv:1706.08840): below zero
something was forgotten, above zero later tasks helped. A task's interval is that of paired rows (`_paired`);
those of several tasks rest on different rows and are joined by the sum of their variances. A sequence is one
training a task, so the luck of training is not part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.core.evidence import Measure
from headstart.evidence import _paired
from headstart.evidence._interval import quantile

HOW = "score after the last task - after its own, on the same test rows; one training a task"


def measures(scores: Sequence[Sequence[np.ndarray]], tasks: Sequence[str]) -> tuple[Measure, ...]:
    """Backward transfer of each earlier task and of all together, in points.

    Args:
        scores: `scores[i][j]`, j <= i: (rows of task j,) score of each after task i.
        tasks: their names, in the order in which they were learned.
    """
    parts = [
        _paired.difference(scores[-1][j][None], scores[j][j][None]) for j in range(len(tasks) - 1)
    ]
    made = []
    for name, part, row in zip(tasks[:-1], parts, scores[-1][:-1], strict=True):
        low, high = part.interval()
        ends = (100 * part.value, 100 * low, 100 * high)
        made.append(
            Measure("backward transfer", *ends, len(row), "points", "its own run", HOW, group=name)
        )
    value = float(np.mean([p.value for p in parts]))
    centre = float(np.mean([p.centre for p in parts]))
    variances = np.array([p.error**2 for p in parts]) / len(parts) ** 2
    weight = sum(v**2 / p.df for v, p in zip(variances, parts, strict=True))
    df = max(float(variances.sum()) ** 2 / weight, 1.0) if weight > 0 else math.inf
    half = quantile(df, 0.95) * math.sqrt(float(variances.sum()))
    ends = (100 * value, 100 * (centre - half), 100 * (centre + half))
    total = sum(len(row) for row in scores[-1][:-1])
    return (*made, Measure("backward transfer", *ends, total, "points", "their own runs", HOW))
