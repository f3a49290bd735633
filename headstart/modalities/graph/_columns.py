"""Columns of the tables of an edge list: by place in training, by name where rows are to be predicted.

What training read is spelled "TABLE:ROLE:NAME": "nodes:name:id", "nodes:number:age", "edges:text:kind".
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from headstart.errors import DataError, nearest

NAME, NUMBER, TEXT = "name", "number", "text"
Read = Sequence[tuple[str, str]]
"""(role, name) of the columns of one table that training read, in its order."""


def spelled(table: str, read: Read) -> tuple[str, ...]:
    """The columns of one table as a field keeps them."""
    return tuple(f"{table}:{role}:{name}" for role, name in read)


def parsed(kept: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Table -> its columns, of what `spelled` made."""
    found: dict[str, list[tuple[str, str]]] = {}
    for text in kept:
        table, role, name = text.split(":", 2)
        found.setdefault(table, []).append((role, name))
    return found


def load(path: Path, texts: Sequence[str] = ()) -> pa.Table:
    """A file's table, with the columns `texts` as text. Raises DataError."""
    try:
        if path.suffix == ".parquet":
            whole = pq.read_table(path)
            for name in texts:
                place = whole.column_names.index(name)
                whole = whole.set_column(place, name, whole.column(name).cast(pa.string()))
            return whole
        options = pc.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        kinds = pc.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))
        return pc.read_csv(path, parse_options=options, convert_options=kinds)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path.name} cannot be read ({error}). Correct the file.") from error


def role(kind: pa.DataType) -> str:
    """The role of a column that is no name; "" where it holds no value at all."""
    types = pa.types
    if types.is_null(kind):
        return ""
    numeric = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return NUMBER if numeric else TEXT


def as_trained(path: Path, read: Read, names: int) -> tuple[pa.Table, list[str]]:
    """The columns that training read, in its order, and sentences on others.

    Args:
        names: how many columns name nodes, where training had no such table.

    Raises:
        DataError: a column is missing, or holds texts where training had numbers.
    """
    whole = load(path)
    inputs = {name: kind for kind, name in read if kind != NAME}
    for name in inputs:
        if name not in whole.column_names:
            raise DataError(
                f"{path.name} has no column '{name}', which the model was trained on "
                f"({', '.join(inputs)}). {nearest(name, whole.column_names)}"
            )
    texts = [
        n for n, kind in inputs.items() if kind == TEXT and role(whole.schema.field(n).type) != TEXT
    ]
    whole = load(path, texts) if texts else whole
    kept = _naming(path, whole, [n for kind, n in read if kind == NAME], inputs, names)
    chosen = whole.select([*kept, *inputs])
    for place, (name, kind) in enumerate(inputs.items(), start=len(kept)):
        if kind == NUMBER:
            chosen = chosen.set_column(place, name, _numbers(path, name, whole.column(name)))
    extra = [n for n in whole.column_names if n not in {*kept, *inputs}]
    if not extra:
        return chosen, []
    told = f"Not used of {path.name}, as the model was not trained on it: {_listed(extra)}."
    return chosen, [told]


def _naming(
    path: Path, whole: pa.Table, known: Sequence[str], inputs: Mapping[str, str], names: int
) -> list[str]:
    """The columns that name nodes and graphs: those of training, or the ones in their place."""
    kept = list[str]()
    for place, name in enumerate(known or whole.column_names[:names]):
        if name not in whole.column_names:
            other = (whole.column_names + [""] * place)[place]
            if other in {"", *inputs, *known, *kept}:
                raise DataError(
                    f"{path.name} has no column '{name}', by which training named its rows. "
                    f"{nearest(name, whole.column_names)}"
                )
            name = other
        kept.append(name)
    return kept


def _numbers(path: Path, name: str, column: Any) -> Any:
    """A column of text as numbers, empty cells as gaps; others as they are. Raises DataError."""
    if role(column.type) != TEXT:
        return column.cast(pa.float64())
    made = list[float | None]()
    for cell in column.to_pylist():
        try:
            made.append(float(cell) if str(cell or "").strip() else None)
        except (TypeError, ValueError):
            raise DataError(
                f"{path.name}: the column '{name}' holds '{str(cell)[:40]}'; in training it held numbers. "
                "Correct it, or leave the cell empty."
            ) from None
    return pa.chunked_array([pa.array(made, pa.float64())])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (" ..." if len(names) > 8 else "")


def known(
    table: pa.Table | None, beside: set[str], skip: int, where: str
) -> tuple[np.ndarray | None, np.ndarray | None, list[tuple[str, str]], list[str]]:
    """Kinds (rows,) from columns of text, numbers (rows, D) from columns of numbers, NaN where a cell is
    empty; the columns that were read, with their roles; and sentences on empty cells.

    A kind is a number drawn from the text itself, so that it is the same in every file.
    """
    read, texts, numbers, notes = list[tuple[str, str]](), [], list[np.ndarray](), list[str]()
    for name in table.column_names[skip:] if table is not None else ():
        column = table.column(name)
        kind = role(column.type)
        if name in beside:
            continue
        if not kind:
            notes.append(f"Not used of {where}, as it is empty: '{name}'.")
            continue
        read.append((kind, name))
        if kind == TEXT:
            texts.append(column.to_pylist())
            continue
        cells = [float("nan") if v is None else v for v in column.to_pylist()]
        numbers.append(np.array(cells, np.float32))
        gaps = int(np.isnan(numbers[-1]).sum())
        if gaps:
            cell = "cell" if gaps == 1 else "cells"
            notes.append(f"{where}: {gaps} empty {cell} in '{name}', read as the mean of training.")
    kinds = None
    if texts:
        joined = ["\0".join(str(v) for v in row) for row in zip(*texts, strict=True)]
        kinds = np.array([zlib.crc32(t.encode()) & 0x7FFFFFFF for t in joined], np.int64)
    return kinds, np.stack(numbers, axis=1) if numbers else None, read, notes
