"""The simple models that transfer has to beat: fingerprints, counted subtrees, neighbours' means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import MaxAbsScaler

from headstart.core.dataset import Field, Sample
from headstart.core.modality import Champion, Simple
from headstart.modalities import _simple
from headstart.modalities.graph import batch, graphs, molecules
from headstart.modalities.graph.graphs import Graph

STRENGTHS = tuple(np.logspace(-3, 2, 6))
PENALTIES = tuple(np.logspace(-2, 4, 13))
ITERATIONS = 1000
ROUNDS = 3
"""Depth of the subtrees that are counted."""

Rows = Callable[[Sequence[Sample]], Any]


def _linear(
    rows_of: Rows,
    samples: Sequence[Sample],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None,
    scaled: bool = True,
) -> Simple:
    """Logistic regression with C by cross-validation, or ridge; `scaled`: on columns that reach one."""
    model, found = _simple.linear(
        rows_of(samples),
        np.asarray(targets),
        strengths=STRENGTHS,
        penalties=PENALTIES,
        iterations=ITERATIONS,
        outcome=outcome,
        seed=seed,
        settings=settings,
        first=[MaxAbsScaler()] if scaled else [],
    )
    return Simple(lambda some: _simple.said(model, rows_of(some), outcome), found)


def fit_fingerprints(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Counts of circular neighbourhoods of two bonds (Morgan). Targets (N,): classes 0..C-1, or numbers."""

    def rows_of(some: Sequence[Sample]) -> Any:
        return sparse.csr_matrix(molecules.fingerprints([s[fields[0].name] for s in some]))

    return _linear(rows_of, samples, targets, outcome=outcome, seed=seed, settings=settings)


def fit_descriptors(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Boosted trees on what chemists compute of a molecule: weight, logP, surface, rings. Targets as
    above."""

    def rows_of(some: Sequence[Sample]) -> np.ndarray:
        return molecules.descriptors([s[fields[0].name] for s in some])

    predict, found = _simple.trees(
        rows_of(samples), np.asarray(targets), outcome=outcome, seed=seed, settings=settings
    )
    return Simple(lambda some: predict(rows_of(some)), found)


class _Subtrees:
    """Counts of Weisfeiler-Lehman colours as columns, those of two training graphs or more."""

    def __init__(self, samples: Sequence[Sample], name: str) -> None:
        self.name = name
        seen: Counter[int] = Counter()
        for sample in samples:
            seen.update(set(self._counted(sample)))
        least = 2 if len(samples) > 20 else 1
        kept = sorted(colour for colour, count in seen.items() if count >= least)
        self.columns = {colour: place for place, colour in enumerate(kept)}

    def _counted(self, sample: Sample) -> Counter[int]:
        graph = graphs.unpack(sample[self.name])
        found: Counter[int] = Counter()
        for colours in graphs.colours(graph, ROUNDS):
            found.update(colours.tolist())
        return found

    def matrix(self, samples: Sequence[Sample]) -> sparse.csr_matrix:
        """(N, columns): how often."""
        rows, columns, values = [], [], []
        for row, sample in enumerate(samples):
            for colour, count in self._counted(sample).items():
                place = self.columns.get(colour)
                if place is not None:
                    rows.append(row)
                    columns.append(place)
                    values.append(float(count))
        shape = (len(samples), max(1, len(self.columns)))
        return sparse.csr_matrix((values, (rows, columns)), shape=shape)


def fit_subtrees(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """Counts of subtrees up to depth `ROUNDS` (Shervashidze et al. 2011), and the sums of what else is known
    of the nodes. Targets as above. Counts are not scaled: the linear model then is that of the kernel."""
    subtrees, encode = _Subtrees(samples, fields[0].name), batch.make({}, fields, samples)

    def rows_of(some: Sequence[Sample]) -> Any:
        sums = np.stack([encode(s)["nodes"].sum(0) for s in some])
        return sparse.hstack([subtrees.matrix(some), sparse.csr_matrix(sums)], format="csr")

    how: dict[str, Any] = {"outcome": outcome, "seed": seed, "settings": settings}
    return _linear(rows_of, samples, targets, scaled=False, **how)


def fit_neighbours(
    samples: Sequence[Sample],
    fields: Sequence[Field],
    targets: np.ndarray,
    *,
    outcome: str,
    seed: int,
    settings: Mapping[str, Any] | None = None,
) -> Simple:
    """What is known of the node, the mean of it over neighbours one and two hops away, and the degree;
    of a pair, products of the two and what neighbours they share. Targets as above."""
    encode, name = batch.make({}, fields, samples), fields[0].name

    def rows_of(some: Sequence[Sample]) -> Any:
        rows = [_around(graphs.unpack(s[name]), encode(s)["nodes"]) for s in some]
        return sparse.csr_matrix(np.stack(rows))

    return _linear(rows_of, samples, targets, outcome=outcome, seed=seed, settings=settings)


def _around(graph: Graph, nodes: np.ndarray) -> np.ndarray:
    """Columns of the marked nodes and of their neighbours."""
    nodes = nodes[:, : nodes.shape[1] - graph.marks]
    degrees = graph.degrees.astype(np.float64)
    shares = 1.0 / np.maximum(degrees[graph.edges[:, 1]], 1.0)
    step = sparse.csr_matrix(
        (shares, (graph.edges[:, 1], graph.edges[:, 0])), shape=(graph.nodes, graph.nodes)
    )
    once = step @ nodes
    told = [nodes[: graph.marks], once[: graph.marks], (step[: graph.marks] @ once)]
    if graph.marks == 1:
        return np.concatenate([*(t[0] for t in told), [np.log1p(degrees[0])]])
    shared = np.flatnonzero(np.prod((step[:2] > 0).toarray(), axis=0))
    rare = (1.0 / np.log(2.0 + degrees[shared])).sum()
    pair = [len(shared), rare, *np.sort(np.log1p(degrees[:2]))]
    return np.concatenate([*(t[0] * t[1] for t in told), pair])


def _molecules(samples: Sequence[Sample], fields: Sequence[Field]) -> bool:
    return fields[0].kind == "smiles"


def _marked(samples: Sequence[Sample], fields: Sequence[Field]) -> int:
    """Nodes that the question is about; -1 for molecules."""
    if _molecules(samples, fields):
        return -1
    return graphs.unpack(samples[0][fields[0].name]).marks


CHAMPIONS = (
    Champion("Morgan fingerprints + linear model", fit_fingerprints, serves=_molecules),
    Champion(
        "molecular descriptors + gradient-boosted trees",
        fit_descriptors,
        seeded=True,
        serves=_molecules,
    ),
    Champion(
        "Weisfeiler-Lehman subtrees + linear model",
        fit_subtrees,
        serves=lambda samples, fields: _marked(samples, fields) == 0,
    ),
    Champion(
        "own and neighbours' features + linear model",
        fit_neighbours,
        serves=lambda samples, fields: _marked(samples, fields) > 0,
    ),
)
