"""Guards of the loop: planted divergence, over-fitting and dead parts are found, clean trainings are left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.engine import guards, loop
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.loop import Trained, Training
from headstart.engine.streams import Part
from headstart.errors import ContractError
from headstart.strategies import fine_tune
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_tuned import Stopped, stop_at

COSTS = (1.0, 1.0, 1.0)


class Fragile(fine_tune.Strategy):
    """Its loss is no number, or large, once the first stage has moved too far."""

    far, broken = 0.1, float("nan")

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        self.start = network.backbone.first.weight.detach().clone()

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        parts = super().loss(network, batches, progress)
        moved = float((network.backbone.first.weight.detach() - self.start).abs().max())
        if network.heads.training and moved > self.far:
            parts = {name: part * self.broken for name, part in parts.items()}
        return parts


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, step: object) -> None: ...

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def run(network: Network, folder: Path | None = None, *, rate: float = 0.1, **more: Any) -> Trained:
    """Three steps an epoch, five epochs; `far`, `broken`, `validation` and `watcher` apart."""
    settings = fine_tune.Settings(epochs=5, rate=rate, augment=False, head_first=False, patience=0)
    made = Fragile(settings)
    made.far, made.broken = more.pop("far", 0.1), more.pop("broken", float("nan"))
    watcher, held = more.pop("watcher", None), more.pop("validation", True)
    rows = small.Numbers(*small.problem())
    return loop.train(
        network,
        made,
        {"train": Part(rows, np.arange(48))},
        training=Training(seed=3, batch=16, costs=COSTS, **more),
        validation=Part(rows, np.arange(48, 60)) if held else None,
        checkpoint=Checkpoint(folder, "key" * 12) if folder else None,
        watcher=watcher,
    )


def weights(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(first: Network, second: Network) -> bool:
    return all(torch.equal(t, second.state_dict()[n]) for n, t in first.state_dict().items())


def test_a_training_that_diverges_goes_on_from_its_start_at_a_tenth_of_the_rate() -> None:
    network, slower, heard = small.network(), small.network(), Heard()
    told = run(network, validation=False, watcher=heard)
    plain = run(slower, rate=0.1 * guards.FACTOR, validation=False, far=9.0)
    assert same(network, slower)
    assert told.history == plain.history and plain.notes == []
    (note,) = told.notes
    assert heard.said == [note]
    assert note.startswith("Divergence: in phase 'all' the training loss became nan in epoch 2")
    assert "that it began with were restored" in note and "a tenth, 0.01" in note
    steps = told.flops / (9.0 * 16)  # those that were thrown away count too
    assert 15 + 3 < steps <= 15 + 6


def test_with_validation_it_goes_on_from_the_best_epoch() -> None:
    network = small.network()
    told = run(network, rate=0.03, far=0.08)
    (note,) = told.notes
    assert "the weights of epoch" in note
    assert [h["epoch"] for h in told.history] == [1, 2, 3, 4, 5]
    assert told.ended == {"all": "epochs"}


def test_a_loss_many_times_the_first_is_a_divergence_too() -> None:
    told = run(small.network(), broken=30.0)
    assert told.notes and told.notes[0].startswith("Divergence")
    assert max(h["loss"] for h in told.history) < 3


def test_after_two_times_the_advice_is_raised() -> None:
    with pytest.raises(ContractError, match=r"Lower the learning rate \(--set rate=") as caught:
        run(small.network(), far=0.0)
    assert "became nan" in str(caught.value)


def test_a_loss_that_stays_large_after_two_times_is_no_error() -> None:
    told = run(small.network(), far=0.0, broken=100.0)
    assert len(told.notes) == guards.TIMES
    assert told.ended == {"all": "epochs"} and len(told.history) == 5


@pytest.mark.parametrize("step", [2, 4, 9, 14])
def test_ended_and_resumed_it_gives_equal_weights(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    whole, again = small.network(0, 0.2), small.network(0, 0.2)
    told = run(whole, rate=0.03, far=0.08)
    assert told.notes
    with pytest.raises(Stopped):
        run(small.network(0, 0.2), tmp_path, rate=0.03, far=0.08, alive=stop_at(step))
    resumed = run(again, tmp_path, rate=0.03, far=0.08)
    assert same(whole, again)
    assert (resumed.history, resumed.notes) == (told.history, told.notes)


def test_a_strategys_own_tensors_are_restored_with_the_weights() -> None:
    network, made = case.network(), case.strategy("bi_tuning", rate=300.0, patience=0)
    told = case.train(made, network)
    assert any(note.startswith("Divergence") for note in told.notes)
    assert all(torch.isfinite(t).all() for t in made.state_dict().values())
    assert all(torch.isfinite(t).all() for t in network.state_dict().values())


def records(training: list[float], validation: list[float]) -> list[dict[str, Any]]:
    both = zip(training, validation, strict=True)
    return [{"epoch": n, "loss": t, "validation": v} for n, (t, v) in enumerate(both, 1)]


FALLS = [1.0, 0.6, 0.4, 0.3, 0.2, 0.1]


def test_over_fitting_is_told_with_its_epoch() -> None:
    told = guards.overfitting("all", records(FALLS, [0.9, 0.7, 0.6, 0.8, 0.9, 1.0]))
    assert told.startswith(
        "Over-fitting: in phase 'all' the validation loss was lowest after epoch 3"
    )
    assert "(0.6) and rose to 0.9" in told and "More labelled rows would help" in told


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        (FALLS, [0.9, 0.7, 0.6, 0.6, 0.65, 0.6]),  # hardly risen
        (FALLS, [0.9, 0.8, 0.7, 0.6, 0.9, 0.9]),  # for two epochs alone
        ([1.0, 0.6, 0.4, 0.5, 0.5, 0.6], [0.9, 0.7, 0.6, 0.8, 0.9, 1.0]),  # both rise
        (FALLS, [0.05, 0.02, 0.01, 0.02, 0.03, 0.04]),  # next to nothing
        (FALLS, [0.9, 0.7, 0.6, 0.8, 0.9, float("nan")]),
        ([], []),
    ],
)
def test_what_is_no_clear_over_fitting_is_left(
    training: list[float], validation: list[float]
) -> None:
    assert guards.overfitting("all", records(training, validation)) == ""


def test_over_fitting_of_labels_by_chance_is_found_by_the_loop() -> None:
    inputs, labels = small.problem()
    rows = case.Numbers(inputs, np.random.default_rng(0).permutation(labels))
    told = case.train(case.strategy("fine_tune", epochs=40, patience=0), case.network(), rows=rows)
    assert any(note.startswith("Over-fitting") for note in told.notes)


def test_a_part_that_stays_zero_is_told_and_others_are_not() -> None:
    dead = case.train(case.strategy("l2_sp", alpha=0.0), case.network())
    (note,) = dead.notes
    assert note.startswith("Dead regulariser: the part 'l2_sp' of the loss was exactly 0")
    for name in case.NAMES:
        told = case.train(case.strategy(name), case.network())
        assert not any(n.startswith("Dead") for n in told.notes), name
    assert guards.alarms("all", [{"epoch": 1, "loss": 1.0, "a": 0.0}], ["task"], 1) == []
    assert guards.alarms("all", [{"epoch": 1, "loss": 1.0, "a": 0.0}], [], 9) == []


def test_notes_of_many_trainings_become_few() -> None:
    over, other, dead, wild = (
        "Over-fitting: a",
        "Over-fitting: b",
        "Dead regulariser: c",
        "Divergence: d",
    )
    assert guards.gathered([[over, dead], [other], [dead], [wild]]) == [over, dead, wild]
    assert guards.gathered([[over], [], []]) == []
    assert guards.gathered([[], []]) == []


def test_a_large_penalty_hides_neither_divergence_nor_over_fitting() -> None:
    parts = [{"loss": 100 + a, "task": a, "penalty": 100.0} for a in FALLS]
    seen = records(FALLS, [0.9, 0.7, 0.6, 0.8, 0.9, 1.0])
    both = [{**r, **p} for r, p in zip(seen, parts, strict=True)]
    assert guards.overfitting("all", both, ["task"]) and not guards.overfitting("all", both)
    guard = guards.Guard()
    guard.step(guards.task(parts[0], ["task"]))
    guard.epoch(4.9)
    with pytest.raises(guards.Diverged):
        guard.epoch(5.1)
