"""What everything that trains parts of a source above a cut has in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from headstart.core.network import Network
from headstart.core.strategy import Group, Strategy
from headstart.errors import PlanError


@dataclass(frozen=True)
class Named:
    """Settings that know whose they are."""

    @property
    def strategy(self) -> str:
        """The strategy whose settings these are."""
        return type(self).__module__.rpartition(".")[2]


@dataclass(frozen=True)
class Training(Named):
    """How far and how fast.

    Attributes:
        cut: stages below it stay as they are and may be kept; negative counts from the end; 0: none.
        epochs: passes over the training rows, at most.
        rate: learning rate (AdamW).
        dropout: on the features, before the head.
        patience: epochs without a better validation loss before training ends; 0: never.
        augment: whether the modality's augmentation is used (then states are not kept).
    """

    cut: int = 0
    epochs: int = 30
    rate: float = 1e-3
    dropout: float = 0.1
    patience: int = 6
    augment: bool = True

    def __post_init__(self) -> None:
        above(self, "epochs", "rate")
        at_least(self, 0, "patience")
        if not 0 <= self.dropout < 1:
            raise PlanError(
                f"{self.strategy}.dropout came as {self.dropout}; expected 0 <= dropout < 1."
            )


@dataclass(frozen=True)
class Tuning(Training):
    """How far and how fast the source's own weights move.

    Attributes:
        rate: learning rate of the last stage (AdamW).
        head_rate: factor on `rate` for the head, which starts from its solved weights.
        depth_decay: factor on the rate per stage towards the input.
        weight_decay: decoupled, on matrices only.
        statistics: whether batch-norm statistics of the trained stages may move.
    """

    rate: float = 3e-4
    head_rate: float = 3.0
    depth_decay: float = 0.8
    weight_decay: float = 0.01
    statistics: bool = False

    head_first: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        above(self, "depth_decay")
        at_least(self, 0, "weight_decay")


class Trained(Strategy):
    """A strategy with a cut in the network, of which at least a part above it is trained."""

    settings: Any

    def refuse(self, network: Network) -> str:
        """A network that gives no gradients cannot be trained."""
        why = network.backbone.frozen
        return f"{why}. Use linear_probe, which trains a head on its features." if why else ""

    def cut(self, network: Network) -> int:
        """The cut as a stage number. Raises PlanError when there is no such stage."""
        stages, asked = network.backbone.stages, int(self.settings.cut)
        cut = asked if asked >= 0 else len(stages) + asked
        if not 0 <= cut < len(stages):
            raise PlanError(
                f"{self.settings.strategy}.cut came as {asked}, but the source has {len(stages)} stages "
                f"({', '.join(stages)}). Expected a number from {-len(stages)} to {len(stages) - 1}."
            )
        return cut


def staged(
    network: Network,
    cut: int,
    decay: float,
    share: Callable[[Network, int], float],
    *,
    statistics: bool = False,
) -> tuple[Group, ...]:
    """The stages from a cut on: one group a stage for matrices, one for vectors (no decay).

    Args:
        decay: weight decay of matrices.
        share: network, stage -> factor on the rate.
        statistics: whether batch-norm statistics may move.
    """
    backbone, groups = network.backbone, []
    for stage in range(cut, len(backbone.stages)):
        rate, name = share(network, stage), backbone.stages[stage]
        owned = [(n, p) for n, p in backbone.named_parameters() if backbone.stage_of(n) == stage]
        matrices = tuple(f"backbone.{n}" for n, p in owned if p.ndim > 1)
        vectors = tuple(f"backbone.{n}" for n, p in owned if p.ndim <= 1)
        moving = tuple(
            f"backbone.{n}"
            for n, _ in backbone.named_buffers()
            if statistics and backbone.stage_of(n) == stage
        )
        groups.append(Group(name, matrices, rate, decay, moving))
        groups.append(Group(f"{name}, vectors", vectors, rate))
    return tuple(g for g in groups if g.parameters or g.buffers)


def above(settings: Named, *names: str) -> None:
    """Raises PlanError for one of these settings that is not above 0."""
    for name in names:
        came = getattr(settings, name)
        if not came > 0:
            raise PlanError(f"{settings.strategy}.{name} came as {came}; it must be above 0.")


def at_least(settings: Named, least: float, *names: str) -> None:
    """Raises PlanError for one of these settings that is less than `least`."""
    for name in names:
        came = getattr(settings, name)
        if not came >= least:
            raise PlanError(
                f"{settings.strategy}.{name} came as {came}; expected {least:g} or more."
            )
