"""Training the same network from random weights: what a transfer is compared with, or the model itself.

He, Girshick and Dollar 2019, arXiv:1811.08883: a fair twin gets its own rate and enough time.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.core.strategy import Strategy as Base


@dataclass(frozen=True)
class Settings:
    """One rate for the whole network.

    Attributes:
        rate: learning rate (AdamW, cosine with warm-up).
        epochs: passes over the training rows, at most.
        weight_decay: decoupled, on matrices only.
        dropout: on the features, before the head.
        patience: epochs without a better validation loss before training ends.
        augment: whether the modality's augmentation is used.
    """

    rate: float = 1e-3
    epochs: int = 60
    weight_decay: float = 0.05
    dropout: float = 0.1
    patience: int = 15
    augment: bool = True


class Strategy(Base):
    """One phase over everything, batch-norm statistics included."""

    settings: Settings
    from_random = True

    def refuse(self, network: Network) -> str:
        """A network that gives no gradients cannot be trained from random weights either."""
        return f"{network.backbone.frozen}." if network.backbone.frozen else ""

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, backbone = self.settings, network.backbone
        named = [(f"backbone.{n}", p) for n, p in backbone.named_parameters() if _own(backbone, n)]
        named += [(f"heads.{n}", p) for n, p in network.heads.named_parameters()]
        buffers = tuple(f"backbone.{n}" for n, _ in backbone.named_buffers() if _own(backbone, n))
        matrices = tuple(n for n, p in named if p.ndim > 1)
        vectors = tuple(n for n, p in named if p.ndim <= 1)
        phase = Phase(
            "from scratch",
            (
                Group("matrices", matrices, decay=settings.weight_decay, buffers=buffers),
                Group("vectors", vectors),
            ),
            cut=0,
            epochs=settings.epochs,
            rate=settings.rate,
            patience=settings.patience,
            augment=settings.augment,
        )
        return (phase,)


def _own(backbone: object, name: str) -> bool:
    """The source's own head is no part of the twin."""
    return backbone.stage_of(name) >= 0  # type: ignore[attr-defined, no-any-return]
