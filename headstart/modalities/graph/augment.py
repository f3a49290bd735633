"""Variations of graphs by name: DropEdge (Rong et al. 2020, arXiv:1907.10903) and those of GraphCL (You et
al. 2020, arXiv:2010.13902). Shares are those at magnitude 1, times it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.core.augment import Policy, Variation, Variations

SHARES = {
    "edge_dropping": 0.05,
    "node_masking": 0.1,
    "node_dropping": 0.1,
    "edge_moving": 0.05,
    "feature_noise": 0.1,
}
MOST = 0.9
VARIATIONS = {
    "edge_dropping": Variation("a twentieth of the edges left out"),
    "node_masking": Variation("what is known of a tenth of the nodes hidden"),
    "node_dropping": Variation("a tenth of the nodes left out, with their edges"),
    "feature_noise": Variation("noise of 0.1 on the columns of nodes that differ"),
    "edge_moving": Variation("a twentieth of the edges at another node", automatic=False),
}
CODED: Variations = {n: v for n, v in VARIATIONS.items() if n != "feature_noise"}
"""Where nodes are codes of atoms."""


@dataclass
class Parts:
    """A graph as arrays: nodes (n, width), edges (E, 2) in both directions, bonds (E, ...) or None."""

    nodes: np.ndarray
    edges: np.ndarray
    bonds: np.ndarray | None

    def of_edges(self, kept: np.ndarray) -> Parts:
        """The same with some of the edges, by mask or place."""
        bonds = None if self.bonds is None else self.bonds[kept]
        return Parts(self.nodes, self.edges[kept], bonds)


def applied(
    parts: Parts, policy: Policy, rng: np.random.Generator, *, marks: int, blank: Any
) -> Parts:
    """The graph with what the policy draws.

    Args:
        marks: nodes in front that the question is about; they stay as they are.
        blank: what a hidden node reads.
    """
    for name, size in policy.draw(rng):
        share = SHARES[name] * size if name == "feature_noise" else min(SHARES[name] * size, MOST)
        if name == "edge_dropping":
            parts = parts.of_edges(~_by_edge(parts, share, rng))
        elif name == "edge_moving":
            parts = _moved(parts, share, rng)
        elif name == "feature_noise":
            spread = parts.nodes.std(axis=0, keepdims=True) > 0
            noise = rng.normal(0.0, share, parts.nodes.shape).astype(np.float32) * spread
            noise[:marks] = 0.0
            parts.nodes += noise
        else:
            chosen = rng.random(len(parts.nodes)) < share
            chosen[: max(marks, int(name == "node_dropping"))] = False
            parts = (
                _dropped(parts, chosen)
                if name == "node_dropping"
                else _hidden(parts, chosen, blank)
            )
    return parts


def _hidden(parts: Parts, chosen: np.ndarray, blank: Any) -> Parts:
    parts.nodes[chosen] = blank
    return parts


def _dropped(parts: Parts, chosen: np.ndarray) -> Parts:
    place = np.cumsum(~chosen) - 1
    left = parts.of_edges(~chosen[parts.edges].any(1))
    return Parts(parts.nodes[~chosen], place[left.edges], left.bonds)


def _by_edge(parts: Parts, share: float, rng: np.random.Generator) -> np.ndarray:
    """(E,) of bool, one draw for both directions of an edge."""
    pairs = np.sort(parts.edges, axis=1)
    _, number = np.unique(pairs, axis=0, return_inverse=True)
    number = number.reshape(-1)
    hit: np.ndarray = (rng.random(number.max(initial=-1) + 1) < share)[number]
    return hit


def _moved(parts: Parts, share: float, rng: np.random.Generator) -> Parts:
    """Some edges with one end at another node; where that makes an edge twice or a loop, it is left out."""
    once = np.flatnonzero(parts.edges[:, 0] < parts.edges[:, 1])
    pairs = parts.edges[once].copy()
    moved = rng.random(len(pairs)) < share
    pairs[moved, 1] = rng.integers(0, len(parts.nodes), int(moved.sum()))
    pairs = np.sort(pairs, axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    first = first[pairs[first, 0] != pairs[first, 1]]
    pairs, once = pairs[first], once[first]
    left = parts.of_edges(np.concatenate([once, once]))
    return Parts(parts.nodes, np.concatenate([pairs, pairs[:, ::-1]]), left.bonds)
