"""Every target's gain over learning it alone: planted worlds, what cannot be said, and the words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headstart import adaptation
from headstart.core.evidence import Arm, Case
from headstart.evidence import multitask
from tests.evidence import cases


def single(together: float, alone: float, seed: int = 0, rows: int = 300) -> Case:
    """A target of classes, told right so often together and alone."""
    return cases.classify(rows=rows, seed=seed, accuracies={"transfer": together, "alone": alone})


def number(seed: int = 0, rows: int = 200) -> Case:
    """A number that is told as well together as alone."""
    drawn = np.random.default_rng(seed)
    truth = drawn.normal(size=rows)
    arms = {
        r: Arm(r, truth + 0.5 * drawn.normal(size=(3, rows)), np.zeros(3))
        for r in ("transfer", "alone")
    }
    return Case("regress", (), truth, arms, truth, truth, cases.score("regress"))


def whole(told: dict[str, Any]) -> Case:
    return replace(single(0.8, 0.8), facts={"targets": told})


def test_each_target_has_a_word_of_its_own() -> None:
    told = {"a": single(0.9, 0.7), "b": single(0.65, 0.85, 1), "c": number()}
    finding = multitask.check(whole(told))
    assert multitask.flags(finding) == {"a": "helped", "b": "harmed", "c": "no evidence"}
    gains = {m.group: m for m in finding.measures if m.name == "gain over learning it alone"}
    assert gains["a"].low > 0 > gains["b"].high and gains["a"].unit == "points"
    assert gains["c"].low < 0 < gains["c"].high and gains["c"].unit == "R2"
    assert gains["a"].value == pytest.approx(20, abs=6) and gains["a"].baseline == "alone"
    said = next(e for e in finding.exhibits if e.kind == "sentence").data["sentence"]
    assert "together helped 'a'." in said and "harmed (negative transfer) 'b'." in said
    assert "no evidence either way for 'c'." in said


def test_further_targets_have_the_measures_of_their_outcome() -> None:
    finding = multitask.check(
        whole({"a": single(0.9, 0.7), "b": single(0.9, 0.7, 1), "c": number()})
    )
    names = {group: {m.name for m in finding.measures if m.group == group} for group in "abc"}
    assert {"macro F1", "balanced accuracy"} <= names["b"] - names[
        "a"
    ]  # the main one's stand elsewhere
    assert "MAE" in names["c"] and "R2, learned together" in names["c"]
    assert all(m.group for m in finding.measures)


@pytest.mark.parametrize("seed", range(10))
def test_no_difference_is_seldom_called_one(seed: int) -> None:
    flags = multitask.flags(multitask.check(whole({"a": single(0.8, 0.8, 100 + seed)})))
    assert flags == {"a": "no evidence"}


def test_what_cannot_be_said_is_missing_with_its_reason() -> None:
    same = replace(single(0.9, 0.7), groups=np.zeros(300, int))
    flat = number()
    flat = replace(flat, targets=np.ones(200))
    told = {"a": "it could not be learned alone: too few rows", "b": same, "c": flat}
    finding = multitask.check(whole(told))
    reasons = dict(finding.missing)
    assert not finding.measures and not multitask.flags(finding)
    assert "too few rows" in reasons["gain of 'a' over learning it alone"]
    assert "one group" in reasons["gain of 'b' over learning it alone"]
    assert "R2 is not defined" in reasons["gain of 'c' over learning it alone"]


def test_runs_of_one_target_are_not_told_that_it_is_missing() -> None:
    plain = single(0.9, 0.7)
    assert "multitask" not in {f.check for f in adaptation.check(plain, ())}
    (asked,) = adaptation.check(plain, ("multitask",))
    assert asked.missing == (("gain per target", "one target alone was learned"),)
    assert "multitask" in {f.check for f in adaptation.check(whole({"a": plain}), ())}
