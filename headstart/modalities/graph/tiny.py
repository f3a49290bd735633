"""Generated graphs whose motifs decide, and a small random GIN to read them; no molecule, no RDKit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from headstart.core import digest
from headstart.core.source import Loaded, Source
from headstart.modalities.graph.network import Shape, drawn

KINDS, BONDS = 3, 2
SHAPE = Shape("gin", depth=2, width=16, nodes=KINDS + 2, edges=BONDS + 1)
"""Columns of a node: its kinds, one for unseen kinds, and one number."""
CYCLES = (0, 3, 4)
"""Nodes of the ring that a class adds; 0: none."""


def _tree(rng: np.random.Generator, nodes: int) -> list[tuple[int, int]]:
    """A random tree in which no node has more than three neighbours."""
    edges: list[tuple[int, int]] = []
    degree = np.zeros(nodes, int)
    for node in range(1, nodes):
        before = int(rng.choice(np.flatnonzero(degree[:node] < 3)))
        edges.append((before, node))
        degree[[before, node]] += 1
    return edges


def _graph(
    rng: np.random.Generator, ring: int, rings: int
) -> tuple[int, list[tuple[int, int]], np.ndarray]:
    """A tree with some rings hanging from it; the ring's nodes are mostly of one kind."""
    nodes = int(rng.integers(6, 13))
    edges, kinds = _tree(rng, nodes), list(rng.integers(0, KINDS, nodes))
    for _ in range(rings if ring else 0):
        first = len(kinds)
        kinds += [int(rng.integers(KINDS)) if rng.random() < 0.2 else ring % KINDS] * ring
        edges += [(first + i, first + (i + 1) % ring) for i in range(ring)]
        edges.append((int(rng.integers(nodes)), first))
    return len(kinds), edges, np.array(kinds)


def write(folder: Path, outcome: str, rows: int, seed: int) -> Path:
    """Writes `graphs.npz`, as TU-style sets are kept here; returns its path.

    Classes are trees, trees with triangles, and trees with squares. For "regress" the answer is the
    number of triangles, with a little noise.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    owner, ends, kinds, answers = [], [], [], list[object]()
    total = 0
    for row in range(rows):
        ring, rings = CYCLES[row % 3], int(rng.integers(1, 3))
        if outcome == "regress":
            ring, rings = 3, int(rng.integers(0, 4))
        nodes, edges, labels = _graph(rng, ring, rings)
        owner += [row] * nodes
        kinds += labels.tolist()
        ends += [(a + total, b + total) for a, b in edges]
        answers.append(rings + rng.normal(0, 0.1) if outcome == "regress" else row % 3)
        total += nodes
    both = np.array(ends + [(b, a) for a, b in ends]).T
    path = folder / "graphs.npz"
    np.savez_compressed(
        path,
        edge_index=both,
        graph_id=np.array(owner),
        node_label=np.array(kinds),
        edge_label=np.tile(rng.integers(0, BONDS, len(ends)), 2),
        x=rng.normal(size=(total, 1)).astype(np.float32),
        y=np.array(answers),
    )
    return path


def loaded(seed: int) -> Loaded:
    """A GIN of 2 layers and width 16 with random weights, for graphs as `write` makes them."""

    def build(number: int) -> nn.Module:
        return drawn(SHAPE, number)

    module = build(seed)
    source = Source(
        uri=f"builtin:tiny-graph?seed={seed}",
        name="tiny random GIN",
        family="gin",
        revision=f"seed {seed}",
        sha256=digest.tensors(module.state_dict().items()),
        licence="Apache-2.0",
        trained_on="nothing: random weights drawn from a seed",
        data_licence="CC0-1.0",
        parents=(),
        paper="arXiv:1810.00826",
        parameters=sum(p.numel() for p in module.parameters()),
        preprocessing={},
    )
    facts = {"library": "headstart", "architecture": "gin"}
    return Loaded(source=source, module=module, config=facts, rebuild=build)
