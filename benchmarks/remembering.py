"""What strategies that remember keep of an earlier task, and what it costs on the new one: digits.

    python -m benchmarks.remembering            # 10 seeds at the defaults
    python -m benchmarks.remembering --weights  # 5 other seeds at several weights

A small network learns 0 to 4 from 300 rows. Of other rows of 0 to 4, 200 are what a strategy may remember and
200 measure the ability, by the head that was solved on the untouched network's features; then it learns 5
to 9 from 200 rows. Everything else is equal: 30 epochs, one high rate, no held-out rows.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch import Tensor, nn

from headstart.core import plugins
from headstart.core.network import Backbone, Network, State
from headstart.core.strategy import Batch, Phase
from headstart.engine import loop
from headstart.engine.solve import solve
from headstart.heads import classify

WIDTH, EPOCHS, RATE = 64, 30, 1e-2
NAMES = ("l2_sp", "lwf", "ewc", "replay", "si")
TRIED: Mapping[str, Sequence[float]] = {
    "lwf": (1.0, 3.0),
    "ewc": (1.0, 10.0, 100.0, 1000.0),
    "replay": (1.0, 3.0),
    "si": (0.1, 1.0, 10.0, 100.0),
}


class Small(Backbone):
    """Three layers over 64 pixels."""

    width = WIDTH
    stages = ("first", "second", "third")

    def __init__(self) -> None:
        super().__init__()
        for name in self.stages:
            self.add_module(name, nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()))

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        value = state["x"]
        for name in self.stages[start:stop]:
            value = self.get_submodule(name)(value)
        return {"x": value}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        return state["x"]

    def stage_of(self, name: str) -> int:
        return self.stages.index(name.partition(".")[0])


class Rows:
    """Rows in memory under the name of a head."""

    start = 0

    def __init__(self, name: str, inputs: np.ndarray, labels: np.ndarray) -> None:
        self.name, self.inputs, self.targets = name, torch.from_numpy(inputs), {name: labels}
        self.head: Any = None

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        told = torch.from_numpy(self.targets[self.name][places])
        return Batch({"x": self.inputs[places]}, {self.name: told}, 0)


@dataclass(frozen=True)
class World:
    """A network that knows the earlier task, and the rows of both."""

    source: Network
    known: Rows
    held: Rows
    task: Rows
    test: Rows


def headed(backbone: Backbone) -> Network:
    return Network(backbone, {"classify": classify.Head(WIDTH, classify.learn(range(5)))}).eval()


def solved(network: Network, rows: Rows) -> Any:
    """A head on the features of rows."""
    labels, places = next(iter(rows.targets.values())), np.arange(len(rows))
    head = classify.Head(WIDTH, classify.learn(range(5)))
    folds = [(places[places % 5 != k], places[places % 5 == k]) for k in range(5)]
    made = loop.features(network, rows, places)
    head.settle(solve(head.problem(len(rows)), made, head.wanted(labels), folds=folds))
    return head


def world(seed: int) -> World:
    """Rows and weights that follow from a seed."""
    inputs, labels = load_digits(return_X_y=True)
    inputs = (inputs / 16).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(labels))
    old, new = order[labels[order] < 5], order[labels[order] >= 5]
    learn, known, held = old[:300], old[300:500], old[500:700]
    torch.manual_seed(seed)
    network = headed(Small())
    file: Any = plugins.load("strategy", "from_scratch")
    scratch = file.Strategy(file.Settings(epochs=EPOCHS, rate=3e-3, augment=False))
    rows = Rows("classify", inputs[learn], labels[learn])
    loop.train(network, scratch, {"train": rows}, training=loop.Training(seed=seed))
    remembered = Rows("previous", inputs[known], labels[known])
    remembered.head = solved(network, remembered)
    return World(
        network,
        remembered,
        Rows("previous", inputs[held], labels[held]),
        Rows("classify", inputs[new[:200]], labels[new[:200]] - 5),
        Rows("classify", inputs[new[200:600]], labels[new[200:600]] - 5),
    )


def share_right(network: Network, head: nn.Module, rows: Rows) -> float:
    made = loop.features(network, rows, np.arange(len(rows)))
    with torch.no_grad():
        said = head(torch.from_numpy(made)).argmax(1).numpy()
    return float((said == next(iter(rows.targets.values()))).mean())


def adapted(name: str, seed: int, given: World, **settings: float) -> tuple[float, float]:
    """Share of right answers on the earlier task's held-out rows, and on the test rows of the new one."""
    network = headed(copy.deepcopy(given.source.backbone))
    file: Any = plugins.load("strategy", name)
    fixed = {"epochs": EPOCHS, "rate": RATE, "patience": 0, "augment": False}
    strategy = file.Strategy(file.Settings(**fixed, **settings))

    def settle(made: Network, phase: Phase) -> None:
        made.heads["classify"].load_state_dict(solved(given.source, given.task).state_dict())

    streams = {"train": given.task, "previous": given.known}
    training = loop.Training(seed=seed)
    loop.train(network, strategy, streams, training=training, solve=settle)
    kept = share_right(network, given.known.head, given.held)
    return kept, share_right(network, network.heads["classify"], given.test)


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval of Student's t over seeds, in points."""
    mean, count = 100 * values.mean(), len(values)
    error = 100 * values.std(ddof=1) / math.sqrt(count) * stats.t.ppf(0.975, count - 1)
    return f"{mean:6.1f} ({mean - error:.1f} to {mean + error:.1f})"


def table(seeds: Sequence[int], asked: Sequence[tuple[str, dict[str, float]]]) -> None:
    """A line a strategy: what is kept, the new task, and the differences to fine_tune on equal seeds."""
    worlds = [world(seed) for seed in seeds]
    before = np.array([share_right(w.source, w.known.head, w.held) for w in worlds])
    print(f"{len(seeds)} seeds, 200 held-out rows of the earlier task, 400 test rows of the new")
    print(f"before: {interval(before)}")
    print("strategy | kept | new task | kept, minus fine_tune | new task, minus fine_tune")
    base = np.array([adapted("fine_tune", s, w) for s, w in zip(seeds, worlds, strict=True)])
    print(f"fine_tune | {interval(base[:, 0])} | {interval(base[:, 1])}", flush=True)
    for name, settings in asked:
        found = np.array(
            [adapted(name, s, w, **settings) for s, w in zip(seeds, worlds, strict=True)]
        )
        cells = [interval(column) for column in (*found.T, *(found - base).T)]
        told = ", ".join(f"{k} {v:g}" for k, v in settings.items())
        print(" | ".join([f"{name} {told}".strip(), *cells]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", action="store_true")
    if parser.parse_args().weights:
        tried = [(name, {"weight": w}) for name, weights in TRIED.items() for w in weights]
        table(range(100, 105), tried)
        return
    table(range(10), [(name, {}) for name in NAMES])


if __name__ == "__main__":
    main()
