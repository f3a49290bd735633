"""An even grid in time: how far apart steps are, where a moment lies, and parts of the calendar."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.core import dates
from headstart.errors import DataError, PlanError

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DAY = 86_400.0
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
USUAL = ("s", "min", "15min", "h", "6h", "D", "W", "M", "Q", "Y")
MONTHS = {"m": 1, "ms": 1, "q": 3, "qs": 3, "y": 12, "ys": 12}
COMPACT = "%Y%m%d"
"""Dates as whole numbers of eight digits: 20250131."""
CENTURIES = (19000101, 21001231)
MOST = 0.95
"""Share of the cells that look like dates that a form must read."""
LOOKED_AT = 200
"""Cells from which it is seen whether a column holds dates, and which forms may be theirs."""
OFF = 0.15
"""A stamp that lies further from its step than this share of a step is off the grid."""
PARTS: Mapping[str, float] = {"hour": DAY, "weekday": 7 * DAY, "yearday": 365.25 * DAY}
"""Parts of the calendar that are known ahead, and how long one turn of each takes in seconds."""
PERIODS = ((DAY, "day"), (7 * DAY, "week"), (365.25 * DAY, "year"))


@dataclass(frozen=True)
class Grid:
    """Even steps.

    Attributes:
        unit: "seconds", "months", or "steps" of no known length.
        size: units a step.
        start: moment of position 0, in seconds since 1970, months since year 0, or the column's unit.
        dated: whether moments are dates.
    """

    unit: str
    size: float
    start: float = 0.0
    dated: bool = False

    @property
    def seconds(self) -> float:
        """Length of a step; NaN where it is not known."""
        if self.unit == "months":
            return self.size * 365.25 / 12 * DAY
        return self.size if self.dated else math.nan

    @property
    def words(self) -> str:
        """ "1 h"."""
        if self.unit == "months":
            return f"{self.size:g} month" + ("s" if self.size > 1 else "")
        if not self.dated:
            return f"{self.size:g}"
        name = max(
            (n for n in SECONDS if SECONDS[n] <= self.size), key=SECONDS.__getitem__, default="s"
        )
        return f"{self.size / SECONDS[name]:g} {name}"

    def at(self, moments: np.ndarray) -> np.ndarray:
        """Positions, not rounded."""
        values = months(moments) if self.unit == "months" else moments
        return np.asarray((values - self.start) / self.size)

    def moment(self, position: int) -> float:
        """Seconds since 1970, or the column's number, of a position."""
        value = self.start + position * self.size
        if self.unit != "months":
            return value
        year, month = divmod(round(value), 12)
        return (datetime.datetime(year, month + 1, 1, tzinfo=datetime.UTC) - EPOCH).total_seconds()

    def told(self, position: int) -> str:
        """ "2018-02-20 05:00"; the number, as a table writes it, where moments are no dates."""
        moment = self.moment(position)
        if not self.dated:
            moment = float(f"{moment:.15g}")  # 3 steps of 0.1 are 0.3, not 0.30000000000000004
            return repr(int(moment) if moment.is_integer() else moment)
        date = EPOCH + datetime.timedelta(seconds=moment)
        if self.unit == "months" or (self.size % DAY == 0 and moment % DAY == 0):
            return f"{date:%Y-%m-%d}"
        return f"{date:%Y-%m-%d %H:%M}" if self.size % 60 == 0 else f"{date:%Y-%m-%d %H:%M:%S}"

    def state(self) -> list[Any]:
        """As JSON can hold it; `Grid(*state)` is the same."""
        return [self.unit, self.size, self.start, self.dated]


def months(moments: np.ndarray) -> np.ndarray:
    """Months since year 0 of seconds since 1970, without the day."""
    dates = np.round(moments).astype("datetime64[s]").astype("datetime64[M]")
    return np.asarray(dates.astype(np.int64) + 1970 * 12, np.float64)


def seconds(value: Any, form: str = "") -> float:
    """Seconds since 1970 of a date or a text, or the number itself; NaN where it is none of them.

    Args:
        form: how the column writes its dates, as `written` finds it; then numbers are none. ISO 8601 is
            read besides.
    """
    if form == COMPACT and isinstance(value, (int, float)):
        value = f"{value:.0f}"
    if isinstance(value, str):
        value = _moment(value, form)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return (aware - EPOCH).total_seconds()
    return math.nan if form else number(value)


def _moment(text: str, form: str) -> datetime.datetime | str:
    """The date of a text; the text where it is none."""
    try:
        return datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        pass
    try:
        return dates.moment(text, form)
    except ValueError:
        return text


def written(cells: Sequence[Any], known: str = "") -> tuple[str, str]:
    """How a column writes its dates: "iso" or a format of strptime, and ""; or "" where they are none, and
    why, for a person, where cells look like dates all the same.

    Args:
        known: the form to take where several read the cells.
    """
    like = [c for c in cells if isinstance(c, str) and _alike(c)]
    if not like or 2 * len(like) < len(cells) - sum(c is None for c in cells):
        return "", ""
    found: dict[str, np.ndarray] = {}
    for form in dict.fromkeys((dates.ISO, known or dates.ISO, *dates.FORMS)):
        first = [seconds(c, form) for c in like[:LOOKED_AT]]
        if np.isfinite(first).mean() >= 0.5:
            found[form] = np.array([*first, *(seconds(c, form) for c in like[LOOKED_AT:])])
    read = {form: int(np.isfinite(moments).sum()) for form, moments in found.items()}
    best = [form for form in found if read[form] == max(read.values())]
    if not best or read[best[0]] < MOST * len(like):
        unread = np.flatnonzero(np.isnan(found[best[0]])) if best else [0]
        return "", f"'{like[int(unread[0])]}' is no date that is read; write dates as 2026-03-31"
    alike = all(np.array_equal(found[f], found[best[0]], equal_nan=True) for f in best)
    if alike or known in best:
        return (best[0] if alike else known), ""
    return "", f"day and month could be exchanged, as in '{like[0]}'; write dates as 2026-03-31"


def _alike(text: str) -> bool:
    """Whether a text looks like a date; eight digits do where they are one."""
    if re.fullmatch(r"\s*(19|20)\d{6}\s*", text):
        return math.isfinite(seconds(text, dates.ISO))
    return dates.alike(text)


def compact(moments: np.ndarray) -> bool:
    """Whether all numbers are dates such as 20250131; NaN is none of them."""
    known = np.unique(moments[np.isfinite(moments)])
    low, high = CENTURIES
    if not len(known) or known[0] < low or known[-1] > high or (known % 1).any():
        return False
    return all(math.isfinite(seconds(float(one), COMPACT)) for one in known)


def number(value: Any) -> float:
    """A number or its text; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def parsed(text: str) -> Grid:
    """ "h", "15min", "1 D", "M" -> a grid that starts nowhere yet. Raises PlanError."""
    found = re.fullmatch(r"\s*(\d*\.?\d*)\s*([A-Za-z]*)\s*", text)
    count, word = found.groups() if found else ("", "?")
    word = {"t": "min", "day": "d", "week": "w", "month": "m", "hour": "h"}.get(
        word.lower(), word.lower()
    )
    size = float(count) if count.strip(".") else 1.0
    if size > 0 and word in SECONDS:
        return Grid("seconds", size * SECONDS[word], dated=True)
    if size > 0 and size.is_integer() and word in MONTHS:
        return Grid("months", size * MONTHS[word], dated=True)
    if size > 0 and not word and count:
        return Grid("steps", size)
    raise PlanError(
        f"The frequency '{text}' is none. Expected a number and s, min, h, D, W, M, Q or Y: '15min', "
        "'h'; or a plain number where the time column holds numbers."
    )


def usual(grid: Grid, times: float = 1.0) -> str:
    """A frequency to try in the place of that of a grid, quoted as a person would name it: the first usual
    one of about so many `times` its steps; where moments are numbers, that number."""
    if not grid.dated:
        return f"'{times * grid.size:.3g}'"
    found = [n for n in USUAL if parsed(n).seconds >= 0.9 * times * grid.seconds]
    return f"'{found[0] if found else USUAL[-1]}'"


def inferred(series: Sequence[np.ndarray], dated: bool) -> Grid:
    """The grid that the sorted moments of some series suggest. Raises DataError."""
    steps = np.concatenate([np.diff(np.unique(one)) for one in series])
    if not len(steps):
        raise DataError(
            "No series has two different time stamps, so there is nothing to forecast. Name the column "
            "of time, and the column that tells the series apart (sample)."
        )
    step = float(np.quantile(steps, 0.5, method="lower"))
    for low, high, size in ((28, 31, 1), (89, 92, 3), (365, 366, 12)):
        if dated and low * DAY <= step <= high * DAY:
            return Grid("months", size, dated=True)
    return Grid("seconds" if dated else "steps", step, dated=dated)


def period(grid: Grid, values: Sequence[np.ndarray]) -> tuple[int, str]:
    """Steps after which series repeat, and why: the shortest turn of the calendar that the frequency
    knows and half of a series holds; else the lag of the highest autocorrelation; 1 for none."""
    longest = max(len(v) for v in values)
    for length, word in PERIODS:
        steps = length / grid.seconds
        if steps >= 2 and abs(steps - round(steps)) <= 0.02 * steps and 2 * steps <= longest:
            return round(steps), f"a {word} at this frequency"
    lag = _repeating(max(values, key=len))
    return lag, "by autocorrelation" if lag > 1 else "none was found"


def _repeating(values: np.ndarray) -> int:
    """The lag at which the differenced series resembles itself most, where it does so clearly."""
    steps = np.nan_to_num(np.diff(values))
    size = len(steps)
    if size < 8 or not steps.std() > 0:
        return 1
    steps = steps - steps.mean()
    energy = np.abs(np.fft.rfft(steps, 2 * size)) ** 2
    alike = np.fft.irfft(energy)[: size // 3]
    alike = alike / alike[0]
    inner = np.flatnonzero((alike[1:-1] > alike[:-2]) & (alike[1:-1] >= alike[2:])) + 1
    inner = inner[inner >= 2]
    if not len(inner):
        return 1
    best = int(inner[np.argmax(alike[inner])])
    return best if alike[best] > max(0.3, 4.0 / math.sqrt(size)) else 1


def turned(grid: Grid, positions: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine (T,) of a part of the calendar at positions."""
    moments = np.array([grid.moment(int(p)) for p in positions])
    shift = 4 * DAY if part == "weekday" else 0.0  # 1970 began on a Thursday; Monday is 0
    angle = 2 * np.pi * ((moments - shift) / PARTS[part] % 1.0)
    return np.sin(angle), np.cos(angle)
