"""Fine-tuning whose batch norms draw, channel by channel, between stored statistics and the batch's.

Kou, You, Long and Wang 2020, "Stochastic normalization", NeurIPS 33. With s drawn anew for each channel and
batch, x = (1 - s) x_stored + s x_batch; afterwards the layers are plain batch norms again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from headstart.core.network import Network
from headstart.errors import PlanError
from headstart.strategies import fine_tune
from headstart.strategies._tuning import Tuning


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune; batch-norm statistics always move. The head starts from zero and learns fast, as one
    that was solved on other statistics would be far off at first.

    Attributes:
        share: chance of a channel to use the batch's statistics.
    """

    head_rate: float = 10.0
    statistics: bool = True
    share: float = 0.5

    head_first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise PlanError(f"stoch_norm.share came as {self.share}; expected 0 < share <= 1.")
        if not self.statistics:
            raise PlanError(
                "stoch_norm.statistics came as False, but batches are normed by moving statistics here. "
                "Leave it out, or choose fine_tune."
            )


class Strategy(fine_tune.Strategy):
    """`fine_tune` with its batch norms drawn; batches are of full size, as statistics of a few rows are
    noise."""

    settings: Settings
    whole = True
    running = True  # stored statistics of the one batch at hand would be that batch's

    def refuse(self, network: Network) -> str:
        """It takes batch norm in what trains."""
        why = super().refuse(network)
        if why or self.norms(network):
            return why
        return (
            "it changes batch norm, and nothing that would train in this source has one with stored "
            "statistics; choose bss, l2_sp or fine_tune"
        )

    def norms(self, network: Network) -> list[nn.Module]:
        """Batch norms with stored statistics in the stages that train."""
        backbone, cut = network.backbone, self.cut(network)
        return [
            module
            for name, module in backbone.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            and module.running_mean is not None
            and backbone.stage_of(f"{name}.running_mean") >= cut
        ]

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        self.handles: list[RemovableHandle] = [
            module.register_forward_hook(Drawn(self.settings.share))
            for module in self.norms(network)
        ]

    def finish(self, network: Network) -> Network:
        for handle in self.handles:
            handle.remove()
        return network


class Drawn:
    """After a batch norm in training mode: some channels of its output as its stored statistics make them.

    What follows channel by channel inside the layer (scale, shift, a rectifier) may stay there, as each
    channel is wholly of one kind.

    Args:
        share: chance of a channel to keep the batch's statistics.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not module.training:
            return None
        module.training = False
        try:
            stored: Tensor = module.forward(*inputs)
        finally:
            module.training = True
        channels = (1, -1, *[1] * (output.ndim - 2))
        drawn = torch.rand(output.shape[1], device=output.device)
        return torch.where((drawn < self.share).view(channels), output, stored)
