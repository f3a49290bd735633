"""Whether the stored features bring rows of one class together: neighbours of the test rows, untrained.

For every test row the training rows are ranked by cosine of the frozen source's features. Recall at k is
the share of test rows with a row of their own class among the k nearest (Jegou et al. 2011). Mean average
precision at R (Musgrave et al. 2020, arXiv:2003.08505) is the mean over test rows of the average precision
of the R nearest, R being the training rows of the row's class, at most 100. Rows whose class has no
training row find nothing. Intervals: Wilson's form over test rows (or groups).
"""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Case, Finding, Measure
from headstart.evidence._interval import ordinal
from headstart.evidence._scores import estimate

NEEDS = ("nearest",)
OUTCOMES = ("classify",)

_DEPTHS = (1, 5, 10)


def check(case: Case) -> Finding:
    """Measures the neighbours of the test rows."""
    if case.nearest is None:
        why = "there are too many rows to compare all, or features were not handed over"
        return Finding("retrieval", missing=(("neighbours of the same class", why),))
    targets = np.asarray(case.targets).astype(np.int64)
    same = case.nearest.labels == targets[:, None]
    scores = {
        f"recall at {k}": same[:, :k].any(axis=1).astype(np.float64)
        for k in _DEPTHS
        if k <= same.shape[1]
    }
    scores["mean average precision at R"] = precision(same, case.nearest.sizes[targets])
    made = []
    for name, found in scores.items():
        value, low, high, method = estimate(found[None], ordinal(case.groups), share=True)
        method = f"nearest training rows by cosine of the source's own features; {method}"
        made.append(Measure(name, value, low, high, len(targets), "share", "", method))
    return Finding("retrieval", tuple(made))


def precision(same: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Average precision at R of each row, (rows,).

    Args:
        same: (rows, most) whether a neighbour has the row's class, the nearest first.
        sizes: (rows,) how many there are of the row's class.
    """
    most = same.shape[1]
    reach = np.minimum(sizes, most)
    counted = same & (np.arange(most) < reach[:, None])
    at = np.cumsum(counted, axis=1) / np.arange(1, most + 1)
    made: np.ndarray = (at * counted).sum(axis=1) / np.maximum(reach, 1)
    return made
