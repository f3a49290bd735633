"""What all that builds on fine-tuning holds: resume, frozen parts, plain networks, clear refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from headstart.core import plugins
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.core.plan import build
from headstart.engine import loop
from headstart.errors import PlanError
from headstart.heads import label_each, regress, tag
from tests.engine import small
from tests.strategies import case

PARTS = {
    "gradual_unfreeze": set(),
    "lp_ft": set(),
    "l2_sp": {"l2_sp", "head norm"},
    "delta": {"delta", "head norm"},
    "bss": {"bss"},
    "co_tuning": {"co_tuning"},
    "stoch_norm": set(),
    "bi_tuning": {"contrast of classes", "contrast of rows"},
    "lwf": {"lwf"},
    "ewc": {"ewc"},
    "replay": {"replay"},
    "si": {"si"},
    "distill": {"distill"},
}
HEADED = ("co_tuning", "lwf")  # in which the source's own head trains along


class Stopped(Exception):
    """Somebody ended the training."""


def stop_at(step: int) -> object:
    """Ends a training before its step of that number."""
    left = iter(range(step))

    def alive() -> None:
        if next(left, None) is None:
            raise Stopped

    return alive


@pytest.mark.parametrize("name", case.NAMES)
@pytest.mark.parametrize("step", [1, 8])
def test_a_training_that_was_ended_goes_on_to_equal_weights(
    name: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    settings = {"weight": 5.0} if "weight" in fields(name) else {}
    settings |= {"weight": 0.9, "features": 0.5} if name == "distill" else {}
    whole, again = case.network(0.2), case.network(0.2)
    told = case.train(case.strategy(name, **settings), whole)
    with pytest.raises(Stopped):
        case.train(
            case.strategy(name, **settings), case.network(0.2), tmp_path, alive=stop_at(step)
        )
    assert list(tmp_path.glob("*.pt"))
    resumed = case.train(case.strategy(name, **settings), again, tmp_path)
    assert case.same(case.tensors(whole), case.tensors(again)) == []
    assert resumed.history == told.history


def fields(name: str) -> set[str]:
    return {f.name for f in dataclasses.fields(plugins.load("strategy", name).Settings)}


@pytest.mark.parametrize("name", case.NAMES)
def test_below_the_cut_nothing_moves_and_above_everything(name: str) -> None:
    network = case.network()
    before = case.tensors(network)
    case.train(case.strategy(name, cut=1), network)
    moved = set(case.same(before, case.tensors(network)))
    assert not [n for n in moved if n.startswith("backbone.first.")]
    above = {n for n in before if n.startswith(("backbone.norm", "backbone.last", "heads."))}
    still = above - moved
    assert all("running" in n or "num_batches" in n for n in still), still
    statistics = {n for n in above if "running" in n}
    assert (statistics <= moved) == (name == "stoch_norm")
    head = {n for n in before if "source_head" in n}
    assert (head <= moved) == (name in HEADED)


@pytest.mark.parametrize("name", case.NAMES)
def test_the_parts_are_told_by_epoch_and_only_the_task_ends_it(name: str) -> None:
    network = case.network()
    done = case.train(case.strategy(name), network)
    beside = {"phase", "epoch", "loss", "validation", "classify"}
    for record in done.history:
        if record["phase"] == "earlier task":
            assert set(record) == {"phase", "epoch", "loss", "earlier task"}
            continue
        assert set(record) - beside == PARTS[name]
        parts = [record[part] for part in PARTS[name]]
        assert all(value > 0 for value in parts)
        assert record["loss"] == pytest.approx(record["classify"] + sum(parts), rel=1e-4)
    lowest = min(h["validation"] for h in done.history if h["phase"] == done.history[-1]["phase"])
    rows = case.stream().batch(range(48, 60), -1)
    with torch.no_grad():
        said = network(rows.inputs)["classify"]
    alone = torch.nn.functional.cross_entropy(said, rows.targets["classify"])
    assert float(alone) == pytest.approx(lowest, rel=1e-5)


@pytest.mark.parametrize("name", case.NAMES)
def test_a_trained_network_is_plain(name: str) -> None:
    network = case.network()
    before = {n: t.shape for n, t in case.tensors(network).items()}
    case.train(case.strategy(name), network)
    assert {n: t.shape for n, t in case.tensors(network).items()} == before
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", case.NAMES)
def test_at_most_twelve_settings_and_the_defaults_hold(name: str) -> None:
    settings = plugins.load("strategy", name).Settings
    assert len(dataclasses.fields(settings)) <= 12
    assert build(settings, {}) == settings()


BAD = [
    *[(name, {"rate": 0.0}, "above 0") for name in case.NAMES],
    *[(name, {"dropout": 1.0}, "0 <= dropout < 1") for name in case.NAMES],
    ("gradual_unfreeze", {"groups": 0}, "1 or more"),
    ("gradual_unfreeze", {"each": 0}, "1 or more"),
    ("l2_sp", {"alpha": -1.0}, "0 or more"),
    ("l2_sp", {"beta": -1.0}, "0 or more"),
    ("delta", {"alpha": -1.0}, "0 or more"),
    ("delta", {"beta": float("nan")}, "0 or more"),
    ("bss", {"weight": -1.0}, "0 or more"),
    ("bss", {"k": 0}, "1 or more"),
    ("co_tuning", {"weight": -1.0}, "0 or more"),
    ("stoch_norm", {"share": 0.0}, "0 < share <= 1"),
    ("stoch_norm", {"statistics": False}, "choose fine_tune"),
    ("bi_tuning", {"weight": -1.0}, "0 or more"),
    ("bi_tuning", {"temperature": 0.0}, "above 0"),
    ("lwf", {"weight": -1.0}, "0 or more"),
    ("lwf", {"temperature": 0.0}, "above 0"),
    ("ewc", {"weight": -1.0}, "0 or more"),
    ("ewc", {"rows": 0}, "1 or more"),
    ("replay", {"weight": -1.0}, "0 or more"),
    ("si", {"weight": float("nan")}, "0 or more"),
    ("si", {"before": 0}, "1 or more"),
    ("distill", {"weight": 1.5}, "0 <= weight <= 1"),
    ("distill", {"temperature": 0.0}, "above 0"),
    ("distill", {"features": -1.0}, "0 or more"),
]


@pytest.mark.parametrize(("name", "settings", "told"), BAD)
def test_a_setting_out_of_range_is_told_with_its_name(
    name: str, settings: dict[str, float], told: str
) -> None:
    (key,) = settings
    with pytest.raises(PlanError, match=told) as caught:
        case.strategy(name, **settings)
    assert f"{name}.{key} came as" in str(caught.value)


@pytest.mark.parametrize("name", case.NAMES)
def test_a_cut_that_is_not_there_names_the_stages(name: str) -> None:
    with pytest.raises(PlanError, match=rf"{name}\.cut came as 7.*first, norm, last"):
        case.strategy(name, cut=7).phases(case.network())


@pytest.mark.parametrize("name", case.NAMES)
def test_a_network_without_gradients_is_refused(name: str) -> None:
    network = case.network()
    network.backbone.frozen = "it runs elsewhere"
    assert "it runs elsewhere. Use linear_probe" in case.strategy(name).refuse(network)


def test_co_tuning_without_a_head_of_the_source_says_what_serves_instead() -> None:
    why = case.strategy("co_tuning").refuse(small.network())
    assert "brings no head of its own" in why
    assert "bi_tuning" in why and "l2_sp" in why


@pytest.mark.parametrize("name", ["co_tuning", "bi_tuning"])
@pytest.mark.parametrize(
    ("head", "raw"),
    [
        (regress, [1.0, 2.0, 3.0]),
        (tag, [("a",), ("b",), ("a", "b")]),
        (label_each, [["a", "b"], ["b"]]),
    ],
)
def test_rows_without_one_class_are_refused(name: str, head: object, raw: list[object]) -> None:
    made = head.Head(small.WIDTH, head.learn(raw))  # type: ignore[attr-defined]
    network = Network(case.network().backbone, {"other": made})
    assert "choose bss or l2_sp" in case.strategy(name).refuse(network)
    assert case.strategy("l2_sp").refuse(network) == ""


def test_stoch_norm_without_batch_norm_says_what_serves_instead() -> None:
    network = case.network()
    assert case.strategy("stoch_norm").refuse(network) == ""
    why = case.strategy("stoch_norm", cut=2).refuse(network)  # the norm lies below
    assert "batch norm" in why and "bss" in why


def test_the_copies_of_the_start_are_in_no_checkpoint() -> None:
    for name in ("l2_sp", "delta", "co_tuning"):
        made = case.strategy(name)
        made.prepare(case.network(), {"train": case.stream()})
        assert made.state_dict() == {}, name
        assert made.common == Common()
