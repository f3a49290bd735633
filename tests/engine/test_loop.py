"""The one loop: it learns, resumes to the same weights, stops early, and refuses what is broken."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.core.network import Network
from headstart.core.strategy import Phase
from headstart.engine import checkpoint, loop, streams
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.loop import Training, train
from headstart.engine.streams import Part
from headstart.errors import ContractError
from headstart.strategies import fine_tune, from_scratch
from tests import forks
from tests.engine import small

SETTINGS = fine_tune.Settings(
    cut=0, epochs=6, rate=0.02, augment=False, head_first=False, dropout=0.3
)


def weights(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def run(network: Network, folder: Path | None = None, **settings: object) -> loop.Trained:
    inputs, labels = small.problem()
    stream = small.Numbers(inputs, labels)
    return train(
        network,
        fine_tune.Strategy(SETTINGS),
        {"train": Part(stream, np.arange(48))},
        training=Training(seed=3, batch=16, costs=(1.0, 1.0, 1.0), **settings),  # type: ignore[arg-type]
        validation=Part(stream, np.arange(48, 60)),
        checkpoint=Checkpoint(folder, "key" * 12) if folder else None,
    )


def test_it_learns_and_tells() -> None:
    network = small.network(dropout=0.3)
    done = run(network)
    losses = [h["validation"] for h in done.history]
    assert losses[-1] < losses[0]
    assert done.ended == {"all": "epochs"}
    # six epochs of 48 rows: three stages forward, three backward at twice the cost
    assert done.flops == 6 * 48 * 9.0


def test_equal_seeds_give_equal_weights() -> None:
    first, second = small.network(dropout=0.3), small.network(dropout=0.3)
    run(first)
    run(second)
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_budget_ends_a_training_and_is_said() -> None:
    done = run(small.network(), most_flops=2 * 48 * 9.0)
    assert done.ended == {"all": "budget"}
    assert len(done.history) == 2
    assert done.improving("all")


def test_patience_ends_a_training_with_the_best_weights() -> None:
    settings = from_scratch.Settings(rate=0.5, epochs=60, patience=3, augment=False, dropout=0.0)
    inputs, labels = small.problem(rows=60)
    stream = small.Numbers(inputs, np.random.default_rng(0).permutation(labels))
    network = small.network()
    part = Part(stream, np.arange(40, 60))
    done = train(
        network,
        from_scratch.Strategy(settings),
        {"train": Part(stream, np.arange(40))},
        training=Training(seed=0, batch=16),
        validation=part,
    )
    assert done.ended == {"from scratch": "patience"}
    lowest = min(h["validation"] for h in done.history)
    said = torch.from_numpy(loop.outputs(network, part, head="classify"))
    again = torch.nn.functional.cross_entropy(said, stream.labels[40:60])
    assert float(again) == pytest.approx(lowest, rel=1e-5)


@pytest.mark.parametrize(("lead", "epochs", "reason"), [(2.0, 2, "behind"), (1.2, 6, "epochs")])
def test_far_behind_the_pace_a_training_gives_up(lead: float, epochs: int, reason: str) -> None:
    alone = run(small.network())
    rival = {"all": [loss / lead for loss in alone.losses("all")]}
    done = run(small.network(), pace=rival)
    assert done.ended == {"all": reason}
    assert done.losses("all") == alone.losses("all")[:epochs]


def test_a_loss_that_is_not_finite_says_what_to_do() -> None:
    inputs, labels = small.problem()
    inputs[5, 1] = math.inf
    with pytest.raises(ContractError, match="Lower the learning rate"):
        train(
            small.network(),
            fine_tune.Strategy(SETTINGS),
            {"train": small.Numbers(inputs, labels)},
            training=Training(),
        )


def test_a_missing_stream_is_named() -> None:
    with pytest.raises(ContractError, match="'train'"):
        train(small.network(), fine_tune.Strategy(SETTINGS), {}, training=Training())


def test_a_solved_phase_is_handed_to_the_solver() -> None:
    seen: list[str] = []

    def solve(network: Network, phase: Phase) -> None:
        seen.append(phase.name)

    inputs, labels = small.problem()
    settings = fine_tune.Settings(cut=1, epochs=1, augment=False)
    network = small.network()
    before = network.backbone.first.weight.clone()
    train(
        network,
        fine_tune.Strategy(settings),
        {"train": small.Numbers(inputs, labels)},
        training=Training(),
        solve=solve,
    )
    assert seen == ["head"]
    assert torch.equal(before, network.backbone.first.weight)


KILLED = """
from pathlib import Path
from headstart.engine import loop
loop.SAVE_SECONDS = 0.0
import torch
from tests.engine import small
from tests.engine.test_loop import run
network = small.network(dropout=0.3)
run(network, Path.cwd())
torch.save(network.state_dict(), Path.cwd() / "done.pt")
"""


@pytest.mark.parametrize(
    "fault",
    [
        "checkpoint.before_rename:kill:2",
        "checkpoint.after_rename:kill:0",
        "checkpoint.after_rename:kill:4",
        "phase.before:kill",
        "phase.after:kill",
    ],
)
def test_killed_anywhere_it_resumes_to_equal_weights(tmp_path: Path, fault: str) -> None:
    environment = {**os.environ, "HEADSTART_FAULT": fault}
    first = forks.run(forks.code, KILLED, tmp_path, environment)
    assert first.code == -9, first.output
    environment.pop("HEADSTART_FAULT")
    second = forks.run(forks.code, KILLED, tmp_path, environment)
    assert second.code == 0, second.output
    undisturbed = small.network(dropout=0.3)
    run(undisturbed)
    resumed = torch.load(tmp_path / "done.pt", weights_only=True)
    for name, tensor in weights(undisturbed).items():
        assert torch.equal(tensor, resumed[name]), name


@pytest.mark.parametrize(
    ("ending", "age"), [("31580.tmp", checkpoint.ABANDONED), ("pt", checkpoint.FORGOTTEN)]
)
def test_what_trainings_that_never_ended_left_is_swept_when_another_ends(
    ending: str, age: float, tmp_path: Path
) -> None:
    left, young = tmp_path / f"abc.{ending}", tmp_path / f"abd.{ending}"
    for place, seconds in ((left, 2 * age), (young, age / 2)):
        place.write_bytes(b"half")
        then = time.time() - seconds
        os.utime(place, (then, then))
    Checkpoint(tmp_path, "key" * 12).drop()
    assert not left.exists() and young.exists(), "another process may be writing"


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("rows", [16, 17, 18, 33, 47])
def test_no_step_has_a_single_row(rows: int, whole: bool) -> None:
    """Batch norms know no spread of it; all rows are seen, but for the rest of whole batches."""
    size = 16
    steps = rows // size + (rows % size > 1 and not whole)
    order = np.random.default_rng(0).permutation(rows)
    batches = [streams.cycled(order, step, size) for step in range(steps)]
    seen = np.concatenate(batches)
    assert min(len(batch) for batch in batches) > 1
    assert (
        len(seen) == len(set(seen)) == (rows - rows % size if whole and rows % size > 1 else rows)
    )


def test_a_rest_of_one_row_trains() -> None:
    inputs, labels = small.problem()
    done = train(
        small.network(),
        from_scratch.Strategy(from_scratch.Settings(epochs=2, patience=0)),
        {"train": Part(small.Numbers(inputs, labels), np.arange(33))},
        training=Training(seed=3, batch=16, costs=(1.0, 1.0, 1.0)),
    )
    assert done.flops == 2 * 33 * 9.0 and math.isfinite(done.history[-1]["loss"])


@pytest.mark.parametrize("rows", [1, 33])
def test_other_streams_are_cycled_without_single_rows(rows: int) -> None:
    order = np.arange(rows)
    sizes = [len(streams.cycled(order, step, 16)) for step in range(5)]
    assert min(sizes) >= 16
