"""Intervals for shares, and quantiles used by several checks.

Wilson (1927), "Probable inference, the law of succession, and statistical inference"; with an
effective size in the place of n after Kish (1965), "Survey Sampling", for shares whose variance
covers more than the drawing of rows.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

LEVEL = 0.95


def quantile(df: float, level: float = LEVEL) -> float:
    """Two-sided t quantile with `df` degrees of freedom (normal when df is infinite)."""
    tail = 0.5 + level / 2
    if not math.isfinite(df):
        return float(special.ndtri(tail))
    return float(special.stdtrit(max(df, 1.0), tail))


def wilson(
    share: float, size: float, *, z: float | None = None, level: float = LEVEL
) -> tuple[float, float]:
    """Score interval of a share seen on `size` rows; never of zero width.

    Args:
        share: the observed share, 0 to 1.
        size: number of rows, or effective number; above 0.
        z: quantile; by default the normal one at `level`.
    """
    if not size > 0:
        return 0.0, 1.0
    z = quantile(math.inf, level) if z is None else z
    share = min(max(share, 0.0), 1.0)
    middle = (share + z * z / (2 * size)) / (1 + z * z / size)
    half = (
        z / (1 + z * z / size) * math.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    )
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def share_interval(
    share: float,
    variance: float,
    *,
    size: float,
    rows: float | None = None,
    df: float = math.inf,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Wilson's interval at the effective size share (1 - share) / variance.

    Serves every score between 0 and 1. Where the variance is zero (all rows right, all seeds
    alike) the effective size is `size`, the number of rows or groups, so that width remains.

    Args:
        size: independent units, rows or groups.
        rows: test rows, where they are more; the effective size is at most twice as many, for a
            smaller variance than theirs is itself uncertain.
    """
    binomial = share * (1 - share)
    effective = float(size)
    if variance > 1e-15 and binomial > 1e-12:
        effective = min(binomial / variance, 2.0 * max(size, rows or 0))
    return wilson(share, effective, z=quantile(df, level))


def scale_interval(
    value: float, error: float, *, df: float = math.inf, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of a positive quantity, symmetric on the log scale (delta method)."""
    if not value > 0:
        return value, value
    factor = math.exp(min(quantile(df, level) * error / value, 50.0))
    return value / factor, value * factor


def error_bounds(error: float, df: float, level: float = LEVEL) -> tuple[float, float]:
    """Chi-square interval of a standard error known with `df` degrees of freedom."""
    if not math.isfinite(df):
        return error, error
    low, high = special.chdtri(df, (1 - level) / 2), special.chdtri(df, (1 + level) / 2)
    return error * math.sqrt(df / low), error * math.sqrt(df / max(high, 1e-12))


def ordinal(values: np.ndarray | None) -> np.ndarray | None:
    """Group labels of any kind as numbers from 0, (rows,); None stays None."""
    if values is None:
        return None
    return np.unique(np.asarray(values).astype(str), return_inverse=True)[1].reshape(-1)
