"""Fine-tuning with two contrasts beside the task's loss: of each class's direction in the head with rows, and
of each row's projection with those of its class.

Zhong, Wang, Kou, Wang and Long 2020, "Bi-tuning of pre-trained representations", arXiv:2011.06182. Keys
come from a running average of the network (He et al. 2020, arXiv:1911.05722), of the same view of the rows,
and are kept in a queue for each class.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.strategies._regularised import Regularised
from headstart.strategies._tuning import Tuning, above, at_least

WIDTH = 128  # of the projections
QUEUE = 40  # keys kept of each class
MOMENTUM = 0.999


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, and the contrasts.

    Attributes:
        weight: of both contrasts.
        temperature: of both.
    """

    weight: float = 1.0
    temperature: float = 0.07

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")
        above(self, "temperature")


class Strategy(Regularised):
    """`fine_tune` with the parts "contrast of classes" and "contrast of rows" in the loss while training."""

    settings: Settings
    forwards = 2
    whole = True
    blends = False

    def refuse(self, network: Network) -> str:
        """It takes rows of one class each, and a linear head."""
        why = super().refuse(network)
        if why:
            return why
        heads: Any = network.heads.values()
        if not all(head.one_class and head.directions() is not None for head in heads):
            return (
                "it contrasts rows of one class with those of others, but this outcome's rows have no "
                "single class; choose bss or l2_sp"
            )
        return ""

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        heads: Any = network.heads.values()
        (head,) = heads
        self.projector = nn.Linear(network.backbone.width, WIDTH)
        self.average = nn.ModuleList([copy.deepcopy(network), copy.deepcopy(self.projector)])
        self.average.requires_grad_(False).eval()
        self.queues = Queues(head.outputs, network.backbone.width, WIDTH)
        self.fresh: tuple[Tensor, Tensor, Tensor] | None = None

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        ((name, labels),) = batch.targets.items()
        kept, projection = self.average
        with torch.no_grad():
            keys = kept(batch.inputs, start=batch.start, want="features")
            keys, placed = _unit(keys), _unit(projection(keys))
        self.fresh = (keys, placed, labels)
        known, directed, projected = self.queues.beside(keys, placed, labels)
        alike = labels[:, None] == known[None]
        scale = self.settings.weight
        directions = _unit(network.heads[name].directions())[labels]  # type: ignore[operator]
        rows = _unit(self.projector(features))
        warm = self.settings.temperature
        return {
            "contrast of classes": scale * contrast(directions @ directed.T / warm, alike),
            "contrast of rows": scale * contrast(rows @ projected.T / warm, alike),
        }

    @torch.no_grad()
    def after_step(self, network: Network, progress: float) -> None:
        """The average follows, its statistics at once; the keys of the step join the queues."""
        kept, projection = self.average
        for mine, other in ((kept, network), (projection, self.projector)):
            for average, value in zip(mine.parameters(), other.parameters(), strict=True):
                average.lerp_(value, 1.0 - MOMENTUM)
            for held, now in zip(mine.buffers(), other.buffers(), strict=True):
                held.copy_(now)
        if self.fresh is not None:
            self.queues.add(*self.fresh)
            self.fresh = None


class Queues(nn.Module):
    """The last keys of each class: features and projections of length 1.

    Args:
        classes, width, projected: numbers of classes, and of columns of either kind.
    """

    counts: Tensor
    features: Tensor
    projections: Tensor

    def __init__(self, classes: int, width: int, projected: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("features", torch.zeros(classes, QUEUE, width))
        self.register_buffer("projections", torch.zeros(classes, QUEUE, projected))

    def beside(self, keys: Tensor, placed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Classes (M,), features (M, width) and projections (M, projected) of a batch's keys and of all that
        are kept."""
        place = torch.arange(QUEUE, device=self.counts.device)
        there = place[None] < self.counts[:, None].clamp(max=QUEUE)
        classes = torch.nonzero(there)[:, 0]
        return (
            torch.cat([labels, classes]),
            torch.cat([keys, self.features[there]]),
            torch.cat([placed, self.projections[there]]),
        )

    def add(self, keys: Tensor, placed: Tensor, labels: Tensor) -> None:
        """Each key in place of the oldest of its class."""
        for key, where, label in zip(keys, placed, labels.tolist(), strict=True):
            place = int(self.counts[label]) % QUEUE
            self.features[label, place], self.projections[label, place] = key, where
            self.counts[label] += 1


def contrast(logits: Tensor, alike: Tensor) -> Tensor:
    """Cross-entropy over keys, each row's wanted share spread evenly over the keys of its class: mean.

    Args:
        logits: (N, M).
        alike: (N, M) bool, at least one a row.
    """
    wanted = alike / alike.sum(1, keepdim=True)
    return -(wanted * logits.log_softmax(1)).sum(1).mean()


def _unit(rows: Tensor) -> Tensor:
    return functional.normalize(rows.float(), dim=1)
