"""Molecules and graphs: cells to samples. A sample is {field name: SMILES text, or a graph's bytes}."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow, DataError, MissingExtra
from headstart.modalities.graph import graphs, molecules
from headstart.modalities.graph.gather import gather as gather

SUFFIXES: tuple[str, ...] = ()
FILE_KIND = ""
NEAR = 0
MANY = False
CONTAINERS = {
    ".npz": "graphs: edge_index (2, E), with graph_id and y a graph each, or x and y a node each"
}

SMILES, GRAPH = "smiles", "graph"
_NAMED = re.compile(r"smiles|^smi$|^mol(ecule)?s?$", re.IGNORECASE)
_SPELLED = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$:/\\.%*~]+")
_TELLING = re.compile(
    r"[()=#\[\]@]|[A-Za-z]\d|[cnos][cnos]"
)  # words of a language seldom have these
MOST_READ = 40
"""Cells that RDKit is asked to read before a column is taken for molecules."""


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """ "graph" for packed graphs; "smiles" where nearly all cells are read by RDKit as molecules.

    Many words are SMILES by chance ("CO", "NO", "ICON"), so a column that is not called so must also
    look like it: rings, branches or double bonds in a third of its cells, six characters on average.

    Raises:
        MissingExtra: the column's name says that it holds SMILES, and RDKit is not installed.
    """
    if values and all(isinstance(v, bytes) for v in values):
        return (
            GRAPH if all(graphs.is_packed(v) or v[:1] == graphs.REFUSED for v in values) else None
        )
    texts = [v.strip() for v in values if isinstance(v, str) and v.strip()]
    if not texts or len(texts) < len(values) * 0.5:
        return None
    named = bool(_NAMED.search(name))
    spelled = sum(bool(_SPELLED.fullmatch(t)) for t in texts) / len(texts)
    if spelled < (0.5 if named else 0.9):
        return None
    if not named:
        telling = sum(bool(_TELLING.search(t)) for t in texts) / len(texts)
        if telling < 1 / 3 or sum(map(len, texts)) < 6 * len(texts):
            return None
    return SMILES if _read(texts[:MOST_READ], named) >= (0.5 if named else 0.8) else None


def _read(texts: Sequence[str], named: bool) -> float:
    """Share of texts that RDKit reads; 0 without RDKit, unless the name asks for it."""
    try:
        return sum(map(molecules.readable, texts)) / len(texts)
    except MissingExtra:
        if named:
            raise
        return 0.0


def load(cell: Any, field: Field, root: Path) -> str | bytes:
    """One cell to SMILES text or a graph's bytes. Raises BadRow."""
    if field.kind == GRAPH:
        if isinstance(cell, bytes):
            return cell
        raise BadRow("there is no graph in this row", "give the graph, or leave the row out")
    text = "" if cell is None or cell != cell else str(cell).strip()
    if not text:
        raise BadRow("there is no SMILES in this row", "write it, or leave the row out")
    return text


def drawn(arrays: Any, generator: Any) -> list[bytes] | None:
    """What a generator of graphs draws, {"kinds", "mask", "edges", "edge_mask"}, as cells; else None."""
    if not isinstance(arrays, Mapping) or not {"kinds", "mask", "edges", "edge_mask"} <= set(
        arrays
    ):
        return None
    held = {name: np.asarray(values) for name, values in arrays.items()}
    cells = []
    for row, real in enumerate(held["mask"]):
        edges = held["edges"][row][held["edge_mask"][row]]
        kinds = held["kinds"][row][real]
        cells.append(graphs.pack(graphs.tidy(len(kinds), edges, labels=kinds).graph))
    return cells


def check(sample: Sample, fields: Sequence[Field]) -> None:
    """Raises BadRow for a SMILES that RDKit does not read, and for a graph that is broken or empty. A number
    that is missing is allowed where it was an empty cell of a named column."""
    field = fields[0]
    value = sample[field.name]
    if field.kind == SMILES:
        count = molecules.parse(value).GetNumAtoms()
    else:
        graph = graphs.unpack(value)
        count = graph.nodes
        for numbers in (graph.numbers, graph.measures):
            if numbers is None:
                continue
            if np.isinf(numbers).any() or (np.isnan(numbers).any() and not field.columns):
                raise BadRow("a number of the graph is NaN or infinite", "correct the number")
    if not count:
        raise BadRow("the graph has no node", "leave the row out")


def content(sample: Sample, fields: Sequence[Field]) -> bytes:
    """The SMILES text as it is spelled, or the graph's bytes."""
    value = sample[fields[0].name]
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """64 bits, equal for all spellings of one molecule, and for graphs that colour refinement cannot tell
    apart (NEAR is 0: nothing else is near)."""
    value = sample[fields[0].name]
    if isinstance(value, bytes):
        return graphs.signature(graphs.unpack(value))
    return hashlib.blake2b(molecules.canonical(value).encode(), digest_size=8).digest()


def scaffold(sample: Sample, fields: Sequence[Field]) -> str:
    """The molecule's Bemis-Murcko scaffold. Raises DataError for graphs that are no molecules."""
    if fields[0].kind != SMILES:
        raise DataError(
            "A split by scaffold was asked for, but the graphs are no molecules. Expected a column of "
            "SMILES; name another group, or none."
        )
    return molecules.scaffold(sample[fields[0].name])


GROUPS = {"scaffold": scaffold}
