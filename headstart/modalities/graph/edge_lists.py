"""Edge lists: a folder with `edges.csv`, and `nodes.csv`, `graphs.csv` or `links.csv` beside it.

edges.csv    from, to[, what is known of the edge]
nodes.csv    id[, graph][, what is known of the node][, label]
graphs.csv   id, label                 where whole graphs are to be judged
links.csv    from, to, label           where pairs of nodes are
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from headstart.core.dataset import SetAside
from headstart.core.task import Columns
from headstart.errors import DataError

SUFFIXES = (".csv", ".tsv", ".parquet")
ANSWERS = ("label", "target", "class", "y")
PARTS = ("split", "fold", "subset")


@dataclass(frozen=True)
class Listed:
    """What the files say, nodes numbered from 0.

    Attributes:
        member: (nodes,) number of each node's graph, where there are many graphs.
        pairs: (rows, 2) nodes of each pair that is a row, -1 where there is no such node; or None.
        rows: graphs, nodes or pairs that are rows.
        columns: the rows' label, split and other columns that are no inputs.
        lost: edges whose ends are not both known, by line.
        mentions: edges, lost ones too.
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


def find(folder: Path, name: str) -> Path | None:
    """The table of that name in a folder."""
    return next((p for s in SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)


def read(folder: Path, asked: Columns | None) -> Listed:
    """The files of a folder. Raises DataError where they do not fit each other."""
    edges, nodes = _table(folder, "edges"), _table(folder, "nodes")
    graphs, links = _table(folder, "graphs"), _table(folder, "links")
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
    known = (pairs >= 0).all(axis=1)
    lost = _lost(folder, ends, number, np.flatnonzero(~known))
    pairs, edges = pairs[known], edges.filter(pa.array(known))
    member, rows, told = None, len(names), nodes
    owner = _column(nodes, "graph") if graphs is not None else None
    if graphs is not None:
        ids = {name: place for place, name in enumerate(graphs.column(0).to_pylist())}
        if owner is None or nodes is None:
            raise DataError(f"{folder}: graphs.csv needs nodes.csv with a column 'graph'. Add it.")
        member = _numbered(nodes.column(owner).to_pylist(), ids, "nodes.csv")
        rows, told = len(ids), graphs
    asked_pairs = None
    if links is not None:
        told, rows = links, links.num_rows
        both = [[number.get(n, -1) for n in links.column(i).to_pylist()] for i in (0, 1)]
        asked_pairs = np.array(both, np.int64).T
    beside = _beside(told, asked, skip=2 if links is not None else 1)
    about_nodes = beside if told is nodes else {}
    labels, numbers = _known(nodes, {*about_nodes, owner or ""}, skip=1)
    bonds, measures = _known(edges, set(), skip=2)
    columns = {n: v for n, v in beside.items() if asked is not None or n not in ANSWERS}
    graph = (len(names), pairs, labels, numbers, bonds, measures)
    return Listed(*graph, member, asked_pairs, rows, columns, lost, len(known))


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


def _table(folder: Path, name: str) -> pa.Table | None:
    path = find(folder, name)
    if path is None:
        return None
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        options = pc.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        return pc.read_csv(path, parse_options=options)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path.name} cannot be read ({error}). Correct the file.") from error


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


def _known(
    table: pa.Table | None, beside: set[str], skip: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Kinds (rows,) from columns of text, numbers (rows, D) from columns of numbers.

    A kind is a number drawn from the text itself, so that it is the same in every file.
    """
    if table is None:
        return None, None
    kept = [n for n in table.column_names[skip:] if n not in beside]
    texts, numbers = list[list[Any]](), list[np.ndarray]()
    for name in kept:
        column = table.column(name)
        kind = column.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            values = np.array([float("nan") if v is None else v for v in column.to_pylist()], float)
            missing = np.isnan(values)
            values[missing] = values[~missing].mean() if (~missing).any() else 0.0
            numbers.append(values)
        else:
            texts.append(column.to_pylist())
    kinds = None
    if texts:
        joined = ["\0".join(str(v) for v in row) for row in zip(*texts, strict=True)]
        kinds = np.array([zlib.crc32(t.encode()) & 0x7FFFFFFF for t in joined], np.int64)
    return kinds, np.stack(numbers, axis=1).astype(np.float32) if numbers else None
