"""Table rows: cells of many columns to one sample {field name: number, level or None}."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow

SUFFIXES: tuple[str, ...] = ()
FILE_KIND = ""
NEAR = 0
MANY = True

NUMBER, CATEGORY = "number", "category"
MOST_LEVELS = 100
MISSING_MARKS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-"})
ROW_NAMES = frozenset({"id", "index", "row", "rowid", "row_id", "uuid", "guid", "unnamed: 0"})


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """ "number" for numbers, "category" for short strings that repeat; None for texts and row names."""
    if name.strip().lower() in ROW_NAMES:
        return None
    present = [v for v in values if not _missing(v)]
    if not present:
        return None
    if all(isinstance(v, bool) or type(v).__name__ in ("bool_", "bool") for v in present):
        return CATEGORY
    if all(_is_number(v) for v in present):
        return NUMBER
    if not all(isinstance(v, str) for v in present):
        return None
    if sum(_parses(v) for v in present) >= 0.95 * len(present):
        return NUMBER
    return CATEGORY if _repeats(present) else None


def _repeats(texts: Sequence[str]) -> bool:
    """Whether short strings come again and again; a few rows cannot tell, so ten levels are allowed."""
    levels = len(set(texts))
    words = sum(len(t.split()) for t in texts) / len(texts)
    few = levels <= MOST_LEVELS and levels <= 0.5 * len(texts)
    return words < 6 and (few or (len(texts) <= 20 and levels <= 10 and words < 2))


def _is_number(value: Any) -> bool:
    return isinstance(value, (numbers.Real, Decimal)) and not isinstance(value, bool)


def _parses(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return value.strip().lower() in MISSING_MARKS
    return _is_number(value) and math.isnan(float(value))


def load(cell: Any, field: Field, root: Path) -> float | str | None:
    """A number, a level, or None where the cell is missing. Raises BadRow."""
    if _missing(cell):
        return None
    if field.kind != NUMBER:
        return str(cell).strip()
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise BadRow(
            f"'{str(cell)[:40]}' in column '{field.name}' is no number",
            "correct it, or leave the cell empty",
        ) from None


def check(sample: Sample, fields: Sequence[Field]) -> None:
    """Raises BadRow for infinite numbers, and where every input is missing."""
    for field in fields:
        value = sample[field.name]
        if isinstance(value, float) and math.isinf(value):
            raise BadRow(
                f"column '{field.name}' is infinite", "correct it, or leave the cell empty"
            )
    if all(sample[f.name] is None for f in fields):
        raise BadRow("every input of the row is missing", "fill in a cell or drop the row")


def content(sample: Sample, fields: Sequence[Field]) -> bytes:
    """Names and values as JSON, in the order of the names; 3, 3.0 and "3" of a number are one."""
    values = {f.name: _plain(sample[f.name], f) for f in fields}
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any, field: Field) -> Any:
    if value is None or field.kind != NUMBER:
        return value
    return float(value) + 0.0  # makes -0.0 the same as 0.0


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """64 bits of an exact hash: only equal rows are near (NEAR is 0)."""
    return hashlib.blake2b(content(sample, fields), digest_size=8).digest()
