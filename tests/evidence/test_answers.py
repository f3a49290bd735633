"""Planted answers are scored as SQuAD scores them, and the mistakes are marked in their texts."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.core import answers
from headstart.core.answers import Answer
from headstart.core.evidence import Arm, Case
from headstart.evidence import answers as check
from headstart.evidence import verdict
from headstart.heads import answer
from headstart.report.exhibits import exhibited

TEXT = "the old dog met a <b>cat</b> in Rome"
UNITS = ((0, 3), (4, 7), (8, 11), (12, 15), (16, 17), (18, 28), (29, 31), (32, 36))


def case(said: list[tuple[int, int, float]], groups: np.ndarray | None = None) -> Case:
    """Everything asks for "old dog"."""
    truth = answers.encoded([Answer(TEXT, UNITS, 4, 11)] * len(said))
    arm = Arm("transfer", np.array([said]), np.array([0.5]))
    return Case("answer", (), truth, {"transfer": arm}, truth, np.array(said), answer.SCORE, groups)


def test_f1_and_exact_matches_are_means_over_rows() -> None:
    finding = check.check(case([(1, 2, 0.9), (0, 2, 0.8), (2, 2, 0.7), (7, 7, 0.6)]))
    found = {m.name: m for m in finding.measures}
    assert found["word F1"].value == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert found["exact match"].value == 0.5
    assert found["overlap"].value == 0.75
    for one in finding.measures:
        assert one.low is not None and one.high is not None
        assert 0 <= one.low < one.value < one.high <= 1 and one.n == 4


def test_questions_of_one_text_count_together() -> None:
    said = [(1, 2, 0.9)] * 20 + [(7, 7, 0.6)] * 20
    alone = check.check(case(said)).measures[1]
    together = check.check(case(said, np.repeat(np.arange(4), 10))).measures[1]
    assert alone.high is not None and together.high is not None
    assert together.high - together.value > 1.5 * (alone.high - alone.value)


def test_the_surest_mistakes_come_first_and_are_marked() -> None:
    finding = check.check(case([(1, 2, 0.9), (2, 2, 0.5), (7, 7, 0.6)]))
    shown, right = finding.exhibits
    assert [r["row"] for r in right.data["rows"]] == [0]
    assert right.data["rows"][0]["marks"][0]["right"]
    assert [r["row"] for r in shown.data["rows"]] == [2, 1]
    first, second = shown.data["rows"]
    assert (first["predicted"], first["true"]) == ("Rome", "old dog")
    assert [m["label"] for m in first["marks"]] == ["told", "true"]
    assert [m["label"] for m in second["marks"]] == ["told"]
    sample = {"kind": "passage", "question": "<who>?", "text": TEXT, "places": UNITS}
    drawn = str(exhibited(shown, {2: sample, 1: sample}))
    assert "&lt;who&gt;?" in drawn and "&lt;b&gt;cat" in drawn
    assert '<mark class="right">old dog<small> true</small></mark>' in drawn
    assert '<mark class="wrong">Rome<small> told</small></mark>' in drawn


def test_a_verdict_is_drawn_over_words() -> None:
    arms = case([(1, 2, 0.9)] * 12)
    worse = Arm("simple champion: x", np.array([[(7, 7, 0.5)] * 12]), np.array([0.1]))
    both = Case(
        "answer",
        (),
        arms.targets,
        {**arms.arms, "champion": worse},
        arms.targets,
        np.array([(1, 2, 0.9)] * 12),
        answer.SCORE,
    )
    finding = verdict.check(both)
    gain = next(m for m in finding.measures if m.name == "transfer gain")
    beside = [m for m in check.check(both).measures if m.group]
    assert [(m.name, m.group, m.value) for m in beside] == [("exact match", worse.name, 0.0)]
    assert gain.value == pytest.approx(100) and gain.unit == "points"
    assert verdict.verdict_of(finding) == "helped"
