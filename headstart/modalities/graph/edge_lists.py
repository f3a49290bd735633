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
        pairs: (rows, 2) nodes of each pair that is a row, or None.
        rows: graphs, nodes or pairs that are rows.
        columns: the rows' label, split and other columns that are no inputs.
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
    ends = [edges.column(i).to_pylist() for i in (0, 1)]
    names = (
        nodes.column(0).to_pylist() if nodes is not None else list(dict.fromkeys(ends[0] + ends[1]))
    )
    number = {name: place for place, name in enumerate(names)}
    if len(number) < len(names):
        raise DataError(f"{folder}: nodes.csv names a node twice. Expected every id once.")
    pairs = np.stack([_numbered(e, number, "edges.csv") for e in ends], axis=1)
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
        both = [_numbered(links.column(i).to_pylist(), number, "links.csv") for i in (0, 1)]
        asked_pairs = np.stack(both, axis=1)
    beside = _beside(told, asked, skip=2 if links is not None else 1)
    about_nodes = beside if told is nodes else {}
    labels, numbers = _known(nodes, {*about_nodes, owner or ""}, skip=1)
    bonds, measures = _known(edges, set(), skip=2)
    columns = {n: v for n, v in beside.items() if asked is not None or n not in ANSWERS}
    return Listed(
        *(len(names), pairs, labels, numbers, bonds, measures, member, asked_pairs, rows, columns)
    )


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
