"""Whether augmentation makes rows that are still like the training rows, by the source's own features.

Read from `case.facts["realism"]`: {"rows": {name: [varied rows, how many of them lie beyond]}, "of": training
rows compared with, "missing": [(what, why)]}. A varied row lies beyond where the nearest training row is
farther than 95 % of the training rows are from the nearest other one. Of unvaried rows 5 % lie so far.
"""

from __future__ import annotations

from headstart.core.evidence import Case, Finding, Measure
from headstart.evidence._interval import wilson

NEEDS = ("realism",)
OUTCOMES = ("any",)

NAME = "augmentation"
SHARE = "varied rows beyond the training rows"


def check(case: Case) -> Finding:
    """One share for each augmentation, the farthest first."""
    told = case.facts.get("realism")
    if not told:
        return Finding(NAME, missing=(("realism of augmentation", "none was used"),))
    found = []
    for name, (n, beyond) in told["rows"].items():
        low, high = wilson(beyond / n, n)
        how = (
            f"Euclidean distance to the nearest of {told['of']} training rows in the source's features, "
            "against the 95 % quantile of their distances from each other; Wilson's interval"
        )
        baseline = "0.05 of unvaried rows"
        found.append(Measure(SHARE, beyond / n, low, high, n, "share", baseline, how, group=name))
    found.sort(key=lambda m: -m.value)
    return Finding(NAME, tuple(found), missing=tuple(tuple(m) for m in told.get("missing", ())))
