"""Numbers as people write them, one form for a whole column, or none where two are possible; days told."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

from headstart.core.dates import readings

POINT, COMMA = "point", "comma"
"""The decimal mark: 1,234.5 or 1.234,5."""
SIGNS = frozenset("$€£¥₹%‰")
UNITS = SIGNS | frozenset(
    (
        *("kg", "g", "mg", "µg", "ug", "t", "lb", "lbs", "oz", "km", "m", "cm", "mm", "mi", "ft"),
        *("l", "L", "ml", "mL", "dl", "s", "sec", "ms", "min", "h", "hr", "hrs", "hour", "hours"),
        *("day", "days", "week", "weeks", "month", "months", "year", "years", "yr", "yrs"),
        *("°C", "°F", "W", "kW", "kWh", "V", "mV", "mA", "Hz", "kHz", "MHz", "GHz"),
        *("kB", "MB", "GB", "TB", "mmHg", "mg/dL", "mg/dl", "mmol/L", "bpm", "km/h", "m/s", "mph"),
        *("px", "EUR", "USD", "GBP", "CHF", "JPY"),
    )
)
"""Units that a number may carry; letters that could be a code or a factor (A, K, M) are none."""
MOST = 0.95
"""Share of the cells that a form must read."""

_DIGITS = r"[+-]?\d[\d.,' \u00a0\u202f]*"
_WRITTEN = re.compile(rf"^(?P<before>[$€£¥₹]?)\s*(?P<digits>{_DIGITS}?)\s*(?P<after>[^\d\s.,].*)?$")
_GAP = "[ '\u00a0\u202f]"
_FORMS = {
    POINT: re.compile(rf"^[+-]?(\d+|\d{{1,3}}(,\d{{3}})+|\d{{1,3}}({_GAP}\d{{3}})+)(\.\d+)?$"),
    COMMA: re.compile(rf"^[+-]?(\d+|\d{{1,3}}(\.\d{{3}})+|\d{{1,3}}({_GAP}\d{{3}})+)(,\d+)?$"),
}
_TWICE = re.compile(r"^[+-]?[1-9]\d{0,2},\d{3}$")  # 1,234: a thousand and more, or one and a bit

_EPOCH = datetime(1970, 1, 1)


def number_form(texts: Sequence[str]) -> str:
    """How a column's numbers are written: "point", "comma", either with ":UNIT" behind it; "" where they
    are none, or where they could be read in two ways."""
    digits, units = _parts(texts)
    mark = _mark(digits) if len(units) == 1 else ""
    return f"{mark}:{units[0]}".rstrip(":") if mark else ""


def twofold(texts: Sequence[str]) -> str:
    """Why numbers or dates could be read in two ways, for a person; "" where they could not."""
    found = list(readings(texts).values())
    if any(values != found[0] for values in found):
        return f"day and month could be exchanged, as in '{texts[0]}'; write dates as 2026-03-31"
    digits, units = _parts(texts)
    if len(units) > 1:
        shown = ", ".join(f"'{u}'" if u else "none" for u in units[:3])
        return f"numbers in several units ({shown}); convert them to one"
    forms = [f for f in _FORMS.values() if digits and all(f.match(n) for n in digits)]
    if len(forms) == 2 and not _mark(digits):
        return f"could be read in two ways, as in '{texts[0]}'; write numbers as 1234.5"
    return ""


def _parts(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Digits of the cells and the units among them; none where too few cells are numbers."""
    read = [p for t in texts if (p := _split(t)) is not None]
    if len(read) < MOST * len(texts):
        return [], []
    return [digits for digits, _ in read], sorted({unit for _, unit in read})


def _split(text: str) -> tuple[str, str] | None:
    """Digits and unit of one cell; None where it is no number."""
    found = _WRITTEN.match(text.strip())
    if found is None:
        return None
    digits, after = found["digits"].strip(), (found["after"] or "").strip()
    unit = found["before"] + after
    if unit and unit not in UNITS:
        return None
    return digits, unit


def _mark(numbers: Sequence[str]) -> str:
    """The decimal mark that reads them all, or "" where none does, or both do and differ."""
    possible = [m for m, form in _FORMS.items() if all(form.match(n) for n in numbers)]
    if len(possible) < 2:
        return possible[0] if possible else ""
    odd = [n for n in numbers if "," in n or "." in n]
    if not odd:
        return POINT
    if not all(_TWICE.match(n) for n in odd):
        return ""
    plain = [int(re.sub(r"\D", "", n)) for n in numbers if n not in odd]
    # 1,234 beside 950 but never beside 1234: groups of thousands
    return POINT if plain and max(plain) < 1000 else ""


def number(text: str, form: str) -> float:
    """One cell of a column of that form ("" for plain numbers). Raises ValueError."""
    try:
        if not form or form == POINT:
            return float(text)
    except ValueError:
        if not form:
            raise
    mark, _, unit = form.partition(":")
    found = _split(text)
    if found is None or found[1] not in ("", unit) or not _FORMS[mark].match(found[0]):
        raise ValueError(text)
    digits = re.sub(_GAP, "", found[0])
    if mark == COMMA:
        return float(digits.replace(".", "").replace(",", "."))
    return float(digits.replace(",", ""))


def written(value: float) -> str:
    """Days since 1970-01-01 as a date, with the time of day where there is one."""
    moment = datetime.fromtimestamp(round(value * 86400), UTC).replace(tzinfo=None)
    return moment.date().isoformat() if value == math.floor(value) else moment.isoformat(" ")


def calendar(value: float) -> tuple[float, float, int, float]:
    """Days since 1970-01-01 -> place in the year, in the month and in the day, each in [0, 1), and the
    weekday (0: Monday), in the order year, month, weekday, day."""
    whole = math.floor(value)
    day = date.fromordinal(whole + _EPOCH.toordinal())
    year = (day.month - 1 + (day.day - 1) / 31) / 12
    return year, (day.day - 1) / 31, day.weekday(), value - whole
