"""Stretches of the test part: intervals over them hold the truth, though windows overlap."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.stretches import coverage
from headstart.data import origins
from tests.data import test_windows as small


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize(
    ("steps", "horizon"), [(100, 12), (100, 24), (400, 12), (400, 24), (400, 96), (1000, 96)]
)
def test_intervals_over_stretches_hold_the_truth(
    steps: int, horizon: int, correlation: float
) -> None:
    count, held, equal, _ = coverage(steps, horizon, correlation, draws=400)
    assert 2 <= count <= origins.BLOCKS
    assert 0.87 <= held <= 0.98  # 90 to 95 % with a thousand draws
    assert equal >= 0.93  # few groups: the pseudo-rows of the verdict keep it on the safe side


@pytest.mark.parametrize("horizon", [1, 12, 24, 96])
def test_a_stretch_is_at_least_a_horizon_and_two_where_there_is_room(horizon: int) -> None:
    for places in range(1, 25 * horizon):
        count = origins.stretches(places, horizon)
        assert count == 1 or places // count >= horizon
        assert count <= origins.FEW or places // count >= 2 * horizon
        assert count > 1 or places < 2 * horizon


def test_windows_of_the_test_part_lie_in_equal_stretches() -> None:
    made = small.cut(small.plain(400))
    test = made.split(0.25).test
    stretches = list(made.metadata(test)["stretch of time"])
    sizes = [stretches.count(v) for v in dict.fromkeys(stretches)]
    assert len(sizes) == origins.stretches(len(test), small.HORIZON) == 8
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= 2 * small.HORIZON


def test_few_stretches_are_said() -> None:
    made = small.cut(small.plain(100), test_share=0.25)
    assert any("3 stretches" in n and "very wide" in n for n in made.notes)
    made = small.cut(small.plain(120), test_share=0.1)
    assert any("no interval and no verdict" in n for n in made.notes)
    assert len(set(made.metadata(made.split(0.1).test)["stretch of time"])) == 1


@pytest.mark.parametrize("k", [3, 5])
def test_folds_learn_from_the_past_alone_and_leave_a_horizon(k: int) -> None:
    made = small.cut(small.plain(600))
    split = made.split(0.25)
    starts = made.origins[split.train]
    parts = origins.rolling(split.groups, k)
    assert len(parts) == k
    sizes = [len(learn) for learn, _ in parts]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0
    for learn, hold in parts:
        assert starts[learn].max() + small.HORIZON <= starts[hold].min()


def test_few_stretches_are_left_out_one_after_another() -> None:
    assert origins.rolling(np.repeat(np.arange(origins.ROLLED - 1), 20), 5) == []
