"""Table rows: cells of many columns to one sample {field name: number, level or None}.

Kinds: "number" and "number:FORM", "category" and "category:boolean", "date" and "date:FORM"; a date is the
number of days since 1970-01-01. Forms are those of `cells.py` and `core/dates.py`, one for a whole column.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from headstart.core import dates
from headstart.core.dataset import Field, Sample
from headstart.errors import BadRow
from headstart.modalities.table import cells

SUFFIXES: tuple[str, ...] = ()
FILE_KIND = ""
NEAR = 0
MANY = True
GAPS = True

NUMBER, CATEGORY, DATE = "number", "category", "date"
BOOLEAN = "category:boolean"
MOST_LEVELS = 100
REPEATED = 0.9
"""Of the first cells, a category's levels may be so many; columns of names have more."""
LONGEST = 60
"""Characters of a level on average; longer ones are texts."""
TRUE, FALSE = frozenset({"true", "1", "1.0"}), frozenset({"false", "0", "0.0"})
MISSING_MARKS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-"})
ROW_NAMES = frozenset({"id", "index", "row", "rowid", "row_id", "uuid", "guid", "unnamed: 0"})


def claim(name: str, values: Sequence[Any], root: Path) -> str | None:
    """The kind of a column of numbers, dates, or short strings that repeat; None for texts, row names, nested
    cells, and numbers or dates that could be read in two ways."""
    if name.strip().lower() in ROW_NAMES:
        return None
    present = [v for v in values if not _missing(v)]
    if not present:
        return None
    if all(isinstance(v, bool) or type(v).__name__ in ("bool_", "bool") for v in present):
        return BOOLEAN
    if all(_is_number(v) for v in present):
        return NUMBER
    if all(isinstance(v, date) for v in present):
        return DATE
    return _of_texts(present) if all(isinstance(v, str) for v in present) else None


def _of_texts(texts: Sequence[str]) -> str | None:
    """The kind of a column of strings."""
    if sum(_parses(t) for t in texts) >= cells.MOST * len(texts):
        return NUMBER
    if all(t.strip().lower() in ("true", "false") for t in texts):
        return BOOLEAN
    if form := dates.date_form(texts):
        return DATE if form == dates.ISO else f"{DATE}:{form}"
    if form := cells.number_form(texts):
        return f"{NUMBER}:{form}"
    if cells.twofold(texts):
        return None
    return CATEGORY if _repeats(texts) else None


def refused(name: str, values: Sequence[Any]) -> str:
    """Why a column is no input although a table could have it, for a person."""
    present = [v for v in values if not _missing(v)]
    if name.strip().lower() in ROW_NAMES:
        return "a name that numbers of rows have; rename it if it tells something of them"
    if not present:
        return "no value in the rows that were looked at"
    if any(isinstance(v, (list, tuple, dict)) for v in present):
        return "lists or records; spread them over columns of one value a cell"
    if not all(isinstance(v, str) for v in present):
        kinds = ", ".join(sorted({type(v).__name__ for v in present})[:4])
        return f"cells of {kinds}; write numbers, texts or dates, one kind in a column"
    return cells.twofold(present) or (
        f"{len(set(present))} different texts in {len(present)} cells, so free text or names and not levels "
        "that come again; name all inputs by --input to have it as levels, or read it by --modality text"
    )


def _repeats(texts: Sequence[str]) -> bool:
    """Whether short strings come again; a few rows cannot tell, so ten levels are allowed."""
    levels = len(set(texts))
    words = sum(len(t.split()) for t in texts) / len(texts)
    if words >= 6 or sum(map(len, texts)) > LONGEST * len(texts):
        return False
    if len(texts) <= 20:
        return levels <= 0.5 * len(texts) or (levels <= 10 and words < 2)
    return levels <= REPEATED * len(texts) and (words < 3 or levels <= MOST_LEVELS)


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
    """A number, a date in days, a level, or None where the cell is missing. Raises BadRow."""
    if isinstance(cell, (list, tuple, dict)):
        raise BadRow(
            f"the cell in column '{field.name}' holds {len(cell)} values",
            "write one value in a cell; spread the others over columns",
        )
    if _missing(cell):
        return None
    form = field.kind.partition(":")[2]
    if field.base == CATEGORY:
        return _truth(cell, field) if form else str(cell).strip()
    try:
        if field.base == DATE:
            return dates.days(cell, form)
        return cells.number(cell, form) if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError, OverflowError):
        raise BadRow(
            f"'{str(cell)[:40]}' in column '{field.name}' is {_told(field)}",
            "correct it, or leave the cell empty",
        ) from None


def _told(field: Field) -> str:
    """What a cell is not, in words."""
    form = field.kind.partition(":")[2]
    if field.base == DATE:
        return "no date" + (f" of the form {form}" if form else " such as 2026-03-31")
    mark, _, unit = form.partition(":")
    like = {"": "", cells.POINT: " such as 1,234.5", cells.COMMA: " such as 1.234,5"}[mark]
    return f"no number{like}" + (f" in {unit}" if unit else "")


def _truth(cell: Any, field: Field) -> str:
    """ "true" or "false", however it was written."""
    text = str(cell).strip().lower()
    if text not in TRUE | FALSE:
        raise BadRow(
            f"'{str(cell)[:40]}' in column '{field.name}' is neither true nor false",
            "correct it, or leave the cell empty",
        )
    return "true" if text in TRUE else "false"


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
    if value is None or field.base == CATEGORY:
        return value
    return float(value) + 0.0  # makes -0.0 the same as 0.0


def signature(sample: Sample, fields: Sequence[Field]) -> bytes:
    """64 bits of an exact hash: only equal rows are near (NEAR is 0)."""
    return hashlib.blake2b(content(sample, fields), digest_size=8).digest()
