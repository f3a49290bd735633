"""What the adapted model has forgotten: the source's ability before and after, and how its features moved.

Read from `case.facts["forgetting"]`, which was measured outside: {"frozen": True} where the source's weights
are untouched; else

    what, metric   what the source was asked, and what a row's score is
    before, after  (1, n) and (seeds, n) scores of the same rows
    drift          {stage: linear CKA of what it gives before and after}, 1 where nothing moved
    curve          [{"alpha", "score", "ability"}] from the source's weights (0) to the adapted ones (1)
    missing        [(what, why)]

The interval of the difference covers training seeds and rows (`_paired`). Kirkpatrick et al. 2017
(arXiv:1612.00796); Kornblith et al. 2019 (arXiv:1905.00414); Wortsman et al. 2022 (arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence import _paired

NEEDS = ("forgetting",)
OUTCOMES = ("any",)
NAME = "forgetting"


def check(case: Case) -> Finding:
    """Ability, drift and curve as measures and exhibits."""
    told = case.facts.get("forgetting")
    if not told:
        return Finding(NAME, missing=(("forgetting", "it was not asked for"),))
    if told.get("frozen"):
        kept = Measure(
            "source ability kept",
            1.0,
            None,
            None,
            1,
            "share",
            "the source",
            "its weights are untouched, to the bit",
        )
        return Finding(NAME, (kept,))
    measures = _ability(told) if "before" in told else ()
    exhibits = [_stages(told["drift"])] if told.get("drift") else []
    if told.get("curve"):
        exhibits.append(_curve(case, told))
    return Finding(
        NAME, measures, tuple(exhibits), tuple(tuple(m) for m in told.get("missing", ()))
    )


def _ability(told: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Before, after, and what was lost."""
    before, after = np.asarray(told["before"], float), np.asarray(told["after"], float)
    n, made = before.shape[1], []
    for name, scores in (("source ability before", before), ("source ability after", after)):
        found = _paired.mean(scores)
        low, high = found.interval()
        how = f"{told['metric']} on {told['what']}; Student's interval over seeds and rows"
        ends = (max(low, 0.0), min(high, 1.0))
        made.append(Measure(name, found.value, *ends, n, "share", "", how))
    lost = _paired.difference(after, before, most=1.0)
    low, high = lost.interval()
    how = "after - before on the same rows; interval over training seeds and rows"
    change = (100 * lost.value, 100 * low, 100 * high)
    made.append(Measure("change of source ability", *change, n, "points", "the source", how))
    if before.mean() > 0:
        share = float(after.mean() / before.mean())
        width = 1 / float(before.mean())
        ends = (max(0.0, 1 + low * width), 1 + high * width)
        how = "after / before; the interval is that of the difference over the ability before"
        made.append(Measure("source ability kept", share, *ends, n, "share", "the source", how))
    return tuple(made)


def _stages(drift: Mapping[str, float]) -> Exhibit:
    rows = [[stage, value] for stage, value in drift.items()]
    title = "How alike each stage's output is before and after (linear CKA; 1 is no drift)"
    return Exhibit("drift", "table", title, {"columns": ["stage", "similarity"], "rows": rows})


def _curve(case: Case, told: Mapping[str, Any]) -> Exhibit:
    columns = ["share of the way", f"{case.score.name} on the task", "source ability"]
    rows = [[point["alpha"], point["score"], point["ability"]] for point in told["curve"]]
    title = "Between the source's weights (0) and the adapted ones (1), first seed: the task and the source"
    return Exhibit("retention", "table", title, {"columns": columns, "rows": rows})
