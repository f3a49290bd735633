"""The mistakes that the model was surest of: hard rows, or wrong labels.

Probabilities are averaged over the arm's seeds; a row counts as a mistake where the most probable class is
not the labelled one. The surest wrong answers are where label errors gather (Northcutt et al. 2021,
"Confident learning"), so at most 12 are shown, surest first, with the probability of the label.
"""

from __future__ import annotations

import numpy as np

from headstart.core.evidence import Case, Exhibit, Finding
from headstart.evidence._scores import outputs

NEEDS = ()
OUTCOMES = ("classify",)

_MOST = 12


def check(case: Case) -> Finding:
    """Picks the surest mistakes of the transfer arm."""
    told = outputs(case, case.arms["transfer"]).mean(axis=0)
    targets = np.asarray(case.targets).astype(np.int64)
    chosen = told.argmax(axis=1)
    confidence = told.max(axis=1)
    wrong = np.flatnonzero(chosen != targets)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MOST]
    rows = [
        {
            "row": int(row),
            "predicted": case.classes[chosen[row]],
            "true": case.classes[targets[row]],
            "confidence": float(confidence[row]),
            "probability of the label": float(told[row, targets[row]]),
        }
        for row in surest
    ]
    data = {"rows": rows, "mistakes": len(wrong), "of": len(targets)}
    title = f"Surest mistakes ({len(rows)} of {len(wrong)} among {len(targets)} test rows)"
    return Finding("mistakes", (), (Exhibit("surest mistakes", "samples", title, data),))
