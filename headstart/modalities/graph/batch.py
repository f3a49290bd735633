"""Graphs to arrays: codes of atoms and bonds, or features whose vocabulary and scale are fitted."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.augment import Policy, Variations
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.core.tally import Tally
from headstart.errors import BadRow, DataError, SourceError
from headstart.modalities.graph import augment, graphs, molecules
from headstart.modalities.graph.gather import HOPS
from headstart.modalities.graph.graphs import Graph

AUGMENTATIONS = ("edge_dropping", "node_masking")
VARIATIONS = augment.VARIATIONS
VIEWS = ("node_dropping", "edge_moving", "node_hiding")
"""Of each copy that an objective compares, one of these changes `CHANGED` (GraphCL, arXiv:2010.13902)."""

DROPPED = 0.05
"""Share of edges that `edge_dropping` leaves out on average (DropEdge, arXiv:1907.10903)."""
MASKED = 0.1
"""Share of nodes of which `node_masking` hides what is known (GraphCL, arXiv:2010.13902)."""
CHANGED = 0.2
"""Share of nodes or edges that a view leaves out, moves or hides."""
MASK_ATOM = 119
"""Code of an atom that is hidden, in the published vocabulary."""
DEGREES = 8
"""Neighbours that are told apart where nothing else is known of a node."""
MOST_KINDS = 512
STRUCTURE = DEGREES + 1
"""Columns that tell the number of a node's neighbours."""
SPARSE = 0.8
"""Numbers of which more than this share are zero are counts of words and the like: each row is brought
to unit length. Others are standardised by column."""
CLIP = 3.0  # numbers are bent smoothly into (-CLIP, CLIP)

CODES, FEATURES = "codes", "features"


class Transform:
    """One graph to arrays of nodes and edges.

    Attributes:
        width: columns of a node; edge_width: columns of an edge, 0 for none.
        marks: nodes the question is about, as `Graph.marks`.
        hops: depth of the neighbourhoods, where the question is about nodes; 0: whole graphs.
        slots: columns in front, for networks that read any graph: one 1 for the rank of a node's kind among
            those of training, the most frequent first, the last slot for all further ones. Behind them stand
            `STRUCTURE` columns. 0: none of both.
        digest: of the vocabulary and all fitted constants.
        counts: "unseen kind of node", "unseen kind of edge": how many came, in
            different graphs.
        fitted: whether there are constants from training rows.
    """

    policy: Policy | None = None

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self.field, self.smiles = str(state["field"]), bool(state["smiles"])
        self.coded = state["kind"] == CODES
        self.fitted = not self.coded
        self.marks = int(state.get("marks", 0))
        self.hops = HOPS if self.marks else 0
        self._labels = {v: i for i, v in enumerate(state.get("labels", ()))}
        self._bonds = {v: i for i, v in enumerate(state.get("bonds", ()))}
        self.slots = int(state.get("slots", 0))
        self._ranks = {v: min(i, self.slots - 1) for i, v in enumerate(state.get("ranks", ()))}
        self._strong = bool(state.get("strong", False))
        self._numbers = state.get("numbers")
        self._measures = state.get("measures")
        self.width, self.edge_width = 2, 2
        if not self.coded:
            self.width = _kinds_width(self._labels) + _numbers_width(self._numbers) + self.marks
            self.width += self.slots
            self.width += STRUCTURE if self.slots or not (self._labels or self._numbers) else 0
            self.edge_width = _kinds_width(self._bonds) + _numbers_width(self._measures)
        self.digest = digest.value(self._state)
        self.counts = Tally()

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """{"atoms" (n, 2) int64 or "nodes" (n, width) float32, "edges" (E, 2) int64, and "bonds" (E, 2)
        int64 or (E, edge_width) float32 where edges are told apart}. With `rng`, edges dropped and nodes
        masked, or a view. Raises BadRow."""
        value = sample[self.field]
        arrays: dict[str, np.ndarray]
        if self.coded:
            atoms, edges, bonds = molecules.coded(value)
            arrays = {"atoms": atoms, "edges": edges, "bonds": bonds}
        else:
            graph = molecules.described(value) if self.smiles else graphs.unpack(value)
            unseen = Counter[str]()
            arrays = {"nodes": self._nodes(graph, unseen), "edges": graph.edges}
            if self.edge_width:
                arrays["bonds"] = self._edges(graph, unseen)
            self.counts.note(value, unseen)
        if rng is None:
            return arrays
        if self.policy is not None:
            return self._varied(arrays, self.policy, rng)
        return self._view(arrays, rng) if self._strong else self._augmented(arrays, rng)

    @property
    def variations(self) -> Variations:
        """Numbers of nodes can be noisy where nodes are told by numbers."""
        return augment.CODED if self.coded else VARIATIONS

    def varied(self, policy: Policy) -> Transform:
        """The same with variations by name."""
        made = copy.copy(self)
        made.policy = policy
        return made

    def _varied(
        self, arrays: dict[str, np.ndarray], policy: Policy, rng: np.random.Generator
    ) -> Arrays:
        """With what the policy draws; what is told of a node's neighbours is counted again."""
        name = "atoms" if self.coded else "nodes"
        parts = augment.Parts(arrays[name].copy(), arrays["edges"], arrays.get("bonds"))
        blank = (MASK_ATOM, 0) if self.coded else 0
        parts = augment.applied(parts, policy, rng, marks=self.marks, blank=blank)
        if self.slots:
            known = _neighbours(np.bincount(parts.edges[:, 1], minlength=len(parts.nodes)))
            seen = parts.nodes.any(axis=1)  # a hidden node tells nothing
            parts.nodes[seen, self.slots : self.slots + STRUCTURE] = known[seen]
        made = {name: parts.nodes, "edges": parts.edges}
        return made if parts.bonds is None else {**made, "bonds": parts.bonds}

    def _nodes(self, graph: Graph, unseen: Counter[str]) -> np.ndarray:
        """(n, width): ranks of kinds where there are slots, neighbours there or where nothing else is known,
        kinds, numbers, marks."""
        if graph.marks != self.marks:
            raise BadRow(
                f"the question is about {graph.marks} nodes; the model's is about {self.marks}",
                "give rows of the kind that it was trained on",
            )
        parts = [np.zeros((graph.nodes, 0), np.float32)]
        if self.slots:
            parts.append(self._ranked(graph))
        if self.slots or not (self._labels or self._numbers):
            parts.append(_neighbours(graph.degrees))
        if self._labels:
            parts.append(_kinds(graph.labels, self._labels, graph.nodes, unseen, "node"))
        if self._numbers:
            parts.append(_scaled(graph.numbers, self._numbers, graph.nodes, what="node"))
        parts.append(np.eye(graph.nodes, self.marks, dtype=np.float32))
        return np.concatenate(parts, axis=1)

    def _ranked(self, graph: Graph) -> np.ndarray:
        """(n, slots): one 1 each for the rank of its kind; zeros where no kinds are known."""
        if graph.labels is None or not self._ranks:
            return np.zeros((graph.nodes, self.slots), np.float32)
        last = self.slots - 1
        found = np.array([self._ranks.get(int(v), last) for v in graph.labels], np.int64)
        return np.eye(self.slots, dtype=np.float32)[found]

    def _edges(self, graph: Graph, unseen: Counter[str]) -> np.ndarray:
        """(E, edge_width)."""
        parts = [np.zeros((len(graph.edges), 0), np.float32)]
        if self._bonds:
            parts.append(_kinds(graph.bonds, self._bonds, len(graph.edges), unseen, "edge"))
        if self._measures:
            parts.append(_scaled(graph.measures, self._measures, len(graph.edges), what="edge"))
        return np.concatenate(parts, axis=1)

    def _augmented(self, arrays: dict[str, np.ndarray], rng: np.random.Generator) -> Arrays:
        name = "atoms" if self.coded else "nodes"
        nodes, edges = arrays[name].copy(), arrays["edges"]
        hidden = rng.random(len(nodes)) < MASKED
        hidden[: self.marks] = False
        nodes[hidden] = (MASK_ATOM, 0) if self.coded else 0
        # one draw for both directions of an edge
        draws = rng.random((len(nodes), len(nodes)) if len(nodes) <= 64 else 1 << 12)
        low, high = edges.min(1, initial=1 << 40), edges.max(1, initial=0)
        drawn = draws[low, high] if draws.ndim == 2 else draws[(low * 40_503 + high) % len(draws)]
        kept = drawn >= DROPPED
        made = {name: nodes, "edges": edges[kept]}
        if "bonds" in arrays:
            made["bonds"] = arrays["bonds"][kept]
        return made

    def _view(self, arrays: dict[str, np.ndarray], rng: np.random.Generator) -> Arrays:
        """A copy of which some nodes are left out, some edges moved, or some nodes hidden."""
        name = "atoms" if self.coded else "nodes"
        nodes, edges = arrays[name].copy(), arrays["edges"]
        chosen = rng.random(len(nodes)) < CHANGED
        chosen[: max(self.marks, 1)] = False
        made = {name: nodes, "edges": edges}
        way = VIEWS[int(rng.integers(len(VIEWS)))]
        if way == "node_dropping":
            place = np.cumsum(~chosen) - 1
            stays = ~chosen[edges].any(1)
            made = {name: nodes[~chosen], "edges": place[edges[stays]]}
            if "bonds" in arrays:
                made["bonds"] = arrays["bonds"][stays]
        elif way == "edge_moving":
            made["edges"], kept = _moved(edges, len(nodes), rng)
            if "bonds" in arrays:
                made["bonds"] = arrays["bonds"][kept]
        if self.slots:
            known = _neighbours(np.bincount(made["edges"][:, 1], minlength=len(made[name])))
            made[name][:, self.slots : self.slots + STRUCTURE] = known
        if way == "node_hiding":
            made[name][chosen] = (MASK_ATOM, 0) if self.coded else 0
        if "bonds" in arrays:
            made.setdefault("bonds", arrays["bonds"])
        return made

    def length(self, arrays: Arrays) -> int:
        """Nodes."""
        return len(arrays["atoms" if self.coded else "nodes"])

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """Arrays padded with zeros, and "mask" (N, nodes), "edge_mask" (N, edges) bool."""
        batch: dict[str, Tensor] = {}
        for name in items[0]:
            mask = "edge_mask" if name in ("edges", "bonds") else "mask"
            batch[name], batch[mask] = _padded([item[name] for item in items])
        return batch

    def state(self) -> Mapping[str, Any]:
        """Vocabulary and constants, as JSON can hold them."""
        return dict(self._state)

    def profile(self, name: str) -> Transform:
        """Itself: there is no fast variant."""
        return self


def _neighbours(degrees: np.ndarray) -> np.ndarray:
    """(n, STRUCTURE): one 1 for the number of neighbours, `DEGREES` - 1 or more as one, and its logarithm."""
    known = np.eye(DEGREES, dtype=np.float32)[np.minimum(degrees, DEGREES - 1)]
    return np.concatenate([known, np.log1p(degrees).astype(np.float32)[:, None]], axis=1)


def _moved(
    edges: np.ndarray, nodes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Edges (E, 2) in both directions, some with one end at another node, and whose place each took (E,)."""
    once = np.flatnonzero(edges[:, 0] < edges[:, 1])
    pairs = edges[once].copy()
    moved = rng.random(len(pairs)) < CHANGED
    pairs[moved, 1] = rng.integers(0, nodes, int(moved.sum()))
    pairs = np.sort(pairs, axis=1)
    _, first = np.unique(pairs[:, 0] * nodes + pairs[:, 1], return_index=True)
    first = first[pairs[first, 0] != pairs[first, 1]]
    pairs, once = pairs[first], once[first]
    return np.concatenate([pairs, pairs[:, ::-1]]), np.concatenate([once, once])


def _kinds_width(known: Mapping[int, int]) -> int:
    return len(known) + 1 if known else 0


def _numbers_width(scale: Mapping[str, Any] | None) -> int:
    return int(scale["width"]) if scale else 0


def _padded(arrays: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(N, longest, ...) with zeros at the end, and (N, longest) bool true at real places."""
    lengths = np.array([len(a) for a in arrays])
    made = np.zeros((len(arrays), lengths.max(), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in enumerate(arrays):
        made[row, : len(array)] = array
    mask = np.arange(lengths.max())[None] < lengths[:, None]
    return torch.from_numpy(made), torch.from_numpy(mask)


def _scaled(
    values: np.ndarray | None, scale: Mapping[str, Any], rows: int, *, what: str
) -> np.ndarray:
    """(rows, width) float32, the mean of training for what is missing. Raises BadRow where the graph knows
    other things than training's."""
    width = int(scale["width"])
    if values is None or values.shape != (rows, width):
        came = "none" if values is None else values.shape[1]
        raise BadRow(
            f"the graph has {came} numbers for each {what}; the model reads {width}",
            "give graphs as in training",
        )
    middle = 0.0 if scale["unit"] else np.array(scale["center"], np.float32)
    values = np.where(np.isnan(values), middle, values)
    if scale["unit"]:
        length = np.linalg.norm(values, axis=1, keepdims=True)
        return np.asarray(values / np.maximum(length, 1e-12), np.float32)
    made = (values - np.array(scale["center"])) / np.array(scale["scale"])
    return np.asarray(made / np.sqrt(1.0 + (made / CLIP) ** 2), np.float32)


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> Transform:
    """Codes where the source was pretrained on them; otherwise features, fitted on training rows.

    Raises:
        SourceError: the source reads molecules, and the data are none; or whole graphs, and the question is
            about nodes.
        DataError: no training rows.
    """
    field = fields[0]
    head = {"field": field.name, "smiles": field.kind == "smiles"}
    if preprocessing.get("kind") == CODES:
        if field.kind != "smiles":
            raise SourceError(
                "The source was pretrained on molecules and reads SMILES, but the data hold other graphs. "
                "Choose builtin:random-gin."
            )
        strong = bool(set(VIEWS) & set(preprocessing.get("augment", ())))
        return Transform({"kind": CODES, **head, **({"strong": True} if strong else {})})
    if not samples:
        raise DataError("A graph's vocabulary is fitted on training rows, and there are none.")
    state = {"kind": FEATURES, **head, **_fitted(field, samples)}
    if set(VIEWS) & set(preprocessing.get("augment", ())):
        state["strong"] = True
    slots = int(preprocessing.get("slots", 0))
    if not slots:
        del state["ranks"]
        return Transform(state)
    if state["marks"]:
        raise SourceError(
            "The source reads whole graphs, but the question is about nodes. Choose builtin:random-gin."
        )
    return Transform({**state, "slots": slots})


def _fitted(field: Field, samples: Sequence[Sample]) -> dict[str, Any]:
    labels, bonds = dict[int, int](), dict[int, int]()
    numbers, measures = _Moments(), _Moments()
    marks = 0
    for sample in samples:
        value = sample[field.name]
        try:
            graph = molecules.described(value) if field.kind == "smiles" else graphs.unpack(value)
        except BadRow:
            continue
        marks = graph.marks
        for kinds, known in ((graph.labels, labels), (graph.bonds, bonds)):
            if kinds is not None:
                for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True):
                    known[int(kind)] = known.get(int(kind), 0) + int(count)
        numbers.add(graph.numbers)
        measures.add(graph.measures)
    return {
        "labels": _frequent(labels),
        "ranks": sorted(labels, key=lambda k: (-labels[k], k))[:MOST_KINDS],
        "bonds": _frequent(bonds),
        "numbers": numbers.scale(),
        "measures": measures.scale(),
        "marks": marks,
    }


def _kinds(
    values: np.ndarray | None, known: Mapping[int, int], rows: int, unseen: Counter[str], what: str
) -> np.ndarray:
    """(rows, kinds + 1): one 1 each, in the last column for a kind that training did not have, which `unseen`
    counts."""
    found = np.full(rows, len(known))
    if values is not None:
        found = np.array([known.get(int(v), len(known)) for v in values], np.int64)
    unseen[f"unseen kind of {what}"] += int((found == len(known)).sum())
    return np.eye(len(known) + 1, dtype=np.float32)[found]


def _frequent(counts: Mapping[int, int]) -> list[int]:
    """The most frequent kinds, sorted."""
    return sorted(sorted(counts, key=lambda k: (-counts[k], k))[:MOST_KINDS])


class _Moments:
    """Mean and spread of the columns of many tables, in double precision; NaN is passed over."""

    def __init__(self) -> None:
        self.filled, self.least = 0, 0.0
        self.rows: Any = 0
        self.sum: Any = 0.0
        self.squares: Any = 0.0
        self.width = 0

    def add(self, values: np.ndarray | None) -> None:
        """Takes a table (rows, D) in; tables of another width than the first are left to the transform."""
        if values is None or not values.size or (self.width and values.shape[1] != self.width):
            return
        self.width = values.shape[1]
        there = ~np.isnan(values)
        exact = np.where(there, values, 0.0).astype(np.float64)
        self.rows = self.rows + there.sum(0)
        self.filled += int(np.count_nonzero(exact))
        self.least = min(self.least, float(exact.min()))
        self.sum = self.sum + exact.sum(0)
        self.squares = self.squares + (exact**2).sum(0)

    def scale(self) -> dict[str, Any] | None:
        """What `_scaled` reads; None where no table came."""
        if not self.width:
            return None
        if self.least >= 0 and self.filled < (1 - SPARSE) * self.rows.sum() and self.width > 8:
            return {"width": self.width, "unit": True}
        rows = np.maximum(self.rows, 1)
        center = self.sum / rows
        spread = np.sqrt(np.maximum(self.squares / rows - center**2, 0.0))
        spread[spread < 1e-9] = 1.0
        scale = {"center": center.tolist(), "scale": spread.tolist()}
        return {"width": self.width, "unit": False, **scale}


def restore(state: Mapping[str, Any]) -> Transform:
    """The transform whose `state` this is."""
    return Transform(state)
