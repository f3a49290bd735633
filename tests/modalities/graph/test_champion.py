"""Simple models see what they are made for, and say which samples they read."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.baseline import serving
from headstart.core.dataset import Field
from headstart.core.task import Task
from headstart.data.opening import open_data
from headstart.modalities.graph import champion, graphs, molecules, read, tiny

needs_rdkit = pytest.mark.skipif(not molecules.available(), reason="RDKit is not installed")
GRAPH, SMILES = (Field("graph", "graph"),), (Field("smiles", "smiles"),)


def names(samples, fields) -> list[str]:
    return [c.name for c in serving(champion.CHAMPIONS, samples, fields)]


@pytest.mark.parametrize("outcome", ["classify", "regress"])
def test_subtrees_find_motifs(outcome, tmp_path):
    path = tiny.write(tmp_path, outcome, 240, 0)
    data = open_data(Task(data=str(path), outcome=outcome), {"graph": read}, cache=tmp_path / "c")
    rows = data.samples(np.arange(240))
    targets = np.array(data.targets(np.arange(240)))
    assert names(rows, GRAPH) == ["Weisfeiler-Lehman subtrees + linear model"]
    made = champion.fit_subtrees(rows[:180], GRAPH, targets[:180], outcome=outcome, seed=0)
    said = made(rows[180:])
    if outcome == "classify":
        assert (said.argmax(1) == targets[180:]).mean() > 0.8
    else:
        assert np.corrcoef(said, targets[180:])[0, 1] > 0.8


def test_neighbours_tell_of_nodes_whose_own_features_do_not():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 200)
    numbers = (kind[:, None] + rng.normal(0, 2.0, (200, 3))).astype(np.float32)
    same = [np.flatnonzero(kind == k) for k in (0, 1)]
    edges = [(i, int(rng.choice(same[kind[i]]))) for i in range(200) for _ in range(4)]
    cut = graphs.Surroundings(graphs.tidy(200, edges, numbers=numbers).graph, 32)
    rows = [{"graph": graphs.pack(cut.around(np.array([i]), 2))} for i in range(200)]
    assert names(rows, GRAPH) == ["own and neighbours' features + linear model"]
    made = champion.fit_neighbours(rows[:100], GRAPH, kind[:100], outcome="classify", seed=0)
    assert (made(rows[100:]).argmax(1) == kind[100:]).mean() > 0.85


def test_pairs_are_told_by_what_neighbours_they_share():
    rng = np.random.default_rng(0)
    side = rng.integers(0, 8, 120)
    edges = [
        (i, j) for i in range(120) for j in range(i) if side[i] == side[j] and rng.random() < 0.6
    ]
    cut = graphs.Surroundings(graphs.tidy(120, edges).graph, 32)
    joined = set(edges)
    pairs = [edges[i] for i in rng.permutation(len(edges))[:60]]
    while len(pairs) < 120:
        i, j = sorted(rng.integers(0, 120, 2), reverse=True)
        if i != j and (i, j) not in joined:
            pairs.append((int(i), int(j)))
    answers = np.array([1] * 60 + [0] * 60)
    rows = [{"graph": graphs.pack(cut.around(np.array(p), 2))} for p in pairs]
    made = champion.fit_neighbours(rows[::2], GRAPH, answers[::2], outcome="classify", seed=0)
    assert (made(rows[1::2]).argmax(1) == answers[1::2]).mean() > 0.85


@needs_rdkit
@pytest.mark.parametrize("outcome", ["classify", "regress"])
def test_molecules_by_fingerprints_and_descriptors(outcome):
    rng = np.random.default_rng(0)
    rows = [
        {"smiles": "C" * int(rng.integers(1, 9)) + ("O" if i % 2 else "N") + "C" * int(rng.integers(1, 5))}
        for i in range(80)
    ]  # fmt: skip
    targets = np.array([float(len(r["smiles"])) for r in rows])
    if outcome == "classify":
        targets = np.arange(80) % 2
    found = serving(champion.CHAMPIONS, rows, SMILES)
    assert len(found) == 2
    for one in found:
        made = one.fit(rows[:60], SMILES, targets[:60], outcome=outcome, seed=0)
        said = made(rows[60:])
        if outcome == "classify":
            assert (said.argmax(1) == targets[60:]).mean() > 0.9, one.name
        else:
            assert np.corrcoef(said, targets[60:])[0, 1] > 0.8, one.name
        again = one.fit(
            rows[:60], SMILES, targets[:60], outcome=outcome, seed=0, settings=made.settings
        )
        assert np.allclose(said, again(rows[60:]))
