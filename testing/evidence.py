"""Suite for evidence checks: pure, measured with intervals, worded without judging.

A thing is a check's name. The cases have a known truth; the transfer arm is the better one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from headstart.core import plugins
from headstart.core.answers import Answer, encoded
from headstart.core.evidence import (
    Arm,
    Case,
    Exhibit,
    Finding,
    Measure,
    Nearest,
    Outside,
    serves,
)

from ._things import Check, expect, listed

KNOWN: dict[tuple[str, str], str] = {
    (
        "check_no_judgement_words",
        "verdict",
    ): "the verdict is the one place where a judgement is drawn",
    (
        "check_no_judgement_words",
        "multitask",
    ): "it draws the verdict's judgement for each of several targets",
}

CLASSES = ("ant", "bee", "wasp")
OUTCOMES = ("classify", "ordinal", "regress", "tag", "label_each", "forecast", "answer")
SPANS = ("B-ant", "B-bee", "I-ant", "I-bee", "O")
COUNTED = {"", "parts", "rows", "times", "FLOPs", "seconds", "bytes", "joules", "bits"}
"""Units of exact counts and clocks, which may come without an interval."""
JUDGEMENTS = re.compile(
    r"\b(helped|harmed|good|bad|excellent|poor|acceptable|unacceptable|fair|unfair|safe|unsafe|"
    r"passes|failed|fails|trustworthy|reliable|should)\b",
    re.IGNORECASE,
)
KINDS = ("matrix", "curve", "bars", "table", "samples", "sentence")

FACTS: dict[str, Any] = {
    "flops_transfer": 1e9,
    "flops_scratch": 5e9,
    "flops": 1e9,
    "seconds_model": 3.0,
    "seconds_verdict": 9.0,
    "peak_bytes": 2**30,
    "energy_watts": 30.0,
}


def things() -> tuple[str, ...]:
    """Every check found."""
    return plugins.names("evidence")


def checks() -> Iterator[tuple[str, Check]]:
    """Name and function of every check of this suite."""
    return listed(globals())


@cache
def case(outcome: str, rows: int = 120) -> Case:
    """Three seeds an arm, a better transfer arm, groups, metadata and facts."""
    rng = np.random.default_rng(3)
    truth: np.ndarray
    past: np.ndarray
    if outcome == "tag":
        truth, past = (_carried(rng, rows) for _ in range(2))
        made = {r: np.stack([_likely(rng, truth, a) for _ in range(3)]) for r, a in _ARMS.items()}
        held = _likely(rng, past, 2.0)
    elif outcome == "label_each":
        truth, past = (_labels(rng, rows) for _ in range(2))
        made = {r: _told(rng, truth, a) for r, a in _ARMS.items()}
        held = _told(rng, past, 2.0)[0]
    elif outcome in ("classify", "ordinal"):
        truth, past = rng.integers(0, 3, rows), rng.integers(0, 3, rows)
        made = {r: _shares(rng, truth, a) for r, a in _ARMS.items()}
        held = _shares(rng, past, 2.0)[0]
    elif outcome == "forecast":
        truth, past = (_windows(rng, rows) for _ in range(2))
        made = {r: _coming(rng, truth, a) for r, a in _ARMS.items()}
        held = _coming(rng, past, 2.0)[0]
    elif outcome == "answer":
        truth, past = (_answers(rng, rows) for _ in range(2))
        made = {r: _spans(rng, truth, a) for r, a in _ARMS.items()}
        held = _spans(rng, past, 2.0)[0]
    else:
        truth, past = rng.normal(5, 2, rows), rng.normal(5, 2, rows)
        made = {r: truth + rng.normal(0, 1.2 / a, (3, rows)) for r, a in _ARMS.items()}
        held = past + rng.normal(0, 0.6, rows)
    arms = {
        role: Arm(role, outputs, np.array([0.7, 0.71, 0.69]) * _ARMS[role] / 2, 1e9, 2.0)
        for role, outputs in made.items()
    }
    metadata = {"place": np.tile(["dock", "field", "yard"], rows)[:rows]}
    groups = np.repeat(np.arange(rows // 3 + 1), 3)[:rows]
    kinds = {"regress": (), "forecast": (), "answer": (), "label_each": SPANS}
    classes = kinds.get(outcome, CLASSES)
    extra = _untrained(rows) if outcome == "classify" else {}
    head = plugins.load("head", outcome)
    score = head.SCORE
    if outcome == "label_each":
        score = head.restore({"classes": classes}).score
    facts = {**FACTS, "classes": list(classes)}
    made = Case(outcome, classes, truth, arms, past, held, score, groups, metadata, facts, 0)
    return replace(made, **extra)


def _untrained(rows: int) -> dict[str, Any]:
    """What a run of classes hands over beside its arms: scores of rows outside, and neighbours."""
    rng = np.random.default_rng(4)
    known = {n: rng.normal(size=rows) for n in ("energy", "mahalanobis")}
    beyond = {n: rng.normal(2, 1, 40) for n in known}
    groups = 1000 + np.repeat(np.arange(14), 3)[:40]
    outside = Outside("energy", 1.6, known, beyond, groups)
    return {"outside": outside, "nearest": Nearest(rng.integers(0, 3, (rows, 30)), np.full(3, 30))}


_ARMS = {"transfer": 2.0, "scratch": 1.0, "champion": 1.2}


def _shares(rng: np.random.Generator, truth: np.ndarray, sharpness: float) -> np.ndarray:
    """(3, rows, 3) probabilities that lean towards the truth."""
    scores = rng.normal(size=(3, len(truth), 3)) + sharpness * np.eye(3)[truth]
    grown = np.exp(scores)
    return np.asarray(grown / grown.sum(-1, keepdims=True))


def _labels(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, 6) class numbers of `SPANS`, -1 behind the end; every type occurs."""
    truth = rng.choice(5, (rows, 6), p=(0.1, 0.1, 0.1, 0.1, 0.6))
    truth[np.arange(6)[None] >= rng.integers(2, 7, rows)[:, None]] = -1
    truth[0], truth[1] = [0, 2, 4, 1, 3, 4], [1, 4, 0, -1, -1, -1]
    return np.asarray(truth)


def _told(rng: np.random.Generator, truth: np.ndarray, sharpness: float) -> np.ndarray:
    """(3, rows, 6, 5) probabilities that lean towards the truth, NaN behind the end."""
    scores = rng.normal(size=(3, *truth.shape, 5)) + 2 * sharpness * np.eye(5)[truth]
    grown = np.exp(scores)
    grown[:, truth < 0] = np.nan
    return np.asarray(grown / grown.sum(-1, keepdims=True))


def _carried(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, 3) of 0, 1 and, for some, NaN."""
    truth = (rng.random((rows, 3)) < 0.4).astype(float)
    truth[rng.random((rows, 3)) < 0.1] = np.nan
    truth[:2] = [[0, 0, 0], [1, 1, 1]]
    return truth


def _likely(rng: np.random.Generator, truth: np.ndarray, sharpness: float) -> np.ndarray:
    """(rows, 3) probabilities that lean towards the truth."""
    scores = rng.normal(size=truth.shape) + sharpness * (2 * np.nan_to_num(truth) - 1)
    return np.asarray(1 / (1 + np.exp(-scores)))


def _windows(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, 7): four coming values, some of them not known, level, spread and naive error."""
    truth = np.column_stack([rng.normal(size=(rows, 4)), np.tile([20.0, 3.0, 0.7], (rows, 1))])
    truth[2:, 3][rng.random(rows - 2) < 0.1] = np.nan
    return truth


def _coming(rng: np.random.Generator, truth: np.ndarray, sharpness: float) -> np.ndarray:
    """(3, rows, 4) forecasts around the truth."""
    known = np.nan_to_num(truth[:, :4])
    return np.asarray(known + rng.normal(0, 0.6 / sharpness, (3, *known.shape)))


def _answers(rng: np.random.Generator, rows: int) -> np.ndarray:
    """(rows, ...) encoded answers of one to three words in texts of six."""
    text = "ants, bees and wasps build nests"
    units = ((0, 4), (4, 5), (6, 10), (11, 14), (15, 20), (21, 26), (27, 32))
    first = rng.integers(0, 4, rows)
    last = first + rng.integers(0, 3, rows)
    return encoded(
        [Answer(text, units, units[a][0], units[b][1]) for a, b in zip(first, last, strict=True)]
    )


def _spans(rng: np.random.Generator, truth: np.ndarray, sharpness: float) -> np.ndarray:
    """(3, rows, 3) spans that are right the more often the sharper."""
    said = np.repeat(truth[None, :, 1:3], 3, axis=0).astype(float)
    wrong = rng.random(said.shape[:2]) < 0.5 / sharpness
    said[wrong] = (5, 6)
    return np.concatenate([said, rng.uniform(0.2, 0.9, (*said.shape[:2], 1))], axis=2)


def findings(name: str, **changed: Any) -> list[Finding]:
    """The check's findings for each outcome that it serves."""
    file = plugins.load("evidence", name)
    return [file.check(replace(case(o), **changed)) for o in _served(file)]


def _served(file: Any) -> list[str]:
    """Outcomes of this suite that a check serves."""
    return [o for o in OUTCOMES if serves(file, o)]


def _measures(name: str) -> list[Measure]:
    return [m for f in findings(name) for m in f.measures]


def _texts(finding: Finding) -> Iterator[str]:
    for measure in finding.measures:
        yield from (measure.name, measure.baseline, measure.method, measure.group)
    for exhibit in finding.exhibits:
        yield exhibit.title
        if exhibit.kind == "sentence":
            yield from (str(v) for v in exhibit.data.values())
    for what, why in finding.missing:
        yield from (what, why)


def check_protocol(name: str) -> None:
    """The file says what it needs and which outcomes it serves."""
    file = plugins.load("evidence", name)
    expect(bool(file.__doc__), "the file says what it measures")
    expect(len(tuple(file.OUTCOMES)) > 0, "OUTCOMES names an outcome")
    expect(all(isinstance(n, str) for n in file.NEEDS), "NEEDS names what the case must carry")


def check_is_pure(name: str) -> None:
    """The same case gives the same finding, whatever numpy's global generator says."""
    state = np.random.get_state()
    first = [repr(f) for f in findings(name)]
    np.random.seed(123)
    second = [repr(f) for f in findings(name)]
    np.random.set_state(state)
    expect(first == second, "the same case gives the same finding")


def check_leaves_its_case_alone(name: str) -> None:
    """The case's arrays are not written to."""
    for outcome in OUTCOMES:
        arrays = [case(outcome).targets, *(a.outputs for a in case(outcome).arms.values())]
        for array in arrays:
            array.flags.writeable = False
    findings(name)


def check_finding_is_complete(name: str) -> None:
    """A finding names its check and holds a measure, an exhibit, or what is missing and why."""
    for finding in findings(name):
        expect(finding.check == name, f"the finding is called '{name}'")
        held = (finding.measures, finding.exhibits, finding.missing)
        expect(any(held), "a finding says something")
        for what, why in finding.missing:
            expect(
                bool(what) and len(why.split()) >= 3, f"'{what}' is missing for a written reason"
            )


def check_measures_have_intervals(name: str) -> None:
    """low <= value <= high, all finite; only counts and clocks come without an interval."""
    for m in _measures(name):
        label = f"{m.name} {m.group}".strip()
        if math.isnan(m.value):
            continue  # "not measured" is allowed, and said so
        if m.low is None or m.high is None:
            expect(m.unit in COUNTED, f"'{label}' in {m.unit} has an interval")
            continue
        expect(math.isfinite(m.low) and math.isfinite(m.high), f"'{label}' has finite ends")
        expect(m.low <= m.value <= m.high, f"'{label}': {m.low} <= {m.value} <= {m.high}")
        expect(0.5 < m.level < 1.0, f"'{label}' says its level")


def check_measures_are_worded(name: str) -> None:
    """Name, method and size are given; the basis is observed or inferred."""
    for m in _measures(name):
        expect(bool(m.name.strip()), "a measure has a name")
        expect(len(m.method.split()) >= 2, f"'{m.name}' says how it was made")
        expect(m.n >= 0, f"'{m.name}' says on how many rows it rests")
        expect(m.basis in ("observed", "inferred"), f"'{m.name}' is observed or inferred")


def check_exhibits_are_plain(name: str) -> None:
    """Exhibits hold only what JSON can hold, and their kind can be drawn."""
    for finding in findings(name):
        for exhibit in finding.exhibits:
            _exhibit(exhibit)


def _exhibit(exhibit: Exhibit) -> None:
    expect(exhibit.kind in KINDS, f"the exhibit's kind is one of {KINDS}, not '{exhibit.kind}'")
    expect(bool(exhibit.title), "an exhibit has a title")
    json.dumps(dict(exhibit.data), allow_nan=False)


def check_no_judgement_words(name: str) -> None:
    """A check measures, gates judge: no word of judgement in names, methods, titles or reasons."""
    for finding in findings(name):
        for text in _texts(finding):
            found = JUDGEMENTS.search(text)
            word = found.group(0) if found else ""
            expect(not found, f"'{text}' judges: '{word}'")


def check_what_is_not_there_is_missing(name: str) -> None:
    """Without baselines, groups, metadata and facts a check says what it could not measure."""
    file = plugins.load("evidence", name)
    for outcome in _served(file):
        full = case(outcome)
        bare = replace(
            full, arms={"transfer": full.arms["transfer"]}, groups=None, metadata={}, facts={}
        )
        finding = file.check(bare)
        expect(finding.check == name, "a bare case gives a finding")
        expect(
            bool(finding.measures or finding.exhibits or finding.missing),
            "a bare case gives measures, or what is missing",
        )


def check_few_rows_do_not_break_it(name: str) -> None:
    """Six test rows give a finding with finite, ordered intervals."""
    file = plugins.load("evidence", name)
    for outcome in _served(file):
        for m in file.check(case(outcome, 6)).measures:
            if m.low is not None and m.high is not None and not math.isnan(m.value):
                expect(m.low <= m.value <= m.high, f"'{m.name}' is ordered on six rows")
