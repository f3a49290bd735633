"""Small line drawings of one sample: a strip for each line, on one shared axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from headstart.report.charts import tag
from headstart.report.text import number

TALL = 3
"""Strips up to which each is drawn tall."""


def lines(drawn: Sequence[Mapping[str, Any]]) -> Markup:
    """Lines one above the other, each in its own range, which is said.

    Args:
        drawn: "name", "x" and "y" of each; None in "y" breaks the line.
    """
    every = [float(v) for one in drawn for v in one["x"]]
    left, right = (min(every), max(every)) if every else (0.0, 1.0)
    size = "tall" if len(drawn) == 1 else "half" if len(drawn) <= TALL else "low"
    return tag("div", *(_strip(one, left, right) for one in drawn), class_=f"strips {size}")


def _strip(one: Mapping[str, Any], left: float, right: float) -> Markup:
    heights = [float(v) for v in one["y"] if v is not None and math.isfinite(v)]
    low, high = (min(heights), max(heights)) if heights else (0.0, 0.0)
    span, width = (high - low) or 1.0, (right - left) or 1.0
    path, pen = list[str](), "M"
    for x, y in zip(one["x"], one["y"], strict=True):
        if y is None or not math.isfinite(y):
            pen = "M"
            continue
        up = 50.0 if high == low else 96.0 - 92.0 * (float(y) - low) / span
        path.append(f"{pen}{100 * (float(x) - left) / width:.2f} {up:.2f}")
        pen = "L"
    if len(path) == 1:
        path.append("h.01")
    name = str(one.get("name", ""))
    ends = f"{number(low)} to {number(high)}" if heights else "no value"
    plot = tag(
        "svg",
        tag("path", d="".join(path), class_="line", vector_effect="non-scaling-stroke"),
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{name}: {ends}" if name else ends,
    )
    label = tag("b", tag("bdi", escape(name))) if name else Markup("")
    return tag("div", plot, tag("small", label, escape(f" {ends}")))
