"""Answers that are spans of a text: F1 of words, exact matches, and the mistakes that it was surest of.

Both scores compare texts as SQuAD does (Rajpurkar et al. 2016): small letters, without punctuation and the
English articles; F1 counts the words that told and true answer share. Means over seeds and test rows; the
intervals are over rows, or groups where given (the questions of one text are answered together).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.core import answers
from headstart.core.evidence import Case, Exhibit, Finding, Measure
from headstart.evidence._interval import ordinal
from headstart.evidence._scores import estimate, outputs

NEEDS = ()
OUTCOMES = ("answer",)

_MOST = 12  # mistakes shown


def check(case: Case) -> Finding:
    """Measures the transfer arm on the test rows."""
    said = outputs(case, case.arms["transfer"])
    truth = [answers.decoded(row) for row in np.asarray(case.targets)]
    told = [[t.cut(*o[:2]) for o, t in zip(seed, truth, strict=True)] for seed in said]
    measures = [
        _measure(case, "word F1", _scored(answers.f1, told, truth)),
        _measure(case, "exact match", _scored(answers.exact, told, truth)),
        _measure(case, "overlap", _scored(lambda a, b: float(answers.f1(a, b) > 0), told, truth)),
    ]
    return Finding("answers", tuple(measures), (_mistakes(said[0], told[0], truth),))


def _scored(measure: Any, told: list[list[str]], truth: list[answers.Answer]) -> np.ndarray:
    """(seeds, rows) of a measure of two texts."""
    rows = [[measure(a, t.text) for a, t in zip(seed, truth, strict=True)] for seed in told]
    return np.array(rows)


def _measure(case: Case, name: str, rows: np.ndarray) -> Measure:
    value, low, high, method = estimate(rows, ordinal(case.groups), share=True)
    return Measure(name, value, low, high, rows.shape[1], "share", "", method)


def _mistakes(said: np.ndarray, told: list[str], truth: list[answers.Answer]) -> Exhibit:
    """Rows of the first seed whose answer is not the true one, the surest first."""
    wrong = [
        i for i, (a, t) in enumerate(zip(told, truth, strict=True)) if not answers.exact(a, t.text)
    ]
    surest = sorted(wrong, key=lambda i: (-said[i, 2], i))[:_MOST]
    rows = []
    for row in surest:
        first, last = (int(x) for x in said[row, :2])
        begin, end = truth[row].inside
        marks = [{"first": first, "last": last, "label": "told", "right": False}]
        if last < begin or first > end:
            marks.append({"first": begin, "last": end, "label": "true", "right": True})
        rows.append(
            {
                "row": row,
                "predicted": told[row],
                "true": truth[row].text,
                "confidence": float(said[row, 2]),
                "word F1": round(answers.f1(told[row], truth[row].text), 3),
                "marks": marks,
            }
        )
    title = f"Surest mistakes ({len(rows)} of {len(wrong)} among {len(truth)} test rows)"
    data = {"rows": rows, "mistakes": len(wrong), "of": len(truth)}
    return Exhibit("surest mistakes", "samples", title, data)
