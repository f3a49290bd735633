"""Several targets on one network: the balances by hand and at work, rows that lack a target, kill and resume,
and planted tasks that help and harm each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.core.evidence import Arm, Case
from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.engine import loop
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.freeze import frozen
from headstart.engine.loop import Training
from headstart.engine.streams import Kept
from headstart.errors import ContractError, PlanError
from headstart.evidence import multitask as evidence
from headstart.heads import classify, label_each, regress, tag
from headstart.strategies import multitask
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_tuned import Stopped, stop_at


class Rows(Kept):
    """Rows of numbers in memory with several targets."""

    def __init__(self, inputs: np.ndarray, targets: Mapping[str, np.ndarray]) -> None:
        super().__init__(inputs, 0, targets)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        told = {n: torch.from_numpy(v[places]) for n, v in self.targets.items()}
        return Batch({"x": torch.from_numpy(self.states[places])}, told, 0)


class Wide(small.Chain):
    """(N, inputs) through a hidden layer to features."""

    stages = ("hidden", "features")

    def __init__(self, inputs: int, hidden: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.hidden = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh())
        self.features = nn.Linear(hidden, width)


def network(heads: Mapping[str, Any], width: int = 8, seed: int = 0, inputs: int = 4) -> Network:
    """With random weights; heads by name, as their targets."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = Wide(inputs, 32, width)
    files = {"classify": classify, "regress": regress, "tag": tag}
    made = {name: files[t.outcome].Head(width, t) for name, t in heads.items()}
    return Network(backbone, made).eval()


def strategy(**settings: Any) -> multitask.Strategy:
    plain = {"augment": False, "dropout": 0.0, "rate": 0.01, "head_rate": 1.0, "depth_decay": 1.0}
    plain |= {"patience": 0, "weight_decay": 0.0}
    return multitask.Strategy(multitask.Settings(**{**plain, **settings}))


def train(
    made: multitask.Strategy, net: Network, rows: Rows, folder: Path | None = None, **settings: Any
) -> loop.Trained:
    """Heads are left at zero by their first phase."""
    return loop.train(
        net,
        made,
        {"train": rows},
        training=Training(**{"seed": 3, "batch": 16, "costs": (1.0, 1.0), **settings}),
        solve=lambda network, phase: None,
        checkpoint=Checkpoint(folder, "key" * 12) if folder else None,
    )


def problem(rows: int = 60) -> tuple[dict[str, Any], Rows]:
    """A class, a number that every fourth row lacks, and two tags that every fifth row lacks."""
    inputs, labels = small.problem(rows)
    sizes = inputs[:, 0].astype(np.float64) + labels
    sizes[::4] = np.nan
    tags = np.stack([labels == 0, inputs[:, 1] > 0], 1).astype(np.float64)
    tags[::5] = np.nan
    heads = {
        "classify": classify.learn([0, 1, 2]),
        "also_1": regress.learn(sizes[np.isfinite(sizes)]),
        "also_2": tag.learn([("a",), ("b",), ()]),
    }
    return heads, Rows(inputs, {"classify": labels, "also_1": sizes, "also_2": tags})


def test_conflicting_gradients_are_projected_by_hand() -> None:
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    drawn = torch.Generator().manual_seed(0)
    one, two = multitask.projected([{"w": first}, {"w": second}], drawn)
    assert one["w"].tolist() == [0.5, 0.5]
    assert two["w"].tolist() == [0.0, 1.0]
    assert multitask.added([one, two])["w"].tolist() == [0.5, 1.5]


def test_gradients_that_agree_stay_and_lengths_go_over_all_parameters() -> None:
    drawn = torch.Generator().manual_seed(0)
    agree = [{"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([1.0, 1.0])}]
    for made, came in zip(multitask.projected(agree, drawn), agree, strict=True):
        assert made["w"].tolist() == came["w"].tolist()
    # w agrees by 1, v conflicts by 3: together they conflict by 2, and |g|^2 of the other is 1 + 9
    first = {"w": torch.tensor([1.0]), "v": torch.tensor([1.0])}
    second = {"w": torch.tensor([1.0]), "v": torch.tensor([-3.0])}
    made = multitask.projected([first, second], drawn)[0]
    assert made["w"].item() == pytest.approx(1 + 2 / 10)
    assert made["v"].item() == pytest.approx(1 - 6 / 10)
    # a parameter that one target does not reach
    lacking = multitask.projected([{"w": torch.tensor([1.0])}, second], drawn)
    assert set(lacking[0]) == {"w"} and lacking[1]["v"].item() == -3.0


def gradients(net: Network, parts: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Of each part alone in the backbone."""
    names = [n for n, p in net.named_parameters() if n.startswith("backbone.")]
    every = dict(net.named_parameters())
    found = []
    for part in parts.values():
        told = torch.autograd.grad(part, [every[n] for n in names], retain_graph=True)
        found.append(dict(zip(names, told, strict=True)))
    return found


def test_the_engine_steps_along_the_projected_gradient() -> None:
    heads, rows = problem()
    made, net = strategy(balance="pcgrad", epochs=1), network(heads)
    with torch.no_grad():  # heads under which two pairs of three conflict
        for parameter in net.heads.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(4))
    made.prepare(net, {"train": rows})
    seen: dict[str, Tensor] = {}
    with frozen(net, made.phases(net)[-1]):
        batch = rows.batch(np.arange(16), -1)
        each = gradients(net, multitask.losses(net, batch))
        drawn = torch.Generator().manual_seed(1)
        wanted = multitask.added(multitask.projected(each, drawn))
        worker = loop.Worker(
            net, made, {"train": rows}, Training(seed=0), made.phases(net), None, None
        )
        after = made.after_step

        def watching(network: Network, progress: float) -> None:
            seen.update({n: p.grad.clone() for n, p in network.named_parameters()})
            after(network, progress)

        made.after_step = watching  # type: ignore[method-assign]
        made.common = type(made.common)(clip=0.0)
        worker.step(made.phases(net)[-1], {"train": batch}, 0.0)
    plain = multitask.added(each)
    assert any(not torch.allclose(plain[n], wanted[n]) for n in plain)
    for name, gradient in wanted.items():
        torch.testing.assert_close(seen[name], gradient)
    assert all(seen[n].abs().sum() > 0 for n in seen if n.startswith("heads."))


def test_gradnorm_draws_the_target_along_that_learns_slowly() -> None:
    heads, rows = problem()
    made, net = strategy(balance="gradnorm", alpha=1.5), network(heads)
    made.prepare(net, {"train": rows})
    # what a head says that knows nothing: log 3; a variance of 1; log 2
    assert made.fresh.tolist() == pytest.approx([math.log(3), 1.0, math.log(2)], rel=1e-4)
    made.left.copy_(torch.tensor([0.2, 0.4, 0.9]))
    like = {n: torch.zeros_like(p) for n, p in net.named_parameters() if n in made.last}
    one = next(iter(like))
    each = {}
    for name, length in zip(heads, (2.0, 2.0, 2.0), strict=True):
        each[name] = {n: torch.zeros_like(t) for n, t in like.items()}
        each[name][one].view(-1)[0] = length
    summed = made.combine(each)
    assert summed[one].view(-1)[0].item() == 6.0
    # mean norm 2, r / mean(r) = 0.4, 0.8, 1.8: the first two have too much, the last too little
    assert made.weights.grad.tolist() == [2.0, 2.0, -2.0]
    with torch.no_grad():
        made.weights.sub_(0.1 * made.weights.grad)
    made.after_step(net, 0.0)
    assert made.weights[2] > 1 > made.weights[0] > 0
    assert float(made.weights.detach().sum()) == pytest.approx(3.0)


def test_gradnorm_at_work() -> None:
    """A number that is a straight line is learned soon; another is noise."""
    drawn = np.random.default_rng(0)
    inputs = drawn.normal(size=(96, 4)).astype(np.float32)
    soon, late = inputs[:, 0].astype(np.float64), drawn.normal(size=96)
    heads = {"regress": regress.learn(soon), "also_1": regress.learn(late)}
    made, net = strategy(balance="gradnorm", epochs=15), network(heads)
    train(made, net, Rows(inputs, {"regress": soon, "also_1": late}))
    first, second = made.weights.detach().tolist()
    assert first < 0.9 and second > 1.1
    assert first + second == pytest.approx(2.0, rel=1e-5)


def test_log_variances_end_at_that_of_the_noise() -> None:
    """Two numbers with noise of different size, 0.5 and 0.1 of their variance."""
    drawn = np.random.default_rng(1)
    inputs = drawn.normal(size=(600, 4)).astype(np.float32)
    shares = np.array([0.5, 0.1])
    clean = inputs[:, :2].astype(np.float64)
    values = np.sqrt(1 - shares) * clean + np.sqrt(shares) * drawn.normal(size=(600, 2))
    heads = {"regress": regress.learn(values[:, 0]), "also_1": regress.learn(values[:, 1])}
    made, net = strategy(balance="uncertainty", epochs=24, rate=0.015), network(heads)
    rows = Rows(inputs, {"regress": values[:, 0], "also_1": values[:, 1]})
    done = train(made, net, rows, batch=64)
    assert made.logs.tolist() == pytest.approx(np.log(shares).tolist(), abs=0.25)
    assert done.history[0]["also_1"] > done.history[-1]["also_1"]


def test_what_a_class_counts_under_uncertainty_by_hand() -> None:
    heads, rows = problem()
    made, net = strategy(balance="uncertainty"), network(heads)
    made.prepare(net, {"train": rows})
    with torch.no_grad():
        made.logs.copy_(torch.tensor([0.3, -0.7, 0.1]))
    with frozen(net, made.phases(net)[-1]):
        batch = rows.batch(np.arange(16), -1)
        plain, told = multitask.losses(net, batch), made.loss(net, {"train": batch}, 0.0)
    for name, s, half in (("classify", 0.3, 1), ("also_1", -0.7, 2), ("also_2", 0.1, 1)):
        wanted = math.exp(-s) * float(plain[name].detach()) / half + s / 2
        assert float(told[name].detach()) == pytest.approx(wanted, rel=1e-5)


def test_a_batch_without_a_target_does_not_move_its_log_variance() -> None:
    heads, rows = problem()
    made, net = strategy(balance="uncertainty"), network(heads)
    made.prepare(net, {"train": rows})
    without = np.flatnonzero(~np.isfinite(rows.targets["also_1"]))[:4]
    assert len(without)
    with frozen(net, made.phases(net)[-1]):
        told = made.loss(net, {"train": rows.batch(without, -1)}, 0.0)
        torch.stack(list(told.values())).sum().backward()
    assert float(told["also_1"].detach()) == 0.0
    assert made.logs.grad is not None
    assert made.logs.grad.ne(0).tolist() == [True, False, True]


def test_rows_without_a_target_contribute_nothing_to_it() -> None:
    heads, rows = problem()
    net = network(heads)
    places = np.arange(20)
    with torch.no_grad():
        for parameter in net.heads.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    batch = rows.batch(places, -1)
    inputs = batch.inputs["x"].requires_grad_()
    found = multitask.losses(net, batch)
    there = np.isfinite(rows.targets["also_1"][places])
    alone = multitask.losses(net, rows.batch(places[there], -1))
    wanted = float(alone["also_1"].detach())
    assert float(found["also_1"].detach()) == pytest.approx(wanted, rel=1e-6)
    (slope,) = torch.autograd.grad(found["also_1"], inputs, retain_graph=True)
    assert np.array_equal(slope.abs().sum(1).numpy() > 0, there)
    (whole,) = torch.autograd.grad(found["classify"], inputs)
    assert (whole.abs().sum(1) > 0).all()
    none = multitask.losses(net, rows.batch(places[~there], -1))
    assert none["also_1"].item() == 0.0 < none["classify"].item()
    lacking = torch.tensor([2, -1, 0])
    assert multitask.known(lacking).tolist() == [True, False, True]
    tags = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])
    assert multitask.known(tags).tolist() == [True, False]


@pytest.mark.parametrize("balance", multitask.BALANCES)
def test_batches_without_any_row_of_a_target_train(balance: str) -> None:
    heads, rows = problem()
    rows.targets["also_1"][1:] = np.nan
    rows.targets["also_1"][:2] = [0.0, 3.0]
    net = network(heads)
    done = train(strategy(balance=balance, epochs=3), net, rows)
    assert all(math.isfinite(record["loss"]) for record in done.history)
    assert all(torch.isfinite(p).all() for p in net.parameters())


@pytest.mark.parametrize("balance", multitask.BALANCES)
@pytest.mark.parametrize("step", [1, 7])
def test_a_training_that_was_ended_goes_on_to_equal_weights(
    balance: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    heads, rows = problem()
    whole, made = network(heads), strategy(balance=balance, epochs=4)
    train(made, whole, rows)
    with pytest.raises(Stopped):
        train(
            strategy(balance=balance, epochs=4),
            network(heads),
            rows,
            tmp_path,
            alive=stop_at(step),
        )
    again, other = network(heads), strategy(balance=balance, epochs=4)
    train(other, again, rows, tmp_path)
    assert not case.same(case.tensors(whole), case.tensors(again))
    own, theirs = made.state_dict(), other.state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    assert bool(own) == (balance != "equal")


def test_the_history_tells_every_target_and_validation_the_plain_losses() -> None:
    heads, rows = problem()
    made, net = strategy(balance="uncertainty", epochs=2), network(heads)
    done = train(made, net, rows)
    assert set(heads) <= set(done.history[-1])
    said = made.loss(net, {"train": rows.batch(np.arange(60), -1)}, 1.0)
    plain = multitask.losses(net, rows.batch(np.arange(60), -1))
    assert all(torch.equal(said[name], plain[name]) for name in heads)
    spent = strategy(balance="equal", epochs=2), strategy(balance="pcgrad", epochs=2)
    flops = [train(s, network(heads), rows).flops for s in spent]
    assert flops[1] == pytest.approx(flops[0] * (2 + 3 * 4) / (2 + 4))  # 2 forward, 4 backward


def test_what_it_refuses() -> None:
    heads, rows = problem()
    one = network({"classify": heads["classify"]})
    assert "name further ones with --also" in strategy().refuse(one)
    positions = Network(
        one.backbone, {"label_each": label_each.Head(8, label_each.learn([["a", "b"]]))}
    )
    assert "single positions; choose fine_tune" in strategy().refuse(positions)
    assert strategy().refuse(network(heads)) == ""
    with pytest.raises(PlanError, match=r"multitask\.balance came as 'gradnrom'.*gradnorm"):
        strategy(balance="gradnrom")
    with pytest.raises(PlanError, match=r"multitask\.alpha came as -1"):
        strategy(alpha=-1.0)
    del rows.targets["also_2"]
    with pytest.raises(ContractError, match="the targets 'also_2'"):
        strategy().prepare(network(heads), {"train": rows})


def numbers(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: regress.learn(v[np.isfinite(v)]) for name, v in values.items()}


def judged(
    inputs: np.ndarray,
    values: Mapping[str, np.ndarray],
    names: list[str],
    test: int,
    **settings: Any,
) -> dict[str, str]:
    """Flags of some targets, learned together and alone from the first rows, read on the last `test`."""
    learned = {name: v[:-test] for name, v in values.items()}
    width, told = settings.pop("width"), {}

    def said(some: list[str]) -> dict[str, np.ndarray]:
        found: dict[str, list[np.ndarray]] = {name: [] for name in some}
        for seed in range(3):
            own = {name: learned[name] for name in some}
            net = network(numbers(own), width, seed, inputs.shape[1])
            there = np.isfinite(np.stack(list(own.values()))).any(axis=0)
            rows = Rows(inputs[:-test][there], {n: v[there] for n, v in own.items()})
            train(strategy(**settings), net, rows, seed=seed, batch=64)
            with torch.no_grad():
                made = net({"x": torch.from_numpy(inputs[-test:])})
            for name in some:
                head: Any = net.heads[name]
                found[name].append(head.predict(made[name].numpy()))
        return {name: np.stack(each) for name, each in found.items()}

    together = said(list(values))
    for name in names:
        arms = {
            "transfer": Arm("together", together[name], np.zeros(3)),
            "alone": Arm("alone", said([name])[name], np.zeros(3)),
        }
        truth = values[name][-test:]
        told[name] = Case("regress", (), truth, arms, truth, truth, regress.SCORE)
    whole = told[names[0]]
    return evidence.flags(evidence.check(replace(whole, facts={"targets": told})))


def test_a_related_target_with_many_rows_helps_one_with_few() -> None:
    drawn = np.random.default_rng(5)
    inputs = drawn.normal(size=(450, 4)).astype(np.float32)
    hidden = np.tanh(2.0 * inputs[:, 0] * inputs[:, 1]) + np.sin(2.0 * inputs[:, 2])
    few = 3 * hidden + 0.05 * drawn.normal(size=450)
    few[30:250] = np.nan
    values = {"regress": few, "also_1": hidden.astype(np.float64)}
    flags = judged(inputs, values, ["regress"], 200, width=8, epochs=40, rate=0.02)
    assert flags == {"regress": "helped"}


def test_targets_that_compete_for_one_feature_harm_each_other() -> None:
    drawn = np.random.default_rng(6)
    inputs = drawn.normal(size=(350, 4)).astype(np.float32)
    values = {f"also_{k}": inputs[:, k].astype(np.float64) for k in range(3)}
    flags = judged(
        inputs, values, ["also_0", "also_1"], 150, width=1, epochs=20, rate=0.03, balance="equal"
    )
    assert "harmed" in flags.values() and "helped" not in flags.values()
