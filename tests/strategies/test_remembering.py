"""Strategies that remember what the source knew: by hand, with rows of an earlier task and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.engine import loop
from headstart.engine.freeze import frozen
from headstart.errors import ContractError
from headstart.heads import label_each
from headstart.strategies import _old, ewc, lwf
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_tuned import Stopped, stop_at


def prepared(name: str, *, told: bool = False, **settings: Any):  # type: ignore[no-untyped-def]
    """A strategy that has seen its streams, its network, and these streams."""
    made, network = case.strategy(name, **settings), case.network()
    streams = case.streams(made, network, told=told)
    made.prepare(network, streams)
    case.settle(network, made.phases(network)[-2])
    return made, network, streams


def parts(made, network, streams) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Parts of the loss of a training step of the last phase."""
    phase = made.phases(network)[-1]
    batches = {name: streams[name].batch(np.arange(16), -1) for name in phase.streams}
    with frozen(network, phase):
        found = made.loss(network, batches, 0.5)
    return {name: float(value.detach()) for name, value in found.items()}


def features(network: Network, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(batch.inputs, want="features")
    return found


# LwF


@pytest.mark.parametrize("told", [False, True])
def test_lwf_is_the_divergence_from_what_the_old_head_said(told: bool) -> None:
    made, network, streams = prepared("lwf", told=told, weight=0.5, temperature=3.0)
    assert parts(made, network, streams)["lwf"] == pytest.approx(0.0, abs=1e-6)
    case.displaced(network)
    source, batch = case.network(), streams["train"].batch(np.arange(16), -1)
    old = streams["previous"].head if told else source.backbone.source_head
    now = streams["previous"].head if told else network.backbone.source_head
    with torch.no_grad():
        before = old(features(source, batch)).double().numpy() / 3
        after = now(features(network, batch)).double().numpy() / 3
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (before, after))
    wanted = 0.5 * 9 * (p * np.log(p / q)).sum(1).mean()
    assert wanted > 1e-3
    assert parts(made, network, streams)["lwf"] == pytest.approx(wanted, rel=1e-4)


def test_groups_of_labels_are_matched_each_and_by_their_shares() -> None:
    drawn = torch.Generator().manual_seed(0)
    before, after = torch.randn(2, 6, 7, generator=drawn, dtype=torch.float64)
    p, q = before.softmax(1), after.softmax(1)
    groups, total = (slice(0, 3), slice(3, 7)), torch.zeros(6)
    for group in groups:
        old, new = p[:, group], q[:, group]
        share, other = old.sum(1), new.sum(1)
        inside = (old / share[:, None]) * ((old / share[:, None]) / (new / other[:, None])).log()
        total = total + share * inside.sum(1) + share * (share / other).log()
    found = lwf.divergence(after, before, 1.0)
    assert float(found) == pytest.approx(float(total.mean()), rel=1e-5)


def test_a_solved_old_head_trains_apart_and_the_sources_own_inside() -> None:
    made, network, streams = prepared("lwf", told=True)
    before = case.tensors(network)
    case.train(made := case.strategy("lwf"), network, told=True)
    moved = case.same(before, case.tensors(network))
    assert not [name for name in moved if "source_head" in name]
    start = streams["previous"].head.state_dict()
    assert not torch.equal(made.before.linear.weight, made.now.linear.weight)
    assert torch.equal(made.before.linear.weight, start["linear.weight"])


# EWC


def by_hand(network: Network, head: Any, stream: Any, places: list[int]) -> list[torch.Tensor]:
    """Mean square of the rows' gradients of the log-likelihood of drawn labels, for the last stage."""
    linear, drawn = network.backbone.last[1], torch.Generator().manual_seed(0)
    totals = [torch.zeros(6, 6), torch.zeros(6)]
    for place in places:
        x = stream.batch(np.array([place]), -1).inputs["x"]
        with torch.no_grad():
            below = network.backbone.norm(network.backbone.first(x))
            raised = linear(below)
            logits = head(raised.tanh())
            p = logits.softmax(1)[0]
            label = int(torch.multinomial(p, 1, generator=drawn))
            signal = functional.one_hot(torch.tensor(label), len(p)) - p  # of the logits
            weight = head.linear.weight if hasattr(head, "linear") else head.weight
            gradient = (signal @ weight) * (1 - raised.tanh()[0] ** 2)
        totals[0] += (gradient[:, None] * below[0][None]) ** 2
        totals[1] += gradient**2
    return [total / len(places) for total in totals]


@pytest.mark.parametrize("told", [False, True])
def test_the_fisher_information_is_taken_row_by_row(told: bool) -> None:
    made, network, streams = prepared("ewc", told=told, cut=2, rows=20)
    assert made.names == ("last.1.weight", "last.1.bias")
    stream = streams["previous" if told else "train"]
    places = np.linspace(0, len(stream) - 1, 20).round().astype(int).tolist()
    head = stream.head if told else network.backbone.source_head
    found = [made.get_buffer("fisher_0"), made.get_buffer("fisher_1")]
    for mine, wanted in zip(found, by_hand(network, head, stream, places), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-8)
        assert float(mine.sum()) > 1e-4


def test_it_is_not_the_square_of_the_batchs_gradient() -> None:
    _, network, streams = prepared("ewc", told=True)
    stream, names = streams["previous"], ("last.1.weight",)
    rows = [stream.batch(np.array([place]), -1) for place in range(20)]
    (mine,) = ewc.fisher(case.network(), stream.head, iter(rows), names)
    batch = stream.batch(np.arange(20), -1)
    weight = network.backbone.last[1].weight.requires_grad_(True)
    said = stream.head(_old.pooled(network, batch)).log_softmax(1)
    likely = said[torch.arange(20), batch.targets["previous"]].mean()
    (gradient,) = torch.autograd.grad(likely, [weight])
    assert float(gradient.square().sum()) < 0.5 * float(mine.sum())


def test_ewc_is_the_weighed_way_and_near_the_divergence() -> None:
    made, network, streams = prepared("ewc", told=True, weight=2.0, rows=40)
    assert parts(made, network, streams)["ewc"] == 0.0
    case.displaced(network, by=0.02)
    start = dict(case.network().backbone.named_parameters())
    wanted = 0.0
    for place, name in enumerate(made.names):
        way = (dict(network.backbone.named_parameters())[name] - start[name]).detach() ** 2
        wanted += float((made.get_buffer(f"fisher_{place}") * way).sum())
    assert wanted > 0
    assert parts(made, network, streams)["ewc"] == pytest.approx(wanted, rel=1e-5)
    assert not any("source_head" in name or name.startswith("heads") for name in made.names)
    assert made.state_dict() == {}


@pytest.mark.parametrize("name", ["ewc", "si"])
def test_a_stronger_hold_ends_nearer_in_what_matters(name: str) -> None:
    def way(weight: float) -> float:
        network, made = case.network(), case.strategy(name, weight=weight, patience=0)
        case.train(made, network, told=True)
        now, total = dict(network.backbone.named_parameters()), 0.0
        for place, one in enumerate(made.names):
            held = "fisher" if name == "ewc" else "weight"
            start = "start" if name == "ewc" else "place"
            moved = now[one] - made.get_buffer(f"{start}_{place}")
            total += float((made.get_buffer(f"{held}_{place}") * moved.square()).sum())
        return total

    free, held = way(0.0), way(100.0)
    assert free > 1e-3
    assert held < 0.5 * free


# Replay


def test_replay_is_the_earlier_tasks_loss_on_its_rows() -> None:
    made, network, streams = prepared("replay", weight=0.3)
    batch, stream = streams["previous"].batch(np.arange(16), -1), streams["previous"]
    with torch.no_grad():
        said = stream.head(features(network, batch)).double().numpy()
    told = said - np.log(np.exp(said).sum(1, keepdims=True))
    wanted = -told[np.arange(16), batch.targets["previous"].numpy()].mean()
    assert parts(made, network, streams)["replay"] == pytest.approx(0.3 * wanted, rel=1e-4)


def test_rehearsal_keeps_the_loss_on_the_earlier_rows_low() -> None:
    def lost(weight: float) -> float:
        network, made = case.network(), case.strategy("replay", weight=weight, patience=0)
        earlier = case.Earlier(network)
        case.train(made, network)
        batch = earlier.batch(np.arange(40), -1)
        with torch.no_grad():  # the head that never learned again
            said = earlier.head(features(network, batch))
        return float(functional.cross_entropy(said, batch.targets["previous"]))

    assert lost(5.0) < 0.8 * lost(0.0)


def test_the_ledger_counts_the_rehearsed_rows() -> None:
    def flops(name: str) -> float:
        done = case.train(case.strategy(name), case.network())
        return done.flops / sum(record["phase"] == "all" for record in done.history)

    assert flops("replay") == pytest.approx(88 / 48 * flops("l2_sp"))  # 40 of the earlier task


# SI


def test_importance_is_what_the_steps_gained_over_their_squared_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the gradients of the same steps, taken anew before each of them."""
    made, network = case.strategy("si", before=2, cut=2, epochs=1), case.network()
    kept = type(made).loss
    total = torch.zeros_like(network.backbone.last[1].weight)
    last: list[tuple[torch.Tensor, torch.Tensor]] = []
    start = network.backbone.last[1].weight.detach().clone()

    def settle_last(weight: torch.Tensor) -> None:
        if last:
            before, gradient = last.pop()
            total.sub_(gradient * (weight.detach() - before))

    def loss(self: Any, net: Any, batches: Any, progress: float) -> Any:
        weight = net.backbone.last[1].weight
        found = kept(self, net, batches, progress)
        if net.heads.training:
            settle_last(weight)
        if "train" not in batches:
            value = found["earlier task"]
            (gradient,) = torch.autograd.grad(value, [weight], retain_graph=True)
            last.append((weight.detach().clone(), gradient.clone()))
        return found

    monkeypatch.setattr(type(made), "loss", loss)
    case.train(made, network)
    assert made.names[0] == "last.1.weight"
    end = made.get_buffer("place_0")
    importance = (total / ((end - start).square() + 1e-3)).clamp(min=0)
    torch.testing.assert_close(made.get_buffer("weight_0"), importance, rtol=1e-4, atol=1e-6)
    assert float(importance.sum()) > 0


def test_si_is_the_weighed_way_from_where_the_earlier_task_ended() -> None:
    network, made = case.network(), case.strategy("si", weight=0.7)
    case.train(made, network)
    assert bool(made.consolidated)
    now, wanted = dict(network.backbone.named_parameters()), 0.0
    for place, name in enumerate(made.names):
        moved = now[name].detach() - made.get_buffer(f"place_{place}")
        wanted += 0.7 * float((made.get_buffer(f"weight_{place}") * moved.square()).sum())
    batch = case.batch()
    with frozen(network, made.phases(network)[-1]):
        told = made.loss(network, {"train": batch}, 0.5)["si"]
    assert wanted > 0
    assert float(told.detach()) == pytest.approx(wanted, rel=1e-4)
    assert not network.backbone.last[1].weight._backward_hooks


def test_what_was_learned_of_the_earlier_task_is_the_first_phase() -> None:
    phases = case.strategy("si", before=3, cut=1).phases(case.network())
    assert [(p.name, p.streams, p.epochs) for p in phases] == [
        ("earlier task", ("previous",), 3),
        ("head", ("train",), 0),
        ("above first", ("train",), 4),
    ]


# All of them


@pytest.mark.parametrize(
    ("name", "told", "step"),
    [("lwf", True, 8), ("ewc", True, 8), ("replay", True, 5), ("si", True, 5), ("si", True, 14)],
)
def test_ended_in_any_phase_it_goes_on_to_equal_weights(
    name: str, told: bool, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    settings: dict[str, Any] = {"weight": 5.0, **({"before": 3} if name == "si" else {})}
    whole, again = case.network(0.2), case.network(0.2)
    done = case.train(case.strategy(name, **settings), whole, told=told)
    with pytest.raises(Stopped):
        made = case.strategy(name, **settings)
        case.train(made, case.network(0.2), tmp_path, told=told, alive=stop_at(step))
    resumed = case.train(case.strategy(name, **settings), again, tmp_path, told=told)
    assert case.same(case.tensors(whole), case.tensors(again)) == []
    assert resumed.history == done.history and resumed.flops == done.flops


@pytest.mark.parametrize("name", ["lwf", "ewc", "replay", "si"])
def test_without_what_it_must_hear_it_does_not_begin(name: str) -> None:
    made, network = case.strategy(name), small.network()
    assert made.lacks(network, ("train",)) == "previous"
    assert made.lacks(network, ("train", "previous")) == ""
    assert made.lacks(case.network(), ("train",)) == (
        "previous" if name in ("replay", "si") else ""
    )
    with pytest.raises(ContractError, match="the stream 'previous', which was not supplied"):
        loop.train(network, made, {"train": case.stream()}, training=loop.Training())


def test_lwf_reads_whole_rows() -> None:
    head = label_each.Head(small.WIDTH, label_each.learn([["a", "b"], ["b"]]))
    network = Network(case.network().backbone, {"other": head})
    assert "choose delta or l2_sp" in case.strategy("lwf").refuse(network)
    assert case.strategy("replay").refuse(network) == ""
