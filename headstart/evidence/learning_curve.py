"""What more labels would bring: the probe's held-out score at growing shares of the training rows.

Read from `case.facts["learning_curve"]`: {"labels": [...], "score": [...], "low": [...], "high": [...],
"n": [...], "metric": "accuracy"}; every point is scored on training rows that its fold left out, never on
test rows (Perlich et al. 2003, JMLR 4).
"""

from __future__ import annotations

from headstart.core.evidence import Case, Exhibit, Finding

NEEDS = ("learning_curve",)
OUTCOMES = ("any",)


def check(case: Case) -> Finding:
    """Draws the curve and says what the last doubling of labels brought."""
    curve = case.facts.get("learning_curve")
    if not curve:
        return Finding("learning_curve", missing=(("learning curve", "it was not asked for"),))
    data = {
        "x": list(curve["labels"]),
        "y": list(curve["score"]),
        "low": list(curve["low"]),
        "high": list(curve["high"]),
        "n": list(curve["n"]),
        "x_label": "labelled rows",
        "y_label": f"{curve['metric']} on held-out training rows",
        "diagonal": False,
    }
    title = "Learning curve of the probe on stored features"
    return Finding("learning_curve", (), (Exhibit("learning curve", "curve", title, data),))
