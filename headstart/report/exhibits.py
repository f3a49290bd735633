"""Exhibits and measures as blocks of the page: each exhibit is drawn by its kind alone."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from headstart.core.evidence import Exhibit, Measure
from headstart.report import charts, sketch, text
from headstart.report.drawing import drawing

Samples = Mapping[int, Mapping[str, Any]]
PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")
SOUND = re.compile(r"data:audio/wav;base64,[A-Za-z0-9+/]+={0,2}")
PLACES = ("place", "row", "index")
AROUND = 90  # characters of a long text that are shown before and behind what is marked in it


def exhibited(exhibit: Exhibit, samples: Samples) -> Markup:
    """One exhibit, drawn by its kind; an unknown kind or broken data as a plain table of its data."""
    draw = KINDS.get(exhibit.kind)
    try:
        return draw(exhibit.data, samples) if draw else _raw(exhibit.data)
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, StopIteration):
        return _raw(exhibit.data)


def _raw(data: Mapping[str, Any]) -> Markup:
    return charts.facts([(str(k), v) for k, v in data.items()])


def _bars(data: Mapping[str, Any], _: Samples) -> Markup:
    names = next(data[k] for k in ("labels", "names", "x") if k in data)
    values = next(data[k] for k in ("values", "y", "counts") if k in data)
    blank: list[Any] = [None] * len(names)
    low, high = data.get("low") or blank, data.get("high") or blank
    notes = [f"n = {n}" for n in data["n"]] if data.get("n") else [""] * len(names)
    bars = [
        charts.Bar(str(label), float("nan") if v is None else float(v), a, b, note)
        for label, v, a, b, note in zip(names, values, low, high, notes, strict=True)
    ]
    return charts.intervals(bars, str(data.get("unit", "")))


def _sentence(data: Mapping[str, Any], _: Samples) -> Markup:
    """A sentence as a paragraph; the verdict stands at the head of the page and is not repeated."""
    if "verdict" in data:
        return Markup("")
    return charts.tag("p", escape(data.get("sentence", "")))


def _shown_samples(data: Mapping[str, Any], samples: Samples) -> Markup:
    """Rows as cards: what was seen, what was said, what is true, and how sure the model was."""
    cards = [_card(row, samples) for row in data["rows"]]
    if not cards:
        return charts.tag("p", escape("There is no mistake to show."), class_="note")
    return charts.tag("div", *cards, class_="cards")


def _card(row: Mapping[str, Any], samples: Samples) -> Markup:
    place = next((row[k] for k in PLACES if k in row), None)
    seen = samples.get(place) if isinstance(place, int) else None
    parts = [_marked(seen, row["marks"]) if seen and "marks" in row else _sample(seen)]
    known = [k for k in ("predicted", "true", "confidence") if k in row]
    others = [k for k in row if k not in (*known, *PLACES, "name", "marks")]
    lines = []
    for key in (*known, *others):
        name = charts.tag("dt", escape(text.spoken(key).lower()))
        value = charts.tag("bdi", escape(text.fact(key, row[key])))
        lines.append(name + charts.tag("dd", value, class_=key if key in known else None))
    parts.append(charts.tag("dl", *lines))
    name = row.get("name", f"row {place}" if place is not None else "")
    parts.append(charts.tag("figcaption", charts.tag("bdi", escape(name)), title=name))
    return charts.tag("figure", *parts, class_="card")


def _marked(sample: Mapping[str, Any], marks: Sequence[Mapping[str, Any]]) -> Markup:
    """Units one after another, with what was told and what is true marked: {first, last, label, right}."""
    if sample.get("kind") == "passage":
        return _passage(sample, marks)
    units, parts, place = [str(u) for u in sample.get("units", ())], list[Markup](), 0
    for mark in sorted(marks, key=lambda m: (m["first"], m["last"])):
        first, last = max(place, int(mark["first"])), int(mark["last"]) + 1
        if last <= first:
            continue
        parts.append(escape(" ".join(units[place:first])))
        label = charts.tag("small", escape(f" {mark['label']}"))
        kind = "right" if mark.get("right") else "wrong"
        parts.append(charts.tag("mark", escape(" ".join(units[first:last])), label, class_=kind))
        place = last
    parts.append(escape(" ".join(units[place:])))
    inside = Markup(" ").join(p for p in parts if p)
    return charts.tag("blockquote", charts.tag("bdi", inside), class_="seen")


def _passage(sample: Mapping[str, Any], marks: Sequence[Mapping[str, Any]]) -> Markup:
    """A question, and its text around what is marked."""
    passage, places, parts, place = str(sample["text"]), sample["places"], list[Markup](), 0
    for mark in sorted(marks, key=lambda m: (m["first"], m["last"])):
        start, end = places[int(mark["first"])][0], places[int(mark["last"])][1]
        if start < place:
            continue
        label = charts.tag("small", escape(f" {mark['label']}"))
        kind = "right" if mark.get("right") else "wrong"
        parts.append(escape(_between(passage[place:start], first=not parts)))
        parts.append(charts.tag("mark", escape(passage[start:end]), label, class_=kind))
        place = end
    rest = passage[place:]
    parts.append(escape(rest if len(rest) <= AROUND else f"{_front(rest)} ..."))
    question = charts.tag("p", escape(str(sample["question"])))
    return charts.tag("blockquote", question, charts.tag("bdi", *parts), class_="seen passage")


def _between(text_: str, *, first: bool) -> str:
    """What stands before a mark, shortened."""
    if len(text_) <= (1 if first else 2) * AROUND:
        return text_
    return f"{'' if first else _front(text_)} ... {text_[-AROUND:].partition(' ')[2]}"


def _front(text_: str) -> str:
    """The first words of a text."""
    return text_[:AROUND].rpartition(" ")[0]


def _sample(sample: Mapping[str, Any] | None) -> Markup:
    """A picture, a sound under its picture, a text, pairs, lines or a drawing; pictures only as inline PNG,
    sounds only as inline WAV."""
    kind = sample.get("kind") if sample else None
    if sample and kind == "sound" and SOUND.fullmatch(str(sample.get("sound", ""))):
        player = charts.tag("audio", controls="", preload="metadata", src=sample["sound"])
        seen = _sample({"kind": "picture", "data": sample.get("picture", "")})
        return seen + charts.tag("div", player, class_="heard")
    if sample and kind == "picture" and PICTURE.fullmatch(str(sample.get("data", ""))):
        return charts.tag(
            "div", Markup('<img alt="" src="{}">').format(sample["data"]), class_="seen"
        )
    if sample and kind == "text":
        return charts.tag(
            "blockquote", charts.tag("bdi", escape(sample.get("text", ""))), class_="seen"
        )
    if sample and kind == "passage":
        return _passage(sample, ())
    if sample and kind == "drawing":
        return charts.tag("div", drawing(sample["drawing"]), class_="seen drawing")
    if sample and kind == "units":
        text_ = " ".join(map(str, sample.get("units", ())))
        return charts.tag("blockquote", charts.tag("bdi", escape(text_)), class_="seen")
    if sample and kind == "pairs":
        listed = sample["pairs"]
        pairs = json.loads(listed) if isinstance(listed, str) else listed
        rows = [
            charts.tag("tr", charts.tag("th", escape(k), scope="row"), charts.tag("td", escape(v)))
            for k, v in pairs
        ]
        return charts.tag("div", charts.tag("table", *rows), class_="seen pairs")
    if sample and kind == "lines":
        drawn = json.loads(sample["lines"])
        note = charts.tag("p", escape(sample.get("note", "")), class_="note")
        return charts.tag("div", sketch.lines(drawn), note, class_="seen lines")
    return charts.tag("div", escape("not shown"), class_="seen empty")


KINDS: dict[str, Callable[[Mapping[str, Any], Samples], Markup]] = {
    "matrix": lambda data, _: charts.matrix(data["labels"], data["counts"]),
    "curve": lambda data, _: charts.curve(data),
    "bars": _bars,
    "table": lambda data, _: charts.table(data["columns"], data["rows"]),
    "samples": _shown_samples,
    "sentence": _sentence,
}


def grouped(measures: Sequence[Measure]) -> Markup:
    """Measures of groups: one measure as an interval chart, several as a table, a group a row."""
    if not measures:
        return Markup("")
    names = list(dict.fromkeys(m.name for m in measures))
    groups = list(dict.fromkeys(m.group for m in measures))
    if len(names) == 1 and len(groups) <= 2 * charts.HEAT_LIMIT:
        bars = [
            charts.Bar(m.group, m.value, m.low, m.high, f"n = {text.sized(m.n, m.method)}")
            for m in measures
        ]
        caption = charts.tag("p", escape(text.spoken(names[0])), class_="caption")
        return caption + charts.intervals(bars, measures[0].unit)
    found = {(m.group, m.name): m for m in measures}
    heads = [
        charts.tag("th", escape(n), scope="col", class_="figure")
        for n in ("n", *(text.spoken(n) for n in names))
    ]
    rows = []
    for group in groups:
        size = statistics.mode(m.n for m in reversed(measures) if m.group == group)
        cells = [_pivot(found.get((group, name)), size) for name in names]
        label = charts.tag("th", charts.tag("bdi", escape(group)), scope="row")
        rows.append(
            charts.tag(
                "tr", label, charts.tag("td", escape(text.plain(size)), class_="figure"), *cells
            )
        )
    top = charts.tag(
        "thead", charts.tag("tr", charts.tag("th", escape("Group"), scope="col"), *heads)
    )
    return charts.tag("div", charts.tag("table", top, charts.tag("tbody", *rows)), class_="scroll")


def _pivot(measure: Measure | None, size: int) -> Markup:
    """Value over interval; n is said where it is not that of the row."""
    if measure is None:
        return charts.tag("td", escape(text.NONE), class_="figure")
    value, ends = text.measured(measure)
    aside = "" if measure.n == size else f" (n = {text.plain(measure.n)})"
    return charts.tag(
        "td", escape(value), charts.tag("small", escape(ends + aside)), class_="figure"
    )


def figures(measures: Sequence[Measure]) -> Markup:
    """Measures one a line: name, what it rests on and whether it was observed; value and interval."""
    lines = []
    for measure in measures:
        value, ends = text.measured(measure)
        name = charts.tag("dt", escape(measure.name), charts.tag("small", escape(resting(measure))))
        said = charts.tag("dd", escape(value), charts.tag("small", escape(ends)))
        lines.append(charts.tag("div", name, said))
    return charts.tag("dl", *lines, class_="lines wide") if lines else Markup("")


def resting(measure: Measure, *, basis: bool = True) -> str:
    """What a measure rests on, in words: n, baseline, and (with `basis`) whether it is inferred."""
    against = f"against {text.quoted(measure.baseline)}" if measure.baseline else ""
    size = f"n = {text.sized(measure.n, measure.method)}"
    inferred = "inferred" if basis and measure.basis == "inferred" else ""
    return ", ".join(part for part in (size, against, inferred) if part)
