"""Molecules are drawn as PNG, other graphs as points and lines that the report draws safely."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.modalities.graph import graphs, molecules, show
from headstart.report.drawing import drawing

needs_rdkit = pytest.mark.skipif(not molecules.available(), reason="RDKit is not installed")
GRAPH = (Field("graph", "graph"),)


@needs_rdkit
def test_a_molecule_is_a_png():
    shown = show.exhibit({"smiles": "CC(=O)Oc1ccccc1C(=O)O"}, (Field("smiles", "smiles"),))
    head, _, data = shown["data"].partition(",")
    assert (shown["kind"], head) == ("picture", "data:image/png;base64")
    assert base64.b64decode(data).startswith(b"\x89PNG")


@pytest.mark.parametrize("nodes", [1, 2, 30, 200])
def test_a_graph_is_points_and_lines(nodes):
    whole = graphs.tidy(nodes, [(i, i + 1) for i in range(nodes - 1)]).graph
    cell = graphs.pack(graphs.Graph(**{**vars(whole), "marks": 1}))
    shown = show.exhibit({"graph": cell}, GRAPH)
    told = json.loads(shown["drawing"])
    count = min(nodes, show.MOST)
    assert len(told["points"]) == count and len(told["lines"]) == count - 1
    assert all(0 <= v <= 1 for x, y, *_ in told["points"] for v in (x, y))
    assert [p[3] for p in told["points"]] == [True] + [False] * (count - 1)
    assert np.array_equal(
        told["lines"], json.loads(show.exhibit({"graph": cell}, GRAPH)["drawing"])["lines"]
    )
    page = str(drawing(shown["drawing"]))
    assert page.count("<circle") == count + 1 and f"{nodes} nodes" in page
