"""Few-shot tuning by pairs, then a solved head: rows of a class are drawn together and those of others apart.

Tunstall et al. 2022, "Efficient few-shot learning without prompts" (SetFit), arXiv:2209.11055; the loss on
cosine similarities is that of Reimers and Gurevych 2019, arXiv:1908.10084, the supervised contrastive one
that of Khosla et al. 2020, arXiv:2004.11362. There each pair is read by itself; here all pairs within a
batch are compared, so n rows read once give n (n - 1) / 2 pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.core.network import MASK, Network
from headstart.core.strategy import Batch, Group, Phase
from headstart.errors import PlanError
from headstart.strategies._tuning import Named, Trained, above, at_least, staged

GROUP = 8  # rows of like length that go through the network together
LOSSES = ("supervised", "cosine")


@dataclass(frozen=True)
class Settings(Named):
    """How far and how fast.

    Attributes:
        cut: stages below it stay as they are and are computed once; negative counts from the end; 0: none.
        epochs: passes over the training rows.
        rate: learning rate of the last stage (AdamW).
        depth_decay: factor on the rate per stage towards the input.
        weight_decay: decoupled, on matrices only.
        contrast: "supervised": cross-entropy over the rows of a batch; "cosine": squared distance of
            similarities from 1 within a class and from 0 between classes.
        temperature: of "supervised".
        augment: whether the modality's augmentation is used (then states are not kept).
    """

    cut: int = -4
    epochs: int = 3
    rate: float = 5e-4
    depth_decay: float = 1.0
    weight_decay: float = 0.01
    contrast: str = "supervised"
    temperature: float = 0.3
    augment: bool = False

    def __post_init__(self) -> None:
        above(self, "epochs", "rate", "depth_decay", "temperature")
        at_least(self, 0, "weight_decay")
        if self.contrast not in LOSSES:
            raise PlanError(
                f"contrastive.contrast came as '{self.contrast}'; expected {' or '.join(LOSSES)}."
            )


class Strategy(Trained):
    """Two phases: the stages above the cut on pairs of rows, then the head, solved on their new features."""

    settings: Settings
    composes = False
    chooses = False

    def refuse(self, network: Network) -> str:
        """It takes rows of one class each."""
        why = super().refuse(network)
        if why or all(head.one_class for head in network.heads.values()):
            return why
        return (
            "it compares rows of one class with those of others, but this outcome's rows have no single "
            "class; choose fine_tune"
        )

    def unfit(self, targets: Mapping[str, np.ndarray]) -> str:
        """Some class must have two rows, else there is no pair within a class."""
        if all(len(np.unique(labels)) < len(labels) for labels in targets.values()):
            return ""
        return (
            "every class has one row only, so there is no pair of rows of one class to compare; choose "
            "prototype, which needs one row a class"
        )

    def cut(self, network: Network) -> int:
        """As it was asked for; a default beyond the first stage is the first stage."""
        stages = len(network.backbone.stages)
        if self.settings.cut == Settings.cut and -self.settings.cut > stages:
            return 0
        return super().cut(network)

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, cut = self.settings, self.cut(network)
        pairs = Phase(
            "pairs",
            staged(network, cut, settings.weight_decay, self.share),
            cut=cut,
            epochs=settings.epochs,
            rate=settings.rate,
            augment=settings.augment,
            whole=True,
        )
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_parameters())
        return (pairs, Phase("head", (Group("head", names),), cut=cut, solved=True))

    def share(self, network: Network, stage: int) -> float:
        """Factor on the rate for a stage: it falls towards the input."""
        return float(self.settings.depth_decay ** (len(network.backbone.stages) - 1 - stage))

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        """The part "pairs"; the head has none, for it is solved."""
        batch = batches["train"]
        features = _features(network, batch)
        (labels,) = (batch.targets[name] for name in network.heads)
        if self.settings.contrast == "cosine":
            return {"pairs": cosine(features, labels)}
        return {"pairs": supervised(features, labels, self.settings.temperature)}


def _features(network: Network, batch: Batch) -> Tensor:
    """(N, width). Rows of a kept state that differ in length go through the network in groups of like length,
    so that little of what is computed is padding; the loss still compares all of them."""
    inputs, start = batch.inputs, batch.start
    backbone = network.backbone
    if start == 0 or MASK not in inputs or set(backbone.axes().values()) != {MASK}:
        made: Tensor = network(inputs, start=start, want="features")
        return made
    lengths = inputs[MASK].sum(1)
    order = lengths.argsort(stable=True)
    parts = []
    for rows in order.split(GROUP):
        longest = max(1, int(lengths[rows].max()))
        ragged = (MASK, *backbone.ragged)
        part = {n: t[rows][:, :longest] if n in ragged else t[rows] for n, t in inputs.items()}
        parts.append(network(part, start=start, want="features"))
    return torch.cat(parts)[order.argsort()]


def cosine(features: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance of the cosine similarity of two rows from 1 where they are of one class, and from
    0 where they are not; pairs of both kinds weigh alike in sum, however many there are of each.

    Args:
        features: (N, width).
        labels: (N,).

    Returns:
        (), 0 to 4; 0 where there is no pair.
    """
    similar, same, pair = _compared(features, labels)
    within, between = (pair & same).sum(), (pair & ~same).sum()
    weight = (pair & same) / within.clamp(min=1) + (pair & ~same) / between.clamp(min=1)
    kinds = (within > 0).float() + (between > 0).float()
    return (weight * (similar - same.float()).square()).sum() / kinds.clamp(min=1)


def supervised(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each row over all others, its share spread evenly over the others of its class: the
    mean over rows whose class has another row in the batch; 0 where none has.

    Args:
        features: (N, width).
        labels: (N,).
        temperature: by which similarities are divided.
    """
    similar, same, _ = _compared(features, labels)
    self = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (similar / temperature).masked_fill(self, torch.finfo(similar.dtype).min)
    alike = same & ~self
    rows = alike.sum(1)
    told = (logits.log_softmax(1).masked_fill(~alike, 0.0)).sum(1) / rows.clamp(min=1)
    return -told.sum() / (rows > 0).sum().clamp(min=1)


def _compared(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, N) cosine similarities, whether two rows are of one class, and each pair of two rows once."""
    rows = functional.normalize(features.float(), dim=1)
    same = labels[:, None] == labels[None]
    return rows @ rows.T, same, torch.ones_like(same).triu(1)
