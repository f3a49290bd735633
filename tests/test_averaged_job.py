"""Averages, WiSE-FT, soup and the rate finder through whole runs, and their refusals before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from headstart import adaptation, api, select, soup
from headstart.core import plugins
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.core.plan import EvidenceChoice, Plan, StrategyChoice
from headstart.core.run import Step
from headstart.core.task import Task
from headstart.engine import loop
from headstart.errors import PlanError
from headstart.registry import packs
from headstart.select import RATES
from tests.engine import small
from tests.strategies import case

QUICK: dict[str, Any] = {"seeds": 1, "scratch": False, "champion": False, "learning_curve": False}
QUICK["checks"] = ["accuracy"]
SHORT = {"epochs": 2, "cut": -1, "augment": False}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return plugins.Modality("table").tiny.write(folder / "table", "classify", 40, 0)


def adapted(data: Path, folder: Path, name: str = "fine_tune", **settings: Any) -> api.Run:
    asked = {**SHORT, **settings}
    return api.adapt(data, strategy=name, settings=asked, output=str(folder), **QUICK)


def test_all_of_them_in_one_run_are_told_counted_and_repeated(rows: Path, tmp_path: Path) -> None:
    asked = {"soup": True, "find_rate": True, "average": "ema"}
    run = adapted(rows, tmp_path, **asked)
    told = run.record.facts["strategy_settings"]
    assert {name: told[name] for name in asked} == asked
    notes = [n for n in run.record.notes if n.startswith(("Looked for a rate", "Greedy soup"))]
    assert len(notes) == 2 and f"begins with {told['rate_found']:.2g}" in notes[0]
    tried = [told["rate_found"] * factor for factor in RATES]
    assert told["rate"] in tried and told["rate"] == told.get("members", [told["rate"]])[0]
    assert set(told.get("members", [])) <= set(tried)
    plain = adapted(rows, tmp_path, average="ema")
    assert run.record.facts["flops_transfer"] > plain.record.facts["flops_transfer"]
    again = api.adapt(plan=run.record.plan)
    assert again.record.digests["predictions"] == run.record.digests["predictions"]
    assert again.record.facts["strategy_settings"] == told
    assert again.record.facts["flops_transfer"] == run.record.facts["flops_transfer"]
    assert run.replay()["bitwise"]


def test_half_of_the_way_is_the_mean_of_source_and_adapted_weights(
    rows: Path, tmp_path: Path
) -> None:
    every = {
        share: packs.load(adapted(rows, tmp_path, "lora", rate=0.01, wise=share).folder / "pack")
        for share in (1.0, 0.5, 0.0)
    }
    tensors = {share: pack.tensors for share, pack in every.items()}
    moved = {n for n in tensors[1.0] if n.startswith("backbone.")}
    assert moved and moved == {n for n in tensors[0.5] if n.startswith("backbone.")}
    assert not any(n.startswith("backbone.") for n in tensors[0.0])
    heads = [n for n in tensors[1.0] if n.startswith("heads.")]
    for name in heads:
        wanted = (tensors[0.0][name] + tensors[1.0][name]) / 2
        torch.testing.assert_close(tensors[0.5][name], wanted)
    probe = api.adapt(rows, strategy="linear_probe", output=str(tmp_path), **QUICK)
    solved = packs.load(probe.folder / "pack").tensors
    for name in heads:
        torch.testing.assert_close(tensors[0.0][name], solved[name])


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, step: Step) -> None: ...

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_a_divergence_reaches_the_record_and_is_heard_once(rows: Path, tmp_path: Path) -> None:
    heard = Heard()
    plan = Plan(
        task=Task(data=str(rows), modality="table"),
        strategy=StrategyChoice("fine_tune", {**SHORT, "rate": 1e4}),
        evidence=EvidenceChoice(**{**QUICK, "checks": ("accuracy",)}),
        output=str(tmp_path),
    )
    run = api.open_run(adaptation.adapt(plan, watcher=heard))
    told = [note for note in run.record.notes if note.startswith("Divergence")]
    assert told and all(heard.said.count(note) == 1 for note in told)


def networks(*values: float) -> list[Network]:
    """Small ones, all of whose weights have one value."""
    made = []
    for value in values:
        made.append(small.network())
        with torch.no_grad():
            for parameter in made[-1].parameters():
                parameter.fill_(value)
    return made


def value(network: Network) -> float:
    return network.backbone.first.weight[0, 0].item()


def test_a_candidate_joins_where_the_loss_of_the_mean_does_not_rise() -> None:
    """The loss is the distance from 1: 0.6 and 1.6 together are nearer, 3 would lead away."""
    places = (1.6, 0.6, 3.0)
    losses = [abs(p - 1) for p in places]
    made = soup.greedy(
        losses,
        [networks(p, p) for p in places],
        lambda found: sum(abs(value(n) - 1) for n in found) / len(found),
    )
    assert made.members == (1, 0) and made.tries == 2
    assert [value(n) for n in made.networks] == pytest.approx([1.1, 1.1])
    assert (made.alone, made.loss) == pytest.approx((0.4, 0.1))
    assert "0.6, 1.6" not in made.told([1.0, 2.0, 3.0]) and "2, 1 are" in made.told([1.0, 2.0, 3.0])


def test_no_soup_where_the_best_is_best_alone_and_who_gave_up_does_not_join() -> None:
    alone = soup.greedy([0.1, 0.5], [networks(1.0), networks(2.0)], lambda found: 0.3)
    assert alone.members == (0,) and alone.loss == alone.alone == 0.1
    assert "so nothing is averaged" in alone.told([0.01, 0.02])
    left = soup.greedy([0.1, 0.2], [networks(1.0), []], lambda found: 0.0)
    assert left.members == (0,) and left.tries == 0


def test_trainings_are_poured_together_seed_by_seed() -> None:
    made = [(network, loop.Trained(flops=1.0)) for network in networks(1, 3, 5, 7)]
    poured = list(soup.poured(iter(made), 2))
    assert [value(network) for network, _ in poured] == pytest.approx([2, 6])
    assert [len(told) for _, told in poured] == [2, 2]


REFUSED = [
    ("fine_tune", {"soup": True, "rate": 0.01}, "soup averages candidates.*rate came as 0.01"),
    ("fine_tune", {"find_rate": True, "rate": 0.01}, "looks for a rate, but rate came as 0.01"),
    ("adapter", {"wise": 0.5}, "leaves modules of its own.*choose fine_tune or lora"),
    ("fine_tune", {"average": "mean"}, "average came as 'mean'; expected ema or swa"),
    ("fine_tune", {"average_decay": 0.9}, "set average=ema too"),
    ("fine_tune", {"average": "ema", "average_decay": 1.0}, "average_decay came as 1.0"),
    ("fine_tune", {"wise": 1.5}, "wise came as 1.5; expected a share from 0 to 1"),
]


@pytest.mark.parametrize(("name", "settings", "told"), REFUSED)
def test_refused_before_anything_is_trained(
    name: str, settings: dict[str, Any], told: str, rows: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match=told):
        api.adapt(rows, strategy=name, settings=settings, output=str(tmp_path / "runs"), **QUICK)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("setting", ["average", "wise", "soup", "find_rate"])
def test_what_is_only_solved_refuses_them(setting: str) -> None:
    probe = plugins.load("strategy", "linear_probe")
    made = probe.Strategy(probe.Settings())
    made.common = Common(**{setting: {"average": "ema", "wise": 0.5}.get(setting, True)})
    why = select._not_composed(made, case.network())
    assert f"nothing is trained step by step, so {setting}" in why


def test_a_loss_of_its_own_goes_with_all_but_the_soup() -> None:
    network, made = case.network(), case.strategy("fine_tune")
    made.composes = False
    made.common = Common(average="swa", wise=0.5, find_rate=True)
    assert select._not_composed(made, network) == ""
    made.common = Common(soup=True)
    assert "a loss of its own, which soup" in select._not_composed(made, network)
