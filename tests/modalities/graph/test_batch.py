"""Graphs to arrays: fitted vocabularies, unseen kinds, other widths, marks, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.core.dataset import Field
from headstart.errors import BadRow, SourceError
from headstart.modalities.graph import batch, graphs, molecules
from headstart.modalities.graph.graphs import tidy

GRAPH = (Field("graph", "graph"),)
SMILES = (Field("smiles", "smiles"),)
needs_rdkit = pytest.mark.skipif(not molecules.available(), reason="RDKit is not installed")


def sample(nodes: int, edges, *, marks: int = 0, **known):
    graph = tidy(nodes, edges, **known).graph
    return {"graph": graphs.pack(graphs.Graph(**{**vars(graph), "marks": marks}))}


PATH = [(0, 1), (1, 2)]


def test_kinds_become_columns_and_unseen_ones_are_counted():
    made = batch.make({}, GRAPH, [sample(3, PATH, labels=np.array([4, 9, 4]))])
    assert made.width == 3
    arrays = made(sample(3, PATH, labels=np.array([9, 5, 4])))
    assert arrays["nodes"].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert made.counts == {"unseen kind of node": 1}
    assert "bonds" not in arrays


def test_where_nothing_is_known_neighbours_are_counted():
    made = batch.make({}, GRAPH, [sample(3, PATH)])
    nodes = made(sample(3, PATH))["nodes"]
    assert nodes.shape == (3, batch.DEGREES + 1)
    assert np.array_equal(nodes[0], nodes[2]) and not np.array_equal(nodes[0], nodes[1])


def test_numbers_are_scaled_and_counts_of_words_get_unit_length():
    rng = np.random.default_rng(0)
    plain = [
        sample(3, PATH, numbers=rng.normal(5, 2, (3, 2)).astype(np.float32)) for _ in range(50)
    ]
    nodes = np.concatenate([batch.make({}, GRAPH, plain)(s)["nodes"] for s in plain])
    assert abs(nodes.mean()) < 0.1 and 0.7 < nodes.std() < 1.1
    words = (rng.random((3, 40)) < 0.1).astype(np.float32)
    words[:, 0] = 1
    nodes = batch.make({}, GRAPH, [sample(3, PATH, numbers=words)])(sample(3, PATH, numbers=words))[
        "nodes"
    ]
    assert np.allclose(np.linalg.norm(nodes, axis=1), 1)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (sample(3, PATH, numbers=np.ones((3, 5), np.float32)), "5 numbers for each node"),
        (sample(3, PATH), "none numbers"),
        (sample(3, PATH, marks=1, numbers=np.ones((3, 2), np.float32)), "question is about 1"),
    ],
)
def test_graphs_of_another_kind_are_bad_rows(other, reason):
    made = batch.make({}, GRAPH, [sample(3, PATH, numbers=np.eye(3, 2, dtype=np.float32))])
    with pytest.raises(BadRow, match=reason):
        made(other)


def test_padding_is_at_the_end_and_masked_for_nodes_and_edges():
    samples = [sample(3, PATH), sample(1, []), sample(4, [*PATH, (2, 3), (3, 0)])]
    made = batch.make({}, GRAPH, samples)
    inputs = made.collate([made(s) for s in samples])
    assert inputs["mask"].sum(1).tolist() == [3, 1, 4]
    assert inputs["edge_mask"].sum(1).tolist() == [4, 0, 8]
    assert inputs["edges"].shape == (3, 8, 2)
    assert not inputs["edges"][1].any()
    lone = made.collate([made(samples[1])])
    assert lone["edges"].shape == (1, 0, 2)


def test_augmentation_leaves_the_marked_node_and_whole_edges():
    ring = [(i, (i + 1) % 80) for i in range(80)]
    one = sample(80, ring, marks=1, labels=np.zeros(80, int), bonds=np.arange(80))
    made = batch.make({}, GRAPH, [one])
    plain, moved = made(one), made(one, np.random.default_rng(3))
    assert np.array_equal(plain["nodes"][0], moved["nodes"][0])
    assert (moved["nodes"].sum(1) == 0).any()
    kept = set(map(tuple, moved["edges"].tolist()))
    assert 0 < len(kept) < 160
    assert all((b, a) in kept for a, b in kept), "both directions of an edge go together"
    assert len(moved["bonds"]) == len(moved["edges"])


@needs_rdkit
def test_molecules_as_codes_and_as_features():
    samples = [{"smiles": s} for s in ("CCO", "c1ccccc1", "C")]
    coded = batch.make({"kind": "codes"}, SMILES, samples)
    assert not coded.fitted
    inputs = coded.collate([coded(s) for s in samples])
    assert inputs["atoms"].dtype == torch.int64 and inputs["bonds"].shape[2] == 2
    masked = coded(samples[1], np.random.default_rng(2))
    assert (masked["atoms"][:, 0] == batch.MASK_ATOM).any()
    assert (coded(samples[1])["atoms"][:, 0] == 5).all(), "what is remembered is not written to"
    described = batch.make({}, SMILES, samples)
    assert described(samples[0])["nodes"].shape == (3, described.width)
    assert batch.restore(described.state()).digest == described.digest


def test_a_network_for_molecules_reads_no_other_graphs():
    with pytest.raises(SourceError, match="SMILES"):
        batch.make({"kind": "codes"}, GRAPH, [sample(3, PATH)])


def test_ranks_of_kinds_and_neighbours_stand_in_front():
    learned = sample(4, [*PATH, (2, 3)], labels=np.array([7, 7, 4, 9]))
    made = batch.make({"kind": "features", "slots": 2}, GRAPH, [learned])
    nodes = made(sample(3, PATH, labels=np.array([7, 9, 1])))["nodes"]
    assert nodes.shape == (3, made.width) and made.width == 2 + batch.STRUCTURE + 4
    # the most frequent kind first; all others, unseen ones too, in the last slot
    assert nodes[:, :2].tolist() == [[1, 0], [0, 1], [0, 1]]
    assert nodes[:, 2 : 2 + batch.DEGREES].argmax(1).tolist() == [1, 2, 1]
    assert nodes[:, -4:].argmax(1).tolist() == [1, 2, 3]  # kinds by name, as without slots
    again = batch.restore(made.state())
    assert np.array_equal(again(learned)["nodes"], made(learned)["nodes"])


def test_slots_are_empty_where_nodes_have_no_kinds_and_numbers_pass_by():
    rng = np.random.default_rng(0)
    known = [sample(3, PATH, numbers=rng.normal(0, 1, (3, 2)).astype(np.float32)) for _ in range(9)]
    made = batch.make({"kind": "features", "slots": 3}, GRAPH, known)
    nodes = made(known[0])["nodes"]
    assert nodes.shape == (3, 3 + batch.STRUCTURE + 2)
    assert not nodes[:, :3].any() and nodes[:, 3:].any(1).all()


def test_a_source_of_whole_graphs_refuses_questions_about_nodes():
    with pytest.raises(SourceError, match=r"reads whole graphs.*builtin:random-gin"):
        batch.make({"kind": "features", "slots": 3}, GRAPH, [sample(3, PATH, marks=1)])


@pytest.mark.parametrize("slots", [0, 2])
def test_a_view_leaves_out_moves_or_hides(slots):
    rng = np.random.default_rng(0)
    pairs = [(i, j) for i in range(12) for j in range(i) if rng.random() < 0.4]
    whole = sample(12, pairs, labels=rng.integers(0, 3, 12), bonds=rng.integers(0, 2, len(pairs)))
    asked = {"kind": "features", "augment": list(batch.VIEWS), **({"slots": 2} if slots else {})}
    made = batch.make(asked, GRAPH, [whole])
    plain = made(whole)
    seen = set()
    for draw in range(40):
        view = made(whole, np.random.default_rng(draw))
        assert set(view) == set(plain) and len(view["bonds"]) == len(view["edges"])
        assert view["edges"].size == 0 or view["edges"].max() < len(view["nodes"])
        both = {tuple(e) for e in view["edges"].tolist()}
        assert both == {(b, a) for a, b in both} and all(a != b for a, b in both)
        if len(view["nodes"]) < 12:
            seen.add("left out")
        elif not np.array_equal(view["edges"], plain["edges"]):
            seen.add("moved" if view["nodes"].any(1).all() else "hidden and moved")
        elif not view["nodes"].any(1).all():
            seen.add("hidden")
        if slots and view["nodes"].any(1).all():
            degrees = np.bincount(view["edges"][:, 1], minlength=len(view["nodes"]))
            found = view["nodes"][:, slots : slots + batch.DEGREES].argmax(1)
            assert np.array_equal(found, np.minimum(degrees, batch.DEGREES - 1))
    assert seen == {"left out", "moved", "hidden"}
