"""Averaged weights: by hand, what validation reads, kill and resume; means of and ways between networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.core.common import Common
from headstart.core.network import Network
from headstart.engine import averages, loop
from headstart.engine.loop import Trained, Training
from headstart.engine.streams import Part
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_tuned import Stopped, stop_at

EMA = Common(average="ema", average_decay=0.5)
SWA = Common(average="swa")


def train(
    name: str, given: Common, network: Network, *, validation: bool = False, **settings: Any
) -> tuple[Trained, list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """What was told, and all tensors after every step and after every epoch."""
    steps: list[dict[str, np.ndarray]] = []
    epochs: list[dict[str, np.ndarray]] = []
    made = case.strategy(name, **{"epochs": 8, "patience": 0, **settings})
    made.common = given
    before = made.after_step

    def after_step(trained: Network, progress: float) -> None:
        before(trained, progress)
        steps.append({n: t.numpy().copy() for n, t in trained.state_dict().items()})

    def after_epoch(trained: Network, record: dict[str, Any]) -> tuple[str, ...]:
        epochs.append({n: t.numpy().copy() for n, t in trained.state_dict().items()})
        return ()

    made.after_step = after_step  # type: ignore[method-assign]
    rows = case.stream()
    told = loop.train(
        network,
        made,
        {"train": Part(rows, np.arange(48))},
        training=Training(seed=3, batch=16, after_epoch=after_epoch),
        validation=Part(rows, np.arange(48, 60)) if validation else None,
        solve=case.settle,
    )
    return told, steps, epochs


@pytest.mark.parametrize("name", ["fine_tune", "stoch_norm", "bi_tuning"])
def test_the_running_mean_by_hand(name: str) -> None:
    start, network = case.network(), case.network()
    if name != "stoch_norm":
        case.settle(start, None)  # type: ignore[arg-type]
    means = {n: t.numpy().astype(np.float64) for n, t in start.state_dict().items()}
    _, steps, _ = train(name, EMA, network)
    assert len(steps) == 24
    for t, now in enumerate(steps):
        kept = min(0.5, (1 + t) / (10 + t))
        means = {n: kept * means[n] + (1 - kept) * now[n] for n in means}
    for n, tensor in network.state_dict().items():
        wanted = means[n] if tensor.is_floating_point() else steps[-1][n]
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-4, atol=1e-6, err_msg=n)
    moved = float(np.abs(steps[-1]["backbone.first.weight"] - means["backbone.first.weight"]).max())
    assert moved > 1e-4
    statistics = np.abs(
        means["backbone.norm.running_mean"] - start.backbone.norm.running_mean.numpy()
    )
    assert (statistics.max() > 1e-3) == (name == "stoch_norm")


def test_the_equal_mean_of_the_last_quarter_by_hand() -> None:
    network = case.network()
    told, _, epochs = train("stoch_norm", SWA, network)
    assert told.ended == {"all": "averaged"} and len(epochs) == 8
    for n, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            wanted = (epochs[-2][n].astype(np.float64) + epochs[-1][n]) / 2
            np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-5, atol=1e-7, err_msg=n)
    assert (
        np.abs(epochs[-2]["backbone.first.weight"] - epochs[-1]["backbone.first.weight"]).max()
        > 1e-4
    )


def test_while_ends_of_epochs_are_averaged_the_rate_stays() -> None:
    rates: list[float] = []
    network, rows = case.network(), case.stream()
    made = case.strategy("fine_tune", epochs=8, patience=0)
    made.common = SWA
    streams = {"train": Part(rows, np.arange(48))}
    worker = loop.Worker(
        network, made, streams, Training(batch=16), made.phases(network), None, None
    )
    real = worker._rates

    def noted(phase: Any, progress: float) -> None:
        real(phase, progress)
        rates.append(max(g["lr"] for g in worker.optimizer.param_groups))

    worker._rates = noted  # type: ignore[method-assign]
    worker.run(1, made.phases(network)[-1], Trained(), None, None)
    assert len(rates) == 24
    assert len(set(rates[18:])) == 1 and rates[17] > rates[18] > 0


@pytest.mark.parametrize("given", [EMA, SWA])
def test_validation_and_the_result_read_the_averaged_weights(given: Common) -> None:
    network, rows = case.network(), case.stream()
    told, _, epochs = train("fine_tune", given, network, validation=True)
    losses = told.losses("all")
    best = told.best["all"]
    if given is SWA:
        assert best in (7, 8) and losses[best - 1] == min(losses[6:])
    else:
        assert losses[best - 1] == min(losses)
    held = rows.batch(np.arange(48, 60), -1)

    def loss(trained: Network) -> float:
        with torch.no_grad():
            said = trained(held.inputs)["classify"]
        return float(torch.nn.functional.cross_entropy(said, held.targets["classify"]))

    assert loss(network) == pytest.approx(losses[best - 1], rel=1e-5)
    raw = case.network()
    raw.load_state_dict({n: torch.from_numpy(t) for n, t in epochs[best - 1].items()})
    if given is EMA or best == 8:
        assert loss(raw) != pytest.approx(losses[best - 1], rel=1e-5)


def test_training_goes_on_from_the_raw_weights() -> None:
    _, raw, _ = train("fine_tune", Common(), case.network(), validation=True)
    _, averaged, _ = train("fine_tune", EMA, case.network(), validation=True)
    for n, tensor in raw[-1].items():
        np.testing.assert_array_equal(tensor, averaged[-1][n])


def test_patience_waits_for_the_epochs_that_are_averaged() -> None:
    told, _, epochs = train("fine_tune", SWA, case.network(), validation=True, patience=1, rate=0.2)
    assert len(epochs) >= 7 and told.best["all"] >= 7
    plain, _, _ = train(
        "fine_tune", Common(), case.network(), validation=True, patience=1, rate=0.2
    )
    assert plain.ended == {"all": "patience"}
    assert len(plain.history) < 7


@pytest.mark.parametrize("name", ["fine_tune", "bi_tuning", "gradual_unfreeze"])
@pytest.mark.parametrize("given", [EMA, SWA])
@pytest.mark.parametrize("step", [7, 11])
def test_ended_and_resumed_it_gives_equal_weights(
    name: str, given: Common, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)

    def run(network: Network, folder: Path | None = None, **more: Any) -> Trained:
        made = case.strategy(name, patience=0)
        made.common = given
        return case.train(made, network, folder, **more)

    whole, again = case.network(0.2), case.network(0.2)
    told = run(whole)
    with pytest.raises(Stopped):
        run(case.network(0.2), tmp_path, alive=stop_at(step))
    assert run(again, tmp_path).history == told.history
    assert case.same(case.tensors(whole), case.tensors(again)) == []


def test_means_of_networks_and_the_way_between_them_by_hand() -> None:
    networks = [small.network(seed) for seed in range(3)]
    networks[2].backbone.norm.num_batches_tracked.fill_(7)
    mean, way = averages.mean(networks), averages.between(networks[0], networks[2], 0.25)
    for n, tensor in mean.state_dict().items():
        first, second, third = (network.state_dict()[n] for network in networks)
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (first + second + third) / 3)
            torch.testing.assert_close(way.state_dict()[n], 0.75 * first + 0.25 * third)
        else:
            assert int(tensor) == int(way.state_dict()[n]) == 7
    ends = [averages.between(networks[0], networks[2], share).state_dict() for share in (0.0, 1.0)]
    assert torch.equal(ends[0]["backbone.first.weight"], networks[0].backbone.first.weight)
    assert torch.equal(ends[1]["backbone.first.weight"], networks[2].backbone.first.weight)
