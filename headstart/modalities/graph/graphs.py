"""A graph as a value: nodes, edges, what is known of them, and its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from headstart.errors import BadRow

ROUNDS = 3
"""Rounds of colour refinement in a graph's signature."""
DIGITS = 5
"""Digits of a number that count in a graph's signature, so that its last bits do not."""
REFUSED = b"!"
"""First byte of a cell that holds, as text, why there is no graph."""
_HEADER = 8  # bytes before the JSON header of safetensors


@dataclass(frozen=True)
class Graph:
    """One graph; edges are undirected and each is held in both directions.

    Attributes:
        nodes: their number, n.
        edges: (E, 2) int64, from and to.
        labels: (n,) int64 kinds of nodes, or None.
        numbers: (n, D) float32 what else is known of each node, or None.
        bonds: (E,) int64 kinds of edges, or None.
        measures: (E, B) float32 what else is known of each edge, or None.
        marks: how many nodes, the first ones, the question is about: 0 the whole graph, 1 a node, 2 a
            pair of nodes.
    """

    nodes: int
    edges: np.ndarray
    labels: np.ndarray | None = None
    numbers: np.ndarray | None = None
    bonds: np.ndarray | None = None
    measures: np.ndarray | None = None
    marks: int = 0

    @property
    def degrees(self) -> np.ndarray:
        """(n,) int64 neighbours of each node."""
        return np.bincount(self.edges[:, 1], minlength=self.nodes)


@dataclass(frozen=True)
class Tidied:
    """A graph, and what was put right in it: "self loops", "repeated edges" -> how many."""

    graph: Graph
    counts: Mapping[str, int] = field(default_factory=dict)


def tidy(nodes: int, edges: Any, **known: Any) -> Tidied:
    """A graph whose edges stand once in either direction; self loops are left out.

    Args:
        edges: (E, 2) whole numbers below `nodes`, in one direction or both.
        known: as the attributes of `Graph`; what is known of an edge is that of its first mention.

    Raises:
        BadRow: an edge names a node that there is not.
    """
    pairs = np.asarray(edges, np.int64).reshape(-1, 2)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= nodes):
        odd = int(pairs.max()) if pairs.max() >= nodes else int(pairs.min())
        raise BadRow(
            f"an edge names node {odd}, but the graph has {nodes} nodes",
            "correct the edges, or number the nodes from 0",
        )
    loops = pairs[:, 0] == pairs[:, 1]
    own = np.flatnonzero(~loops)
    both = np.concatenate([pairs[own], pairs[own][:, ::-1]])
    source = np.concatenate([own, own])  # which mention tells of the edge
    key = both[:, 0] * max(nodes, 1) + both[:, 1]
    # the mention in the edge's own direction comes before that of its mirror image
    _, first = np.unique(key, return_index=True)
    for name in ("bonds", "measures"):
        if known.get(name) is not None:
            known[name] = np.asarray(known[name])[source[first]]
    directed = np.unique(key[: len(own)])
    counts = {"self loops": int(loops.sum()), "repeated edges": int(len(own) - len(directed))}
    graph = Graph(nodes, both[first], **known)
    return Tidied(graph, {name: count for name, count in counts.items() if count})


def pack(graph: Graph) -> bytes:
    """Bytes of a graph (safetensors); equal graphs give equal bytes. Mostly-zero numbers are kept sparse."""
    shape = np.array([graph.nodes, graph.marks, 0], np.int64)
    held: dict[str, np.ndarray] = {"edges": graph.edges.astype(np.int32)}
    for name, kind in (("labels", np.int32), ("bonds", np.int32), ("measures", np.float32)):
        value = getattr(graph, name)
        if value is not None:
            held[name] = np.ascontiguousarray(value, kind)
    if graph.numbers is not None:
        numbers = np.ascontiguousarray(graph.numbers, np.float32)
        shape[2] = numbers.shape[1]
        filled = np.flatnonzero(numbers)
        if len(filled) * 3 < numbers.size:
            held |= {"places": filled.astype(np.int64), "values": numbers.ravel()[filled]}
        else:
            held["numbers"] = numbers
    return bytes(save({"shape": shape, **held}))


def is_packed(cell: bytes) -> bool:
    """Whether bytes look like those of `pack`."""
    return cell[_HEADER : _HEADER + 1] == b"{" and b'"edges"' in cell[: _HEADER + 1024]


def unpack(cell: bytes) -> Graph:
    """The graph that `pack` wrote. Raises BadRow."""
    if cell[:1] == REFUSED and not is_packed(cell):
        raise BadRow(cell[1:].decode("utf-8", "replace"), "correct the graph, or leave it out")
    try:
        held = load(cell)
        nodes, marks, width = (int(v) for v in held["shape"])
        numbers = held.get("numbers")
        if "places" in held:
            numbers = np.zeros(nodes * width, np.float32)
            numbers[held["places"]] = held["values"]
            numbers = numbers.reshape(nodes, width)
        edges = held["edges"].astype(np.int64).reshape(-1, 2)
        whole = {n: held[n].astype(np.int64) for n in ("labels", "bonds") if n in held}
    except (SafetensorError, KeyError, ValueError, IndexError) as error:
        raise BadRow(
            f"the graph's bytes cannot be read ({error})", "write the graph anew"
        ) from None
    if edges.size and not 0 <= edges.min() <= edges.max() < nodes:
        raise BadRow("an edge names a node that is not there", "correct the edges")
    measures = held.get("measures")
    return Graph(nodes, edges, numbers=numbers, measures=measures, marks=marks, **whole)


def refused(reason: str) -> bytes:
    """A cell that says why there is no graph in it."""
    return REFUSED + reason.encode()


def colours(graph: Graph, rounds: int, *, measured: bool = False) -> list[np.ndarray]:
    """Weisfeiler-Lehman colours (n,) uint64 before and after each round: equal numbers, equal trees of
    neighbours, in any graph (Shervashidze et al. 2011, JMLR 12: 2539-2561).

    Args:
        measured: whether numbers of nodes and edges tell them apart, as their kinds do.
    """
    now = _mixed(_kinds(graph))
    if measured and graph.numbers is not None:
        now = _mixed(now + _row_hashes(graph.numbers))
    if graph.marks:
        now[: graph.marks] = _mixed(
            now[: graph.marks] + np.arange(1, graph.marks + 1, dtype=np.uint64)
        )
    found = [now]
    across = np.zeros(len(graph.edges), np.uint64)
    if graph.bonds is not None:
        across = _mixed(graph.bonds.astype(np.uint64) + np.uint64(1))
    if measured and graph.measures is not None:
        across = _mixed(across + _row_hashes(graph.measures))
    for _ in range(rounds):
        heard = np.zeros(graph.nodes, np.uint64)
        # sums of well mixed numbers do not depend on the neighbours' order
        np.add.at(heard, graph.edges[:, 1], _mixed(now[graph.edges[:, 0]] ^ across))
        now = _mixed(now * np.uint64(0x9E3779B97F4A7C15) + heard)
        found.append(now)
    return found


def _kinds(graph: Graph) -> np.ndarray:
    """(n,) uint64 what a node is before its neighbours are looked at; the degree where nothing is known."""
    kind = np.zeros(graph.nodes, np.uint64)
    if graph.labels is not None:
        kind += graph.labels.astype(np.uint64) + np.uint64(1)
    if graph.labels is None and graph.numbers is None:
        kind += graph.degrees.astype(np.uint64)
    return kind


def _mixed(values: np.ndarray) -> np.ndarray:
    """A well mixed 64-bit number of each (the finaliser of SplitMix64)."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def signature(graph: Graph) -> bytes:
    """64 bits that are equal for graphs that colour refinement cannot tell apart, whatever the order
    of their nodes. What is known of each node and edge counts; of its numbers the first `DIGITS` digits."""
    told = hashlib.blake2b(digest_size=8)
    last = colours(graph, ROUNDS, measured=True)[-1]
    told.update(np.array([graph.nodes, graph.marks, len(graph.edges)], np.int64).tobytes())
    told.update(np.sort(last).tobytes())
    return told.digest()


def _row_hashes(numbers: np.ndarray) -> np.ndarray:
    """(n,) uint64 of rows of numbers (n, D), each rounded to `DIGITS` digits; zeros are passed over."""
    row, column = np.nonzero(numbers)
    values = numbers[row, column].astype(np.float64)
    size = 10.0 ** (np.floor(np.log10(np.abs(values))) - (DIGITS - 1))
    bits = (np.round(values / size) * size).astype(np.float32).view(np.uint32)
    found = np.full(len(numbers), numbers.shape[1], np.uint64)
    np.add.at(found, row, _mixed(_mixed(column.astype(np.uint64)) + bits.astype(np.uint64)))
    return _mixed(found)


class Surroundings:
    """Neighbourhoods cut out of one large graph.

    Args:
        whole: the graph.
        most: neighbours of one node that are followed, at most.
    """

    def __init__(self, whole: Graph, most: int) -> None:
        self.whole, self.most = whole, most
        order = np.argsort(whole.edges[:, 0], kind="stable")
        self._next = whole.edges[order, 1]
        self._ends = np.concatenate(
            [[0], np.cumsum(np.bincount(whole.edges[:, 0], minlength=whole.nodes))]
        )
        self._place = order
        self.capped = 0

    def around(self, centres: np.ndarray, hops: int) -> Graph:
        """The graph of all nodes within `hops` of the centres, which come first. Between two centres
        there is no edge: whether there is one may be what is asked.

        Of more than `most` neighbours every k-th is followed, so that the same nodes come each time.
        """
        kept, seen = [np.asarray(centres, np.int64)], {int(c) for c in centres}
        for _ in range(hops):
            found: list[int] = []
            for node in kept[-1]:
                for other in self._followed(int(node)):
                    if other not in seen:
                        seen.add(other)
                        found.append(other)
            kept.append(np.array(sorted(found), np.int64))
        return self._induced(np.concatenate(kept), len(centres))

    def _followed(self, node: int) -> list[int]:
        neighbours = self._next[self._ends[node] : self._ends[node + 1]]
        if len(neighbours) > self.most:
            self.capped += 1
            neighbours = neighbours[np.linspace(0, len(neighbours) - 1, self.most).astype(int)]
        return [int(n) for n in neighbours]

    def _induced(self, nodes: np.ndarray, marks: int) -> Graph:
        """The nodes with all edges among them."""
        starts, counts = self._ends[nodes], np.diff(self._ends)[nodes]
        total = int(counts.sum())
        offset = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        place = np.repeat(starts, counts) + offset
        order = np.argsort(nodes, kind="stable")
        spot = np.searchsorted(nodes[order], self._next[place])
        spot = order[np.minimum(spot, len(nodes) - 1)]
        inside = nodes[spot] == self._next[place]
        edges = np.stack([np.repeat(np.arange(len(nodes)), counts), spot], axis=1)[inside]
        source = self._place[place][inside]
        asked = (edges < marks).all(axis=1) if marks > 1 else np.zeros(len(edges), bool)
        edges, source = edges[~asked], source[~asked]

        def some(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
            return None if values is None else values[rows]

        whole = self.whole
        return Graph(
            len(nodes),
            edges,
            labels=some(whole.labels, nodes),
            numbers=some(whole.numbers, nodes),
            bonds=some(whole.bonds, source),
            measures=some(whole.measures, source),
            marks=marks,
        )
