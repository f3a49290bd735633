"""Planted mistakes in labels of positions are found, counted and shown."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.core.evidence import Arm, Case, Finding
from headstart.errors import ContractError
from headstart.evidence import positions, verdict
from headstart.heads import label_each

SPANS = ("B-loc", "B-per", "I-loc", "I-per", "O")


def case(told: list[list[int]], truth: list[list[int]], classes: tuple[str, ...] = SPANS) -> Case:
    """One seed that says `told`, -1 where nothing, with a probability of 0.9."""
    labels, named = np.array(truth), np.array(told)
    said = np.where(named[..., None] == np.arange(len(classes)), 0.9, 0.1 / (len(classes) - 1))
    said[named < 0] = np.nan
    targets = label_each.restore({"classes": classes})
    arm = Arm("transfer", said[None], np.array([0.5]))
    return Case("label_each", classes, labels, {"transfer": arm}, labels, said, targets.score)


def found(finding: Finding) -> dict[tuple[str, str], float]:
    return {(m.name, m.group): m.value for m in finding.measures}


def test_spans_are_right_only_as_a_whole() -> None:
    truth = [[1, 3, 4, 0], [0, 2, 4, -1], [4, 4, 4, 4]]
    told = [[1, 4, 4, 0], [1, 3, 4, -1], [4, 1, 4, 4]]
    finding = positions.check(case(told, truth))
    scores = found(finding)
    assert scores["span precision", ""] == pytest.approx(1 / 4)
    assert scores["span recall", ""] == pytest.approx(1 / 3)
    assert scores["span F1", ""] == pytest.approx(2 / 7)
    assert scores["F1", "loc"] == pytest.approx(2 / 3)
    assert scores["F1", "per"] == 0.0
    matrix = next(e.data for e in finding.exhibits if e.kind == "matrix")
    assert matrix["labels"] == ["loc", "per", "(no span)"]
    assert matrix["counts"] == [[1, 1, 0], [0, 0, 1], [0, 2, 0]]


def test_the_interval_covers_what_seeds_and_rows_did() -> None:
    rng = np.random.default_rng(0)
    truth = np.tile([1, 3, 4, 0], (60, 1))
    told = np.where(rng.random(truth.shape) < 0.2, 4, truth)
    finding = positions.check(case(told.tolist(), truth.tolist()))
    one = next(m for m in finding.measures if m.name == "span F1")
    assert one.low is not None and one.high is not None
    assert one.low < one.value < one.high
    assert 0.04 < one.high - one.low < 0.3
    assert one.value == pytest.approx(case(told.tolist(), truth.tolist()).score.of(
        np.asarray(case(told.tolist(), truth.tolist()).arms["transfer"].outputs)[0], truth))  # fmt: skip


def test_surest_mistakes_are_marked() -> None:
    finding = positions.check(case([[4, 4, 0], [1, 4, 4]], [[1, 4, 0], [1, 4, 4]]))
    shown = next(e.data for e in finding.exhibits if e.kind == "samples")
    assert shown["mistakes"] == 1
    (row,) = shown["rows"]
    assert row["row"] == 0
    assert (row["predicted"], row["true"]) == ("loc 3", "per 1, loc 3")
    assert row["marks"] == [
        {"first": 2, "last": 2, "label": "loc", "right": True},
        {"first": 0, "last": 0, "label": "missed: per", "right": False},
    ]


def test_plain_labels_are_counted_one_by_one() -> None:
    finding = positions.check(case([[0, 1, 1], [1, 1, -1]], [[0, 0, 1], [1, 1, 0]], ("a", "b")))
    scores = found(finding)
    assert scores["label recall", ""] == pytest.approx(4 / 6)
    assert scores["label precision", ""] == pytest.approx(4 / 5)
    shown = next(e.data for e in finding.exhibits if e.kind == "samples")
    assert [m["label"] for m in shown["rows"][0]["marks"]] == ["b"]


def test_rows_without_a_span_are_not_measured() -> None:
    lonely = case([[4, 4]], [[4, -1]])
    assert positions.check(lonely).missing == (("span F1", "no test row holds a span"),)
    assert verdict.check(lonely).missing == (("transfer gain", "no test row holds a span"),)


def test_outputs_that_are_partly_nan_are_refused() -> None:
    broken = case([[4, 0]], [[4, 0]])
    np.asarray(broken.arms["transfer"].outputs)[0, 0, 0, 1] = np.nan
    with pytest.raises(ContractError, match="not finite"):
        positions.check(broken)
