"""What the source knew before: a head on its features, and rows that it can be asked about."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from headstart.core.network import Network
from headstart.core.strategy import Batch, Group, Strategy

PREVIOUS = (
    "previous"  # the stream of rows with targets of an earlier task; its `head` is solved on them
)


class Told(Strategy):
    """A strategy that hears what the source knew from a head: of an earlier task, where its data are there,
    else the source's own."""

    optional = (PREVIOUS,)

    def lacks(self, network: Network, streams: Collection[str]) -> str:
        """One of the two heads must be there."""
        if network.backbone.source_head is None and PREVIOUS not in streams:
            return PREVIOUS
        return super().lacks(network, streams)


def head(network: Network, streams: Mapping[str, Any]) -> nn.Module:
    """A copy of the head that tells what was known, from features (N, width) to logits."""
    known = streams[PREVIOUS].head if PREVIOUS in streams else network.backbone.source_head
    made: nn.Module = copy.deepcopy(known)
    return made


def pooled(network: Network, batch: Batch) -> Tensor:
    """Features of whole rows, (N, width), whatever the heads of the network read."""
    state = network(batch.inputs, start=batch.start, want="state")
    return network.backbone.pool(state).float()


def source_head(network: Network, decay: float) -> tuple[Group, ...]:
    """The parameters of the source's own head, at the rate of the last stage."""
    every = dict(network.backbone.source_head.named_parameters())  # type: ignore[union-attr]
    names = {n: f"backbone.source_head.{n}" for n in every}
    matrices = tuple(names[n] for n, p in every.items() if p.ndim > 1)
    vectors = tuple(names[n] for n, p in every.items() if p.ndim <= 1)
    groups = (
        Group("source head", matrices, decay=decay),
        Group("source head, vectors", vectors),
    )
    return tuple(group for group in groups if group.parameters)
