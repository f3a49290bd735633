"""Numbers and names in words: shares, durations, sizes, intervals, and a plan as TOML.

Typography: a true minus (U+2212), an en dash between the ends of an interval, and a no-break space
before a unit, so that figures stay whole where a line is narrow.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

MINUS, DASH, GAP, NONE = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NO-BREAK SPACE}", "\N{EM DASH}"
SIGNED = frozenset({"points", "difference"})
BARE = frozenset({"skill"})  # scores that are numbers without a unit
SI = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
LONG = {"FLOPs": "FLOP", "FLOP": "FLOP", "bytes": "B", "joules": "J", "watts": "W"}
SUFFIXES = (
    (("seconds", "second"), "seconds"),
    (("flops", "flop"), "FLOPs"),
    (("bytes", "byte"), "bytes"),
    (("joules", "joule"), "joules"),
    (("watts", "watt"), "watts"),
    (("share", "probability", "confidence"), "share"),
)


def plain(value: float, digits: int = 3) -> str:
    """A bare number with about `digits` significant digits, thousands spaced, true minus."""
    if not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", MINUS)
    size = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if size >= 7 or size <= -5:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    places = max(0, digits - 1 - size)
    text = f"{value:,.{places}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return text.replace("-", MINUS)


def duration(seconds: float) -> str:
    """A time in the two largest units that matter: "820 ms", "42.1 s", "3 min 20 s", "1 h 05 min"."""
    if not math.isfinite(seconds):
        return NONE
    if abs(seconds) < 0.9995:
        return f"{seconds * 1000:.0f}{GAP}ms"
    if abs(seconds) < 59.95:
        return f"{seconds:.1f}{GAP}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{GAP}min{GAP}{whole % 60:02d}{GAP}s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60}{GAP}h{GAP}{minutes % 60:02d}{GAP}min"
    return f"{minutes // 1440}{GAP}d{GAP}{minutes % 1440 // 60}{GAP}h"


def scaled(value: float, unit: str) -> str:
    """A quantity with an SI prefix: "3.41 TFLOP", "12.3 MB"."""
    if not math.isfinite(value):
        return NONE
    for size, prefix in SI:
        if abs(value) >= 0.9995 * size:
            return f"{plain(value / size)}{GAP}{prefix}{unit}"
    return f"{plain(value)}{GAP}{unit}"


def number(value: float, unit: str = "", *, bare: bool = False) -> str:
    """A number in its unit; `bare` leaves the unit of shares and points out (for intervals).

    Units: "share" (0 to 1, printed in per cent), "points" (hundredths of a share, signed),
    "seconds", "FLOPs", "bytes", "joules"; "times" as a cross; "R2" and scores without a unit with three
    decimals; any other word as it stands.
    """
    if not math.isfinite(value):
        return NONE
    if unit == "share":
        return f"{100 * value:.1f}".replace("-", MINUS) + ("" if bare else f"{GAP}%")
    if unit == "points":
        text = f"{value:+.1f}"
        text = "0.0" if float(text) == 0 else text.replace("-", MINUS)
        return text + ("" if bare else f"{GAP}points")
    if unit == "seconds":
        return duration(value)
    if unit in LONG:
        return scaled(value, LONG[unit])
    if unit == "R2":
        return f"{value:.3f}".replace("-", MINUS) + ("" if bare else f"{GAP}R\N{SUPERSCRIPT TWO}")
    if unit in BARE:
        return f"{value:.3f}".replace("-", MINUS)
    if unit.startswith("unit of"):  # the target's own, which nobody named
        return plain(value)
    if unit == "times":
        return plain(value) + ("" if bare else f"{GAP}\N{MULTIPLICATION SIGN}")
    return plain(value) + (f"{GAP}{unit}" if unit and not bare else "")


def interval(low: float | None, high: float | None, unit: str = "") -> str:
    """Both ends in one unit: "88.1–93.4 %", "−1.2 to +4.5 points"; "" where there is none."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    joint = " to " if unit in SIGNED or low < 0 or unit in LONG or unit == "seconds" else DASH
    if unit in LONG or unit == "seconds":
        return number(low, unit) + joint + number(high, unit)
    return number(low, unit, bare=True) + joint + number(high, unit, bare=unit == "points")


class Reading(Protocol):
    """What of a measure is printed; a protocol, so that wording a number loads no numerics."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def unit(self) -> str: ...


def measured(measure: Reading) -> tuple[str, str]:
    """Value and interval of a measure in words; a size ("detectable ...") carries no plus sign."""
    value, ends = (
        number(measure.value, measure.unit),
        interval(measure.low, measure.high, measure.unit),
    )
    if measure.name.startswith("detectable"):
        return value.lstrip("+"), ends.replace("+", "")
    return value, ends


def sized(count: int, method: str) -> str:
    """How many rows a measure rests on, and in how many groups or stretches where its method says so:
    "90", "90 in 3 stretches"."""
    found = re.search(r"\b(\d+) (groups|stretches) of", method)
    groups = f" in {plain(int(found[1]))} {found[2]}" if found and int(found[1]) < count else ""
    return plain(count) + groups


def ticked(values: Sequence[float], unit: str = "") -> list[str]:
    """Numbers of an axis, alike in their decimals: "80 %" where all are whole."""
    bare = unit not in ("share", "points", "seconds", *LONG)
    said = [number(v, unit, bare=bare) for v in values]
    if unit in ("share", "points") and all(re.search(r"\.0(?!\d)", t) for t in said):
        return [re.sub(r"\.0(?!\d)", "", t) for t in said]
    return said


def prose(sentence: str) -> str:
    """A sentence set with true minus signs and typographic quotation marks."""
    sentence = re.sub(r"(?<![\w-])-(?=\d)", MINUS, sentence)
    return re.sub(
        r"(?<!\w)'([^']+)'(?!\w)",
        "\N{LEFT SINGLE QUOTATION MARK}\\1\N{RIGHT SINGLE QUOTATION MARK}",
        sentence,
    )


def quoted(name: str) -> str:
    """A name between typographic quotation marks."""
    return f"\N{LEFT SINGLE QUOTATION MARK}{name}\N{RIGHT SINGLE QUOTATION MARK}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 row", "3 rows"."""
    return f"{plain(count)} {noun}" if count == 1 else f"{plain(count)} {noun}s"


def spoken(name: str) -> str:
    """A registered name in words: "label_quality" -> "Label quality"."""
    words = re.sub(r"[_\-]+", " ", name).strip()
    return words[:1].upper() + words[1:]


def fact(key: str, value: Any) -> str:
    """A recorded fact in words; the key's words tell the unit ("seconds_model", "store_bytes")."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(float(value), unit_of(key))
    if isinstance(value, Mapping):
        return "; ".join(f"{spoken(str(k)).lower()}: {fact(str(k), v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(fact(key, v) for v in value)
    return str(value)


LABELS = {
    "seconds_model": "Time to the model",
    "seconds_verdict": "Time to the verdict",
    "predicted_seconds": "Predicted time to compute features",
    "predicted_store_bytes": "Predicted size of the store",
    "twin_seconds": "Time granted to the network from scratch",
    "train_rows": "Rows to learn from",
    "split_how": "Split",
    "rows_forwarded": "Rows computed anew",
    "forwards": "Forward passes, by row",
    "energy_watts": "Power assumed",
    "strategy_settings": "Settings of the strategy",
    "transform_counts": "Inputs changed to fit the source",
    "openings": "Openings of the test split, over all runs",
    "peak_bytes": "Largest memory",
    "store_bytes": "Feature store",
}


def label(key: str) -> str:
    """What a recorded fact is called: units become words ("seconds_decode" -> "Time, decode")."""
    if key in LABELS:
        return LABELS[key]
    words = spoken(key).split(" ")
    unit = {"seconds": "Time", "FLOPs": "Operations", "bytes": "Size", "joules": "Energy"}.get(
        unit_of(key), ""
    )
    rest = " ".join(w for w in words if unit_of(w) == "").lower()
    return f"{unit}, {rest}" if unit and rest else unit or spoken(key)


def unit_of(key: str) -> str:
    """The unit that the words of a key name, or ""."""
    words = set(re.split(r"[^a-z]+", key.lower()))
    return next((unit for names, unit in SUFFIXES if words & set(names)), "")


def day(run_id: str) -> str:
    """The date and time that a run's name begins with: "21 November 2026, 10:15"; "" if none."""
    try:
        moment = datetime.datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        return ""
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def toml(values: Mapping[str, Any]) -> str:
    """Nested plain values as TOML: settings first, then one table a mapping."""
    lines: list[str] = []
    _table(values, (), lines)
    return "\n".join(lines).strip() + "\n" if lines else ""


def _table(values: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    flat = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    if path and (flat or not values):
        lines += ["", "[" + ".".join(_key(p) for p in path) + "]"]
    lines += [f"{_key(k)} = {_value(v)}" for k, v in flat.items() if v is not None]
    for key, inner in values.items():
        if isinstance(inner, Mapping):
            _table(inner, (*path, key), lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return _quoted(str(value))
