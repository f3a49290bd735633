"""Pages of clusters and of nearest rows: self-contained, drawn with the report's own pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

import jinja2
import numpy as np
from markupsafe import Markup, escape

from headstart.core.evidence import Exhibit, Measure
from headstart.report import charts, text
from headstart.report.exhibits import exhibited, figures
from headstart.report.page import CONTROL, Section

WIDE, HIGH, EDGE = 640, 420, 24
DRAWN = 1200  # rows on the map


@dataclass(frozen=True)
class Card:
    """One row as a card: its number among the exhibits, and lines under it."""

    place: int
    name: str
    lines: Mapping[str, Any]


class Found(Protocol):
    """What of clusters is drawn; see `groups.clusters.Clusters`."""

    data: str
    source: str
    method: str
    how: str
    names: list[str]
    labels: list[Any] | None
    numbers: np.ndarray
    distance: np.ndarray
    clusters: Sequence[Any]
    measures: tuple[Measure, ...]
    missing: tuple[tuple[str, str], ...]
    exhibits: Mapping[int, Mapping[str, str]]
    map: np.ndarray
    tried: tuple[tuple[int, float], ...]
    notes: tuple[str, ...]
    set_aside: Sequence[Any]


def clusters(found: Found) -> str:
    """The page of some clusters as HTML."""
    count = sum(c.number > 0 for c in found.clusters)
    overview = Section("", "At a glance", found.how)
    overview.add("", _listed(found))
    overview.add("The rows by their first two principal components", _map(found))
    if found.tried:
        data = {"x": [n for n, _ in found.tried], "y": [s for _, s in found.tried], "unit": ""}
        labels = {"x_label": "number of clusters", "y_label": "score by which it was chosen"}
        overview.add("Numbers that were compared", charts.curve({**data, **labels}))
    sections = [overview, _agreement(found)]
    for one in found.clusters:
        lead = f"{text.counted(one.rows, 'row')}; the nearest to its centre are shown."
        section = Section("", f"{one.number}: {one.name}" if one.number else "In no cluster", lead)
        section.add("", _cards([_row(found, place) for place in one.nearest], found.exhibits))
        sections.append(section)
    aside = [f"Set aside: {b.name}: {b.reason}; {b.remedy}" for b in found.set_aside]
    title = f"{text.counted(count, 'cluster')} in {found.data}"
    origin = [("Source", found.source), ("Method", found.method)]
    origin.append(("Rows", text.plain(len(found.names))))
    return _page("Clusters", title, "", origin, sections, [*found.notes, *aside])


def similar(found: Any) -> str:
    """The page of the nearest rows of some inputs, a `groups.neighbours.Similar`, as HTML."""
    sections = []
    for place, query in enumerate(found.queries):
        section = Section("", query, "The nearest rows, from the left.")
        section.add("", _cards([Card(place, query, {})], dict(enumerate(found.asked))))
        cards = []
        for rank, row in enumerate(found.rows[place].tolist()):
            lines = {"distance": float(found.distances[place, rank])}
            if found.labels is not None:
                lines = {"label": str(found.labels[place][rank]), **lines}
            cards.append(Card(row, found.names[place][rank], lines))
        section.add("", _cards(cards, found.found))
        sections.append(section)
    origin = [("Source", found.source), ("Distance", found.by)]
    notes = [f"Not read: {b.name}: {b.reason}; {b.remedy}" for b in found.bad]
    return _page("Nearest rows", f"Nearest rows in {found.data}", "", origin, sections, notes)


def _page(
    eyebrow: str,
    title: str,
    lead: str,
    origin: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    notes: Sequence[str],
) -> str:
    made = _template().render(
        eyebrow=eyebrow,
        title=title,
        lead=lead,
        origin=origin,
        sections=[s for s in sections if s.blocks],
        notes=notes,
        style=Markup(_part("style.css")),  # ours, not a person's
    )
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", made)


def _part(name: str) -> str:
    return files("headstart.report").joinpath(name).read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    house = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return house.from_string(_part("groups.html"))


def _listed(found: Found) -> Markup:
    """All clusters as a table."""
    labelled = found.labels is not None
    columns = ["cluster", "name", "rows", "mean distance"]
    columns += ["most frequent label", "its share"] if labelled else []
    rows = []
    for one in found.clusters:
        line = [one.number or text.NONE, ", ".join(one.words) or one.name, one.rows, one.distance]
        if labelled:
            label, share = one.labels[0] if one.labels else (text.NONE, float("nan"))
            line += [label, text.number(share, "share")]
        rows.append(line)
    return charts.table(columns, rows)


def _agreement(found: Found) -> Section:
    """NMI and ARI beside those of plain features, and the gain over these."""
    lead = (
        "How far the clusters follow the labels, which formed no cluster: 1 is full agreement, 0 is none. "
        "Beside it the same method on features without a pretrained model."
    )
    section = Section("", "Do they follow the labels?", lead)
    for name in dict.fromkeys(m.name for m in found.measures if m.group):
        bars = [
            charts.Bar(m.group, m.value, m.low, m.high, f"n = {m.n}")
            for m in found.measures
            if m.name == name and m.group
        ]
        section.add(name, charts.intervals(bars, marks=True))
    section.add("What the source adds", figures([m for m in found.measures if not m.group]))
    if found.measures:
        section.add("", charts.tag("p", escape(found.measures[0].method), class_="note"))
    if found.missing:
        section.add("Not measured", charts.facts(found.missing))
    return section


def _row(found: Found, place: int) -> Card:
    lines: dict[str, Any] = {"distance": float(found.distance[place])}
    if found.labels is not None and found.labels[place] is not None:
        lines = {"label": str(found.labels[place]), **lines}
    return Card(place, found.names[place], lines)


def _cards(cards: Sequence[Card], samples: Mapping[int, Mapping[str, Any]]) -> Markup:
    rows = [{"row": c.place, "name": c.name, **c.lines} for c in cards]
    return exhibited(Exhibit("nearest", "samples", "nearest", {"rows": rows}), samples)


def _map(found: Found) -> Markup:
    """At most `DRAWN` rows as dots, and each cluster's number at its middle."""
    step = max(1, -(-len(found.map) // DRAWN))
    low, high = found.map.min(axis=0), found.map.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    size = np.array([WIDE - 2 * EDGE, HIGH - 2 * EDGE])
    places = EDGE + (found.map - low) / span * size
    dots = [
        charts.tag(
            "circle",
            cx=f"{places[i, 0]:.1f}",
            cy=f"{HIGH - places[i, 1]:.1f}",
            r=3,
            fill=_hue(int(found.numbers[i])),
        )
        for i in range(0, len(places), step)
    ]
    names = []
    for one in found.clusters:
        if one.number:
            x, y = np.median(places[found.numbers == one.number], axis=0)
            said = escape(str(one.number))
            names.append(charts.tag("text", said, x=f"{x:.1f}", y=f"{HIGH - y:.1f}"))
    said = f"{len(dots)} rows, each in the colour of its cluster"
    return charts.tag(
        "svg",
        *dots,
        *names,
        class_="map",
        viewBox=f"0 0 {WIDE} {HIGH}",
        role="img",
        aria_label=said,
    )


def _hue(number: int) -> str:
    """A colour of its own for each of many clusters: hues by the golden angle; grey for none."""
    return f"hsl({number * 137.5 % 360:.0f} 62% 48%)" if number else "#888888"
