"""Graphs from what is no table: TU-style sets, planetoid archives, edge lists, PyTorch Geometric data.

A graph that is to be judged as a whole is one row. A node is one row too: its neighbourhood of `HOPS`
hops; so is a pair of nodes, without the edge between them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field
from headstart.core.reader import Gathered
from headstart.core.task import Columns
from headstart.errors import BadRow, DataError
from headstart.modalities.graph import edge_lists
from headstart.modalities.graph.graphs import Surroundings, Tidied, pack, refused, tidy

HOPS = 2
"""Hops of a node's neighbourhood; networks read it with as many layers."""
MOST_NEIGHBOURS = 32
COLUMN = "graph"
UNUSED = "unlabelled"
"""A node whose part is called so is read as a neighbour only."""


def gather(
    thing: Any, asked: Columns | None, *, named: bool = False, fields: Sequence[Field] = ()
) -> Gathered | None:
    """Rows of graphs, nodes or pairs; None for what is none of the above.

    Raises:
        DataError: it is such a set, but parts of it are missing or do not fit each other.
    """
    if isinstance(thing, Path):
        if thing.is_dir():
            return _folder(thing, asked, [c for f in fields for c in f.columns])
        return _archive(thing, asked) if thing.suffix.lower() == ".npz" else None
    if hasattr(thing, "edge_index"):
        return _network_of(thing, asked)
    if isinstance(thing, (list, tuple)) and thing and hasattr(thing[0], "edge_index"):
        return Gathered({COLUMN: [_packed(one) for one in thing]})
    return None


def _folder(path: Path, asked: Columns | None, trained: Sequence[str]) -> Gathered | None:
    adjacency = sorted(path.glob("*_A.txt"))
    if adjacency:
        return _tu(adjacency[0], asked)
    if edge_lists.find(path, "edges") is not None:
        return _listed(path, asked, trained)
    return None


def _archive(path: Path, asked: Columns | None) -> Gathered | None:
    """A `.npz` with `edge_index`; with `graph_id` many graphs, without one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if "edge_index" not in file.files:
                return None
            held = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile):
        return None
    return _many(held, path.name, asked) if "graph_id" in held else _one(held, path.name, asked)


def _pairs(edge_index: Any) -> np.ndarray:
    """(2, E) or (E, 2) to (E, 2)."""
    pairs = np.asarray(edge_index)
    if pairs.ndim != 2 or 2 not in pairs.shape:
        raise BadRow(f"edge_index has the shape {pairs.shape}; expected (2, edges)", "correct it")
    return pairs.T if pairs.shape[0] == 2 else pairs


def _many(held: Mapping[str, np.ndarray], name: str, asked: Columns | None) -> Gathered:
    """Graphs that lie in one array of nodes: `graph_id` (nodes,), `y` (graphs,)."""
    member = held["graph_id"].astype(np.int64)
    pairs = _pairs(held["edge_index"]).astype(np.int64)
    answers = held.get("y")
    count = len(answers) if answers is not None else int(member.max()) + 1
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < len(member):
        raise DataError(
            f"{name}: edge_index names node {pairs.max()}, but graph_id has {len(member)} nodes. "
            "Expected node numbers from 0 over all graphs."
        )
    known = {
        "labels": held.get("node_label"),
        "numbers": held.get("x", held.get("node_attr")),
        "bonds": held.get("edge_label"),
        "measures": held.get("edge_attr"),
    }
    cells, counts = _cut(member, pairs, known, count)
    columns: dict[str, Sequence[Any]] = {COLUMN: cells}
    if answers is not None and asked is not None:
        columns["label"] = answers.tolist()
    if "split" in held and len(held["split"]) == count:
        columns["split"] = [str(s) for s in held["split"]]
    return Gathered(columns, _notes(f"{count} graphs", counts))


def _cut(
    member: np.ndarray, pairs: np.ndarray, known: Mapping[str, np.ndarray | None], count: int
) -> tuple[list[bytes], dict[str, int]]:
    """One packed graph for each number below `count`."""
    order = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[order], np.arange(count + 1))
    place = np.empty(len(member), np.int64)
    place[order] = np.arange(len(member)) - np.repeat(starts[:-1], np.diff(starts))
    owner = member[pairs[:, 0]] if len(pairs) else np.empty(0, np.int64)
    by_owner = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[by_owner], np.arange(count + 1))
    cells, counts = list[bytes](), dict[str, int]()
    for graph in range(count):
        nodes = order[starts[graph] : starts[graph + 1]]
        rows = by_owner[ends[graph] : ends[graph + 1]]
        if len(rows) and (member[pairs[rows, 1]] != graph).any():
            cells.append(refused("an edge joins nodes of two graphs"))
            continue
        own = {
            name: None if v is None else v[nodes if name in ("labels", "numbers") else rows]
            for name, v in known.items()
        }
        cells.append(_tidied(tidy(len(nodes), place[pairs[rows]], **_typed(own)), counts))
    return cells, counts


def _typed(known: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray | None]:
    kinds = {"labels": np.int64, "bonds": np.int64}
    return {n: None if v is None else v.astype(kinds.get(n, np.float32)) for n, v in known.items()}


def _tidied(made: Tidied, counts: dict[str, int]) -> bytes:
    for name, count in made.counts.items():
        counts[name] = counts.get(name, 0) + count
    return pack(made.graph)


def _notes(what: str, counts: Mapping[str, int]) -> tuple[str, ...]:
    said = [f"Read as {what}."]
    if counts:
        told = " and ".join(f"{count} {name}" for name, count in counts.items())
        said.append(f"Edges are undirected and stand once: {told} were left out.")
    return tuple(said)


def _one(held: Mapping[str, np.ndarray], name: str, asked: Columns | None) -> Gathered:
    """One large graph; each node with a `y` is a row."""
    answers = held.get("y")
    numbers = held.get("x")
    if numbers is None and "x_shape" in held:
        numbers = np.zeros(held["x_shape"].astype(int), np.float32)
        numbers[held["x_row"], held["x_col"]] = held["x_val"]
    pairs = _pairs(held["edge_index"])
    told = [v for v in (numbers, answers) if v is not None]
    nodes = len(told[0]) if told else int(pairs.max(initial=-1)) + 1
    try:
        made = tidy(nodes, pairs, **_typed({"numbers": numbers, "labels": held.get("node_label")}))
    except BadRow as bad:
        raise DataError(f"{name}: {bad.reason}; {bad.remedy}.") from bad
    columns: dict[str, Sequence[Any]] = {}
    if answers is not None and asked is not None:
        whole = np.issubdtype(answers.dtype, np.integer)
        columns["label"] = [None if whole and v < 0 else v for v in answers.tolist()]
    if "split" in held:
        columns["split"] = [str(s) for s in held["split"]]
    return around(made, columns, asked)


def around(made: Tidied, columns: Mapping[str, Sequence[Any]], asked: Columns | None) -> Gathered:
    """One row for each node of a graph, with the nodes' `columns`."""
    parts = columns.get("split")
    rows = np.arange(made.graph.nodes)
    notes = list[str]()
    if parts is not None and asked is not None:
        rows = np.flatnonzero([p.strip().lower() != UNUSED for p in parts])
        left = made.graph.nodes - len(rows)
        if left:
            notes.append(f"{left} nodes are marked '{UNUSED}' and are read as neighbours only.")
    elif asked is None:
        columns = {n: v for n, v in columns.items() if n != "split"}
    cut = Surroundings(made.graph, MOST_NEIGHBOURS)
    cells = [pack(cut.around(rows[i : i + 1], HOPS)) for i in range(len(rows))]
    some = {name: [values[i] for i in rows] for name, values in columns.items()}
    said = _notes(
        f"{len(rows)} nodes, each with its neighbours up to {HOPS} hops away", made.counts
    )
    return Gathered({COLUMN: cells, **some}, (*said, *notes, *_capped(cut)))


def _capped(cut: Surroundings) -> list[str]:
    if not cut.capped:
        return []
    return [
        f"Of nodes with more than {MOST_NEIGHBOURS} neighbours that many were followed "
        f"({cut.capped} times)."
    ]


def _listed(path: Path, asked: Columns | None, trained: Sequence[str]) -> Gathered:
    """A folder of `edges.csv`, with `nodes.csv`, and `graphs.csv` or `links.csv` where there are such."""
    found = edge_lists.read(path, asked, trained)
    made = _rows_of(found, asked)
    return replace(
        made,
        notes=(*made.notes, *found.notes),
        set_aside=found.lost,
        among=("edges", found.mentions),
        made_of={COLUMN: found.read},
        naming=edge_lists.NAMING,
    )


def _rows_of(found: edge_lists.Listed, asked: Columns | None) -> Gathered:
    """Graphs, nodes or pairs, whatever the files tell of."""
    if found.member is not None:
        cells, counts = _cut(
            found.member,
            found.edges,
            {
                "labels": found.labels,
                "numbers": found.numbers,
                "bonds": found.bonds,
                "measures": found.measures,
            },
            found.rows,
        )
        return Gathered({COLUMN: cells, **found.columns}, _notes(f"{found.rows} graphs", counts))
    made = tidy(
        found.nodes,
        found.edges,
        labels=found.labels,
        numbers=found.numbers,
        bonds=found.bonds,
        measures=found.measures,
    )
    if found.pairs is None:
        return around(made, found.columns, asked)
    cut = Surroundings(made.graph, MOST_NEIGHBOURS)
    cells = [
        pack(cut.around(pair, HOPS)) if pair.min() >= 0 else refused("it names a node there is not")
        for pair in found.pairs
    ]
    said = _notes(
        f"{len(cells)} pairs of nodes, each with the neighbours of both up to {HOPS} hops away, "
        "without the edge between them",
        made.counts,
    )
    return Gathered({COLUMN: cells, **found.columns}, (*said, *_capped(cut)))


def _tu(adjacency: Path, asked: Columns | None) -> Gathered:
    """`DS_A.txt` and its companions, numbered from 1 (Morris et al. 2020, arXiv:2007.08663)."""
    stem = adjacency.name.removesuffix("_A.txt")

    def table(part: str, kind: Any) -> np.ndarray | None:
        file = adjacency.with_name(f"{stem}_{part}.txt")
        if not file.is_file():
            return None
        try:
            return np.loadtxt(file, delimiter=",", dtype=kind, ndmin=2)
        except ValueError as error:
            raise DataError(
                f"{file.name} is no table of numbers ({error}). Correct the file."
            ) from error

    member, pairs = table("graph_indicator", np.int64), table("A", np.int64)
    if member is None or pairs is None:
        raise DataError(
            f"{adjacency.parent} has {adjacency.name}, but no {stem}_graph_indicator.txt. Expected both "
            "files; fetch the set again."
        )
    held = {"graph_id": member[:, 0] - 1, "edge_index": pairs.T - 1}
    answers = table("graph_labels", float)
    if answers is None or (asked is not None and asked.target == "attributes"):
        answers = table("graph_attributes", float)
    if answers is not None:
        first = answers[:, 0]
        held["y"] = first.astype(np.int64) if (first == first.round()).all() else first
    first_of = {"node_label": "node_labels", "edge_label": "edge_labels"}
    all_of = {"node_attr": "node_attributes", "edge_attr": "edge_attributes"}
    for name, part in {**first_of, **all_of}.items():
        found = table(part, float)
        if found is not None:
            held[name] = found[:, 0].astype(np.int64) if name in first_of else found
    return _many(held, adjacency.name, asked)


def _known(one: Any, name: str) -> np.ndarray | None:
    value = getattr(one, name, None)
    return None if value is None else np.asarray(value)


def _of_nodes(one: Any) -> tuple[int, dict[str, Any]]:
    """Nodes of a PyTorch Geometric `Data`, and what is known of nodes and edges."""
    x, extra = _known(one, "x"), _known(one, "edge_attr")
    edges = _pairs(np.asarray(one.edge_index))
    most = int(edges.max()) + 1 if edges.size else 0
    nodes = len(x) if x is not None else int(getattr(one, "num_nodes", None) or most)
    labels, numbers = _kinds(x)
    bonds, measures = _kinds(extra)
    return nodes, {"labels": labels, "numbers": numbers, "bonds": bonds, "measures": measures}


def _kinds(values: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Kinds, where a column of whole numbers or one 1 in each row says so; numbers otherwise."""
    if values is None or values.size == 0:
        return None, None
    table = values.reshape(len(values), -1)
    if table.shape[1] == 1 and np.issubdtype(table.dtype, np.integer):
        return table[:, 0].astype(np.int64), None
    if table.shape[1] > 1 and np.isin(table, (0, 1)).all() and (table.sum(1) == 1).all():
        return table.argmax(1).astype(np.int64), None
    return None, table.astype(np.float32)


def _packed(one: Any) -> bytes:
    """One `Data` as a cell; what is wrong with it is told when the cell is loaded."""
    try:
        nodes, known = _of_nodes(one)
        return pack(tidy(nodes, _pairs(np.asarray(one.edge_index)), **known).graph)
    except (BadRow, IndexError, ValueError, TypeError) as error:
        return refused(getattr(error, "reason", "") or f"the graph cannot be read ({error})")


def _network_of(one: Any, asked: Columns | None) -> Gathered:
    """A single `Data` whose nodes, all of them, are the rows."""
    try:
        nodes, known = _of_nodes(one)
        made = tidy(nodes, _pairs(np.asarray(one.edge_index)), **known)
    except BadRow as bad:
        raise DataError(f"The graph cannot be read: {bad.reason}; {bad.remedy}.") from bad
    return around(made, {}, asked)
