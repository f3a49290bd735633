"""How well scores rank: the area under the ROC curve, taken apart by rows."""

from __future__ import annotations

import numpy as np


def area(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Rows whose mean is the area under the curve, and whose spread is DeLong's.

    DeLong, DeLong and Clarke-Pearson (1988). Both kinds of rows must occur.

    Args:
        said: (rows,), higher for rows that carry what is looked for.
        truth: (rows,) 1, 0, or NaN where it is not known; these rows say nothing.
    """
    from scipy.stats import rankdata

    rows = np.full(len(said), 0.0)
    carry, lack = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    both = np.concatenate([carry, lack])
    overall, first, second = rankdata(said[both]), rankdata(said[carry]), rankdata(said[lack])
    above = (overall[: len(carry)] - first) / len(lack)  # share of rows without it that lie below
    below = 1 - (overall[len(carry) :] - second) / len(carry)
    found = float(above.mean())
    rows[carry] = len(said) / len(carry) * (above - found)
    rows[lack] = len(said) / len(lack) * (below - found)
    return rows + found
