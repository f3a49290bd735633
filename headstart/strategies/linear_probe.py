"""A linear head on frozen features: solved, not trained.

Alain and Bengio 2016, arXiv:1610.01644. The head's regularisation strength is chosen by
cross-validation on stored features.
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.core.strategy import Strategy as Base


@dataclass(frozen=True)
class Settings:
    """A probe has nothing to set."""


AUTO = (Settings(),)


class Strategy(Base):
    """One solved phase over the heads; the backbone is frozen to the bit."""

    def phases(self, network: Network) -> tuple[Phase, ...]:
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_parameters())
        group = Group("head", names)
        return (Phase("head", (group,), cut=len(network.backbone.stages), solved=True),)
