"""Sentences for a person whose table might be meant as another kind of data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from headstart.core.reader import Read

STEPS = 8
"""So many numbered columns side by side look like the steps of a series."""


def numbered(schema: pa.Schema) -> list[str]:
    """The longest stretch of columns of numbers side by side whose names count up: t0, t1, t2 ..."""
    best, run = list[str](), list[str]()
    before = ("", 0)
    for place in schema:
        found = re.fullmatch(r"(.*?)(\d+)", place.name)
        number = pa.types.is_integer(place.type) or pa.types.is_floating(place.type)
        now = (found[1], int(found[2])) if found and number else ("", 0)
        follows = bool(run) and now[0] == before[0] and now[1] == before[1] + 1
        run = [*run, place.name] if follows else [place.name] if found and number else []
        before, best = now, max(best, run, key=len)
    return best


def kind_of_data(
    schema: pa.Schema,
    modality: str,
    readers: Mapping[str, Read],
    rest: Sequence[str],
    claims: Callable[[Read, str], bool],
) -> list[str]:
    """What else a table whose kind was guessed may be.

    Args:
        rest: columns that the modality does not read.
        claims: whether a reader takes a column.
    """
    arrays = [n for n, r in readers.items() if getattr(r, "ARRAYS", False) and n != modality]
    tables = [n for n, r in readers.items() if r.MANY and not getattr(r, "ARRAYS", False)]
    steps = numbered(schema)
    if readers[modality].MANY and modality in tables and arrays and len(steps) >= STEPS:
        return [
            f"The {len(steps)} columns '{steps[0]}' to '{steps[-1]}' are numbered like steps. If a row is "
            f"a series, say so: --modality {arrays[0]}."
        ]
    told = []
    if getattr(readers[modality], "ARRAYS", False):
        for name in tables:
            taken = [n for n in rest if claims(readers[name], n)]
            if len(taken) > 1 and name != modality:
                told.append(
                    f"{len(taken)} other columns ({', '.join(map(repr, taken[:5]))}) could be inputs of a "
                    f"{name}. If they are what to predict from, say so: --modality {name}."
                )
    return told
