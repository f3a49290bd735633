"""A run's record as one self-contained page: inline style and drawings, no script, no network.

The page is generic: findings are laid out by the room that their check belongs to (any unknown check
gets a heading of its own), and exhibits are drawn by their kind, so that a new check needs no change here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from headstart.core.evidence import Exhibit, Finding, Measure
from headstart.core.plan import differences
from headstart.core.run import Record
from headstart.report import charts, facts, text
from headstart.report.exhibits import Samples, exhibited, figures, grouped, resting

VERDICTS = {"helped": "helped", "harmed": "harmed", "no evidence": "none"}
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
SEEDS = re.compile(r"(?:\d+|one) seeds?\b")
LISTED = frozenset(
    {"compare", "errors", "answers", "ahead", "more"}
)  # rooms whose observed figures stand at the top


@dataclass(frozen=True)
class Room:
    """A section for certain checks: its heading, and a sentence that says how to read it."""

    key: str
    title: str
    lead: str
    checks: frozenset[str]


def _room(key: str, title: str, lead: str, checks: str) -> Room:
    return Room(key, title, lead, frozenset(checks.split()))


ROOMS = (
    _room(
        "compare",
        "How it compares",
        "Every arm was read on the same test rows. The dot is the score, the whisker its interval: "
        "where whiskers overlap widely, the rows cannot tell the arms apart.",
        "verdict champion",
    ),
    _room(
        "errors",
        "Where it goes wrong",
        "Each row of the matrix is a true class and adds up to all its test rows; what lies off the "
        "diagonal was taken for something else.",
        "accuracy ranking confusion scores mistakes errors quality performance regression residuals "
        "positions tags ordinal",
    ),
    _room(
        "together",
        "Targets that were learned together",
        "The same network learned every target alone, too, with the same settings and seeds, and both were "
        "read on the same test rows. Harmed is what is called negative transfer.",
        "multitask",
    ),
    _room(
        "answers",
        "What it answers",
        "Questions with what stands around the marks in their text: dashed is what was told and is not "
        "right, filled what is true.",
        "answers",
    ),
    _room(
        "ahead",
        "How far ahead it sees",
        "The line is the forecast, the dashed one what came; the band holds nine in ten of held-out "
        "values. Errors are in units of the error that repeating the last period makes.",
        "forecast",
    ),
    _room(
        "trust",
        "Can its confidence be trusted?",
        "When the model says 80 %, it should be right in 80 of 100 cases: then the points lie on the "
        "dashed line. Below it the model is surer than it should be.",
        "calibration reliability confidence",
    ),
    _room(
        "labels",
        "What more labels would bring",
        "The same model learned from a part of the labels. A curve that still climbs at its right end "
        "says that more labelled rows would help.",
        "learning_curve learning probe curve",
    ),
    _room(
        "whom",
        "Whom it serves",
        "Scores within each part of the test rows. Small parts have wide intervals: read the "
        "interval before the value.",
        "slices per_class per_slice fairness groups classes",
    ),
    _room(
        "scope",
        "Rows that are none of the classes",
        "How far a row lies outside the known classes. 50 % of AUROC is chance; the threshold in the model "
        "lets about 95 of 100 rows of known classes in.",
        "scope",
    ),
    _room(
        "untrained",
        "What the source knows untrained",
        "Whether the training rows that are nearest to a test row, by the source's own features, are of its "
        "class.",
        "retrieval",
    ),
    _room(
        "augmentation",
        "Whether augmented rows are like the real ones",
        "Training rows varied by each augmentation, by the source's own features. Of unvaried rows 5 % lie "
        "so far from the others; where most do, the model may learn from rows that never come.",
        "augmentation",
    ),
    _room("more", "Further checks", "", ""),
    _room(
        "cost",
        "What it cost",
        "Training of the model, and the evidence around it, are counted apart.",
        "cost compute costs energy time memory",
    ),
    _room(
        "licence",
        "Licence and origin",
        "Who may use the result, and what it was built on.",
        "licence license licences provenance",
    ),
    _room("data", "The data", "", "data leakage label_quality labels duplicates split"),
)


@dataclass
class Section:
    """What the template prints of one room."""

    key: str
    title: str
    lead: str = ""
    blocks: list[tuple[str, Markup]] = field(default_factory=list)

    def add(self, title: str, block: Markup | str) -> None:
        """Appends one titled block, unless it is empty."""
        if block:
            self.blocks.append((title, Markup(block)))


def render(record: Record, *, samples: Samples) -> str:
    """The report of a run as HTML.

    Args:
        record: the finished run.
        samples: by row place (as exhibits of kind "samples" name it), what to show: "picture" (a PNG
            data URI), "text", "pairs", "lines", "sound" or "drawing".
    """
    context = {
        "record": record,
        "style": Markup(_part("style.css")),  # ours, not a person's
        "title": title(record),
        "verdict": verdict(record),
        "tiles": tiles(record),
        "origin": _origin(record),
        "observed": listed(record, "observed"),
        "inferred": listed(record, "inferred"),
        "sections": sections(record, samples),
        "missing": facts.missing(record),
        "methods": _methods(record),
        "toml": text.toml(differences(record.plan)),
        "text": text,
    }
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", _template().render(context))


def _part(name: str) -> str:
    return files("headstart.report").joinpath(name).read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    house = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    house.globals["shape"] = charts.shape
    return house.from_string(_part("template.html"))


def title(record: Record) -> str:
    """The question of the task card, or one made from the data's name."""
    if record.plan.task.card.question:
        return record.plan.task.card.question
    name = re.split(r"[/\\]", record.plan.task.data.rstrip("/\\"))[-1]
    if record.facts.get("outcome") == "tag":
        return f"Which of {len(record.classes)} tags has each row of {name or 'the data'}?"
    if record.facts.get("outcome") == "ordinal":
        return f"Which of {len(record.classes)} levels has each row of {name or 'the data'}?"
    if record.facts.get("outcome") == "label_each":
        return f"Which label has each position of the rows of {name or 'the data'}?"
    if record.facts.get("outcome") == "answer":
        return f"Which words answer each question of {name or 'the data'}?"
    if record.facts.get("outcome") == "forecast":
        task = record.plan.task
        return (
            f"What are the next {text.counted(task.forecast.horizon, 'step')} of "
            f"{task.columns.target or 'the series'} in {name or 'the data'}?"
        )
    if record.classes:
        return f"Which of {len(record.classes)} classes" + (
            f" does a row of {name} show?" if name else " is it?"
        )
    return f"Which value has each row of {name or 'the data'}?"


def verdict(record: Record) -> dict[str, str]:
    """Word, mark and sentences of the verdict: from the first "sentence" exhibit that carries one."""
    for exhibit in _exhibits(record, "sentence"):
        if "verdict" in exhibit.data:
            word = str(exhibit.data["verdict"])
            parts = re.split(
                r"(?<=[.!?])\s+(?=[A-Z])",
                text.prose(str(exhibit.data.get("sentence", ""))),
                maxsplit=1,
            )
            rest = parts[1] if len(parts) > 1 else ""
            if exhibit.data.get("better") and record.facts.get("champion_again"):
                rest += (
                    " The pack holds the transfer; a simple model cannot be packed, but fitted again on the "
                    f"run's data and used: headstart predict {record.id} INPUT... --champion."
                )
            return {
                "word": word,
                "mark": VERDICTS.get(word, "unknown"),
                "sentence": parts[0],
                "rest": rest,
            }
    sentence = "Whether the transfer helped was not measured in this run."
    return {"word": "not measured", "mark": "unknown", "sentence": sentence, "rest": ""}


def _exhibits(record: Record, kind: str) -> list[Exhibit]:
    return [e for f in record.findings for e in f.exhibits if e.kind == kind]


def tiles(record: Record) -> list[dict[str, str]]:
    """The few figures that stand beside the verdict."""
    found: list[dict[str, str]] = []
    scores = arms(record)
    if scores:
        value, ends = text.measured(scores[0])
        found.append(
            {"name": f"{scores[0].name} of {scores[0].group}", "value": value, "note": ends}
        )
    gain = next((m for f in record.findings for m in f.measures if m.name == "transfer gain"), None)
    if gain is not None:
        value, ends = text.measured(gain)
        what = f" in {gain.unit}" if gain.unit in text.BARE else ""
        found.append(
            {
                "name": f"difference{what} from {text.quoted(gain.baseline)}",
                "value": value,
                "note": ends,
            }
        )
    model, judged = (
        facts.first(record.facts, *keys) for keys in (facts.TO_MODEL, facts.TO_VERDICT)
    )
    if model is not None:
        note = f"{text.duration(float(judged))} to the verdict" if judged is not None else ""
        found.append(
            {"name": "time to the model", "value": text.duration(float(model)), "note": note}
        )
    openings = facts.first(record.facts, *facts.OPENINGS)
    if openings is not None:
        found.append(
            {
                "name": "openings of the test split",
                "value": str(openings),
                "note": "over all runs so far",
            }
        )
    return found


def arms(record: Record) -> list[Measure]:
    """The score of every arm, the transfer first."""
    finding = record.finding("verdict")
    return [m for m in finding.measures if m.group] if finding else []


def listed(record: Record, basis: str) -> list[dict[str, str]]:
    """Ungrouped measures for the two lists that keep observed and inferred apart.

    All that is inferred is listed; of what was observed, the figures that no section tabulates. The
    verdict's come first.
    """
    findings = sorted(record.findings, key=lambda f: room_of(f.check) != "compare")
    return [
        _line(m)
        for f in findings
        for m in f.measures
        if m.basis == basis and not m.group and (basis == "inferred" or room_of(f.check) in LISTED)
    ]


def _line(measure: Measure) -> dict[str, str]:
    value, ends = text.measured(measure)
    return {
        "name": measure.name,
        "value": value,
        "ends": ends,
        "note": resting(measure, basis=False),
    }


def sections(record: Record, samples: Samples) -> list[Section]:
    """All rooms that have something to show, in the order of the page."""
    made = []
    for room in ROOMS:
        section = Section(room.key, room.title, room.lead)
        for finding in record.findings:
            if room_of(finding.check) == room.key:
                _fill(section, finding, record, samples)
        for title_, block in _recorded(record, room.key):
            section.add(title_, block)
        if section.blocks:
            made.append(section)
    return made


def _recorded(record: Record, room: str) -> facts.Blocks:
    """What the run itself recorded for a room."""
    said = {m.value for f in record.findings for m in f.measures if room_of(f.check) == "cost"}
    if room == "cost":
        yield from facts.cost(record, said)
    elif room == "licence":
        yield from facts.origin(record)
    elif room == "data":
        yield from facts.data(record)


def room_of(check: str) -> str:
    """Key of the room in which a check's finding is shown."""
    return next((room.key for room in ROOMS if check in room.checks), "more")


def _fill(section: Section, finding: Finding, record: Record, samples: Samples) -> None:
    """Exhibits of one finding, its grouped measures, and its figures where the top lists them not."""
    if finding.check == "verdict":
        section.add("", _arms_chart(record))
    for exhibit in finding.exhibits:
        name = exhibit.title or text.spoken(exhibit.name)
        section.add(name, exhibited(_named(exhibit, record), samples))
    heading = "" if finding.exhibits else text.spoken(finding.check)
    if finding.check != "verdict":
        section.add(heading, grouped([m for m in finding.measures if m.group]))
    if section.key not in LISTED:
        section.add("", figures([m for m in finding.measures if not m.group]))


def _named(exhibit: Exhibit, record: Record) -> Exhibit:
    """Samples with the names that a person knows the rows by."""
    names, rows = record.predictions.get("names"), exhibit.data.get("rows")
    if exhibit.kind != "samples" or names is None or not isinstance(rows, (list, tuple)):
        return exhibit
    told = [
        {"name": str(names[row["row"]]), **row}
        if isinstance(row.get("row"), int) and 0 <= row["row"] < len(names)
        else row
        for row in rows
    ]
    return dataclasses.replace(exhibit, data={**exhibit.data, "rows": told})


def _arms_chart(record: Record) -> Markup:
    found = arms(record)
    if not found:
        return Markup("")
    bars = [
        charts.Bar(
            m.group,
            m.value,
            m.low,
            m.high,
            ", ".join([f"n = {text.sized(m.n, m.method)}", *SEEDS.findall(m.method)[:1]]),
        )
        for m in found
    ]
    required = record.plan.task.card.required
    label = f"required, {text.number(required, found[0].unit)}" if required is not None else ""
    chart = charts.intervals(
        bars, found[0].unit, reference=required, reference_label=label, marks=True
    )
    return (
        charts.tag(
            "p",
            escape(f"{text.spoken(found[0].name)}, {100 * found[0].level:.0f}{text.GAP}% interval"),
            class_="caption",
        )
        + chart
    )


def _methods(record: Record) -> list[tuple[str, str]]:
    """How each number was made, once per name and method."""
    return list(
        dict.fromkeys((m.name, m.method) for f in record.findings for m in f.measures if m.method)
    )


def _rows(record: Record) -> Any:
    data = record.facts.get("data")
    return record.facts.get("rows", data.get("rows") if isinstance(data, Mapping) else None)


def _origin(record: Record) -> list[tuple[str, str]]:
    """Source, strategy and data in a few words, for the head of the page."""
    plan = record.plan
    source = str(record.source.get("name") or record.source.get("uri") or plan.source.uri)
    found = [
        ("Source", source),
        ("Strategy", str(record.facts.get("strategy") or plan.strategy.name)),
    ]
    data = plan.task.data or "arrays in memory"
    rows = _rows(record)
    found.append(
        (
            "Data",
            data + (f", {text.plain(float(rows))} rows" if isinstance(rows, (int, float)) else ""),
        )
    )
    found.append(("Seeds per arm", str(plan.evidence.seeds)))
    return found
