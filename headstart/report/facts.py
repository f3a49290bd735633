"""What the run itself recorded: cost, origin, data. Counts that no check has to measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup, escape

from headstart.core.run import Record
from headstart.report import charts, text

Blocks = Iterator[tuple[str, Markup]]
TO_MODEL = ("seconds_model", "seconds_to_model")
TO_VERDICT = ("seconds_verdict", "seconds_to_verdict")
OPENINGS = ("openings", "test_openings")
COUNTED = ("seconds", "FLOPs", "bytes", "joules", "watts")
ELSEWHERE = frozenset({"not_measured", "licences", "learning_curve", "required"})  # shown elsewhere
MOST_ROWS = 40
SOURCE = {
    "name": "Source",
    "uri": "Address",
    "family": "Family",
    "revision": "Revision",
    "licence": "Licence",
    "trained_on": "Trained on",
    "paper": "Paper",
    "parameters": "Parameters",
    "sha256": "SHA-256 of the tensors",
}


def first(facts: Mapping[str, Any], *keys: str) -> Any:
    """The first known fact among keys, or None."""
    return next((facts[k] for k in keys if facts.get(k) is not None), None)


def cost(record: Record, said: set[float]) -> Blocks:
    """Counters of time, compute, memory; none whose number a measure has already said."""
    chosen = [(k, v) for k, v in _known(record) if _is_cost(k) and not _is_in(v, said)]
    yield (
        "Counted during the run",
        charts.facts([(text.label(k), text.fact(k, v)) for k, v in chosen]),
    )


def origin(record: Record) -> Blocks:
    """Who the pretrained source is."""
    rows = [(label, record.source[key]) for key, label in SOURCE.items() if key in record.source]
    yield "The pretrained source", charts.facts(rows)


def data(record: Record) -> Blocks:
    """Rows and split, what was set aside, and what the run noted."""
    lines = [line for k, v in _known(record) if not _is_cost(k) for line in _lines(k, v)]
    yield "Recorded", charts.facts(lines)
    aside = record.set_aside
    rows = [
        [a.get("name", ""), a.get("reason", ""), a.get("remedy", "")] for a in aside[:MOST_ROWS]
    ]
    if rows:
        table = charts.table(["Row", "Reason", "What to do"], rows)
        yield f"Set aside ({text.counted(len(aside), 'row')})", table
    if len(aside) > MOST_ROWS:
        more = f"and {len(aside) - MOST_ROWS} more, in the run's folder."
        yield "", charts.tag("p", escape(more), class_="note")
    if record.notes:
        notes = [charts.tag("li", charts.tag("bdi", escape(n))) for n in record.notes]
        yield "Notes of the run", charts.tag("ul", *notes)


def missing(record: Record) -> list[tuple[str, str]]:
    """What was not measured, with the reason: from the findings and from the run."""
    found = [(what, why) for f in record.findings for what, why in f.missing]
    listed = record.facts.get("not_measured") or ()
    for entry in listed.items() if isinstance(listed, Mapping) else listed:
        if isinstance(entry, str):
            found.append((entry, ""))
        elif isinstance(entry, Mapping):
            found.append((str(entry.get("what", "")), str(entry.get("reason", ""))))
        else:
            what, why = (*entry, "", "")[:2]
            found.append((str(what), str(why)))
    return list(dict.fromkeys(found))


def _known(record: Record) -> list[tuple[str, Any]]:
    """Facts with something in them that no other part of the page shows."""
    empty: tuple[Any, ...] = (None, "", {}, [], ())
    return [(k, v) for k, v in record.facts.items() if k not in ELSEWHERE and v not in empty]


def _is_cost(key: str) -> bool:
    return key in (*OPENINGS, *TO_MODEL, *TO_VERDICT) or text.unit_of(key) in COUNTED


def _is_in(value: Any, numbers: set[float]) -> bool:
    return isinstance(value, (int, float)) and float(value) in numbers


def _lines(key: str, value: Any) -> list[tuple[str, str]]:
    """One line a fact; a mapping gives one line an entry."""
    if not isinstance(value, Mapping):
        return [(text.label(key), text.fact(key, value))]
    kept = [(k, v) for k, v in value.items() if v not in (None, "", {}, [])]
    return [
        (f"{text.label(key)}: {text.label(str(k)).lower()}", text.fact(str(k), v)) for k, v in kept
    ]
