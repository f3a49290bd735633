"""The stored rows that are nearest to some others."""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Nearest
from headstart.engine.scope import unit
from headstart.job import Job

MOST = 100  # neighbours that the evidence looks at
CHUNK = 512
CHEAP = 2e11  # multiplications that looking for all neighbours may take: a few seconds


def nearest(
    asked: np.ndarray, stored: np.ndarray, k: int, *, by: str = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """Places and distances of the k nearest stored rows, the nearest first: two arrays (N, k).

    Args:
        asked: (N, width) float32.
        stored: (M, width); k is at most M.
        by: "cosine" (one minus the cosine, 0 to 2) or "euclidean".
    """
    k = min(k, len(stored))
    if by == "cosine":
        asked, stored = unit(asked), unit(stored)
    squares = (stored.astype(np.float64) ** 2).sum(1)
    places = np.empty((len(asked), k), np.int64)
    gaps = np.empty((len(asked), k))
    for begin in range(0, len(asked), CHUNK):
        some = asked[begin : begin + CHUNK]
        near = squares - 2.0 * (some @ stored.T)
        few = np.argpartition(near, k - 1, axis=1)[:, :k]
        order = np.lexsort((few, np.take_along_axis(near, few, 1)), axis=1)
        found = np.take_along_axis(few, order, 1)
        # the few that count are measured once more, free of cancellation
        gap = np.linalg.norm(stored[found].astype(np.float64) - some[:, None], axis=2)
        places[begin : begin + CHUNK], gaps[begin : begin + CHUNK] = found, gap
    return places, gaps**2 / 2 if by == "cosine" else gaps


def tested(made: Job, features: np.ndarray, asked: np.ndarray) -> Nearest | None:
    """The nearest training rows of test rows; None for other outcomes, and where it is not cheap.

    Args:
        features: (rows, width) of `made.train`.
        asked: (test rows, width).
    """
    cost = float(len(features)) * len(asked) * features.shape[1]
    if made.outcome != "classify" or cost > CHEAP:
        return None
    places, _ = nearest(asked, features, MOST)
    sizes = np.bincount(made.labels, minlength=len(made.targets.classes))
    return Nearest(made.labels[places], sizes)
