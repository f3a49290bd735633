"""Graphs for the report: molecules as pictures, others as points and lines."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow
from headstart.modalities.graph import graphs, molecules
from headstart.modalities.graph.graphs import Graph

MOST = 60
"""Nodes that are drawn; the first ones, which in a neighbourhood are the nearest."""


def exhibit(sample: Sample, fields: Sequence[Field]) -> Mapping[str, str]:
    """{"kind": "picture", ...} of a molecule, else {"kind": "drawing", "drawing": JSON}: points [x, y, kind,
    marked] between 0 and 1, lines [from, to], and a note."""
    value = sample[fields[0].name]
    if fields[0].kind == "smiles":
        try:
            text = base64.b64encode(molecules.picture(value)).decode()
        except BadRow:
            return {"kind": "text", "text": str(value)}
        return {"kind": "picture", "data": f"data:image/png;base64,{text}"}
    return {"kind": "drawing", "drawing": json.dumps(_drawing(graphs.unpack(value)))}


def _drawing(graph: Graph) -> dict[str, object]:
    import networkx

    shown = min(graph.nodes, MOST)
    edges = graph.edges[(graph.edges < shown).all(axis=1) & (graph.edges[:, 0] < graph.edges[:, 1])]
    made = networkx.Graph()
    made.add_nodes_from(range(shown))
    made.add_edges_from(edges.tolist())
    spread = networkx.spring_layout(made, seed=0, iterations=80)
    places = np.array([spread[i] for i in range(shown)], float).reshape(-1, 2)
    low, size = places.min(0), np.maximum(np.ptp(places, axis=0), 1e-9)
    places = (places - low) / size if shown > 1 else np.full((shown, 2), 0.5)
    kinds = np.zeros(shown, int) if graph.labels is None else graph.labels[:shown]
    points = [
        [round(float(x), 3), round(float(y), 3), int(kind), i < graph.marks]
        for i, ((x, y), kind) in enumerate(zip(places, kinds, strict=True))
    ]
    note = f"{graph.nodes} nodes, {len(graph.edges) // 2} edges"
    note += f"; the first {shown} nodes are drawn" if shown < graph.nodes else ""
    return {"points": points, "lines": edges.tolist(), "note": note}
