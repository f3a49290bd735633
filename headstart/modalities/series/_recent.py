"""The last steps of a series in their order, seen from the last one; nothing pretrained.

A linear head on them is NLinear (Zeng et al. 2023, arXiv:2205.13504), which many larger networks do not
beat at forecasting. Features that are pooled over time do not tell when something happened, and so cannot
tell what comes next.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.core.network import MASK, Backbone, State
from headstart.modalities.series import network

RECENT = "recent"


class RecentValues(Backbone):
    """Values and marks of gaps (N, T, D) -> {"recent": (N, steps D)}, the last step first; 0 where a
    series is shorter. The level is left out: a forecast is made in the window's own unit.

    Args:
        channels: D, with the mark.
        steps: how many are kept.
    """

    stages = ("recent",)

    def __init__(self, channels: int, steps: int) -> None:
        super().__init__()
        self.steps, self.width = steps, steps * channels

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs in; {"recent": (N, steps D)} out after the one stage."""
        if start >= 1 or stop == 0:
            return dict(state)
        columns = network.columns({k: v for k, v in state.items() if k != "level"})
        last = state[MASK].sum(1) - 1
        place = last[:, None] - torch.arange(self.steps, device=columns.device)
        there = (place >= 0).to(columns.dtype)[:, :, None]
        index = place.clamp(min=0)[:, :, None].expand(-1, -1, columns.shape[2])
        found = torch.gather(columns, 1, index)
        return {RECENT: ((found - found[:, :1]) * there).flatten(1)}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, steps D)."""
        return state[RECENT]

    def stage_of(self, name: str) -> int:
        """0: there is one stage."""
        return 0
