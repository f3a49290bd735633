"""Targets that were learned together: what that gained or lost for each, against learning it alone.

Read from `case.facts["targets"]`: name of a target -> a case of its own, on the test rows that have it, with
the arms "transfer" (the network that learned all targets) and "alone" (one that learned this target, with the
same settings and seeds); or the reason why there is none.

Estimand, interval and words are those of the verdict (`verdict.py`, `_paired.py`): the expected difference in
the target's own score over training seeds and test rows; *helped* where the 95 % interval lies above 0,
*harmed* (negative transfer) below 0, else *no evidence*. Each target has an interval of its own: of many
targets without any difference about one in twenty is flagged all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from headstart.core.evidence import Case, Exhibit, Finding, Measure, serves
from headstart.evidence import _paired, accuracy, regression, tags
from headstart.evidence._interval import ordinal
from headstart.evidence._scores import estimate, scores
from headstart.evidence.verdict import word

NEEDS = ("targets",)
OUTCOMES = ("any",)
CONCERNS = "targets"
NAME = "multitask"

_DETAILS = (accuracy, regression, tags)


def check(case: Case) -> Finding:
    """Score together and alone, the difference, and each target's own measures."""
    told: Mapping[str, Case | str] = case.facts.get("targets") or {}
    if not told:
        return Finding(NAME, missing=(("gain per target", "one target alone was learned"),))
    measures, missing, rows = list[Measure](), list[tuple[str, str]](), list[list[object]]()
    for place, (name, one) in enumerate(told.items()):
        why = _undefined(one)
        if why or isinstance(one, str):
            missing.append((f"gain of '{name}' over learning it alone", why))
            continue
        gain, spread = _gain(name, one)
        measures += [gain, *_scores(name, one), *(_details(name, one) if place else ())]
        flag = word(spread)
        rows.append([name, one.outcome, one.score.name, *_ends(one), *_told(gain), flag])
    exhibits = (_sentence(rows), _table(rows)) if rows else ()
    return Finding(NAME, tuple(measures), exhibits, tuple(missing))


def flags(finding: Finding) -> dict[str, str]:
    """Target -> helped, harmed or no evidence."""
    for exhibit in finding.exhibits:
        if exhibit.name == "targets":
            return {str(row[0]): str(row[-1]) for row in exhibit.data["rows"]}
    return {}


def _undefined(one: Case | str) -> str:
    """Why nothing can be said of a target, or ""."""
    if isinstance(one, str):
        return one
    if _paired.single(ordinal(one.groups)):
        return "all its test rows are one group, so no interval can be given"
    if len(one.targets) < 2:
        return "a single test row has a value of it"
    return one.score.undefined(np.asarray(one.targets))


def _gain(name: str, one: Case) -> tuple[Measure, _paired.Spread]:
    """Together - alone."""
    first, second = (scores(one, one.arms[role]) for role in ("transfer", "alone"))
    unit, factor = one.score.step(first, second), one.score.factor
    most = 1.0 if one.score.points else math.inf
    spread = _paired.difference(first, second, groups=ordinal(one.groups), unit=unit, most=most)
    low, high = spread.interval()
    how = (
        f"paired difference in {one.score.name}, together - alone, same settings and seeds; interval over "
        "training seeds crossed with shared test rows (as the verdict's)"
    )
    ends = (factor * spread.value, factor * low, factor * high)
    return Measure(
        "gain over learning it alone",
        *ends,
        len(one.targets),
        one.score.unit,
        "alone",
        how,
        group=name,
    ), spread


def _scores(name: str, one: Case) -> list[Measure]:
    """Score of both arms on the target's test rows."""
    made = []
    for role, words in (("transfer", "together"), ("alone", "alone")):
        share = one.score.share
        found = estimate(scores(one, one.arms[role]), ordinal(one.groups), share=share)
        value, low, high, method = found
        unit = "share" if share or one.score.points else one.score.name
        made.append(
            Measure(
                f"{one.score.name}, learned {words}",
                value,
                low,
                min(high, 1.0),
                len(one.targets),
                unit,
                "",
                method,
                group=name,
            )
        )
    return made


def _details(name: str, one: Case) -> list[Measure]:
    """What the outcome's own check measures of a further target, learned together, beside the score."""
    own = replace(one, arms={"transfer": one.arms["transfer"]}, facts={})
    found = [file.check(own) for file in _DETAILS if serves(file, one.outcome)]
    every = [m for finding in found for m in finding.measures if not m.group]
    return [replace(m, group=name) for m in every if m.name != one.score.name]


def _ends(one: Case) -> list[object]:
    """Mean scores, together and alone."""
    return [float(scores(one, one.arms[role]).mean()) for role in ("transfer", "alone")]


def _told(gain: Measure) -> list[object]:
    return [gain.value, gain.low, gain.high, gain.unit]


def _table(rows: list[list[object]]) -> Exhibit:
    columns = ["target", "outcome", "score", "together", "alone", "difference", "low", "high", "in"]
    title = "Every target, learned together with the others and alone"
    return Exhibit("targets", "table", title, {"columns": [*columns, "verdict"], "rows": rows})


def _sentence(rows: list[list[object]]) -> Exhibit:
    """All targets in words."""
    by: dict[str, list[str]] = {}
    for row in rows:
        by.setdefault(str(row[-1]), []).append(f"'{row[0]}'")
    said = {
        "helped": "Learning the targets together helped",
        "harmed": "It harmed (negative transfer)",
        "no evidence": "There is no evidence either way for",
    }
    sentence = " ".join(f"{said[w]} {', '.join(names)}." for w, names in by.items())
    title = "Did learning the targets together help each of them?"
    return Exhibit("together", "sentence", title, {"sentence": sentence})
