"""How clusters agree with labels: NMI and ARI with intervals, and the gain over another clustering.

Normalised mutual information, by the mean of both entropies (Strehl and Ghosh 2002), and the adjusted Rand
index (Hubert and Arabie 1985). Rows in no cluster count as one cluster more. Intervals: normal, with the
standard error of resamples of rows; the clusters are held, so they say nothing of what other rows, or
another start, would have been clustered into.
"""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Measure

RESAMPLES = 500
NAMES = ("NMI", "ARI")
LOWEST = (0.0, -1.0)


def scores(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """NMI and ARI of two numberings (rows,) of codes from 0."""
    width = int(second.max()) + 1
    table = np.bincount(first * width + second, minlength=(int(first.max()) + 1) * width)
    table = table.reshape(-1, width).astype(np.float64)
    n, a, b = table.sum(), table.sum(axis=1), table.sum(axis=0)
    joint, left, right = _entropy(table.ravel() / n), _entropy(a / n), _entropy(b / n)
    mean = (left + right) / 2
    shared = max(0.0, (left + right - joint) / mean) if mean > 0 else 1.0
    pairs, rows, columns = _pairs(table), _pairs(a), _pairs(b)
    expected = rows * columns / max(_pairs(np.array([n])), 1.0)
    most = (rows + columns) / 2
    rand = (pairs - expected) / (most - expected) if most != expected else 1.0
    return min(shared, 1.0), rand


def _entropy(shares: np.ndarray) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())


def _pairs(counts: np.ndarray) -> float:
    return float((counts * (counts - 1) / 2).sum())


def measured(
    labels: np.ndarray, clusters: np.ndarray, other: np.ndarray | None, name: str, seed: int
) -> tuple[Measure, ...]:
    """NMI and ARI of clusters with labels; of another clustering, and the gain over it, where there is one.

    Args:
        labels, clusters, other: (rows,) codes from 0.
        name: of the other clustering.
    """
    both = [clusters] if other is None else [clusters, other]
    point = np.array([scores(labels, one) for one in both])
    rng, n = np.random.default_rng(seed), len(labels)
    drawn = np.empty((RESAMPLES, len(both), 2))
    for turn in range(RESAMPLES):
        rows = rng.integers(0, n, n)
        drawn[turn] = [scores(labels[rows], one[rows]) for one in both]
    how = f"clusters held; standard error of {RESAMPLES} resamples of rows, normal interval"
    made = []
    for k, score in enumerate(NAMES):
        for place, group in enumerate(("the source", name)[: len(both)]):
            value, error = point[place, k], drawn[:, place, k].std(ddof=1)
            low, high = max(LOWEST[k], value - 1.96 * error), min(1.0, value + 1.96 * error)
            made.append(Measure(score, value, low, high, n, "", "", how, group=group))
        if other is not None:
            gain = point[0, k] - point[1, k]
            error = (drawn[:, 0, k] - drawn[:, 1, k]).std(ddof=1)
            ends = gain - 1.96 * error, gain + 1.96 * error
            paired = f"difference on the same rows; {how}"
            made.append(Measure(f"gain in {score}", gain, *ends, n, "difference", name, paired))
    return tuple(made)
