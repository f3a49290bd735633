"""Points and lines as a small drawing: what a sample's exhibit of kind "drawing" says, from numbers alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from headstart.report.charts import tag

SIDE, EDGE = 200, 14
"""Units of the drawing's sides, and what stays free around it."""
HUES = (212, 28, 145, 338, 48, 268, 188, 95)
_MOST = 2000  # points or lines


def drawing(told: Any) -> Markup:
    """A drawing of {"points": [[x, y, kind, marked]], "lines": [[from, to]], "note": text}, x and y
    between 0 and 1.

    Raises:
        ValueError, TypeError, IndexError, KeyError: it does not say that.
    """
    data: Mapping[str, Any] = json.loads(told) if isinstance(told, str) else told
    points = [(_at(x), _at(y), int(kind), bool(marked)) for x, y, kind, marked in data["points"]]
    lines = [(points[_index(a)], points[_index(b)]) for a, b in data["lines"]]
    if max(len(points), len(lines)) > _MOST:
        raise ValueError(f"more than {_MOST} points or lines")
    drawn = [
        tag("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], stroke="currentColor", stroke_opacity="0.4")
        for a, b in lines
    ]
    radius = 7 if len(points) <= 20 else 4.5
    kinds = {kind: place for place, kind in enumerate(sorted({p[2] for p in points}))}
    for x, y, kind, marked in points:
        place = kinds[kind]
        fill = f"hsl({HUES[place % len(HUES)]} 50% {42 + 16 * (place // len(HUES) % 3)}%)"
        drawn.append(tag("circle", cx=x, cy=y, r=radius, fill=fill))
        if marked:
            drawn.append(
                tag("circle", cx=x, cy=y, r=radius + 3, fill="none", stroke="currentColor")
            )
    svg = tag("svg", *drawn, viewBox=f"0 0 {SIDE} {SIDE}", role="img", stroke_width="1.5")
    note = str(data.get("note", ""))
    return svg + (tag("small", escape(note)) if note else Markup(""))


def _at(value: Any) -> float:
    """A place between the drawing's free edges."""
    share = min(max(float(value), 0.0), 1.0)
    return round(EDGE + share * (SIDE - 2 * EDGE), 1)


def _index(value: Any) -> int:
    number = int(value)
    if number < 0:
        raise ValueError(f"there is no point {number}")
    return number
