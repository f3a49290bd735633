"""Charts as inline SVG and HTML, drawn from plain numbers; every text and attribute is escaped.

A chart stretches to the width it is given: marks lie at per cents of the plot, strokes do not scale
(`vector-effect`), and all lettering is HTML beside the drawing, so that it keeps its size on a narrow
screen. Colours come from the page's style through classes; shape and words repeat what colour says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from headstart.report.text import DASH, NONE, interval, number, plain, ticked

MARKS = {  # outlines around the origin, 12 units wide
    "helped": "M0-7 8 6-8 6Z",
    "none": "M0-8 8 0 0 8-8 0Z",
    "harmed": "M0 7 8-6-8-6Z",
    "circle": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0Z",
    "square": "M-5-5H5V5H-5Z",
    "diamond": "M0-7 7 0 0 7-7 0Z",
}
TONES = ("circle", "square", "diamond")
HEAT_LIMIT = 20
PAIRS = 15
Point = tuple[float, float, float, float, float]  # x, y, low, high, n


@dataclass(frozen=True)
class Bar:
    """One row of an interval chart: a value with its ends (None: a value alone)."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


def tag(name: str, *inner: Any, **attributes: Any) -> Markup:
    """One element; a trailing underscore of an attribute is dropped, inner ones become hyphens."""
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{text}>") + Markup("").join(inner) + Markup(f"</{name}>")


def ticks(low: float, high: float, most: int = 5, *, whole: bool = False) -> list[float]:
    """Round numbers within [low, high], at most `most` of them or so; with `whole` none between two whole
    ones."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else [0.0]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [s * power for s in (1, 2, 2.5, 5, 10)]
    step = next(s for s in steps if s >= raw * 0.999 and not (whole and 1 < s != int(s)))
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def shape(kind: str, size: int = 18) -> Markup:
    """A mark by name as a small drawing of its own."""
    path = tag("path", d=MARKS.get(kind, MARKS["circle"]))
    return tag(
        "svg",
        path,
        class_=f"mark {kind}",
        viewBox="-9 -9 18 18",
        width=size,
        height=size,
        aria_hidden="true",
    )


def _bounds(bars: Sequence[Bar], unit: str, reference: float | None) -> tuple[float, float]:
    found = [
        v for b in bars for v in (b.value, b.low, b.high) if v is not None and math.isfinite(v)
    ]
    if reference is not None:
        found.append(reference)
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - pad, high + pad
    if unit == "share":
        low, high = max(0.0, low), min(1.0, high)
    return low, high


def intervals(
    bars: Sequence[Bar],
    unit: str = "",
    *,
    reference: float | None = None,
    reference_label: str = "",
    marks: bool = False,
) -> Markup:
    """Dot and whisker per row on one shared axis.

    Args:
        bars: the rows, in the order of the page.
        reference: a value to be marked by a dashed line across all rows.
        marks: whether each row has a mark of its own shape, for arms; else all are dots.
    """
    low, high = _bounds(bars, unit, reference)

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 3)

    rows = [
        _row(
            bar,
            place,
            unit,
            TONES[min(i, 2)] if marks else "circle",
            reference,
            f"tone{min(i, 2)}" if marks else "tone0",
        )
        for i, bar in enumerate(bars)
    ]
    inside = [t for t in ticks(low, high, 5) if 2 < place(t) < 98]
    labels = [
        tag("span", escape(said), style=f"left:{place(t)}%")
        for t, said in zip(inside, ticked(inside, unit), strict=True)
    ]
    axis = tag(
        "div", tag("span"), tag("div", *labels, class_="ticks"), tag("span"), class_="irow axis"
    )
    key = (
        tag("p", escape(f"Dashed line: {reference_label}"), class_="note")
        if reference is not None and reference_label
        else ""
    )
    return tag("div", *rows, axis, class_="intervals") + key


def _row(bar: Bar, place: Any, unit: str, mark: str, reference: float | None, tone: str) -> Markup:
    """Label, track and figures of one row."""
    inner = [tag("line", x1="0%", x2="100%", y1="50%", y2="50%", class_="rail")]
    if reference is not None:
        at = f"{place(reference)}%"
        inner.append(tag("line", x1=at, x2=at, y1="0%", y2="100%", class_="reference"))
    ends = interval(bar.low, bar.high, unit)
    if bar.low is not None and bar.high is not None and ends:
        a, b = f"{place(bar.low)}%", f"{place(bar.high)}%"
        inner.append(tag("line", x1=a, x2=b, y1="50%", y2="50%", class_="whisker"))
        inner += [tag("line", x1=x, x2=x, y1="32%", y2="68%", class_="whisker") for x in (a, b)]
    if math.isfinite(bar.value):
        dot = tag("path", d=MARKS[mark], class_="dot")
        inner.append(tag("svg", dot, x=f"{place(bar.value)}%", y="50%", overflow="visible"))
    said = f"{bar.label}: {number(bar.value, unit)}" + (f", interval {ends}" if ends else "")
    track = tag(
        "svg",
        *inner,
        class_=f"track {tone}",
        width="100%",
        height="28",
        role="img",
        aria_label=said,
    )
    note = tag("small", escape(bar.note)) if bar.note else ""
    label = tag("div", tag("bdi", escape(bar.label)), note, class_="ilabel")
    value = tag(
        "div",
        tag("b", escape(number(bar.value, unit))),
        tag("small", escape(ends)),
        class_="ivalue",
    )
    return tag("div", label, track, value, class_="irow")


@dataclass(frozen=True)
class _Axis:
    """One axis of a curve: its range, and whether it is logarithmic."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Per cent of the way from low to high."""
        if self.log:
            return 100 * math.log(value / self.low) / math.log(self.high / self.low)
        return 100 * (value - self.low) / (self.high - self.low)


def _numbers(values: Any) -> list[float]:
    """A list of numbers; what is no number becomes NaN."""
    return [float(v) if isinstance(v, (int, float)) else math.nan for v in values or ()]


def _axes(
    x: list[float], spread: list[float], diagonal: bool, even: bool = False
) -> tuple[_Axis, _Axis]:
    if diagonal:
        return _Axis(0.0, 1.0), _Axis(0.0, 1.0)
    finite = [v for v in x if math.isfinite(v)]
    left, right = (min(finite), max(finite)) if finite else (0.0, 1.0)
    log = left > 0 and right / left >= 8 and not even
    pad = (right / left) ** 0.06 if log else 0.06 * (right - left) or 0.5
    across = _Axis(left / pad, right * pad, True) if log else _Axis(left - pad, right + pad)
    seen = [v for v in spread if math.isfinite(v)] or [0.0, 1.0]
    gap = 0.14 * (max(seen) - min(seen)) or 0.05
    bottom, top = min(seen) - gap, max(seen) + gap
    if min(seen) >= 0 and max(seen) <= 1:
        bottom, top = max(0.0, bottom), min(1.0 + gap * 0.4, top)
    return across, _Axis(bottom, top)


def curve(data: Mapping[str, Any]) -> Markup:
    """A line with dots, its interval as a band, and (with `diagonal`) the line of perfect agreement.

    Args:
        data: "x", "y" and, where known, "low", "high", "n", "x_label", "y_label", "diagonal", "unit"; and
            "beside", a second line over the same "x", with its name "beside_label".
    """
    points = _points(data)
    beside = _beside(data)
    if not points:
        return tag("p", escape("There are no points to draw."), class_="note")
    diagonal = bool(data.get("diagonal"))
    x = [p[0] for p in points]
    seen = [*(v for p in points for v in p[1:4]), *(y for _, y in beside)]
    across, up = _axes(x, seen, diagonal, even=bool(beside))
    drawn = [_mass(points, across)] if diagonal else []
    for t in ticks(up.low, up.high, 6):
        drawn.append(_stroke(f"M0 {100 - up.at(t):.2f}H100", "grid"))
    if diagonal:
        drawn.append(_stroke("M0 100 100 0", "reference"))
    band = _band(points, across, up)
    drawn += band[:1] if beside else band
    if beside:
        drawn.append(_stroke(_path(beside, across, up), "beside"))
    drawn.append(_stroke(_path([p[:2] for p in points], across, up), "line"))
    if not beside:
        drawn += [
            _stroke(f"M{across.at(p[0]):.2f} {100 - up.at(p[1]):.2f}h.01", "point") for p in points
        ]
    said = (
        f"{data.get('y_label') or 'y'} against {data.get('x_label') or 'x'}, {len(points)} points"
    )
    plot = tag(
        "svg",
        *drawn,
        class_="plot",
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        role="img",
        aria_label=said,
    )
    return _framed(plot, points, across, up, data)


def _points(data: Mapping[str, Any]) -> list[Point]:
    """(x, y, low, high, n) of each finite point, by rising x; unknown parts are NaN."""
    x, y = _numbers(data.get("x")), _numbers(data.get("y"))
    size = min(len(x), len(y))
    rest = [(_numbers(data.get(k)) + [math.nan] * size)[:size] for k in ("low", "high", "n")]
    found = zip(x[:size], y[:size], *rest, strict=True)
    return sorted(p for p in found if math.isfinite(p[0]) and math.isfinite(p[1]))


def _beside(data: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Finite (x, y) of the second line, by rising x."""
    found = zip(_numbers(data.get("x")), _numbers(data.get("beside")), strict=False)
    return sorted(p for p in found if math.isfinite(p[0]) and math.isfinite(p[1]))


def _path(points: Sequence[Sequence[float]], across: _Axis, up: _Axis) -> str:
    """One line through (x, y)."""
    return "M" + " ".join(f"{across.at(x):.2f} {100 - up.at(y):.2f}" for x, y in points)


def _stroke(path: str, kind: str) -> Markup:
    return tag("path", d=path, class_=kind, vector_effect="non-scaling-stroke")


def _mass(points: list[Point], across: _Axis) -> Markup:
    """How many rows each point rests on, as low bars from the bottom."""
    known = [p for p in points if math.isfinite(p[4])]
    most = max((p[4] for p in known), default=0)
    if not most:
        return Markup("")
    bars = [
        f"M{across.at(p[0]) - 1.2:.2f} 100v{-16 * p[4] / most:.2f}h2.4V100Z" for p in known
    ]  # one path, so that bars which overlap do not add up to a darker one
    return tag("path", d="".join(bars), class_="mass")


def _band(points: list[Point], across: _Axis, up: _Axis) -> list[Markup]:
    """Interval as a band, and a whisker at each point."""
    known = [p for p in points if math.isfinite(p[2]) and math.isfinite(p[3])]
    if not known:
        return []
    there = [f"{across.at(p[0]):.2f} {100 - up.at(p[2]):.2f}" for p in known]
    back = [f"{across.at(p[0]):.2f} {100 - up.at(p[3]):.2f}" for p in reversed(known)]
    area = tag("path", d="M" + " ".join(there + back) + "Z", class_="band")
    ends = [
        _stroke(
            f"M{across.at(p[0]):.2f} {100 - up.at(p[2]):.2f}V{100 - up.at(p[3]):.2f}", "whisker"
        )
        for p in known
    ]
    return [area, *ends]


def _framed(
    plot: Markup,
    points: list[Point],
    across: _Axis,
    up: _Axis,
    data: Mapping[str, Any],
) -> Markup:
    """The drawing between its lettered axes."""
    share = data.get("unit", "share" if up.high <= 1.1 and up.low >= 0 else "")
    levels = ticks(up.low, up.high, 6)
    left = [
        tag("span", escape(said), style=f"bottom:{up.at(t):.2f}%")
        for t, said in zip(levels, ticked(levels, share), strict=True)
    ]
    few = len(points) <= 8 and not data.get("diagonal")
    whole = all(float(p[0]).is_integer() for p in points)
    marks = [p[0] for p in points] if few else ticks(across.low, across.high, whole=whole)
    unit = (
        "share"
        if data.get("diagonal") or (few and all(0 < v <= 1 for v in marks) and max(marks) == 1)
        else ""
    )
    below = [
        tag("span", escape(said), style=f"left:{across.at(t):.2f}%")
        for t, said in zip(marks, ticked(marks, unit), strict=True)
    ]
    labels = [_lettered(p, across, up, share) for p in points] if few else []
    return tag(
        "div",
        tag("div", escape(data.get("y_label") or ""), _second(data), class_="ylabel"),
        tag(
            "div",
            tag("div", *left, class_="ylabels"),
            tag("div", plot, *labels, class_="pane"),
            class_="panes",
        ),
        tag("div", *below, class_="ticks xticks"),
        tag("div", escape(data.get("x_label") or ""), class_="xlabel"),
        class_="curve square" if data.get("diagonal") else "curve lettered" if few else "curve",
    )


def _second(data: Mapping[str, Any]) -> Markup:
    """What the second line is, in its own colour."""
    name = data.get("beside_label") if data.get("beside") else ""
    return tag("span", escape(f"; dashed: {name}"), class_="beside") if name else Markup("")


def _lettered(point: Point, across: _Axis, up: _Axis, unit: str) -> Markup:
    """The value of a point, above its interval."""
    top = point[3] if math.isfinite(point[3]) else point[1]
    place = f"left:{across.at(point[0]):.2f}%;bottom:{up.at(top):.2f}%"
    return tag("b", escape(number(point[1], unit)), style=place)


def matrix(labels: Sequence[Any], counts: Sequence[Sequence[float]]) -> Markup:
    """Confusion as a heat table, rows true and columns predicted; for many classes the worst pairs."""
    names = [str(label) for label in labels]
    if len(names) > HEAT_LIMIT:
        return pairs(names, counts)
    head = [tag("th", tag("bdi", escape(n)), scope="col", title=n) for n in names]
    corner = tag(
        "th", escape("true \N{DOWNWARDS ARROW}  predicted \N{RIGHTWARDS ARROW}"), class_="corner"
    )
    body = []
    for i, row in enumerate(counts):
        total = sum(row)
        cells = [_cell(v, total, i == j) for j, v in enumerate(row)]
        body.append(
            tag("tr", tag("th", tag("bdi", escape(names[i])), scope="row", title=names[i]), *cells)
        )
    size = "small" if len(names) > 8 else "large"
    table = tag(
        "table", tag("thead", tag("tr", corner, *head)), tag("tbody", *body), class_=f"heat {size}"
    )
    return tag("div", table, class_="scroll")


def _cell(count: float, total: float, right: bool) -> Markup:
    share = count / total if total else 0.0
    tone = (
        ("right" if right else "wrong")
        + (" deep" if share > 0.55 else "")
        + ("" if count else " zero")
    )
    text = escape(plain(round(count, 1))) if count else Markup("&middot;")
    return tag("td", text, class_=tone, style=f"--h:{share:.3f}", title=number(share, "share"))


def pairs(labels: Sequence[str], counts: Sequence[Sequence[float]]) -> Markup:
    """The most confused pairs of classes as a table."""
    found = [
        (count, sum(row), labels[i], labels[j])
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    found.sort(key=lambda f: (-f[0], f[1]))
    rows = [
        [true, wrong, count, number(count / total, "share")]
        for count, total, true, wrong in found[:PAIRS]
    ]
    return table(["True class", "Predicted as", "Rows", "Share of the class"], rows)


def table(columns: Sequence[Any], rows: Sequence[Any]) -> Markup:
    """A plain table; numbers are set flush right. A row is a sequence, or a mapping by column."""
    names = [str(c) for c in columns]
    lines = [[row.get(n) for n in names] if isinstance(row, Mapping) else list(row) for row in rows]
    figures = [_is_figures([line[j] for line in lines if j < len(line)]) for j in range(len(names))]
    head = [
        tag("th", escape(_headed(n)), scope="col", class_="figure" if f else None)
        for n, f in zip(names, figures, strict=True)
    ]
    body = []
    for line in lines:
        cells = [
            tag(
                "td",
                tag("bdi", escape(_shown(v)), class_=_long(v)),
                class_="figure" if j < len(figures) and figures[j] else None,
            )
            for j, v in enumerate(line)
        ]
        body.append(tag("tr", *cells))
    if not body:
        return tag("p", escape("No rows."), class_="note")
    return tag(
        "div", tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body)), class_="scroll"
    )


def _headed(name: str) -> str:
    """A column's name with a capital, unless it has a spelling of its own ("pH", "n")."""
    return name[:1].upper() + name[1:] if name.islower() and len(name) > 1 else name


def facts(rows: Sequence[tuple[str, Any]]) -> Markup:
    """Names and values as a list of definitions; nothing where there are none."""
    lines = [
        tag(
            "div",
            tag("dt", tag("bdi", escape(name))),
            tag("dd", tag("bdi", escape(_shown(v)), class_=_long(v))),
        )
        for name, v in rows
    ]
    return tag("dl", *lines, class_="facts") if lines else Markup("")


def _long(value: Any) -> str | None:
    """Class of a text that may break anywhere: a digest or a path, which has no place to break."""
    words = str(value).split()
    return "long" if words and max(map(len, words)) > 24 else None


def _is_figures(values: list[Any]) -> bool:
    known = [v for v in values if v is not None and v != ""]
    return bool(known) and all(
        (isinstance(v, (int, float)) and not isinstance(v, bool))
        or (
            isinstance(v, str) and v[:1] in f"0123456789+{DASH}\N{MINUS SIGN}{NONE}" and len(v) < 24
        )
        for v in known
    )


def _shown(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return plain(float(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(v) for v in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{k}: {_shown(v)}" for k, v in value.items())
    return str(value)
