"""Edge lists: a folder with `edges.csv`, and `nodes.csv`, `graphs.csv` or `links.csv` beside it.

edges.csv    from, to[, what is known of the edge]
nodes.csv    id[, graph][, what is known of the node][, label]
graphs.csv   id, label                 where whole graphs are to be judged
links.csv    from, to, label           where pairs of nodes are
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.core.dataset import SetAside
from headstart.core.task import Columns
from headstart.errors import DataError
from headstart.modalities.graph._columns import NAME, Read, as_trained, load, parsed, spelled
from headstart.modalities.graph._columns import known as _known

SUFFIXES = (".csv", ".tsv", ".parquet")
ANSWERS = ("label", "target", "class", "y")
PARTS = ("split", "fold", "subset")
NAMES = {"edges": 2, "nodes": 1, "graphs": 1, "links": 2}
"""Tables, and how many of their first columns name nodes or graphs."""
NAMING = "name of the row"


@dataclass(frozen=True)
class Listed:
    """What the files say, nodes numbered from 0.

    Attributes:
        member: (nodes,) number of each node's graph, where there are many graphs.
        pairs: (rows, 2) nodes of each pair that is a row, -1 where there is no such node; or None.
        rows: graphs, nodes or pairs that are rows.
        columns: the rows' label, split and other columns that are no inputs, and, as `NAMING`, names.
        lost: edges whose ends are not both known, by line.
        mentions: edges, lost ones too.
        read: the columns that were read, for those who predict.
        notes: sentences on columns and cells.
    """

    nodes: int
    edges: np.ndarray
    labels: np.ndarray | None
    numbers: np.ndarray | None
    bonds: np.ndarray | None
    measures: np.ndarray | None
    member: np.ndarray | None
    pairs: np.ndarray | None
    rows: int
    columns: Mapping[str, Sequence[Any]]
    lost: tuple[SetAside, ...]
    mentions: int
    read: tuple[str, ...]
    notes: tuple[str, ...]


def find(folder: Path, name: str) -> Path | None:
    """The table of that name in a folder."""
    return next((p for s in SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)


def read(folder: Path, asked: Columns | None, trained: Sequence[str] = ()) -> Listed:
    """The files of a folder.

    Args:
        asked: the task's columns; None where rows are to be predicted.
        trained: the columns that training read, as `Listed.read` told them.

    Raises:
        DataError: the files do not fit each other, or lack what training had.
    """
    notes = list[str]()
    known = parsed(trained)
    edges, nodes, graphs, links = (_table(folder, name, known, notes) for name in NAMES)
    if edges is None or edges.num_columns < 2:
        raise DataError(
            f"{folder}: edges.csv has one column. Expected from, to, and what else is known."
        )
    edges, nodes, links = _alike(edges, nodes, links)
    ends = [edges.column(i).to_pylist() for i in (0, 1)]
    mentioned = [name for name in dict.fromkeys(ends[0] + ends[1]) if name is not None]
    names = nodes.column(0).to_pylist() if nodes is not None else mentioned
    number = {name: place for place, name in enumerate(names)}
    if len(number) < len(names):
        raise DataError(f"{folder}: nodes.csv names a node twice. Expected every id once.")
    pairs = np.array([[number.get(n, -1) for n in e] for e in ends], np.int64).T
    there = (pairs >= 0).all(axis=1)
    lost = _lost(folder, ends, number, np.flatnonzero(~there))
    pairs, edges = pairs[there], edges.filter(pa.array(there))
    member, owner, rows, told = None, "", names, nodes
    if graphs is not None:
        rows, told = graphs.column(0).to_pylist(), graphs
        member, owner = _members(folder, nodes, rows)
    asked_pairs = None
    if links is not None:
        told, both = links, [links.column(i).to_pylist() for i in (0, 1)]
        asked_pairs = np.array([[number.get(n, -1) for n in end] for end in both], np.int64).T
        rows = [f"{first} - {second}" for first, second in zip(*both, strict=True)]
    beside = _beside(told, asked, skip=2 if links is not None else 1)
    about_nodes = beside if told is nodes else {}
    labels, numbers, of_nodes, gaps = _known(nodes, {*about_nodes, owner}, 1, "nodes.csv")
    bonds, measures, of_edges, more = _known(edges, set(), 2, "edges.csv")
    columns = {n: v for n, v in beside.items() if asked is not None or n not in ANSWERS}
    columns = {**columns, NAMING: ["" if n is None else str(n) for n in rows]}
    named = {"edges": edges, "nodes": nodes, "graphs": graphs, "links": links}
    kept = _named(named, owner, {"nodes": of_nodes, "edges": of_edges})
    graph = (len(names), pairs, labels, numbers, bonds, measures)
    told_of = (*notes, *gaps, *more)
    return Listed(*graph, member, asked_pairs, len(rows), columns, lost, len(there), kept, told_of)


def _members(folder: Path, nodes: pa.Table | None, graphs: Sequence[Any]) -> tuple[np.ndarray, str]:
    """(nodes,) number of each node's graph, and the column that says so. Raises DataError."""
    owner = _column(nodes, "graph")
    if owner is None or nodes is None:
        raise DataError(f"{folder}: graphs.csv needs nodes.csv with a column 'graph'. Add it.")
    ids = {name: place for place, name in enumerate(graphs)}
    return _numbered(nodes.column(owner).to_pylist(), ids, "nodes.csv"), owner


def _named(
    tables: Mapping[str, pa.Table | None], owner: str, read: Mapping[str, Read]
) -> tuple[str, ...]:
    """All columns that were read, those first that name nodes and graphs."""
    kept = tuple[str, ...]()
    for name, made in tables.items():
        if made is not None:
            first = made.column_names[: NAMES[name]] + [owner] * (name == "nodes" and bool(owner))
            kept += spelled(name, [*((NAME, n) for n in first), *read.get(name, ())])
    return kept


def _alike(
    edges: pa.Table, nodes: pa.Table | None, links: pa.Table | None
) -> tuple[pa.Table, pa.Table | None, pa.Table | None]:
    """The tables with names of nodes as text in all of them where one has text, so that one odd name does
    not make the others differ."""
    named = [(edges, (0, 1)), (nodes, (0,)), (links, (0, 1))]
    kinds = [t.schema.field(i).type for t, places in named if t is not None for i in places]
    if not any(pa.types.is_string(k) or pa.types.is_large_string(k) for k in kinds):
        return edges, nodes, links
    made = []
    for table, places in named:
        for i in places if table is not None else ():
            name = table.column_names[i]
            table = table.set_column(i, name, table.column(i).cast(pa.string()))
        made.append(table)
    return made[0], made[1], made[2]


def _lost(
    folder: Path, ends: Sequence[Sequence[Any]], number: Mapping[Any, int], places: np.ndarray
) -> tuple[SetAside, ...]:
    """Why edges are left out, by their lines."""
    if not len(places):
        return ()
    path = find(folder, "edges") or folder
    lines = _lines(path, len(ends[0]))
    made = []
    for place in places:
        odd = next(e[place] for e in ends if e[place] not in number)
        where = f"line {lines[place]}" if lines else f"row {place + 1}"
        reason = "an end is empty" if odd is None else f"nodes.csv has no node {odd!r}"
        made.append(SetAside(f"{path.name} {where}", reason, "correct the name, or add the node"))
    return tuple(made)


def _lines(path: Path, rows: int) -> list[int]:
    """Lines of a text file that its rows stand in; [] where a row has several, or where it is no text."""
    if path.suffix == ".parquet":
        return []
    told = path.read_bytes().splitlines()
    found = [line for line, text in enumerate(told, start=1) if text][1:]
    return found if len(found) == rows else []


def _table(
    folder: Path, name: str, trained: Mapping[str, Read], notes: list[str]
) -> pa.Table | None:
    """A table of the folder; of one to be predicted, what training read. Raises DataError."""
    path = find(folder, name)
    inputs = [n for kind, n in trained.get(name, ()) if kind != NAME]
    if path is None and inputs:
        raise DataError(
            f"{folder} has no {name}.csv, and the model was trained on columns of it "
            f"({', '.join(inputs)}). Add the file."
        )
    if path is None or not trained:
        return None if path is None else load(path)
    made, said = as_trained(path, trained.get(name, ()), NAMES[name])
    notes += said
    return made


def _numbered(names: Sequence[Any], number: Mapping[Any, int], where: str) -> np.ndarray:
    odd = next((n for n in names if n not in number), None)
    if odd is not None:
        raise DataError(
            f"{where} names {odd!r}, which the other files do not have. Correct the name."
        )
    return np.array([number[n] for n in names], np.int64)


def _column(table: pa.Table | None, name: str) -> str | None:
    """The column of that name, whatever its case."""
    return next((c for c in (table.column_names if table else ()) if c.lower() == name), None)


def _beside(table: pa.Table | None, asked: Columns | None, skip: int) -> dict[str, Sequence[Any]]:
    """Columns that are no inputs: the answer, the split, and what the task names."""
    if table is None:
        return {}
    named = {*ANSWERS, *PARTS}
    if asked is not None:
        roles = (asked.target, asked.group, asked.time, asked.split)
        named |= {c.lower() for c in (*roles, *asked.sensitive, *asked.drop) if c}
    rest = table.column_names[skip:]
    return {n: table.column(n).to_pylist() for n in rest if n.lower() in named}
