"""How well the probabilities rank: area under the ROC curve, for two classes and each of several.

AUROC of a class = chance that a row of it is given more of the class's probability than a row of another
class, ties counted half (Hanley and McNeil 1982). With V_i the share of rows of the other side that row i
is ranked rightly against, the area is the mean of V over either side, and DeLong et al. 1988 give its
variance, var(V of the class) / n + var(V of the others) / m; rows are linearised so that their mean is the
area and their spread that variance, which lets groups of rows and seeds enter as everywhere else. Of two
classes the second, in the order of the classes, is told; of several each against the rest, and their mean.
All arms are read, as this is the score by which many fields compare.
"""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Arm, Case, Finding, Measure
from headstart.core.ranking import area
from headstart.evidence import _paired
from headstart.evidence._interval import ordinal, share_interval
from headstart.evidence._scores import outputs

NEEDS = ()
OUTCOMES = ("classify",)

NAME = "AUROC"
_MOST_CLASSES = 20


def check(case: Case) -> Finding:
    """Measures every arm on the test rows; the transfer arm first."""
    targets = np.asarray(case.targets).astype(np.int64)
    count = len(case.classes)
    if count > _MOST_CLASSES:
        return Finding("ranking", missing=((NAME, f"more than {_MOST_CLASSES} classes"),))
    told = [
        c for c in ((1,) if count == 2 else range(count)) if 0 < (targets == c).sum() < len(targets)
    ]
    if not told:
        return Finding("ranking", missing=((NAME, "the test rows hold one class only"),))
    absent = [case.classes[c] for c in range(count) if not (targets == c).any()]
    missing = tuple((f"{NAME} of class '{name}'", "no test row has it") for name in absent)
    arms = dict(sorted(case.arms.items(), key=lambda item: item[0] != "transfer"))
    measures = [_measure(case, arms["transfer"], targets, told, group="")]
    if len(arms) > 1:
        measures += [_measure(case, arm, targets, told, group=arm.name) for arm in arms.values()]
    return Finding("ranking", tuple(measures), missing=missing)


def _measure(case: Case, arm: Arm, targets: np.ndarray, told: list[int], *, group: str) -> Measure:
    said, groups = outputs(case, arm), ordinal(case.groups)
    rows = np.mean(
        [[area(one[:, c], (targets == c).astype(float)) for one in said] for c in told], axis=0
    )
    spread = _paired.mean(rows, groups)
    low, high = share_interval(
        spread.value, spread.error**2, size=spread.size, rows=len(targets), df=spread.df
    )
    two = len(case.classes) == 2
    which = f"of class '{case.classes[1]}'" if two else "mean of each class against the rest"
    over = "test rows" if groups is None else "groups of test rows"
    method = f"{which}; mean of {len(said)} seed(s), DeLong over {over}, Wilson's form"
    n = len(targets)
    return Measure(NAME, spread.value, low, high, n, "share", "0.5 by chance", method, group=group)
