"""Compare two runs: what differs between them, and their figures side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.report import text

SHOWN = (12, "Look at what was found")
First = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or its folder.")
]
Second = Annotated[str, typer.Argument(metavar="RUN", help="Another one.")]
Output = Annotated[
    str, typer.Option("--output", metavar="FOLDER", help="Folder of runs.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(first: First, second: Second, output: Output = "", json: Json = False) -> None:
    """Compare two runs: what differs in plan, data and assumptions, and their figures side by side."""
    found = api.compare(first, second, output)
    if json:
        console.document(found)
        return
    names = [str(n) for n in found.get("runs", (first, second))]
    _pairs("", {"run": names, "verdict": found.get("verdicts", ("", ""))})
    _pairs("plan", found.get("plan", {}))
    _pairs("digests", found.get("digests", {}))
    _assumptions(found.get("assumptions", {}))
    _measures(found.get("measures", ()))


def _pairs(title: str, pairs: Mapping[str, Any]) -> None:
    """What differs, with both values."""
    if title:
        console.say()
        console.say(f"{title}: {'what differs' if pairs else 'no difference'}", "bold")
    if pairs:
        console.table(
            ["", "first", "second"],
            [[k, *(text.fact(k, v) for v in both)] for k, both in pairs.items()],
        )


def _assumptions(found: Mapping[str, Any]) -> None:
    lines = [
        f"- {side.replace('_', ' ')}: {one}" for side, several in found.items() for one in several
    ]
    console.say()
    console.say(f"assumptions: {'what differs' if lines else 'no difference'}", "bold")
    for line in lines:
        console.say(line)


def _measures(found: Any) -> None:
    """Figures of both runs with their intervals."""
    if not found:
        return
    console.say()
    console.say("figures", "bold")
    rows = [
        [
            entry["name"] + _against(entry),
            _said(entry["first"], entry["unit"]),
            _said(entry["second"], entry["unit"]),
        ]
        for entry in found
    ]
    console.table(["", "first", "second"], rows, (1, 2))


def _against(entry: Mapping[str, Any]) -> str:
    return f", against {text.quoted(entry['baseline'])}" if entry.get("baseline") else ""


def _said(measure: Mapping[str, Any], unit: str) -> str:
    ends = text.interval(measure.get("low"), measure.get("high"), unit)
    return text.number(float(measure["value"]), unit) + (f" ({ends})" if ends else "")
