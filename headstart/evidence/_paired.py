"""The interval of a difference between two arms: training seeds crossed with shared test rows.

Score of arm A's seed s on row i:  x_si = mean_A + row_i + seed_s + rest_si.  The mean over S seeds and
n rows has variance  var(row)/n + var(seed)/S + var(rest)/(n S).  For the difference of two arms:

    var(D) = V(d)/n + C_T + C_B,      C_A = (variance of A's seed means - E_A) / S_A

where d_i is the paired difference of the seed means on row i, V(d)/n holds the rows' part and already
the rest of both arms, and E_A, the rest's part of a seed mean, is taken from the residuals of the
two-way layout, so that nothing is counted twice. Quantile: Student's t with Satterthwaite's degrees of
freedom over these parts. With groups, rows are summed within their group first (cluster-robust).
Two pseudo-rows, one gained and one lost, are added, as large as the rows that do differ: they keep small
tests honest and widths above zero (Agresti and Min add half of each; doubling it brings wrong signs at 50
rows below one in a hundred). An arm whose seeds are all alike adds no variance; the spread of the seeds
of an arm with a single one cannot be measured.

Searle, Casella, McCulloch (1992), "Variance Components"; Satterthwaite (1946); Agresti, Min (2005),
"Simple improved confidence intervals for comparing matched proportions"; Liang, Zeger (1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from headstart.evidence._interval import LEVEL, quantile


@dataclass(frozen=True)
class Spread:
    """A mean with its standard error.

    Attributes:
        value: the plain mean over seeds and rows.
        centre: middle of the interval; drawn a little to zero by the pseudo-rows.
        error: standard error over seeds and rows.
        df: Satterthwaite's degrees of freedom.
        row_error: the part of the standard error that comes from rows, seeds held.
        size: rows, or groups where given.
        most: largest value that is possible, above zero as below.
    """

    value: float
    centre: float
    error: float
    df: float
    row_error: float
    size: int
    most: float = math.inf

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Two-sided interval of the expected value."""
        half = quantile(self.df, level) * self.error
        return max(self.centre - half, -self.most), min(self.centre + half, self.most)

    def detectable(self, level: float = LEVEL, power: float = 0.8) -> float:
        """Smallest true difference that would have been seen with this power."""
        seen = (quantile(self.df, level) + quantile(self.df, 2 * power - 1)) * self.error
        return min(seen, self.most)


@dataclass(frozen=True)
class Part:
    """A summand of the variance: its size, and the sum over its sources of size**2 / df."""

    variance: float
    weight: float


def _sums(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Sums within groups along the last axis: (..., rows) to (..., groups)."""
    if groups is None:
        return values
    flat = np.atleast_2d(values)
    found = np.stack([np.bincount(groups, weights=row) for row in flat])
    return np.asarray(found.reshape(*values.shape[:-1], -1))


def _rows_part(paired: np.ndarray, groups: np.ndarray | None) -> tuple[Part, int]:
    """Variance of the mean of `paired` (rows,) over rows or groups, and how many there are."""
    sums = _sums(paired - paired.mean(), groups)
    size = len(sums)
    variance = float((sums**2).sum()) / len(paired) ** 2 * size / max(size - 1, 1)
    return Part(variance, variance**2 / max(size - 1, 1)), size


def _padded_part(
    paired: np.ndarray, groups: np.ndarray | None, unit: float
) -> tuple[Part, float, int]:
    """As `_rows_part`, with the two pseudo-rows added; and the centre of the interval."""
    sums = _sums(paired, groups)
    size, per = len(sums), len(paired) / len(sums)
    differing = sums[np.abs(sums) > 1e-12]
    square = float((differing**2).mean()) if len(differing) else (unit * per) ** 2
    total = len(paired) + 2 * per
    centre = float(paired.sum()) / total
    squares = float((_sums(paired - centre, groups) ** 2).sum()) + 2 * (
        square + (centre * per) ** 2
    )
    variance = squares / total**2
    return Part(variance, variance**2 / max(size - 1, 1)), centre, size


def _seeds_part(scores: np.ndarray, groups: np.ndarray | None) -> Part:
    """Variance that the choice of seeds adds to the mean of `scores` (seeds, rows), rows held."""
    seeds, rows = scores.shape
    if seeds < 2:
        return Part(0.0, 0.0)
    means = scores.mean(axis=1)
    between = float(means.var(ddof=1))
    rest = scores - means[:, None] - scores.mean(axis=0)[None, :] + means.mean()
    sums = _sums(rest, groups)
    size = sums.shape[-1]
    if size < 2:
        return Part(between / seeds, (between / seeds) ** 2 / (seeds - 1))
    noise = float((sums**2).sum()) / rows**2 * size / (size - 1) / (seeds - 1)
    weight = ((between / seeds) ** 2 + (noise / seeds) ** 2 / (size - 1)) / (seeds - 1)
    return Part((between - noise) / seeds, weight)


def join(rows: Part, seeds: list[Part]) -> tuple[float, float]:
    """Standard error and Satterthwaite's degrees of freedom of rows and seeds together.

    The seeds' parts are unbiased, so their sum may be negative. Cut at zero it would make intervals too
    wide on average, and too narrow by chance if taken whole, for it rests on few seeds: a negative sum
    counts by a quarter, which holds the coverage (benchmarks/planted_worlds.py).
    """
    extra = sum(p.variance for p in seeds)
    variance, weight = rows.variance, rows.weight
    if extra > 0:
        variance += extra
        weight += sum(p.weight for p in seeds)
    else:
        variance -= min(-extra, variance) / 4
    return math.sqrt(variance), max(variance**2 / weight, 1.0) if weight > 0 else math.inf


def single(groups: np.ndarray | None) -> bool:
    """Whether all rows are one group, whose spread cannot be known."""
    return groups is not None and len(np.unique(groups)) < 2


def mean(scores: np.ndarray, groups: np.ndarray | None = None) -> Spread:
    """Expected score of one arm over seeds and rows.

    Args:
        scores: (seeds, rows).
        groups: (rows,) group numbers from 0, or None.
    """
    rows, size = _rows_part(scores.mean(axis=0), groups)
    error, df = join(rows, [_seeds_part(scores, groups)])
    value = float(scores.mean())
    return Spread(value, value, error, df, math.sqrt(rows.variance), size)


def difference(
    first: np.ndarray,
    second: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    unit: float = 1.0,
    most: float = math.inf,
) -> Spread:
    """Expected difference first - second over the seeds of both and the shared rows.

    Args:
        first, second: (seeds, rows) scores; the numbers of seeds may differ, the rows are the same.
        groups: (rows,) group numbers from 0, or None.
        unit: what a differing row would look like where none is seen to differ, in units of the scores.
        most: largest possible difference; 1 of shares.
    """
    paired = first.mean(axis=0) - second.mean(axis=0)
    rows, centre, size = _padded_part(paired, groups, unit)
    error, df = join(rows, [_seeds_part(first, groups), _seeds_part(second, groups)])
    return Spread(float(paired.mean()), centre, error, df, math.sqrt(rows.variance), size, most)
