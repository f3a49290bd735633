"""Graphs by formula: motifs counted by brute force, families that keep their law."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.generators.motifs import DEGREES, FAMILIES, FEWEST, RULES, STEPS, Motifs, motifs
from tests.generators.learn import gain


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _near(drawn: dict[str, Tensor], row: int) -> np.ndarray:
    """The adjacency of one graph, of its real nodes."""
    size = int(drawn["mask"][row].sum())
    near = np.zeros((size, size), dtype=bool)
    start, end = drawn["edges"][row][drawn["edge_mask"][row]].T.numpy()
    near[start, end] = True
    return near


def _brute(near: np.ndarray) -> list[int]:
    """Triangles, squares, stars of three and the largest degree, one set of nodes after another."""
    nodes = range(len(near))
    triangles = sum(near[a, b] & near[b, c] & near[a, c] for a, b, c in combinations(nodes, 3))
    squares = 0
    for a, b, c, d in combinations(nodes, 4):
        for w, x, y, z in ((a, b, c, d), (a, c, b, d), (a, b, d, c)):
            squares += near[w, x] & near[x, y] & near[y, z] & near[z, w]
    stars = sum(len(list(combinations(np.flatnonzero(near[n]), 3))) for n in nodes)
    return [int(triangles), int(squares), stars, int(near.sum(1).max())]


def _connected(near: np.ndarray) -> bool:
    reach = np.linalg.matrix_power(near.astype(float) + np.eye(len(near)), len(near))
    return bool((reach > 0).all())


def test_motifs_of_known_graphs() -> None:
    full, ring, star = (torch.zeros(5, 5, dtype=torch.bool) for _ in range(3))
    full[:] = ~torch.eye(5, dtype=torch.bool)
    for node in range(4):
        ring[node, (node + 1) % 4] = ring[(node + 1) % 4, node] = True
    star[0, 1:] = star[1:, 0] = True
    counts = motifs(torch.stack([full, ring, star]))
    assert counts.tolist() == [[10, 15, 20, 4], [0, 1, 0, 2], [0, 0, 4, 4]]


def test_counts_and_classes_are_those_of_brute_force() -> None:
    drawn, labels = Motifs(most=11).draw(80, _rng())
    for row in range(80):
        counts = _brute(_near(drawn, row))
        assert drawn["counts"][row].tolist() == counts
        steps = (STEPS, STEPS, STEPS, DEGREES)
        classes = [sum(c >= s for s in limits) for c, limits in zip(counts, steps, strict=True)]
        assert labels[row, 1:5].tolist() == classes


def test_edges_stand_in_both_directions_between_real_nodes() -> None:
    drawn, _ = Motifs(most=20).draw(100, _rng())
    assert drawn["mask"].sum(1).min() >= FEWEST
    assert drawn["mask"].sum(1).max() == 20
    for row in range(100):
        near = _near(drawn, row)  # fails where an edge names a node that is not real
        assert (near == near.T).all()
        assert not near.diagonal().any()
        assert near.sum() == drawn["edge_mask"][row].sum()  # none stands there twice
    assert (drawn["kinds"] < 8).all()
    assert (drawn["kinds"][~drawn["mask"]] == 0).all()


@pytest.mark.parametrize("family", range(len(FAMILIES)))
def test_families_keep_their_law(family: int) -> None:
    drawn, labels = Motifs(most=24).draw(500, _rng(family), hardness=0.0)
    rows = (labels[:, 0] == family).nonzero()[:, 0].tolist()
    assert len(rows) > 30
    graphs = [_near(drawn, row) for row in rows]
    spread = np.mean([g.sum(1).std() for g in graphs])
    sizes = np.array([len(g) for g in graphs])
    edges = np.array([g.sum() // 2 for g in graphs])
    counts = drawn["counts"][rows]
    match FAMILIES[family]:
        case "random":
            assert 1.5 < (2 * edges / sizes).mean() < 5
        case "hubs":
            assert all(map(_connected, graphs))
            assert spread > 1.6
        case "small world":
            assert (2 * edges / sizes).max() <= 6
            assert spread < 0.8
        case "blocks":
            values = [np.linalg.eigvalsh(np.diag(g.sum(1)) - g)[1] for g in graphs]
            assert np.mean(values) < 0.6  # a narrow cut between groups
        case "grid":
            assert all(map(_connected, graphs))
            assert (counts[:, 0] == 0).all()
            assert (counts[:, 1] > 0).all()
            assert (counts[:, 3] <= 4).all()
        case "tree":
            assert all(map(_connected, graphs))
            assert (edges == sizes - 1).all()
        case "molecule":
            assert all(map(_connected, graphs))
            assert (counts[:, 3] <= 4).all()
            assert (counts[:, :2] == 0).all()  # rings are of five or six
            rings = edges - sizes + 1
            assert rings.max() >= 2
            assert (rings == 0).any()


def test_kinds_follow_their_rule() -> None:
    drawn, labels = Motifs().draw(400, _rng(), hardness=0.0)
    alike: dict[int, list[float]] = {n: [] for n in range(len(RULES))}
    for row in range(400):
        near, rule = _near(drawn, row), int(labels[row, 5])
        kinds = drawn["kinds"][row][: len(near)].numpy()
        start, end = near.nonzero()
        alike[rule].append((kinds[start] == kinds[end]).mean())
        if rule == RULES.index("by degree"):
            degree = near.sum(1).clip(max=7)
            assert all(len(set(kinds[degree == d])) == 1 for d in set(degree))
    assert np.mean(alike[RULES.index("shared")]) > np.mean(alike[RULES.index("free")]) + 0.15


def test_hardness_changes_few_pairs() -> None:
    drawn, labels = Motifs().draw(600, _rng(), hardness=1.0)
    trees = (labels[:, 0] == FAMILIES.index("tree")).nonzero()[:, 0].tolist()
    kept = [_near(drawn, r).sum() // 2 == drawn["mask"][r].sum() - 1 for r in trees]
    assert 0.5 < np.mean(kept) < 0.95


def test_labels_can_be_learnt() -> None:
    drawn, labels = Motifs().draw(3000, _rng())
    features = []
    for row in range(3000):
        near = _near(drawn, row)
        kinds = drawn["kinds"][row][: len(near)].numpy()
        degree = near.sum(1)
        values = np.linalg.eigvalsh(near.astype(float))
        start, end = near.nonzero()
        shares = np.bincount(degree.clip(max=12), minlength=13)
        within = np.mean([np.std(degree[kinds == k]) for k in set(kinds)])
        alike = (kinds[start] == kinds[end]).mean() if len(start) else 0.0
        moments = [np.log1p(np.abs((values**p).sum())) for p in (2, 3, 4, 6)]
        features.append([len(near), *shares, within, alike, *moments, values[0], values[-1]])
    gains = [gain(np.array(features), column) for column in labels.T.numpy()]
    assert min(gains) > 0.15, gains
    assert gains[0] > 0.4
