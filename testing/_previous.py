"""What strategies read beside their rows and labels: tiny rows of an earlier task, a teacher's words."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from headstart.core import plugins
from headstart.core.network import Backbone, Network
from headstart.core.strategy import Strategy
from headstart.engine import loop
from headstart.engine.solve import solve
from headstart.engine.streams import Rows

from ._things import TINY, dataset, staged

NAME = "previous"


class Previous(Rows):
    """Rows with classes, and the head that was solved on the features that a backbone gives of them."""

    head: Any = None


def given(
    strategy: Strategy, network: Network, stream: Any, kind: str, rows: int
) -> dict[str, Any]:
    """The training stream, with what a teacher said where the strategy asks for it, and the rows of an
    earlier task where it cannot do without them."""
    streams = {"train": stream}
    if strategy.asks and not strategy.refuse(network):
        stream.targets |= taught(stream, network)
    if strategy.lacks(network, streams) == NAME:
        streams[NAME] = _previous(kind, network.backbone, rows)
    return streams


def beside(strategy: Strategy, width: int, rows: int) -> tuple[Any, dict[str, Any]]:
    """Heads and encoded targets of what a strategy that learns several at once is given beside an outcome: a
    number, and a class that every third row lacks; ({}, {}) for the others."""
    if not strategy.several:
        return {}, {}
    places = np.arange(rows)
    number, kind = (plugins.load("head", name) for name in ("regress", "classify"))
    sizes, sides = number.learn([float(p % 5) for p in places]), kind.learn(["left", "right"])
    labels = sides.encode([("left", "right")[p % 2] for p in places])
    heads = {"also_1": number.Head(width, sizes), "also_2": kind.Head(width, sides)}
    lacking = np.where(places % 3 == 0, -1, labels)
    return heads, {"also_1": sizes.encode([float(p % 5) for p in places]), "also_2": lacking}


def taught(stream: Any, network: Network) -> dict[str, np.ndarray]:
    """A teacher that is right of each row, fairly sure, and has features of width 5."""
    ((name, head),) = network.heads.items()
    labels = stream.targets[name]
    said = np.full((len(labels), int(head.outputs)), 0.02, np.float32)  # type: ignore[arg-type]
    said[np.arange(len(labels)), labels] = 0.9
    features = np.random.default_rng(0).normal(size=(len(labels), 5)).astype(np.float32)
    return {"teacher": said / said.sum(1, keepdims=True), "teacher features": features}


def _previous(kind: str, backbone: Backbone, rows: int) -> Previous:
    data, places = dataset(kind, "classify"), np.arange(rows)
    file = plugins.load("head", "classify")
    raw = list(data.targets(places))
    targets = file.learn(raw)
    labels, head = targets.encode(raw), file.Head(backbone.width, targets)
    transform = staged(f"{kind}/{TINY}").transform
    made = Previous(data, places, transform, {NAME: labels}, augment=True, seed=1)
    with torch.random.fork_rng():
        network = Network(copy.deepcopy(backbone), {NAME: head}).eval()
        features = loop.features(network, made, places)
    folds = [(places[places % 4 != k], places[places % 4 == k]) for k in range(4)]
    head.settle(solve(head.problem(rows), features, head.wanted(labels), folds=folds))
    made.head = head
    return made
