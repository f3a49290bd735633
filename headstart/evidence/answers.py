"""Answers that are spans of a text: F1 of words, exact matches, and the mistakes that it was surest of.

Both scores compare texts as SQuAD does (Rajpurkar et al. 2016): small letters, without punctuation and the
English articles; F1 counts the words that told and true answer share. Means over seeds and test rows; the
intervals are over rows, or groups where given (the questions of one text are answered together).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from headstart.core import answers
from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence._interval import ordinal
from headstart.evidence._scores import estimate, outputs

NEEDS = ()
OUTCOMES = ("answer",)

_MOST, _FEW = 12, 3  # mistakes, and answers without one, that are shown


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows, and exact matches of the others."""
    truth = [answers.decoded(row) for row in np.asarray(case.targets)]
    said = outputs(case, case.arms["transfer"])
    told = _texts(said, truth)
    measures = [
        _measure(case, "word F1", _scored(answers.f1, told, truth)),
        _measure(case, "exact match", _scored(answers.exact, told, truth)),
        _measure(case, "overlap", _scored(_touches, told, truth)),
    ]
    for role, arm in case.arms.items():
        if role != "transfer":
            rows = _scored(answers.exact, _texts(outputs(case, arm), truth), truth)
            measures.append(_measure(case, "exact match", rows, group=arm.name))
    return Finding("answers", tuple(measures), _shown(said[0], told[0], truth))


def _texts(said: np.ndarray, truth: list[answers.Answer]) -> list[list[str]]:
    """What each seed's predictions (seeds, rows, 3) say, row by row."""
    return [[t.cut(*o[:2]) for o, t in zip(seed, truth, strict=True)] for seed in said]


def _touches(told: str, true: str) -> float:
    """1 where any word is shared."""
    return float(answers.f1(told, true) > 0)


def _scored(
    measure: Callable[[str, str], float], told: list[list[str]], truth: list[answers.Answer]
) -> np.ndarray:
    """(seeds, rows) of a measure of two texts."""
    rows = [[measure(a, t.text) for a, t in zip(seed, truth, strict=True)] for seed in told]
    return np.array(rows)


def _measure(case: Case, name: str, rows: np.ndarray, group: str = "") -> Measure:
    value, low, high, method = estimate(rows, ordinal(case.groups), share=True)
    return Measure(name, value, low, high, rows.shape[1], "share", "", method, group=group)


def _shown(said: np.ndarray, told: list[str], truth: list[answers.Answer]) -> tuple[Exhibit, ...]:
    """Rows of the first seed whose answer is not the true one, and some whose answer is; the surest first."""
    exact = np.array([answers.exact(a, t.text) for a, t in zip(told, truth, strict=True)], bool)
    order = np.argsort(-said[:, 2], kind="stable")
    wrong, right = ([int(i) for i in order if exact[i] == kind] for kind in (False, True))
    made = []
    for name, rows, most in (("mistakes", wrong, _MOST), ("right answers", right, _FEW)):
        cards = [_card(i, said[i], told[i], truth[i]) for i in rows[:most]]
        title = f"Surest {name} ({len(cards)} of {len(rows)} among {len(truth)} test rows)"
        data = {"rows": cards, name: len(rows), "of": len(truth)}
        made.append(Exhibit(f"surest {name}", "samples", title, data))
    return tuple(e for e in made if e.data["rows"] or "mistakes" in e.data)


def _card(row: int, said: np.ndarray, told: str, truth: answers.Answer) -> dict[str, Any]:
    """A row with its answer, and the true one where they do not touch, marked in the text."""
    first, last = (int(x) for x in said[:2])
    begin, end = truth.inside
    right = bool(answers.exact(told, truth.text))
    marks = [{"first": first, "last": last, "label": "told", "right": right}]
    if last < begin or first > end:
        marks.append({"first": begin, "last": end, "label": "true", "right": True})
    return {
        "row": row,
        "predicted": told,
        "true": truth.text,
        "confidence": float(said[2]),
        "word F1": round(answers.f1(told, truth.text), 3),
        "marks": marks,
    }
