"""What strategies that train few parameters have in common: the solved head, then head and these together."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.strategies._tuning import Trained, Training, at_least


@dataclass(frozen=True)
class Few(Training):
    """How far and how fast.

    Attributes:
        head_first: start from the solved head.
        weight_decay: decoupled, on matrices only.
    """

    head_first: bool = True
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight_decay")


class Efficient(Trained):
    """Two phases: the solved head, then head and few other parameters together.

    The head learns at `head_rate` times the rate, where the settings have one.
    """

    settings: Few

    def refuse(self, network: Network) -> str:
        """Neither can a network be trained that lacks what is trained."""
        return super().refuse(network) or self.lacking(network)

    def lacking(self, network: Network) -> str:
        """What the network lacks for this strategy, and what would serve; "": nothing."""
        return ""

    def trained(self, network: Network) -> tuple[str, ...]:
        """Names of the parameters that train beside the head; () before `prepare` has made them."""
        raise NotImplementedError

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, cut = self.settings, self.cut(network)
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_parameters())
        rate, decay = getattr(settings, "head_rate", 1.0), settings.weight_decay
        trained, shapes = self.trained(network), dict(network.named_parameters())
        groups = (
            Group("head", names, rate=rate, decay=decay),
            Group(settings.strategy, tuple(n for n in trained if shapes[n].ndim > 1), decay=decay),
            Group(
                f"{settings.strategy}, vectors", tuple(n for n in trained if shapes[n].ndim <= 1)
            ),
        )
        first = Phase(
            "head", (Group("head", names),), cut=len(network.backbone.stages), solved=True
        )
        both = Phase(
            f"head and {settings.strategy}",
            tuple(group for group in groups if group.parameters),
            cut=cut,
            epochs=settings.epochs,
            rate=settings.rate,
            patience=settings.patience,
            augment=settings.augment,
        )
        return (first, both) if settings.head_first else (both,)
