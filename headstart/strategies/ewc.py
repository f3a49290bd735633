"""Fine-tuning in which each weight is held as strongly as what the source knew depends on it.

Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks", arXiv:1612.00796: weight /
2 sum_j F_j (w_j - w0_j)^2 is added, with F the diagonal of the Fisher information of the old head's
predictions: the mean, over rows, of the squared gradient of each row's log-likelihood, of a label drawn
from the prediction itself. It is taken row by row; the square of a batch's mean gradient is another
quantity, which vanishes at an optimum. weight / 2 sum F (w - w0)^2 is, to second order and with the
diagonal alone, weight times the divergence between what the old head said and what it says now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.strategies import _old
from headstart.strategies._apart import Apart
from headstart.strategies._regularised import Regularised, pull
from headstart.strategies._tuning import Tuning, at_least


@dataclass(frozen=True)
class Settings(Tuning):
    """As of fine_tune, without decay to zero.

    Attributes:
        weight: lambda of the paper.
        rows: at most, on which the Fisher information is taken.
    """

    weight_decay: float = 0.0
    weight: float = 100.0
    rows: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "weight")
        at_least(self, 1, "rows")


class Strategy(_old.Told, Regularised):
    """`fine_tune` with the part "ewc" in the loss while training."""

    settings: Settings

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Keeps the weights that will train and their Fisher information, on rows of the earlier task where
        there are any, else on the training rows; no checkpoint holds them, as they follow from the source."""
        stream = streams[_old.PREVIOUS if _old.PREVIOUS in streams else "train"]
        cut, backbone = self.cut(network), network.backbone
        every = dict(backbone.named_parameters())
        self.names = tuple(
            name
            for name in every
            if backbone.stage_of(name) >= cut and not name.startswith("source_head.")
        )
        copied = Apart(network).network
        known = fisher(
            copied, _old.head(network, streams), _single(stream, self.settings.rows), self.names
        )
        for place, (name, held) in enumerate(zip(self.names, known, strict=True)):
            start = every[name].detach().clone()
            self.register_buffer(f"start_{place}", start, persistent=False)
            self.register_buffer(f"fisher_{place}", held, persistent=False)

    def penalties(self, network: Network, batch: Batch, features: Tensor) -> Mapping[str, Tensor]:
        held = pull(self, network, self.names, "start", "fisher")
        return {"ewc": self.settings.weight / 2 * held}


def _single(stream: Any, most: int) -> Iterator[Batch]:
    """Rows evenly spread over a stream, one by one."""
    for place in np.unique(np.linspace(0, len(stream) - 1, min(most, len(stream))).round()):
        yield stream.batch(np.array([int(place)]), -1)


def fisher(
    network: Network, head: nn.Module, rows: Iterator[Batch], names: tuple[str, ...]
) -> list[Tensor]:
    """Diagonal of the Fisher information of a head's predictions.

    Args:
        network: in eval mode; which of its parameters ask for gradients is changed.
        head: features (N, width) -> logits (N, classes).
        rows: batches of one row.
        names: of the backbone's parameters that it is taken for.

    Returns:
        Of each, in its shape, the mean square of the rows' gradients; labels come from a generator of its
        own, so that equal rows give an equal result.
    """
    drawn = torch.Generator().manual_seed(0)
    every = dict(network.backbone.named_parameters())
    chosen = [every[name].requires_grad_(True) for name in names]
    totals, count = [torch.zeros_like(p) for p in chosen], 0
    for batch in rows:
        with torch.enable_grad():
            said = head.eval()(_old.pooled(network, batch)).log_softmax(1)[0]
            label = int(torch.multinomial(said.detach().exp().cpu(), 1, generator=drawn))
            gradients = torch.autograd.grad(said[label], chosen, allow_unused=True)
        for total, gradient in zip(totals, gradients, strict=True):
            if gradient is not None:
                total += gradient.detach().square()
        count += 1
    return [total / max(1, count) for total in totals]
