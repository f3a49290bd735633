"""Ordered levels: kappa and error by their definitions, planted and clean cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from headstart.core.evidence import Arm, Case
from headstart.evidence import ordinal, slices
from tests.evidence.cases import measure, score

GRADES = ("poor", "fair", "good", "best")
KAPPA = "quadratic weighted kappa"


def case(far: float, rows: int = 400, seeds: int = 1, **extra: object) -> Case:
    """Rows of which the share `far` is told one or two levels off."""
    rng = np.random.default_rng(2)
    truth, past = rng.integers(0, 4, rows), rng.integers(0, 4, 100)
    moved = (truth + rng.choice((-2, -1, 1, 2), (seeds, rows))).clip(0, 3)
    told = np.where(rng.random((seeds, rows)) < far, moved, truth)
    arms = {"transfer": Arm("transfer", np.eye(4)[told] * 0.7 + 0.075, np.full(seeds, 0.9))}
    before = np.eye(4)[past]
    made = Case("ordinal", GRADES, truth, arms, past, before, score("ordinal"))
    return replace(made, **extra)  # type: ignore[arg-type]


@pytest.mark.parametrize("far", [0.2, 0.6])
def test_the_figures_are_those_of_their_definitions(far: float) -> None:
    made = case(far)
    told = made.arms["transfer"].outputs[0].argmax(axis=1)
    found = ordinal.check(made)
    kappa = cohen_kappa_score(made.targets, told, weights="quadratic")
    assert measure(found, KAPPA).value == pytest.approx(kappa, abs=1e-9)
    error = measure(found, "mean absolute error")
    assert error.value == pytest.approx(np.abs(made.targets - told).mean())
    assert measure(found, "accuracy").value == pytest.approx((made.targets == told).mean())
    near = (np.abs(made.targets - told) <= 1).mean()
    assert measure(found, "at most one level off").value == pytest.approx(near)


def test_the_interval_of_kappa_holds_what_many_rows_show() -> None:
    many = measure(ordinal.check(case(0.3, 4000)), KAPPA).value
    for rows in (80, 300):
        one = measure(ordinal.check(case(0.3, rows)), KAPPA)
        assert one.low < many < one.high
    assert one.high - one.low < 0.2


def test_a_constant_stands_beside_the_error() -> None:
    found = ordinal.check(case(0.2))
    fixed = [m for m in found.measures if m.name.startswith("mean absolute error of always")]
    assert fixed[0].value > 2 * measure(found, "mean absolute error").value
    bare = ordinal.check(case(0.2, validation_targets=np.empty(0), validation_outputs=None))
    assert ("error of a constant", bare.missing[0][1]) in bare.missing


def test_all_right_leaves_an_interval_of_some_width() -> None:
    found = ordinal.check(case(0.0))
    one = measure(found, KAPPA)
    assert one.value == pytest.approx(1.0)
    assert one.low < 0.995


def test_one_level_only_has_no_kappa() -> None:
    made = case(0.2)
    same = np.zeros(400, np.int64)
    told = {"transfer": Arm("transfer", np.eye(4)[same][None], np.ones(1))}
    found = ordinal.check(replace(made, targets=same, arms=told))
    assert any(what == KAPPA for what, _ in found.missing)
    assert not any(m.name == KAPPA for m in found.measures)


def test_a_part_with_larger_errors_is_found() -> None:
    made = case(0.0)
    worse = np.arange(400) < 100
    told = np.where(worse, (made.targets + 1).clip(0, 3), made.targets)
    arms = {"transfer": Arm("transfer", np.eye(4)[told][None], np.ones(1))}
    place = np.where(worse, "dock", "yard")
    found = slices.check(replace(made, arms=arms, metadata={"place": place}))
    gap = measure(found, "gap in mean absolute error to other rows", "place = dock")
    assert gap.low > 0.3
    assert gap.unit == "levels"
