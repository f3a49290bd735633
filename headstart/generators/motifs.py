"""Graphs by formula: families of random graphs whose small patterns are counted exactly.

Erdos-Renyi; Barabasi-Albert (cond-mat/9910332); Watts-Strogatz (Nature 393, 1998); stochastic blocks
(Holland et al. 1983); grids; random recursive trees; and graphs like molecules, chains and rings of five
or six with at most four edges a node. Predicting counts of motifs is a pre-training task of
arXiv:2006.09963 and kin; here the counts are known without error.
"""

from __future__ import annotations

import torch
from torch import Tensor

from headstart.generators._random import chance, integers, normal, scales, uniform

MODALITY = "graph"
FAMILIES = ("random", "hubs", "small world", "blocks", "grid", "tree", "molecule")
RULES = ("free", "by degree", "shared")
MOTIFS = ("triangles", "squares", "stars", "degree")
STEPS = (1, 2, 4, 8, 16, 32, 64)  # from which count on a motif is in the next class
DEGREES = (3, 4, 5, 6, 7, 9, 12)  # the same of the largest degree
FEWEST = 8  # nodes


class Motifs:
    """Draws graphs of 8 to `most` nodes that are each of one of `kinds`.

    Labels: `FAMILIES`; classes of the numbers of triangles, of squares (circles of four) and of stars (a
    node with three of its neighbours) by `STEPS`, and of the largest degree by `DEGREES`; `RULES` by
    which nodes got their kinds: at random, by their degree, or from a neighbour.
    """

    bounds = {"most": (8, 512), "kinds": (1, 64)}

    def __init__(self, most: int = 32, kinds: int = 8):
        self.most, self.kinds = most, kinds
        self.groups = (len(FAMILIES), *[len(STEPS) + 1] * len(MOTIFS), len(RULES))

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Graphs, padded to `most` nodes and as many edges as the richest one has, and labels (count, 6).

        "kinds" (count, most) int64, "mask" (count, most) bool of real nodes, "edges" (count, E, 2) int64,
        each edge in both directions, "edge_mask" (count, E) bool, and "counts" (count, 4) int64 of
        `MOTIFS`. `hardness` from 0 to 1 scales the share of pairs that are joined or parted at random.
        """
        size = integers(rng, count, low=FEWEST, high=self.most + 1)
        family = integers(rng, count, high=len(FAMILIES))
        upper = torch.zeros(count, self.most, self.most, dtype=torch.bool, device=rng.device)
        ways = (_random, _hubs, _small_world, _blocks, _grid, _tree, _molecule)
        for number, way in enumerate(ways):
            rows = (family == number).nonzero()[:, 0]
            upper[rows] = way(size[rows], self.most, rng)
        near = self._real(_noisy(upper, rng, hardness), size)
        near = _shuffled(near, size, rng)
        mask = torch.arange(self.most, device=rng.device) < size[:, None]
        kinds, rule = self._kinds(near, rng)
        counts = motifs(near)
        steps = torch.tensor([STEPS, STEPS, STEPS, DEGREES], device=rng.device)
        classes = (counts[..., None] >= steps).sum(2)
        labels = torch.cat([family[:, None], classes, rule[:, None]], 1)
        edges, there = _edges(near)
        graphs = {"kinds": kinds * mask, "mask": mask, "edges": edges, "edge_mask": there}
        return {**graphs, "counts": counts}, labels

    def _real(self, near: Tensor, size: Tensor) -> Tensor:
        """Makes (N, V, V) symmetric, without loops and without nodes from `size` (N,) on."""
        near = near | near.mT
        real = torch.arange(self.most, device=near.device) < size[:, None]
        loops = torch.eye(self.most, dtype=torch.bool, device=near.device)
        return near & real[:, :, None] & real[:, None] & ~loops

    def _kinds(self, near: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Kinds of nodes (N, V) and the rule behind them (N,)."""
        count = len(near)
        rule = integers(rng, count, high=len(RULES))
        free = _favoured(count, self.most, self.kinds, rng)
        names = uniform(rng, count, self.kinds).argsort(1)
        degree = near.sum(2).clamp(max=self.kinds - 1)
        by_degree = names.gather(1, degree)
        shared = free
        for _ in range(3):  # half of the nodes take over a neighbour's kind
            taken = shared.gather(1, _neighbour(near, rng))
            shared = torch.where(uniform(rng, *shared.shape) < 0.5, taken, shared)
        kinds = torch.where((rule == 1)[:, None], by_degree, free)
        kinds = torch.where((rule == 2)[:, None], shared, kinds)
        return kinds, rule


def motifs(near: Tensor) -> Tensor:
    """Numbers of triangles, squares and stars of three, and the largest degree, (N, 4) int64.

    near: (N, V, V) bool, symmetric, without loops. Squares need not be free of diagonals.
    """
    degree = near.sum(2)
    one = near.float()
    two = (one @ one).round().long()  # walks of two steps, exact in float32
    triangles = (two * near).sum((1, 2)) // 6
    pairs = (two * (two - 1) // 2).sum((1, 2)) - (degree * (degree - 1) // 2).sum(1)
    stars = (degree * (degree - 1) * (degree - 2) // 6).sum(1)
    return torch.stack([triangles, pairs // 4, stars, degree.amax(1)], 1)


def _random(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Every pair alike, so that nodes have one and a half to five edges on average."""
    count = len(size)
    share = uniform(rng, count, low=1.5, high=5.0) / (size - 1)
    return (uniform(rng, count, most, most) < share[:, None, None]).triu(1)


def _hubs(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Each node joins one to three earlier ones, the likelier the more edges they have."""
    count = len(size)
    joins = integers(rng, count, low=1, high=4)
    near = torch.zeros(count, most, most, dtype=torch.bool, device=rng.device)
    degree = torch.zeros(count, most, device=rng.device)
    luck = _gumbel(rng, count, most, most)
    row = torch.arange(count, device=rng.device)
    for node in range(1, most):
        score = degree[:, :node].clamp(min=0.5).log() + luck[:, node, :node]
        best = score.topk(min(3, node), 1).indices
        for turn in range(best.shape[1]):
            taken = joins > turn
            near[row, node, best[:, turn]] = taken
            degree[row, best[:, turn]] += taken
            degree[:, node] += taken
    return near


def _small_world(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """A ring in which each node knows the next one to three; some ends are moved at random."""
    count = len(size)
    reach = integers(rng, count, low=1, high=4)
    moved = scales(rng, count, 1, low=0.02, high=0.3)
    node = torch.arange(most, device=rng.device).expand(count, -1)
    row = torch.arange(count, device=rng.device)[:, None]
    near = torch.zeros(count, most, most, dtype=torch.bool, device=rng.device)
    for step in range(1, 4):
        other = (uniform(rng, count, most) * size[:, None]).long()
        end = torch.where(uniform(rng, count, most) < moved, other, (node + step) % size[:, None])
        near[row, node, end] |= (reach >= step)[:, None]
    return near


def _blocks(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Two to four groups with many edges within and few between."""
    count = len(size)
    groups = integers(rng, count, low=2, high=5)
    block = (uniform(rng, count, most) * groups[:, None]).long()
    same = block[:, :, None] == block[:, None]
    within = uniform(rng, count, low=3.0, high=5.0) * groups / (size - 1)
    between = uniform(rng, count, low=0.1, high=0.6) / (size - 1)
    share = torch.where(same, within[:, None, None], between[:, None, None])
    return (uniform(rng, count, most, most) < share).triu(1)


def _grid(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Rows of two to six nodes below each other; the last one may be short."""
    wide = integers(rng, len(size), 1, low=2, high=7)
    node = torch.arange(most, device=rng.device)
    down, across = node // wide, node % wide
    away = (down[:, :, None] - down[:, None]).abs() + (across[:, :, None] - across[:, None]).abs()
    return away == 1


def _tree(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Each node joins one earlier one; the bend of the draw makes trees long or broad."""
    count = len(size)
    bend = scales(rng, count, 1, low=0.2, high=3.0)
    node = torch.arange(1, most, device=rng.device)
    parent = (uniform(rng, count, most - 1) ** bend * node).long()
    near = torch.zeros(count, most, most, dtype=torch.bool, device=rng.device)
    near[torch.arange(count, device=rng.device)[:, None], node, parent] = True
    return near


def _molecule(size: Tensor, most: int, rng: torch.Generator) -> Tensor:
    """Single nodes and rings of five or six, each hung on an earlier node that has an edge to spare."""
    count = len(size)
    row = torch.arange(count, device=rng.device)
    near = torch.zeros(count, most, most, dtype=torch.bool, device=rng.device)
    degree = torch.zeros(count, most, dtype=torch.int64, device=rng.device)
    luck = _gumbel(rng, count, most, most) + 0.15 * torch.arange(most, device=rng.device)
    ringed = uniform(rng, count, 1) < uniform(rng, count, most)  # some graphs have more rings
    sides = integers(rng, count, most, low=5, high=7)
    first = torch.zeros(count, dtype=torch.int64, device=rng.device)
    last = torch.full_like(first, -1)  # the last node of the part under way
    for node in range(most):
        fresh = node > last
        ring = ringed[:, node] & (node + sides[:, node] <= size)
        first = torch.where(fresh, node, first)
        last = torch.where(fresh, node + torch.where(ring, sides[:, node] - 1, 0), last)
        if node:
            open_ = luck[:, node, :node].masked_fill(degree[:, :node] > 3, -torch.inf)
            parent = torch.where(fresh, open_.argmax(1), node - 1)
            near[row, node, parent] = True
            degree[row, parent] += 1
            degree[:, node] += 1
        closes = (node == last) & (last > first)
        near[row, node, first] |= closes
        degree[row, first] += closes
        degree[:, node] += closes
    return near


def _gumbel(rng: torch.Generator, *shape: int) -> Tensor:
    """Noise whose largest sum with logarithms of weights falls on each in proportion to its weight."""
    return -(-torch.log(uniform(rng, *shape).clamp(1e-9, 1 - 1e-7))).log()


def _noisy(near: Tensor, rng: torch.Generator, hardness: float) -> Tensor:
    """Parts 4 % of the joined pairs of a third of the graphs, and joins 1 % of the others."""
    chosen = chance(rng, len(near), hardness / 3)[:, None, None]
    draw = uniform(rng, *near.shape).triu(1) + torch.ones_like(near, dtype=torch.float32).tril()
    joined = near | near.mT
    kept = joined & ~(chosen & ((draw < 0.04) | (draw.mT < 0.04)))
    return kept | (chosen & ~joined & (draw < 0.01))


def _shuffled(near: Tensor, size: Tensor, rng: torch.Generator) -> Tensor:
    """Numbers the real nodes anew, so that their order tells nothing."""
    count, most = near.shape[:2]
    padded = torch.arange(most, device=near.device) >= size[:, None]
    order = (uniform(rng, count, most) + padded).argsort(1)
    row = torch.arange(count, device=near.device)[:, None, None]
    return near[row, order[:, :, None], order[:, None]]


def _favoured(count: int, most: int, kinds: int, rng: torch.Generator) -> Tensor:
    """Kinds (count, most) drawn with shares that differ from graph to graph."""
    share = torch.softmax(normal(rng, count, kinds), 1).cumsum(1)
    draw = uniform(rng, count, most, 1)
    return (draw > share[:, None, :-1]).sum(2)


def _neighbour(near: Tensor, rng: torch.Generator) -> Tensor:
    """One neighbour of each node at random, itself where it has none, (N, V)."""
    own = torch.arange(near.shape[1], device=near.device)
    luck = uniform(rng, *near.shape) * near
    best = luck.max(2)
    return torch.where(best.values > 0, best.indices, own)


def _edges(near: Tensor) -> tuple[Tensor, Tensor]:
    """Edges (N, E, 2), zeros where a graph has fewer than the richest, and which are real (N, E)."""
    graph, start, end = near.nonzero().unbind(1)
    number = torch.bincount(graph, minlength=len(near))
    first = number.cumsum(0) - number
    place = torch.arange(len(graph), device=near.device) - first[graph]
    longest = int(number.max())
    edges = torch.zeros(len(near), longest, 2, dtype=torch.int64, device=near.device)
    edges[graph, place] = torch.stack([start, end], 1)
    return edges, torch.arange(longest, device=near.device) < number[:, None]


GENERATOR = Motifs
