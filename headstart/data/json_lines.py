"""JSON lines that do not agree with each other: cells of the usual type are kept, other rows set aside."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from headstart.core.dataset import SetAside

NOTHING = ""
"""Kind of null, and of the items of an empty list: they go with any other."""


def kind(value: Any) -> str:
    """What a JSON value is, in words: "number", "text", "list of text" ..."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "record"
    inside = sorted({kind(v) for v in value} - {NOTHING})
    return f"list of {' and '.join(inside)}" if inside else NOTHING


def read(path: Path) -> tuple[pa.Table, list[SetAside]]:
    """All rows whose cells have the type that most rows have in their column, and the others with the reason.

    Raises:
        pyarrow.ArrowInvalid: records differ inside, so that no table can be made.
    """
    rows, aside = list[tuple[int, dict[str, Any]]](), list[SetAside]()
    for number, row in _objects(path):
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            aside.append(SetAside(f"line {number}", str(row), "correct the line, or remove it"))
    usual = _usual([row for _, row in rows])
    kept = []
    for number, row in rows:
        odd = next((n for n, v in row.items() if kind(v) not in (NOTHING, usual[n])), "")
        if odd:
            reason = f"'{odd}' holds a {kind(row[odd])}, in most other rows a {usual[odd]}"
            aside.append(SetAside(f"line {number}", reason, "write it as in the other rows"))
        else:
            kept.append(row)
    columns = {name: pa.array([row.get(name) for row in kept]) for name in usual}
    return pa.table(columns), aside


def _objects(path: Path) -> Iterator[tuple[int, Any]]:
    """Number of each line that is not empty, and its object, or what is wrong with it as a text."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                row = f"it is no JSON ({error})"
            yield (
                number,
                row if isinstance(row, (dict, str)) else f"it is no object, but {row!r:.40}",
            )


def _usual(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Column -> the kind that most of its cells have; columns in the order in which they first come."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        for name, value in row.items():
            counts.setdefault(name, Counter()).update([kind(value)] if kind(value) else [])
    return {name: next(iter(c.most_common(1)), (NOTHING,))[0] for name, c in counts.items()}
