"""Message passing: GCN, GraphSAGE, GIN and GAT layers with edge features, and networks of them.

Kipf and Welling 2017 (arXiv:1609.02907), Hamilton et al. 2017 (arXiv:1706.02216), Xu et al. 2019
(arXiv:1810.00826), Velickovic et al. 2018 (arXiv:1710.10903), each with the edge features and the names
of tensors of Hu et al. 2020 (arXiv:1905.12265), so that published weights load.

Nodes of all graphs of a batch stand in one table: hidden (M, width), ends (K, 2) from and to, and what is
known of each edge, (K, ...) or None. Sums go through edges in their order, so that a graph's own sums do
not depend on which graphs come with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ATOMS, CHIRALITIES, BONDS, DIRECTIONS = 120, 3, 6, 3
SELF_BOND = 4
"""Code of the edge from an atom to itself."""
HEADS = 2
SLOPE = 0.2  # of the leaky rectifier in attention


def gathered(values: Tensor, to: Tensor, rows: int) -> Tensor:
    """Sums of `values` (K, ...) by `to` (K,): (rows, ...)."""
    return values.new_zeros(rows, *values.shape[1:]).index_add(0, to, values)


class Layer(nn.Module):
    """What the four have in common: features of edges, and an edge from each node to itself.

    Features of edges enter sums linearly, so they are summed before they are embedded: a table of a few
    columns goes through the edges instead of one of `width`.

    Args:
        width: of nodes, in and out.
        edges: "codes" for bonds (K, 2) int64; or the columns (K, columns) of an edge, 0 for none.
        wide: columns that an edge's features get; by default `width`.
    """

    def __init__(self, width: int, edges: str | int, wide: int = 0) -> None:
        super().__init__()
        self.width = width
        self.coded = edges == "codes"
        if self.coded:
            self.edge_embedding1 = nn.Embedding(BONDS, wide or width)
            self.edge_embedding2 = nn.Embedding(DIRECTIONS, wide or width)
            nn.init.xavier_uniform_(self.edge_embedding1.weight)
            nn.init.xavier_uniform_(self.edge_embedding2.weight)
        elif edges:
            self.edge_linear = nn.Linear(int(edges), wide or width, bias=False)

    def told(self, known: Tensor | None, nodes: int) -> Tensor | None:
        """Columns (K + nodes, columns) of the edges and of those from each node to itself: one 1 for the type
        and one for the direction of a bond, or what is known."""
        if known is None:
            return None
        if not self.coded:
            return torch.cat([known, known.new_zeros(nodes, known.shape[1])])
        looped = known.new_zeros(nodes, 2)
        looped[:, 0] = SELF_BOND
        codes = torch.cat([known, looped])
        kinds = F.one_hot(codes[:, 0], BONDS), F.one_hot(codes[:, 1], DIRECTIONS)
        return torch.cat(kinds, dim=1).to(self.edge_embedding1.weight.dtype)

    def embedded(self, told: Tensor) -> Tensor:
        """Columns, or sums of them, to features (..., width)."""
        if not self.coded:
            return self.edge_linear(told)  # type: ignore[no-any-return]
        return told @ torch.cat([self.edge_embedding1.weight, self.edge_embedding2.weight])

    def summed(
        self, table: Tensor, ends: Tensor, known: Tensor | None, scale: Tensor | None = None
    ) -> Tensor:
        """For each node the sum of its neighbours' rows of `table` (M, width), its own among them, and of the
        features of these edges; an edge counts scale[from] * scale[to] where `scale` (M, 1) is given."""
        rows, sender, to = len(table), ends[:, 0], ends[:, 1]
        columns = self.told(known, rows)
        scaled = table if scale is None else table * scale
        around = gathered(scaled[sender], to, rows) + scaled
        if columns is not None:
            weighed, own = columns[: len(ends)], columns[len(ends) :]
            if scale is not None:
                weighed, own = weighed * scale[sender], own * scale
            around = around + self.embedded(gathered(weighed, to, rows) + own)
        return around if scale is None else around * scale


def degrees(ends: Tensor, like: Tensor) -> Tensor:
    """(M, 1) neighbours of each row of `like`, itself among them."""
    return gathered(like.new_ones(len(ends)), ends[:, 1], len(like)).unsqueeze(1) + 1.0


class Gcn(Layer):
    """Linear; then a sum weighted by one over the root of both degrees."""

    def __init__(self, width: int, edges: str | int) -> None:
        super().__init__(width, edges)
        self.linear = nn.Linear(width, width)

    def forward(self, hidden: Tensor, ends: Tensor, known: Tensor | None) -> Tensor:
        return self.summed(self.linear(hidden), ends, known, degrees(ends, hidden).rsqrt())


class GraphSage(Layer):
    """Linear; then a mean, brought to unit length."""

    def __init__(self, width: int, edges: str | int) -> None:
        super().__init__(width, edges)
        self.linear = nn.Linear(width, width)

    def forward(self, hidden: Tensor, ends: Tensor, known: Tensor | None) -> Tensor:
        total = self.summed(self.linear(hidden), ends, known)
        return F.normalize(total / degrees(ends, hidden), dim=-1)


class Gin(Layer):
    """A sum; then two linear layers with a rectifier between them."""

    def __init__(self, width: int, edges: str | int) -> None:
        super().__init__(width, edges)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, hidden: Tensor, ends: Tensor, known: Tensor | None) -> Tensor:
        return self.mlp(self.summed(hidden, ends, known))  # type: ignore[no-any-return]


class Gat(Layer):
    """A mean over heads of sums weighted by attention over each node's neighbours."""

    def __init__(self, width: int, edges: str | int) -> None:
        super().__init__(width, edges, wide=HEADS * width)
        self.weight_linear = nn.Linear(width, HEADS * width)
        self.att = nn.Parameter(torch.empty(1, HEADS, 2 * width))
        self.bias = nn.Parameter(torch.zeros(width))
        bound = (6.0 / (HEADS + 2 * width)) ** 0.5
        nn.init.uniform_(self.att, -bound, bound)

    def forward(self, hidden: Tensor, ends: Tensor, known: Tensor | None) -> Tensor:
        own = torch.arange(len(hidden), device=ends.device)
        every = torch.cat([ends, torch.stack([own, own], dim=1)])
        sender, to, shape = every[:, 0], every[:, 1], (-1, HEADS, self.width)
        table, told = self.weight_linear(hidden).view(shape), self.told(known, len(hidden))
        message = table[sender] if told is None else table[sender] + self.embedded(told).view(shape)
        score = (torch.cat([table[to], message], dim=-1) * self.att).sum(-1)
        score = F.leaky_relu(score, SLOPE)
        # the largest of each node is taken off first, so that no exponential overflows
        index = to.unsqueeze(1).expand_as(score)
        most = score.new_full((len(hidden), HEADS), -torch.inf)
        most = most.scatter_reduce(0, index, score.detach(), "amax")
        grown = (score - most[to]).exp()
        share = grown / gathered(grown, to, len(hidden))[to]
        return gathered(message * share.unsqueeze(-1), to, len(hidden)).mean(1) + self.bias


LAYERS: Mapping[str, type[Layer]] = {"gcn": Gcn, "graphsage": GraphSage, "gin": Gin, "gat": Gat}


@dataclass(frozen=True)
class Shape:
    """What a network is made of.

    Attributes:
        family: a key of `LAYERS`.
        depth: layers.
        width: of hidden nodes.
        nodes, edges: "codes" for atoms and bonds, or columns of a node and of an edge.
    """

    family: str
    depth: int
    width: int
    nodes: str | int = "codes"
    edges: str | int = "codes"


class Network(nn.Module):
    """Embedding, then layers, each with batch norm; a rectifier after each but the last.

    `forward` gives hidden nodes (M, width); it is what the staged network is compared with.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        if shape.nodes == "codes":
            self.x_embedding1 = nn.Embedding(ATOMS, shape.width)
            self.x_embedding2 = nn.Embedding(CHIRALITIES, shape.width)
            nn.init.xavier_uniform_(self.x_embedding1.weight)
            nn.init.xavier_uniform_(self.x_embedding2.weight)
        else:
            self.x_linear = nn.Linear(int(shape.nodes), shape.width)
        kind: Any = LAYERS[shape.family]
        self.gnns = nn.ModuleList(kind(shape.width, shape.edges) for _ in range(shape.depth))
        self.batch_norms = nn.ModuleList(nn.BatchNorm1d(shape.width) for _ in range(shape.depth))

    def embed(self, nodes: Tensor) -> Tensor:
        """Atoms (M, 2) int64, or nodes (M, columns), to (M, width)."""
        if self.shape.nodes != "codes":
            return self.x_linear(nodes)  # type: ignore[no-any-return]
        return self.x_embedding1(nodes[:, 0]) + self.x_embedding2(nodes[:, 1])  # type: ignore[no-any-return]

    def layer(self, number: int, hidden: Tensor, ends: Tensor, known: Tensor | None) -> Tensor:
        """One layer with its batch norm."""
        made: Tensor = self.batch_norms[number](self.gnns[number](hidden, ends, known))
        return made if number == self.shape.depth - 1 else F.relu(made)

    def forward(self, nodes: Tensor, ends: Tensor, known: Tensor | None) -> Tensor:
        hidden = self.embed(nodes)
        for number in range(self.shape.depth):
            hidden = self.layer(number, hidden, ends, known)
        return hidden


def drawn(shape: Shape, seed: int) -> Network:
    """A network with random weights from a seed, in eval mode; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(shape).train(False)
