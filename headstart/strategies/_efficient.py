"""What strategies that train few parameters have in common: the solved head, then head and these together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.core.strategy import Strategy as Base
from headstart.errors import PlanError

INSTEAD = "Use linear_probe, which trains a head on its features"


def checked(name: str, settings: Any, above: Sequence[str]) -> None:
    """Raises PlanError unless the settings `above` are above 0 and `dropout` is a share."""
    for key in above:
        value = getattr(settings, key)
        if not value > 0:
            raise PlanError(f"{name}.{key} came as {value}; it must be above 0.")
    if not 0 <= settings.dropout < 1:
        raise PlanError(f"{name}.dropout came as {settings.dropout}; expected 0 <= dropout < 1.")


class Efficient(Base):
    """Two phases: the solved head, then head and few other parameters together; no weight decay.

    Of the settings it reads `cut`, `epochs`, `rate`, `patience`, `augment`, `head_first`, and `head_rate`
    where there is one.
    """

    name: str

    def refuse(self, network: Network) -> str:
        """A network that gives no gradients cannot be trained; nor can one that lacks what is trained."""
        why = network.backbone.frozen
        if why:
            return f"{why}. {INSTEAD}."
        return self.lacking(network)

    def lacking(self, network: Network) -> str:
        """What the network lacks for this strategy, and what would serve; "": nothing."""
        return ""

    def trained(self, network: Network) -> tuple[str, ...]:
        """Names of the parameters that train beside the head; () before `prepare` has made them."""
        raise NotImplementedError

    def cut(self, network: Network) -> int:
        """The cut as a stage number. Raises PlanError when there is no such stage."""
        stages, asked = network.backbone.stages, int(self.settings.cut)
        cut = asked if asked >= 0 else len(stages) + asked
        if not 0 <= cut < len(stages):
            raise PlanError(
                f"{self.name}.cut came as {asked}, but the source has {len(stages)} stages "
                f"({', '.join(stages)}). Expected a number from {-len(stages)} to {len(stages) - 1}."
            )
        return cut

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, cut = self.settings, self.cut(network)
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_parameters())
        head = Group("head", names, rate=getattr(settings, "head_rate", 1.0))
        few = Group(self.name, self.trained(network))
        first = Phase(
            "head", (Group("head", names),), cut=len(network.backbone.stages), solved=True
        )
        both = Phase(
            f"head and {self.name}",
            (head, few) if few.parameters else (head,),
            cut=cut,
            epochs=settings.epochs,
            rate=settings.rate,
            patience=settings.patience,
            augment=settings.augment,
        )
        return (first, both) if settings.head_first else (both,)
