"""The interval of a difference between two arms: training seeds crossed with shared test rows.

Score of arm A's seed s on row i:  x_si = mean_A + row_i + seed_s + rest_si.  The mean over S seeds and
n rows has variance  var(row)/n + var(seed)/S + var(rest)/(n S).  For the difference of two arms:

    var(D) = V(d)/n + C_T + C_B,      C_A = max(0, (var of seed means - E_A) / S_A)

where d_i is the paired difference of the seed means on row i, V(d)/n holds the rows' part and already
the rest of both arms, and E_A, the rest's part of a seed mean, is taken from the residuals of the
two-way layout, so that nothing is counted twice. Quantile: Student's t with Satterthwaite's degrees of
freedom over these parts. With groups, rows are summed within their group first (cluster-robust).
A pseudo-pair (one row gained, one lost, each of half weight, and one tied row) keeps small tests honest
and widths above zero.

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
        centre: middle of the interval; drawn a little to zero by the pseudo-pair.
        error: standard error over seeds and rows.
        df: Satterthwaite's degrees of freedom.
        row_error: the part of the standard error that comes from rows, seeds held.
        size: rows, or groups where given.
    """

    value: float
    centre: float
    error: float
    df: float
    row_error: float
    size: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Two-sided interval of the expected value."""
        half = quantile(self.df, level) * self.error
        return self.centre - half, self.centre + half

    def detectable(self, level: float = LEVEL, power: float = 0.8) -> float:
        """Smallest true difference that would have been seen with this power."""
        return (quantile(self.df, level) + quantile(self.df, 2 * power - 1)) * self.error


@dataclass(frozen=True)
class _Part:
    """A summand of the variance: its size, and the sum over its sources of size**2 / df."""

    variance: float
    weight: float


def _sums(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Sums within groups along the last axis: (..., rows) to (..., groups)."""
    if groups is None:
        return values
    flat = np.atleast_2d(values)
    found = np.stack([np.bincount(groups, weights=row) for row in flat])
    return found.reshape(*values.shape[:-1], -1)


def _rows_part(paired: np.ndarray, groups: np.ndarray | None, pseudo: float) -> tuple[_Part, float, int]:
    """Variance of the mean of `paired` (rows,) over rows or groups, the centre, and how many there are."""
    rows = len(paired)
    size = rows if groups is None else int(groups.max()) + 1
    per = rows / size
    total = rows + (2 * per if pseudo > 0 else 0)
    centre = float(paired.sum()) / total
    squares = float((_sums(paired - centre, groups) ** 2).sum())
    if pseudo > 0:
        squares += (pseudo * per) ** 2 + 2 * (centre * per) ** 2
        correction = 1.0
    else:
        correction = size / max(size - 1, 1)
    variance = correction * squares / total**2
    return _Part(variance, variance**2 / max(size - 1, 1)), centre, size


def _seeds_part(scores: np.ndarray, groups: np.ndarray | None) -> _Part:
    """Variance that the choice of seeds adds to the mean of `scores` (seeds, rows), rows held."""
    seeds, rows = scores.shape
    if seeds < 2:
        return _Part(0.0, 0.0)
    means = scores.mean(axis=1)
    between = float(means.var(ddof=1))
    rest = scores - means[:, None] - scores.mean(axis=0)[None, :] + means.mean()
    sums = _sums(rest, groups)
    size = sums.shape[-1]
    if size < 2:
        return _Part(between / seeds, (between / seeds) ** 2 / (seeds - 1))
    noise = float((sums**2).sum()) / rows**2 * size / (size - 1) / (seeds - 1)
    weight = ((between / seeds) ** 2 + (noise / seeds) ** 2 / (size - 1)) / (seeds - 1)
    return _Part(max(0.0, between - noise) / seeds, weight)


def _join(parts: list[_Part]) -> tuple[float, float]:
    """Standard error and Satterthwaite's degrees of freedom of a sum of parts."""
    variance = sum(p.variance for p in parts)
    weight = sum(p.weight for p in parts)
    return math.sqrt(variance), variance**2 / weight if weight > 0 else math.inf


def mean(scores: np.ndarray, groups: np.ndarray | None = None) -> Spread:
    """Expected score of one arm over seeds and rows.

    Args:
        scores: (seeds, rows).
        groups: (rows,) group numbers from 0, or None.
    """
    rows, centre, size = _rows_part(scores.mean(axis=0), groups, 0.0)
    error, df = _join([rows, _seeds_part(scores, groups)])
    return Spread(float(scores.mean()), centre, error, max(df, 1.0), math.sqrt(rows.variance), size)


def difference(
    first: np.ndarray, second: np.ndarray, *, groups: np.ndarray | None = None, pseudo: float = 1.0
) -> Spread:
    """Expected difference first - second over the seeds of both and the shared rows.

    Args:
        first, second: (seeds, rows) scores; the numbers of seeds may differ, the rows are the same.
        groups: (rows,) group numbers from 0, or None.
        pseudo: size of the difference in the pseudo-pair, in units of the scores; 0 for none.
    """
    paired = first.mean(axis=0) - second.mean(axis=0)
    rows, centre, size = _rows_part(paired, groups, pseudo)
    error, df = _join([rows, _seeds_part(first, groups), _seeds_part(second, groups)])
    return Spread(float(paired.mean()), centre, error, max(df, 1.0), math.sqrt(rows.variance), size)
