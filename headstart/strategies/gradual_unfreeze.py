"""Freeing stage after stage from the top, at rates that fall towards the input, on slanted triangles.

Howard and Ruder 2018, "Universal language model fine-tuning" (ULMFiT), arXiv:1801.06146. There a network has
four layer groups; here its stages are gathered in at most that many, so that the lowest of a deep network
still moves.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from headstart.core.network import Network
from headstart.core.strategy import Phase
from headstart.strategies import fine_tune
from headstart.strategies._tuning import Tuning, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, of the last phase, and how it comes to it.

    Attributes:
        rate: highest learning rate of the topmost group (AdamW).
        depth_decay: factor on the rate per group towards the input.
        groups: in how many steps the stages above the cut are freed, at most.
        each: epochs after each step but the last.
    """

    depth_decay: float = 1 / 2.6
    groups: int = 4
    each: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "groups", "each")


class Strategy(fine_tune.Strategy):
    """The solved head, then a phase for each group of stages that is freed."""

    settings: Settings

    def cuts(self, network: Network) -> tuple[int, ...]:
        """Lowest stage of each group, the topmost group first; groups differ by one stage at most."""
        low, stages = self.cut(network), len(network.backbone.stages)
        count = min(self.settings.groups, stages - low)
        return tuple(low + (stages - low) * k // count for k in reversed(range(count)))

    def share(self, network: Network, stage: int) -> float:
        """Factor on the rate for a stage, one a group."""
        below = sum(stage < cut for cut in self.cuts(network))
        return float(self.settings.depth_decay**below)

    def phases(self, network: Network) -> tuple[Phase, ...]:
        solved, last = super().phases(network)
        head, *groups = last.groups
        stages, made = network.backbone.stages, [solved]
        for cut in self.cuts(network):
            whole = cut == last.cut
            freed = {name for stage in stages[cut:] for name in (stage, f"{stage}, vectors")}
            phase = dataclasses.replace(
                last,
                groups=(head, *(g for g in groups if g.name in freed)),
                schedule="slanted",
            )
            if not whole:
                phase = dataclasses.replace(
                    phase,
                    name=f"from {stages[cut]}",
                    cut=cut,
                    epochs=self.settings.each,
                    patience=0,
                )
            made.append(phase)
        return tuple(made)
