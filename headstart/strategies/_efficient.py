"""What strategies that train few parameters have in common: the solved head, then head and these together."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.strategies._tuning import Trained, Training


@dataclass(frozen=True)
class Few(Training):
    """How far and how fast; without weight decay.

    Attributes:
        head_first: start from the solved head.
    """

    head_first: bool = True


class Efficient(Trained):
    """Two phases: the solved head, then head and few other parameters together; no weight decay.

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
        head = Group("head", names, rate=getattr(settings, "head_rate", 1.0))
        few = Group(settings.strategy, self.trained(network))
        first = Phase(
            "head", (Group("head", names),), cut=len(network.backbone.stages), solved=True
        )
        both = Phase(
            f"head and {settings.strategy}",
            (head, few) if few.parameters else (head,),
            cut=cut,
            epochs=settings.epochs,
            rate=settings.rate,
            patience=settings.patience,
            augment=settings.augment,
        )
        return (first, both) if settings.head_first else (both,)
