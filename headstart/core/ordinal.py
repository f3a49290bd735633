"""Ordered levels: which one is told from their probabilities."""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-9


def median(shares: np.ndarray) -> np.ndarray:
    """(..., levels) probabilities, lowest level first -> (...) number of the level that holds the middle.

    No other answer has a smaller expected distance from the truth, counted in levels.
    """
    reached = np.cumsum(shares, axis=-1)[..., :-1]
    return np.asarray((reached < 0.5 - _ROUNDING).sum(axis=-1))
