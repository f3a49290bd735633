"""Targets with a label for each position: lists beside lists, or spans {start, end, label} of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from headstart.core.reader import Read
from headstart.core.spans import names as named
from headstart.errors import BadRow

OUTCOME = "label_each"
KEPT = pa.list_(pa.large_string())
SPAN = {"start", "end", "label"}


def is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_spans(kind: pa.DataType) -> bool:
    """Whether a column's type is that of lists of {start, end, label}."""
    if not is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    return {f.name for f in kind.value_type} >= SPAN


def alike(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether cells of two columns are lists of equal lengths, most of them, and longer than one here and
    there."""
    pairs = [
        (len(a), len(b))
        for a, b in zip(first, second, strict=True)
        if isinstance(a, list) and isinstance(b, list)
    ]
    same = sum(a == b for a, b in pairs)
    return bool(pairs) and same >= 0.9 * len(pairs) and any(a > 1 for a, _ in pairs)


def labelled(target: Any, cell: Any, reader: Read, *, spans: bool) -> list[str | None]:
    """One label for each unit of the cell. Raises BadRow where the target does not fit it.

    Args:
        target: a label for each unit, or `spans` {start, end, label}.
    """
    places = reader.places(cell)  # type: ignore[attr-defined]
    if not isinstance(target, list):
        raise BadRow(f"the target is {target!r}", "give a list with one label for each unit")
    if spans:
        return _named(target, places)
    if len(target) != len(places):
        raise BadRow(
            f"{len(target)} labels for {len(places)} units",
            "give each unit of the sample one label",
        )
    return [None if name is None else str(name) for name in target]


def _named(target: Sequence[Mapping[str, Any]], places: Sequence[tuple[float, float]]) -> list[Any]:
    """Labels of the units that the spans cover."""
    end = places[-1][1] if places else 0
    found: list[tuple[int, int, str]] = []
    for span in target:
        if span is None or any(span[part] is None for part in SPAN):
            raise BadRow(
                f"a span lacks its start, end or label: {span}", "fill it in, or remove it"
            )
    for span in sorted(target, key=lambda s: (s["start"], s["end"])):
        start, stop, label = span["start"], span["end"], span["label"]
        told = f"the span {start} to {stop} ('{label}')"
        if start == stop:
            raise BadRow(f"{told} is empty", "correct the span, or remove it")
        if not 0 <= start < stop or stop > end:
            raise BadRow(f"{told} lies outside the sample, which ends at {end}", "correct the span")
        inside = [i for i, (a, b) in enumerate(places) if a < stop and b > start]
        if not inside:
            raise BadRow(f"{told} holds no unit", "correct the span")
        if places[inside[0]][0] < start or places[inside[-1]][1] > stop:
            raise BadRow(f"{told} cuts through a unit", "let it begin and end with whole units")
        if found and inside[0] <= found[-1][1]:
            raise BadRow(f"{told} overlaps another", "keep one label for each unit")
        found.append((inside[0], inside[-1], str(label)))
    names: list[Any] = list(named(found, len(places)))
    return names
