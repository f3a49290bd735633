"""Dates as people write them: one form for a whole column, or none where two are possible."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

ISO = "iso"
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d")
_NAMED = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMS = tuple(day + time for day in (*_DAYS, *_NAMED) for time in _TIMES)
_LIKE_A_DATE = re.compile(
    r"^\s*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b|\d{1,2}[ -][A-Za-z]{3}|[A-Za-z]{3,9} \d)"
)
_ISO = re.compile(r"^\d{4}-\d{2}(-\d{2}([T ]\d{2}:\d{2}.*)?)?$")
_EPOCH = datetime(1970, 1, 1)


def alike(text: str) -> bool:
    """Whether a text looks like a date, read or not."""
    return bool(_ISO.match(text.strip()) or _LIKE_A_DATE.match(text))


def date_form(texts: Sequence[str]) -> str:
    """How a column's dates are written: "iso", or a format of strptime; "" where they are none, or where
    day and month could be exchanged."""
    if all(_ISO.match(t.strip()) for t in texts):
        return ISO if _all(texts, ISO) else ""
    found = readings(texts)
    first = next(iter(found), "")
    return first if all(values == found[first] for values in found.values()) else ""


def readings(texts: Sequence[str]) -> dict[str, list[float]]:
    """Format of strptime -> days, for every format that reads all the cells."""
    if not all(
        _LIKE_A_DATE.match(t) for t in texts[:5]
    ):  # trying all formats takes some milliseconds
        return {}
    return {f: values for f in FORMS if (values := _all(texts, f)) is not None}


def _all(texts: Sequence[str], form: str) -> list[float] | None:
    values = []
    for text in texts:
        try:
            values.append(days(text, form))
        except ValueError:
            return None
    return values


def days(cell: object, form: str = ISO) -> float:
    """A date, a time stamp or its text -> days since 1970-01-01 (UTC where a zone is given). Text in ISO
    8601 is read whatever the column's form is. Raises ValueError."""
    if isinstance(cell, str):
        cell = moment(cell, form)
    if isinstance(cell, datetime):
        plain = cell.astimezone(UTC).replace(tzinfo=None) if cell.tzinfo else cell
        return (plain - _EPOCH).total_seconds() / 86400
    if isinstance(cell, date):
        return float((cell - _EPOCH.date()).days)
    raise ValueError(cell)


def moment(text: str, form: str = ISO) -> datetime:
    """One text in ISO 8601, or in the column's form. Raises ValueError."""
    text = text.strip()
    if _ISO.match(text):
        return datetime.fromisoformat(text if len(text) > 7 else f"{text}-01")
    if form in ("", ISO):
        raise ValueError(text)
    return datetime.strptime(text, form)
