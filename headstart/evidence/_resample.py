"""Bootstrap over test rows, or over groups of them, of scores that are functions of column sums.

Rows are reduced to counts or sums (one column each), so that a resample is one weighted sum and all
resamples are one matrix product. Efron, Tibshirani (1993), "An Introduction to the Bootstrap"; groups
are drawn whole (Davison, Hinkley 1997, section 3.8). With several seeds the spread of rows is taken from
the resamples of the mean over seeds, and the spread of seeds is added as in `_paired.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from headstart.evidence._paired import Part, join

RESAMPLES = 2000
_CHUNK = 4_000_000  # weights held at once: 16 MB
_BUDGET = 60_000_000  # weights drawn in all: about a second; beyond it there are fewer resamples


def onehot(codes: np.ndarray, width: int, *, keep: np.ndarray | None = None) -> sparse.csr_matrix:
    """Indicator columns of codes (rows,): (rows, width); rows where `keep` is False stay empty."""
    rows = np.arange(len(codes))
    if keep is not None:
        rows, codes = rows[keep], codes[keep]
        return sparse.csr_matrix(
            (np.ones(len(rows), np.float32), (rows, codes)), shape=(len(keep), width)
        )
    return sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, codes)), shape=(len(codes), width)
    )


def totals(
    columns: sparse.csr_matrix, groups: np.ndarray | None, seed: int
) -> Iterator[np.ndarray]:
    """Column sums of resamples, in chunks of (resamples, columns); `RESAMPLES` in all, at least 200.

    Args:
        columns: (rows, columns) counts or sums.
        groups: (rows,) numbers from 0 of the rows' groups, or None.
        seed: seed of the resampling.
    """
    if groups is not None:
        columns = onehot(groups, int(groups.max()) + 1).T.tocsr() @ columns
    units = columns.shape[0]
    turned = columns.T.tocsr()
    rng = np.random.default_rng(seed)
    left = int(min(RESAMPLES, max(200, _BUDGET // units)))
    while left > 0:
        count = min(left, max(1, _CHUNK // units))
        drawn = rng.integers(0, units, size=(count, units), dtype=np.int32)
        drawn += np.arange(count, dtype=np.int32)[:, None] * np.int32(units)
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        yield np.asarray(turned @ weights.T.astype(np.float32)).T
        left -= count


def spreads(
    columns: sparse.csr_matrix,
    score: Callable[[np.ndarray], np.ndarray],
    *,
    groups: np.ndarray | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over seeds, standard errors over seeds and rows, degrees of freedom: each (scores,).

    Args:
        columns: (rows, columns) as for `totals`.
        score: column sums (repeats, columns) to scores (repeats, seeds, scores); NaN where undefined.
    """
    point = score(np.asarray(columns.sum(axis=0), dtype=np.float64).reshape(1, -1))[0]
    repeats = np.concatenate(
        [score(np.asarray(t, dtype=np.float64)) for t in totals(columns, groups, seed)]
    )
    units = len(np.unique(groups)) if groups is not None else columns.shape[0]
    errors, freedoms = np.zeros(point.shape[1]), np.full(point.shape[1], math.inf)
    for k in range(point.shape[1]):
        known = repeats[np.isfinite(repeats[:, :, k]).all(axis=1), :, k]
        errors[k], freedoms[k] = _spread(point[:, k], known, units)
    return point.mean(axis=0), errors, freedoms


def _spread(point: np.ndarray, repeats: np.ndarray, units: int) -> tuple[float, float]:
    """Standard error and freedom of the mean of `point` (seeds,) from `repeats` (resamples, seeds)."""
    count, seeds = repeats.shape
    if count < 2:
        return 0.0, math.inf
    scale = units / max(units - 1, 1)
    rows = float(repeats.mean(axis=1).var(ddof=1)) * scale
    part = Part(rows, rows**2 / max(units - 1, 1))
    if seeds < 2:
        return join(part, [])
    rest = repeats - repeats.mean(axis=1, keepdims=True) - repeats.mean(axis=0) + repeats.mean()
    noise = float((rest**2).sum()) / ((count - 1) * (seeds - 1)) * scale
    between = float(point.var(ddof=1))
    weight = ((between / seeds) ** 2 + (noise / seeds) ** 2 / max(units - 1, 1)) / (seeds - 1)
    return join(part, [Part((between - noise) / seeds, weight)])
