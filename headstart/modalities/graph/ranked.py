"""A network that reads any set of whole graphs: ranks of kinds and numbers of neighbours go in.

A node's kind is told by its rank among the kinds of training, the most frequent first, so that weights
learned on one set's kinds have a meaning on another's; further kinds share the last slot. What else is known
of nodes, kinds by name and numbers of any width, passes by the network and is appended to its features as it
is. Kinds and measures of edges are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.core.network import MASK, State
from headstart.modalities.graph.batch import STRUCTURE
from headstart.modalities.graph.network import Network, Shape
from headstart.modalities.graph.stages import BONDS, HIDDEN, Flat, Graphs


def shape(family: str, depth: int, width: int, kinds: int) -> Shape:
    """Of a network with `kinds` slots."""
    return Shape(family, depth, width, nodes=kinds + STRUCTURE, edges=0)


class Ranked(Graphs):
    """Stage 0 describes the nodes, stage k is the k-th layer; layers stand side by side (arXiv:1806.03536).

    State: hidden (N, nodes, columns + k width), the description of the nodes in front. Pooled features are
    sums over nodes by the root of their number, of all layers, of the numbers of neighbours and of what
    passes by.
    """

    def __init__(self, network: Network, columns: int) -> None:
        super().__init__(bonds=False, marks=0)
        self.network = network
        self.reads = int(network.shape.nodes)
        self.slots = self.reads - STRUCTURE
        self.columns = columns
        self.width = columns - self.slots + network.shape.depth * network.shape.width
        self.stages = ("describe", *(f"layer.{i}" for i in range(network.shape.depth)))

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """As of all graph networks; what edges are is not read, and not handed on."""
        return super().run({n: t for n, t in state.items() if n != BONDS}, start, stop)

    def first(self, nodes: Tensor) -> Tensor:
        return nodes

    def layer(self, number: int, hidden: Tensor, batch: Flat) -> Tensor:
        if number == 0:
            before = self.network.embed(hidden[:, : self.reads])
        else:
            before = hidden[:, -self.network.shape.width :]
        made = self.network.layer(number, before, batch.ends, None)
        return torch.cat([hidden, made], dim=1)

    def pool(self, state: State) -> Tensor:
        """Sums by the root of the number of nodes (N, width); ranks are left out, as kinds pass by."""
        pooled = super().pool(state)[:, self.slots :]
        return pooled * state[MASK].sum(1, keepdim=True).to(pooled.dtype).sqrt()

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Hidden nodes without their ranks (N, nodes, width), and mask (N, nodes)."""
        return state[HIDDEN][..., self.slots :], state[MASK]

    def stage_of(self, name: str) -> int:
        """Layer k and its batch norm k + 1; what embeds goes with the first layer."""
        found = re.match(r"network\.(?:gnns|batch_norms)\.(\d+)\.", name)
        return int(found.group(1)) + 1 if found else 1


def whole(network: Network, nodes: Tensor, ends: Tensor) -> Tensor:
    """Features (width,) of one graph, layer by layer without stages; nodes (n, columns)."""
    reads = int(network.shape.nodes)
    hidden, found = network.embed(nodes[:, :reads]), [nodes[:, reads - STRUCTURE :]]
    for number in range(network.shape.depth):
        hidden = network.layer(number, hidden, ends, None)
        found.append(hidden)
    return torch.cat(found, dim=1).sum(0) / len(nodes) ** 0.5
