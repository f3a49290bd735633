"""Fine-tuning above a cut: head first and then all (LP-FT), rates decaying with depth.

Kumar et al. 2022, arXiv:2202.10054 (head first); Howard and Ruder 2018, arXiv:1801.06146, and Clark et
al. 2020, arXiv:2003.10555 (rates by depth); Loshchilov and Hutter 2019, arXiv:1711.05101 (decay).
"""

from __future__ import annotations

from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Group, Phase
from headstart.strategies._tuning import Trained, Tuning, staged


@dataclass(frozen=True)
class Settings(Tuning):
    """How far and how fast.

    Attributes:
        head_first: start from the solved head.
    """

    head_first: bool = True  # type: ignore[misc]  # a constant for all others


# What `strategy = "auto"` tries beside the probe, cheapest first: a careful pass over the last stages from
# kept states, and a bold one in which everything moves at one rate from a fresh head, for sources that lie
# far from the task.
AUTO = (
    Settings(cut=-2, augment=False, epochs=20),
    Settings(
        cut=0,
        epochs=20,
        rate=2e-3,
        head_rate=1.0,
        depth_decay=1.0,
        weight_decay=0.05,
        patience=8,
        statistics=True,
        head_first=False,
    ),
)


class Strategy(Trained):
    """Two phases: the solved head, then head and upper stages together.

    A subclass that compares the rows of a batch sets `whole`, as `Phase` has it. The second phase takes a
    batch of all `streams` in each step.
    """

    whole: bool = False
    settings: Tuning

    def phases(self, network: Network) -> tuple[Phase, ...]:
        settings, cut = self.settings, self.cut(network)
        names = tuple(f"heads.{name}" for name, _ in network.heads.named_parameters())
        head = Group("head", names, rate=settings.head_rate, decay=settings.weight_decay)
        first = Phase("head", (head,), cut=len(network.backbone.stages), solved=True)
        both = Phase(
            "all" if cut == 0 else f"above {network.backbone.stages[cut - 1]}",
            (head, *self.groups(network, cut)),
            cut=cut,
            epochs=settings.epochs,
            rate=settings.rate,
            patience=settings.patience,
            augment=settings.augment,
            whole=self.whole,
            streams=self.streams,
        )
        return (first, both) if settings.head_first else (both,)

    def share(self, network: Network, stage: int) -> float:
        """Factor on the rate for a stage: it falls towards the input."""
        return float(self.settings.depth_decay ** (len(network.backbone.stages) - 1 - stage))

    def groups(self, network: Network, cut: int) -> tuple[Group, ...]:
        """One group a stage for matrices, one for vectors (no decay)."""
        settings = self.settings
        return staged(
            network, cut, settings.weight_decay, self.share, statistics=settings.statistics
        )
