"""A small network with batch norm and a head of its source, and how strategies are tried on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core import plugins
from headstart.core.network import Network
from headstart.core.strategy import Batch, Phase, Strategy
from headstart.engine import loop
from headstart.engine.checkpoint import Checkpoint
from headstart.engine.freeze import frozen
from headstart.engine.loop import Trained, Training
from headstart.engine.streams import Part
from headstart.heads import classify
from tests.engine import small

NAMES = (
    *("gradual_unfreeze", "lp_ft", "l2_sp", "delta"),
    *("bss", "co_tuning", "stoch_norm", "bi_tuning"),
    *("lwf", "ewc", "replay", "si", "distill"),
)
PREVIOUS = "previous"
SOURCE_CLASSES = 5
OUTCOME = "classify"


class Known(small.Small):
    """With a head of its source."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(dropout)
        self.source_head = nn.Linear(small.WIDTH, SOURCE_CLASSES)

    def stage_of(self, name: str) -> int:
        return -1 if name.startswith("source_head") else super().stage_of(name)


class Numbers(small.Numbers):
    """Rows in memory whose targets can be asked for at once."""

    @property
    def targets(self) -> dict[str, np.ndarray]:
        return {OUTCOME: self.labels.numpy()}


def network(dropout: float = 0.0) -> Network:
    """The same at every call."""
    plain = small.network(dropout=dropout)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        known = Known(dropout)
    known.load_state_dict({**known.state_dict(), **plain.backbone.state_dict()})
    return Network(known, dict(plain.heads.items())).eval()  # type: ignore[arg-type]


def stream(rows: int = 60) -> Numbers:
    return Numbers(*small.problem(rows))


class Earlier(Numbers):
    """Rows of an earlier task, of four classes, with the head that was solved on a network's features."""

    def __init__(self, source: Network, rows: int = 40) -> None:
        super().__init__(*small.problem(rows, seed=5, classes=4))
        self.head = classify.Head(small.WIDTH, classify.learn(list(range(4))))
        with torch.no_grad():
            features = source({"x": self.inputs}, want="features")
            wanted = 3 * nn.functional.one_hot(self.labels).float()
            self.head.linear.weight.copy_(torch.linalg.lstsq(features, wanted).solution.T)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        read = super().batch(places, epoch)
        return Batch(read.inputs, {PREVIOUS: read.targets[OUTCOME]}, 0)


class Taught(Numbers):
    """Training rows with what a teacher said of them: fairly sure, mostly right, features of width 5. The
    first `unread` rows it could not read."""

    def __init__(self, inputs: np.ndarray, labels: np.ndarray, unread: int = 0) -> None:
        super().__init__(inputs, labels)
        drawn = np.random.default_rng(3)
        logits = 3 * np.eye(3)[labels] + drawn.normal(size=(len(labels), 3))
        said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        features = 2 + 5 * drawn.normal(size=(len(labels), 5))
        said[:unread], features[:unread] = np.nan, np.nan
        self.told = {
            "teacher": said.astype(np.float32),
            "teacher features": features.astype(np.float32),
        }

    @property
    def targets(self) -> dict[str, np.ndarray]:
        return {OUTCOME: self.labels.numpy(), **self.told}

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        read = super().batch(places, epoch)
        told = {name: torch.from_numpy(values[places]) for name, values in self.told.items()}
        return Batch(read.inputs, {**read.targets, **told}, 0)


def streams(strategy: Strategy, network: Network, *, told: bool = False) -> dict[str, Any]:
    """The training rows, and an earlier task's where the strategy cannot do without them, or is `told`."""
    found: dict[str, Any] = {"train": Taught(*small.problem(60)) if strategy.asks else stream()}
    if told or strategy.lacks(network, found):
        found[PREVIOUS] = Earlier(network)
    return found


def strategy(name: str, **settings: Any) -> Strategy:
    """With few epochs at a high rate unless something else is said."""
    file = plugins.load("strategy", name)
    settings = {"epochs": 4, "rate": 0.02, "augment": False, **settings}
    made: Strategy = file.Strategy(file.Settings(**settings))
    return made


def settle(network: Network, phase: Phase) -> None:
    """Least squares on one column a class."""
    rows = stream()
    with torch.no_grad():
        features = network({"x": rows.inputs}, want="features")
        wanted = nn.functional.one_hot(rows.labels).float()
        head: Any = network.heads[OUTCOME]
        head.linear.weight.copy_(torch.linalg.lstsq(features, wanted).solution.T)


def train(
    strategy: Strategy,
    network: Network,
    folder: Path | None = None,
    rows: Numbers | None = None,
    told: bool = False,
    **settings: Any,
) -> Trained:
    """Learns from 48 rows; 12 tell when to end. Of an earlier task it reads where it must, or is `told`."""
    read = streams(strategy, network, told=told)
    rows = rows or read["train"]
    return loop.train(
        network,
        strategy,
        {**read, "train": Part(rows, np.arange(48))},
        training=Training(seed=3, batch=16, costs=(1.0, 1.0, 1.0), **settings),
        validation=Part(rows, np.arange(48, 60)),
        solve=settle,
        checkpoint=Checkpoint(folder, "key" * 12) if folder else None,
    )


def tensors(network: Network) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors that differ by a bit."""
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def batch(rows: int = 16) -> Batch:
    return stream().batch(np.arange(rows), -1)


def displaced(network: Network, by: float = 0.1) -> None:
    """Moves all weights of the backbone a little."""
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.backbone.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=drawn))


def descent(strategy: Strategy, network: Network, part: str, steps: int = 30) -> list[float]:
    """Values of one part of the loss while plain gradient descent lowers it alone."""
    phase, told = strategy.phases(network)[-1], []
    earlier = Earlier(network).batch(np.arange(16), -1)
    parameters = dict(network.named_parameters())
    batches = {name: {"train": batch(), PREVIOUS: earlier}[name] for name in phase.streams}
    with frozen(network, phase):
        moving = [parameters[name] for group in phase.groups for name in group.parameters]
        for _ in range(steps):
            value = strategy.loss(network, batches, 0.5)[part]
            told.append(float(value.detach()))
            wanted = torch.autograd.grad(value, moving, allow_unused=True)
            with torch.no_grad():
                for parameter, gradient in zip(moving, wanted, strict=True):
                    if gradient is not None:
                        parameter.sub_(0.1 * gradient)
    return told
