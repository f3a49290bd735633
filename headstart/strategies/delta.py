"""Fine-tuning that is drawn back to what the source says at every stage, instead of to its weights.

Li et al. 2019, "DELTA: deep learning transfer using feature map with attention", arXiv:1901.09229:
alpha / 2 sum_j W_j |F_j(w) - F_j(w0)|^2 + beta / 2 |head|^2. Here each map's distance is taken relative to
the map's own size, mean over maps, so that one alpha serves networks of every kind. The attention W weighs
the channels of the features by how much a ridge regression's squared error rises without each (the paper:
the cross-entropy of a head, filter by filter, in all maps).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.strategies import fine_tune, l2_sp
from headstart.strategies._apart import Apart
from headstart.strategies._reading import featured
from headstart.strategies._regularised import head_norm

ROWS = 1000  # training rows at most on which attention is measured
RIDGE = 1e-2  # of the features' mean variance
LEAST = 1e-12


@dataclass(frozen=True)
class Settings(l2_sp.Settings):
    """As of fine_tune, without decay to zero.

    Attributes:
        alpha: strength of the pull to the source's maps.
    """

    alpha: float = 1.0


class Strategy(fine_tune.Strategy):
    """`fine_tune` with the parts "delta" and "head norm" in the loss while training."""

    settings: Settings
    forwards = 2
    attention: Tensor

    def prepare(self, network: Network, streams: Mapping[str, Any]) -> None:
        """Copies the source's network, and weighs the channels of its features."""
        self.source = Apart(network)
        weights = torch.ones(network.backbone.width)
        if network.reads == "pooled":
            weights = attention(*_measured(network, streams["train"]))
        self.register_buffer("attention", weights, persistent=False)

    def loss(
        self, network: Network, batches: Mapping[str, Any], progress: float
    ) -> Mapping[str, Tensor]:
        batch = batches["train"]
        if not network.heads.training:
            return self.task(network, batch)
        cut, settings = self.cut(network), self.settings
        with torch.no_grad():
            if batch.start < cut:  # frozen: the same in both networks
                state = network(batch.inputs, start=batch.start, stop=cut, want="state")
                batch = replace(batch, inputs=state, start=cut)
            *before, old = maps(self.source.network, batch)
        *after, features = maps(network, batch)
        far = [distance(a, b) for a, b in zip(after, before, strict=True)]
        far.append(distance(features, old, self.attention))
        parts = dict(self.task(network, batch, features))
        parts["delta"] = settings.alpha / 2 * torch.stack(far).mean()
        parts["head norm"] = settings.beta / 2 * head_norm(network)
        return parts


def maps(network: Network, batch: Batch) -> list[Tensor]:
    """What each stage from the batch's start gives, one tensor a stage or more, and the features last."""
    made: list[Tensor] = []
    state: Mapping[str, Tensor] = batch.inputs
    start, last = batch.start, len(network.backbone.stages) - 1
    for stage in range(start, last):
        before, state = state, network(state, start=stage, stop=stage + 1, want="state")
        made.extend(_real(network, before, state))
    features = network(state, start=max(start, last), want="features")
    return [*made, features]


def _real(
    network: Network, before: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> Iterator[Tensor]:
    """Tensors that hold numbers and that a stage has made, 0 at padding; not what it handed on."""
    axes = network.backbone.axes()
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor is not before.get(name):
            mask = state.get(axes.get(name, ""))
            if mask is not None:
                tensor = tensor.masked_fill(
                    ~mask.reshape(*mask.shape, *[1] * (tensor.ndim - 2)), 0.0
                )
            yield tensor


def distance(now: Tensor, before: Tensor, weights: Tensor | None = None) -> Tensor:
    """Squared distance of two maps by the squared size of the second; `weights` of the last axis."""
    now, before = torch.nan_to_num(now.float()), torch.nan_to_num(before.float())
    far = (now - before).square()
    if weights is not None:
        far = far * weights
    return far.sum() / before.square().sum().clamp(min=LEAST)


def attention(features: Tensor, wanted: Tensor) -> Tensor:
    """Weight of each channel, (width,), mean 1: how much the squared error of a ridge regression rises when
    the channel is left out of it.

    Args:
        features: (N, width).
        wanted: (N, columns).
    """
    x = (features - features.mean(0)).double()
    y = (wanted - wanted.mean(0)).double()
    ridge = RIDGE * x.square().sum() / x.shape[1] + LEAST
    weight = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
    left = x.T @ (y - x @ weight)
    rise = 2 * (left * weight).sum(1) + x.square().sum(0) * weight.square().sum(1)
    total = rise.clamp(min=0).sum()
    if not total > 0:
        return torch.ones(len(rise))
    made: Tensor = (rise.clamp(min=0) / total * len(rise)).float()
    return made


def _measured(network: Network, stream: Any) -> tuple[Tensor, Tensor]:
    """Features and targets of training rows as numbers; classes as one column each."""
    read = list(featured(network, stream, ROWS))
    features = torch.cat([made for made, _ in read])
    targets = [next(iter(batch.targets.values())) for _, batch in read]
    wanted = torch.cat(targets)
    if not wanted.is_floating_point() and wanted.ndim == 1:
        return features, torch.nn.functional.one_hot(wanted.clamp(min=0)).double()
    return features, torch.nan_to_num(wanted.double()).reshape(len(wanted), -1)
