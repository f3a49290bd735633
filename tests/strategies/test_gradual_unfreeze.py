"""Stages are freed from the top, at rates of their own, on slanted triangles; LP-FT is fine_tune."""

from __future__ import annotations

import dataclasses

import pytest

from headstart.engine import schedules
from headstart.strategies import fine_tune, gradual_unfreeze, lp_ft
from tests.strategies import case


def test_every_phase_frees_one_group_more() -> None:
    network = case.network()
    made = case.strategy("gradual_unfreeze", each=2, epochs=7)
    phases = made.phases(network)
    assert [p.name for p in phases] == ["head", "from last", "from norm", "all"]
    assert [p.cut for p in phases] == [3, 2, 1, 0]
    assert [p.epochs for p in phases[1:]] == [2, 2, 7]
    assert [p.schedule for p in phases[1:]] == ["slanted"] * 3
    assert phases[0].solved and [p.patience for p in phases[1:]] == [0, 0, 6]
    named = [{n for g in p.groups for n in g.parameters} for p in phases]
    assert named[0] < named[1] < named[2] < named[3]
    assert named[3] == {n for n, _ in network.named_parameters() if "source_head" not in n}


def test_rates_fall_by_2_6_a_group() -> None:
    last = case.strategy("gradual_unfreeze").phases(case.network())[-1]
    rates = {g.name: g.rate for g in last.groups}
    assert rates["last"] == 1.0
    assert rates["norm, vectors"] == pytest.approx(1 / 2.6)
    assert rates["first"] == pytest.approx(1 / 2.6**2)


@pytest.mark.parametrize(
    ("stages", "cut", "groups", "wanted"),
    [
        (3, 0, 4, (2, 1, 0)),
        (14, 0, 4, (10, 7, 3, 0)),
        (14, 10, 4, (13, 12, 11, 10)),
        (6, -4, 2, (4, 2)),
        (5, 0, 1, (0,)),
    ],
)
def test_stages_are_gathered_in_groups_of_like_size(
    stages: int, cut: int, groups: int, wanted: tuple[int, ...]
) -> None:
    network = case.network()
    network.backbone.stages = tuple(f"stage {k}" for k in range(stages))
    made = case.strategy("gradual_unfreeze", cut=cut, groups=groups)
    assert isinstance(made, gradual_unfreeze.Strategy)
    assert made.cuts(network) == wanted


def test_what_is_not_freed_yet_does_not_move() -> None:
    network = case.network()
    before = case.tensors(network)
    seen: dict[str, set[str]] = {}

    def look(trained: object, record: dict[str, object]) -> tuple[str, ...]:
        seen[str(record["phase"])] = set(case.same(before, case.tensors(network)))
        return ()

    case.train(case.strategy("gradual_unfreeze"), network, after_epoch=look)
    first = "backbone.first.weight"
    assert "backbone.last.1.weight" in seen["from last"]
    assert "backbone.norm.weight" not in seen["from last"]
    assert "backbone.norm.weight" in seen["from norm"] and first not in seen["from norm"]
    assert first in seen["all"]


def test_the_slanted_triangle_is_that_of_the_paper() -> None:
    def paper(t: int, steps: int = 1000, cut_share: float = 0.1, ratio: float = 32.0) -> float:
        cut = int(steps * cut_share)
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_share - 1))
        return (1 + p * (ratio - 1)) / ratio

    for t in (0, 1, 50, 99, 100, 101, 500, 999, 1000):
        assert schedules.slanted(t / 1000) == pytest.approx(paper(t))
    assert schedules.slanted(0.1) == 1.0
    assert schedules.slanted(0.0) == schedules.slanted(1.0) == 1 / 32
    assert set(schedules.SCHEDULES) == {"cosine", "slanted", "constant"}


def test_lp_ft_is_fine_tune_with_one_small_rate() -> None:
    usual = lp_ft.Settings()
    assert (usual.rate, usual.head_rate, usual.depth_decay) == (1e-4, 1.0, 1.0)
    assert usual.rate < fine_tune.Settings().rate
    first, second = case.network(), case.network()
    case.train(case.strategy("lp_ft"), first)
    settings = {**dataclasses.asdict(usual), "epochs": 4, "rate": 0.02, "augment": False}
    case.train(fine_tune.Strategy(fine_tune.Settings(**settings, head_first=True)), second)
    assert case.same(case.tensors(first), case.tensors(second)) == []
