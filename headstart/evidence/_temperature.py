"""Temperature scaling: one number that makes probabilities more or less sure, fitted on validation rows.

Guo et al. (2017), "On calibration of modern neural networks": p_T ~ p^(1/T), T > 0 minimising the
negative log-likelihood. In b = 1 / T the likelihood is convex: slope sum(E_p z - z_y), curvature
sum(Var_p z), with z = log p.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special

_RANGE = (0.02, 20.0)
SMALLEST = 1e-12


def scaled(probabilities: np.ndarray, sharpness: float) -> np.ndarray:
    """Probabilities (..., classes) at temperature 1 / sharpness."""
    logits = np.log(np.maximum(probabilities, SMALLEST)) * sharpness
    return np.asarray(special.softmax(logits, axis=-1))


def fit(probabilities: np.ndarray, targets: np.ndarray) -> tuple[float, float, float]:
    """Sharpness b = 1 / temperature with its 95 % interval: value, low, high.

    Args:
        probabilities: (rows, classes) of validation rows.
        targets: (rows,) their true classes.
    """
    logits = np.log(np.maximum(probabilities, SMALLEST))
    told = logits[np.arange(len(targets)), targets]

    def slopes(sharpness: float) -> tuple[np.ndarray, np.ndarray]:
        p = special.softmax(logits * sharpness, axis=1)
        expected = (p * logits).sum(axis=1)
        return expected - told, (p * logits**2).sum(axis=1) - expected**2

    low, high = _RANGE
    if slopes(low)[0].sum() >= 0:
        best = low
    elif slopes(high)[0].sum() <= 0:
        best = high
    else:
        best = float(optimize.brentq(lambda b: slopes(b)[0].sum(), low, high, xtol=1e-6))
    slope, curvature = slopes(best)
    total = max(float(curvature.sum()), 1e-12)
    error = math.sqrt(max(float((slope**2).sum()), total)) / total
    return best, max(low, best - 1.96 * error), min(high, best + 1.96 * error)
