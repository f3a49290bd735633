"""The guard: ranks of planted features, and sentences on planted trainings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.pretraining import guard
from tests.engine.small import Small, problem


class Plain:
    """Numbers as rows of a stream."""

    start = 0
    views = 1

    def __init__(self) -> None:
        self.values, self.labels = problem(60)

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        return Batch({"x": torch.from_numpy(self.values[places])}, {})


def test_rank_counts_directions() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(500, 8))
    assert guard.rank(white) == pytest.approx(8, abs=0.1)
    assert guard.rank(white[:, :1] * np.ones(8)) == pytest.approx(1, abs=1e-6)
    assert guard.rank(np.ones((50, 8))) == 0
    assert guard.rank(white + 100) == pytest.approx(guard.rank(white))


def test_deviation_does_not_depend_on_the_scale() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(size=(500, 8))
    assert guard.deviation(white) == pytest.approx(1, abs=0.02)
    assert guard.deviation(3 * white) == pytest.approx(guard.deviation(white))
    assert guard.deviation(np.ones((50, 8))) == 0


def watched(floor: float | None = None, first: float = 3.0) -> guard.Guard:
    return guard.Guard(Plain(), np.arange(60), floor, 10, first)  # type: ignore[arg-type]


def test_a_healthy_network_is_passed() -> None:
    torch.manual_seed(0)
    record = {"epoch": 1, "loss": 1.0}
    assert watched()(Network(Small(), {}).eval(), record) == []
    assert record["rank"] >= guard.FEW
    assert record["deviation"] > guard.FLAT


def test_a_network_that_says_one_thing_is_named() -> None:
    network = Network(Small(), {}).eval()
    with torch.no_grad():
        network.backbone.last[1].weight.zero_()
    said = watched()(network, {"epoch": 1, "loss": 1.0})
    assert len(said) == 1
    assert "collapsed" in said[0]
    assert "rate" in said[0]


def test_a_loss_at_its_floor_and_one_that_stands_still_are_named() -> None:
    torch.manual_seed(0)
    network = Network(Small(), {}).eval()
    assert "trivially" in watched(floor=0.1)(network, {"epoch": 1, "loss": 0.05})[0]
    still = watched()
    told = [still(network, {"epoch": e, "loss": 1.0}) for e in range(1, guard.STUCK + 2)]
    assert ["not fallen" in " ".join(t) for t in told] == [False] * (guard.STUCK - 1) + [
        True,
        False,
    ]


def test_the_probe_reads_what_is_there_and_no_more() -> None:
    torch.manual_seed(0)
    network, stream = Network(Small(), {}).eval(), Plain()
    probe = guard.prober(stream, stream.labels, np.arange(60), 0)  # type: ignore[arg-type]
    assert probe is not None
    assert probe(network) > 0.8
    noise = np.random.default_rng(0).integers(0, 3, 60)
    blind = guard.prober(stream, noise, np.arange(60), 0)  # type: ignore[arg-type]
    assert blind is not None
    assert blind(network) < 0.6
    one = np.zeros(60, np.int64)
    assert guard.prober(stream, one, np.arange(60), 0) is None  # type: ignore[arg-type]
