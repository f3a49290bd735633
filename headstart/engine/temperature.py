"""One number that makes out-of-fold probabilities as sure as they may be, with a prior around one.

Guo et al. 2017, arXiv:1706.04599: logits times b = 1 / T, b chosen for the lowest log loss. Here log b has
a standard normal prior, which a few rows cannot overrule and many rows do not feel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SMALLEST = 1e-12
_RANGE = 4.0  # natural logarithm of b, either way
_STEPS = 30


def sharpened(shares: Array, sharpness: float) -> Array:
    """Probabilities (rows, classes) with their logits times `sharpness`; what is zero stays zero."""
    with np.errstate(divide="ignore"):
        logits = np.log(shares) * sharpness
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    return np.asarray(logits / logits.sum(axis=1, keepdims=True))


def fit(shares: Array, answers: Array) -> float:
    """The likeliest sharpness b.

    Args:
        shares: (rows, classes) probabilities of rows that were not learned from.
        answers: (rows,) their classes; rows whose class got no share at all tell nothing and are left
            out.
    """
    given = shares[np.arange(len(answers)), answers]
    seen = given > 0
    logits = np.log(np.maximum(shares[seen], SMALLEST))
    told = logits[np.arange(len(logits)), answers[seen]]
    place = 0.0
    for _ in range(_STEPS):
        sharpness = np.exp(place)
        likely = np.exp(logits * sharpness - (logits.max(axis=1) * sharpness)[:, None])
        likely /= likely.sum(axis=1, keepdims=True)
        expected = np.einsum("nk,nk->n", likely, logits)
        slope = sharpness * float((expected - told).sum()) + place
        spread = float(np.einsum("nk,nk,nk->", likely, logits, logits) - expected @ expected)
        # the curvature without the part that may be negative: the step is short, never the wrong way
        step = np.clip(slope / (sharpness**2 * max(spread, 0.0) + 1.0), -1.0, 1.0)
        place = float(np.clip(place - step, -_RANGE, _RANGE))
        if abs(step) < 1e-7:
            break
    return float(np.exp(place))
