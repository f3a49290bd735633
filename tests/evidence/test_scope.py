"""Rows of no known class: planted detectors, perfect, useless and reversed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from headstart.core.evidence import Case, Finding, Outside
from headstart.core.ranking import area
from headstart.evidence import scope
from testing.evidence import case


def outside(shift: float, n: int = 60, groups: bool = False) -> Case:
    """A case whose rows beyond score `shift` higher by one detector and no higher by another."""
    made, rng = case("classify"), np.random.default_rng(1)
    rows = len(made.targets)
    known = {"a": rng.normal(size=rows), "b": rng.normal(size=rows)}
    beyond = {"a": rng.normal(size=n) + shift, "b": rng.normal(size=n)}
    own = np.repeat(np.arange(1000, 1000 + n // 2 + 1), 2)[:n] if groups else None
    found = Outside("a", float(np.quantile(known["a"], 0.95)), known, beyond, own)
    return replace(made, outside=found, groups=made.groups if groups else None)


def measures(found: Finding, group: str = "") -> dict[str, object]:
    return {m.name: m for m in found.measures if m.group == group}


@pytest.mark.parametrize("groups", [False, True])
def test_it_finds_what_was_planted(groups: bool) -> None:
    found = scope.check(outside(3.0, groups=groups))
    chosen, other = measures(found), measures(found, "b")
    assert chosen["AUROC of rows out of scope"].low > 0.9
    assert chosen["FPR at 95 % TPR"].high < 0.4
    assert other["AUROC of rows out of scope"].low < 0.5 < other["AUROC of rows out of scope"].high
    assert other["FPR at 95 % TPR"].value > 0.8
    marked = chosen["rows of known classes marked as out of scope"]
    assert marked.value == pytest.approx(0.05, abs=0.01)
    for one in found.measures:
        assert one.low <= one.value <= one.high and one.low < one.high


def test_all_told_right_counts_both_kinds() -> None:
    made = outside(50.0)
    said = measures(scope.check(made))
    rows, beyond = len(made.targets), 60
    inside = said["in-scope accuracy"].value
    every = said["all test rows told right, marks included"]
    assert every.n == rows + beyond
    assert every.value <= (inside * rows + beyond) / (rows + beyond)
    assert said["rows of no known class marked as out of scope"].value == 1.0
    assert said["FPR at 95 % TPR"].value == 0.0
    assert said["FPR at 95 % TPR"].high > 0.0


def test_without_rows_beyond_it_says_so() -> None:
    found = scope.check(outside(1.0, n=0))
    assert "AUROC of rows out of scope" in dict(found.missing)
    assert "in-scope accuracy" in measures(found)
    assert scope.check(replace(case("classify"), outside=None)).missing


def test_the_area_taken_apart_is_the_area() -> None:
    rng = np.random.default_rng(0)
    said, truth = rng.integers(0, 9, 200).astype(float), (rng.random(200) < 0.3).astype(float)
    assert area(said, truth).mean() == pytest.approx(roc_auc_score(truth, said))
    truth[:20] = np.nan
    known = np.isfinite(truth)
    assert area(said, truth).mean() == pytest.approx(roc_auc_score(truth[known], said[known]))
