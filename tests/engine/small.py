"""A small network with batch norm and dropout, and a stream of numbers, for tests of the engine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.network import Backbone, Network, State
from headstart.core.strategy import Batch
from headstart.heads import classify

WIDTH = 6


class Chain(Backbone):
    """(N, inputs) through its stages, each a module of that name, one after the other."""

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        value = state["x"]
        for name in self.stages[start:stop]:
            value = self.get_submodule(name)(value)
        return {"x": value}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        return state["x"]

    def stage_of(self, name: str) -> int:
        return self.stages.index(name.partition(".")[0])


class Small(Chain):
    """Three stages over (N, 4): linear, batch norm, linear with dropout."""

    width = WIDTH
    stages = ("first", "norm", "last")

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(4, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.last = nn.Sequential(nn.Dropout(dropout), nn.Linear(WIDTH, WIDTH), nn.Tanh())


def network(seed: int = 0, dropout: float = 0.0, classes: int = 3) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = Small(dropout)
        backbone.norm.running_mean.normal_()
        targets = classify.learn(list(range(classes)))
        head = classify.Head(WIDTH, targets, dropout)
    return Network(backbone, {"classify": head}).eval()


def problem(rows: int = 60, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Class clusters in four dimensions, (rows, 4) float32 and (rows,) int64."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    centres = rng.normal(0, 2, (classes, 4))
    return (centres[labels] + rng.normal(0, 1, (rows, 4))).astype(np.float32), labels


class Numbers:
    """A stream of rows in memory."""

    start = 0

    def __init__(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        self.inputs, self.labels = torch.from_numpy(inputs), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        return Batch({"x": self.inputs[places]}, {"classify": self.labels[places]}, 0)
