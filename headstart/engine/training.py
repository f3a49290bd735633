"""Settings of one training, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headstart.core.network import Network


def always() -> None:
    """Of a training that nobody else ends."""


def nothing(network: Network, record: dict[str, Any]) -> Sequence[str]:
    """Of a training whose epochs nobody measures."""
    return ()


@dataclass(frozen=True)
class Training:
    """Settings of one training.

    Attributes:
        seed: of order, dropout and augmentation.
        batch: rows per step.
        costs: forward operations per sample of each stage, for the ledger.
        most_flops: the training ends after the epoch that passes it; infinite: never.
        epochs: by phase name, instead of what the phase says (a refit to a known length).
        pace: by phase name, validation losses by epoch of a rival; far behind them it ends.
        device: "cpu", "cuda" ...
        name: shown with progress.
        alive: called before every step; what it raises ends the training.
        after_epoch: called after every epoch with the network, what the strategy trains; it may add
            measures to the epoch's record, and returns sentences for a person.
    """

    seed: int = 0
    batch: int = 32
    costs: Sequence[float] = ()
    most_flops: float = math.inf
    epochs: Mapping[str, int] = field(default_factory=dict)
    pace: Mapping[str, Sequence[float]] = field(default_factory=dict)
    device: str = "cpu"
    name: str = "training"
    alive: Callable[[], None] = always
    after_epoch: Callable[[Network, dict[str, Any]], Sequence[str]] = nothing


@dataclass
class Trained:
    """What came of it.

    Attributes:
        history: one mapping per epoch: phase, epoch, loss and its parts, validation loss.
        best: by phase, the number of epochs after which the validation loss was lowest.
        ended: by phase: "epochs", "averaged" (all of them, the last of which make the mean), "patience",
            "behind" (its rival's pace) or "budget".
        flops: operations, forward and backward.
        seconds: wall time.
        notes: sentences for a person.
        held: validation loss of the weights that were handed back, where they are those of no epoch.
        parameters: how many of the network some phase trains.
        resumed: whether it went on from a checkpoint.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, int] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    flops: float = 0.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    held: float | None = None
    parameters: int = 0
    resumed: bool = False

    @property
    def lowest(self) -> float:
        """Validation loss of the weights that were handed back; infinite without validation."""
        if self.held is not None:
            return self.held
        return min((h["validation"] for h in self.history if "validation" in h), default=math.inf)

    def losses(self, phase: str) -> list[float]:
        """Validation losses of a phase by epoch; empty without validation."""
        return [float(h["validation"]) for h in self.of(phase) if "validation" in h]

    def of(self, phase: str) -> list[dict[str, Any]]:
        """What is known of each epoch of a phase."""
        return [h for h in self.history if h["phase"] == phase]

    def improving(self, phase: str) -> bool:
        """Whether the validation loss was still falling when the budget or the epochs ended; without one it
        is not known to have been."""
        run = self.of(phase)
        late = self.best.get(phase, 0) >= max(1, math.ceil(0.9 * len(run)))
        return self.ended.get(phase) in ("budget", "epochs") and late and bool(self.losses(phase))
