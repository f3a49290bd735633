"""Restore what was hidden of the input from what is left, at the places where it was hidden.

SimMIM, Xie et al. 2022, arXiv:2111.09886: random pieces of the input are replaced by a learned value, one
linear map restores the input from the features of each place, and the error counts where it was hidden. For
any backbone whose features have positions; MAE (arXiv:2111.06377) and PatchTST (arXiv:2211.14730) hide alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.network import Network
from headstart.core.objective import Objective as Base
from headstart.core.strategy import Batch
from headstart.objectives._parts import Common
from headstart.objectives._places import has_places, hidden, real, restorer, tokens_only

CELLS = 8  # units along the shortest axis, where their size is not given


@dataclass(frozen=True)
class Settings(Common):
    """Of what is hidden.

    Attributes:
        share: of the input that is hidden.
        unit: side of a hidden piece, in steps of the input; 0: an eighth of the shortest axis.
    """

    share: float = 0.5
    unit: int = 0


class Objective(Base):
    """Mean absolute error on the hidden pieces."""

    settings: Settings

    def refuse(self, network: Network) -> str:
        if not has_places(network):
            return super().refuse(network) or (
                "the network has no features of places, so nothing hidden can be restored at its place"
            )
        return super().refuse(network) or tokens_only(network)

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        self.restorer = restorer(network, streams)
        self.value = nn.Parameter(torch.zeros(self.restorer.laid.channels))

    def loss(
        self, network: Network, batches: Mapping[str, Batch], progress: float
    ) -> Mapping[str, Tensor]:
        inputs, restores = batches["train"].inputs, self.restorer
        wanted = inputs[restores.laid.name]
        steps = restores.steps(wanted)
        unit = self.settings.unit or max(1, min(steps) // CELLS)
        gone = hidden(len(wanted), steps, unit, self.settings.share, wanted.device)
        value = self.value if restores.laid.last else self.value.reshape(-1, *[1] * len(steps))
        left = torch.where(restores.spread(gone), value.to(wanted.dtype), wanted)
        made = restores(network, {**inputs, restores.laid.name: left})
        where = gone & real(inputs, wanted, steps)
        return {"restored": restores.error(made, wanted, where)}
