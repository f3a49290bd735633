"""Settings of everything that trains the source's own weights above a cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from headstart.errors import PlanError


@dataclass(frozen=True)
class Tuning:
    """How far and how fast.

    Attributes:
        cut: stages below it stay frozen and may be kept; negative counts from the end; 0: all train.
        epochs: passes over the training rows, at most.
        rate: learning rate of the last stage (AdamW).
        head_rate: factor on `rate` for the head, which starts from its solved weights.
        depth_decay: factor on the rate per stage towards the input.
        weight_decay: decoupled, on matrices only.
        dropout: on the features, before the head.
        patience: epochs without a better validation loss before training ends; 0: never.
        augment: whether the modality's augmentation is used (then states are not kept).
        statistics: whether batch-norm statistics of the trained stages may move.
    """

    cut: int = 0
    epochs: int = 30
    rate: float = 3e-4
    head_rate: float = 3.0
    depth_decay: float = 0.8
    weight_decay: float = 0.01
    dropout: float = 0.1
    patience: int = 6
    augment: bool = True
    statistics: bool = False

    head_first: ClassVar[bool] = True

    def __post_init__(self) -> None:
        above(self, "epochs", "rate", "depth_decay")
        if not 0 <= self.dropout < 1:
            raise PlanError(
                f"{self.strategy}.dropout came as {self.dropout}; expected 0 <= dropout < 1."
            )

    @property
    def strategy(self) -> str:
        """The strategy whose settings these are."""
        return type(self).__module__.rpartition(".")[2]


def above(settings: Any, *names: str) -> None:
    """Raises PlanError for one of these settings that is not above 0."""
    for name in names:
        came = getattr(settings, name)
        if not came > 0:
            raise PlanError(f"{settings.strategy}.{name} came as {came}; it must be above 0.")


def at_least(settings: Any, least: float, *names: str) -> None:
    """Raises PlanError for one of these settings that is less than `least`."""
    for name in names:
        came = getattr(settings, name)
        if not came >= least:
            raise PlanError(
                f"{settings.strategy}.{name} came as {came}; expected {least:g} or more."
            )
